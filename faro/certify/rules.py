"""How a scored table decides: by argmax, or by a rule of which the table says the probabilities.

    Served     a rule and the sets of candidates that it decides on, as a policy and a description name them
    decisions  of every row how likely the rule decides for it; decisions_alone, where its own reward is that of a twin

The same laws as `constraints.BestOf` and its kin have, on rows of a table and in doubles. Definitions:
docs/certificate-format.md, "Decision rules".
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .bounds.binomial import Floats

ARGMAX = "argmax"
SPELLED = re.compile(
    r"(softmax)\(temperature=([0-9]+(?:\.[0-9]+)?)\)|(kl_tilted)\(beta=([0-9]+(?:\.[0-9]+)?)\)"
    r"|(best_of)\(n=([1-9][0-9]{0,5})\)"
)
KINDS = ("enumerated", "sampled")
MOST_KEPT = 100_000  # answers of which the best is kept
REFERENCE_ROUNDING = 1e-6  # of the sum of a reference over an enumerated set


class Served(NamedTuple):
    """A rule that is not argmax, and what it decides on.

    text       its spelling, as `constraints.rule_text` prints it
    name       "softmax", "kl_tilted" or "best_of"
    value      temperature, beta or n
    kind       of the sets: "enumerated" or "sampled"
    draws      how many candidates every sampled set has; None of enumerated ones
    sha256     of the sets, where the policy fixes them
    reference  which policy was drawn from, or enumerated, in words
    decoding   with which settings
    """

    text: str
    name: str
    value: Decimal
    kind: str
    draws: int | None = None
    sha256: str | None = None
    reference: str = ""
    decoding: str = ""

    def decide(self, rewards: Floats, logs: Floats | None) -> Floats:
        """Of every candidate of one set the probability that it is the answer.

        rewards  of the candidates
        logs     of the reference; None: uniform, or the draws themselves
        """
        if self.name == "best_of":
            return self._best(rewards, logs)
        with np.errstate(over="ignore", divide="ignore"):  # what is far below the best may be -inf, never NaN
            scores = (rewards - rewards.max()) / float(self.value)
        return _softmax(scores if logs is None or self.name == "softmax" else scores + logs)

    def _best(self, rewards: Floats, logs: Floats | None) -> Floats:
        kept, size = int(self.value), len(rewards)
        order = np.argsort(rewards, kind="stable")
        ordered = rewards[order]
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, size)  # one past each level
        level = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
        if self.kind == "sampled":
            at_most = np.array([_of_draws(int(end), size, kept) for end in ends])
            share = 1 / np.diff(ends, prepend=0)[level]
        else:
            mass = (np.full(size, 1 / size) if logs is None else _softmax(logs))[order]
            of_level = np.bincount(level, mass)
            at_most = np.minimum(np.cumsum(of_level), 1) ** kept
            at_most[-1] = 1.0
            share = np.divide(mass, of_level[level], out=np.zeros(size), where=of_level[level] > 0)
        found = np.empty(size)
        found[order] = np.diff(at_most, prepend=0)[level] * share
        return found


def served(text: str, kind: str, **more: Any) -> Served | None:
    """The rule that a text spells, or None of argmax; `ValueError` for another text.

    text  the spelling
    kind  of the sets
    more  further fields of `Served`
    """
    if text == ARGMAX:
        return None
    found = SPELLED.fullmatch(text)
    if not found:
        raise ValueError(
            "expected argmax, softmax(temperature=0.5), kl_tilted(beta=0.1) or best_of(n=16), without exponents, "
            f"got {text!r}"
        )
    name, number = (part for part in found.groups() if part is not None)
    value = Decimal(number)
    if value <= 0 or (name == "best_of" and value > MOST_KEPT):
        raise ValueError(f"expected a number > 0, and n of at most {MOST_KEPT}, got {text!r}")
    return Served(text, name, value, kind, **more)


def decisions(
    rule: Served, rewards: Floats, member_of: NDArray[np.intp], outside: NDArray[np.bool_], threshold: float,
    log_ref: Floats | None,
) -> Floats:  # fmt: skip
    """Of every row how likely the rule decides for it; an outside option competes with the threshold as its reward.

    rule       which
    rewards    `[rows]`
    member_of  `[rows]` number of the row's set
    outside    `[rows]` whether the set has an outside option
    threshold  its reward
    log_ref    `[rows]` of the reference, or None
    """
    order = np.argsort(member_of, kind="stable")
    found = np.empty(len(rewards))
    for rows in np.split(order, np.flatnonzero(np.diff(member_of[order])) + 1):
        values = np.append(rewards[rows], threshold) if outside[rows[0]] else rewards[rows]
        logs = None if log_ref is None else log_ref[rows]
        found[rows] = rule.decide(values, logs)[: len(rows)]
    return found


def decisions_alone(
    rule: Served, rewards: Floats, twins: Floats, member_of: NDArray[np.intp], outside: NDArray[np.bool_],
    threshold: float, log_ref: Floats | None,
) -> Floats:  # fmt: skip
    """Of every row how likely the rule decides for it where its own reward alone is that of a twin; a law for each row,
    so K laws for a set of K.

    rule       which
    rewards    `[rows]`
    twins      `[rows]` of the twin; NaN: no such twin, and then it is 0
    member_of  `[rows]` number of the row's set
    outside    `[rows]` whether the set has an outside option
    threshold  its reward
    log_ref    `[rows]` of the reference, or None
    """
    order = np.argsort(member_of, kind="stable")
    found = np.zeros(len(rewards))
    for rows in np.split(order, np.flatnonzero(np.diff(member_of[order])) + 1):
        values = np.append(rewards[rows], threshold) if outside[rows[0]] else rewards[rows]
        logs = None if log_ref is None else log_ref[rows]
        for place, row in enumerate(rows):
            if not np.isnan(twins[row]):
                alone = values.copy()
                alone[place] = twins[row]
                found[row] = rule.decide(alone, logs)[place]
    return found


def candidates_of(
    rule: Served, where: str, member_of: NDArray[np.intp], log_ref: Floats | None, digest: str
) -> dict[str, Any]:
    """The field `data.candidates` of a certificate; `DataError` where the sets are not what the policy says.

    rule       of the policy
    where      name of the table, for messages
    member_of  `[rows]` number of the row's set
    log_ref    `[rows]` of the reference, or None
    digest     of the sets
    """
    sizes = np.bincount(member_of)
    if rule.kind == "sampled":
        if log_ref is not None:
            raise DataError(
                f"{where}: column 'log_ref' beside draws of the reference, which stand for it: it would be squared"
            )
        if (sizes != rule.draws).any():
            size = sizes[sizes != rule.draws][0]
            raise DataError(
                f"{where}: a choice has {size} draws, the policy says {rule.draws}: what is claimed is about so many; "
                "keep as many of each"
            )
    mass = None
    if log_ref is not None:
        sums = np.bincount(member_of, np.exp(np.minimum(log_ref, 1.0)))
        least, most = float(sums.min()), float(sums.max())
        if most > 1 + REFERENCE_ROUNDING:
            raise DataError(f"{where}: log_ref of a choice adds up to {most:g}, and probabilities to 1 at most")
        if rule.name == "best_of" and least < 1 - REFERENCE_ROUNDING:
            raise DataError(
                f"{where}: best_of needs the whole reference, and log_ref of a choice adds up to {least:g}: enumerate "
                "all answers, or draw them and declare candidates = 'sampled'"
            )
        mass = f"{math.floor(min(1.0, least + 1e-9) * 10**6) / 10**6:.6f}"
    if rule.sha256 not in (None, digest):
        raise DataError(f"{where}: other sets of candidates than the policy's: {digest}")
    return {"sha256": digest, "sets": len(sizes), "singles": int((sizes == 1).sum()), "mass": mass}


def said(rule: str, asked: Mapping[str, Any], candidates: Mapping[str, Any]) -> list[str]:
    """What is claimed of decisions by this rule, in words, and what is not.

    rule        its spelling
    asked       `[candidates]` of the policy
    candidates  `data.candidates` of the certificate
    """
    by, kept = f"the mean over prompts of the probability under {rule}", rule.startswith("best_of")
    reference = asked.get("reference", "")
    if asked["kind"] == "sampled":
        one = "the best of n of them" if kept else "one of them by the rule: a resample of N"
        lines = [
            f"claims of decisions are about {by}: N = {asked['draws']} draws of the reference, then {one}",
            f"the reference is {reference}; drawn with {asked['decoding']}",
        ]
    else:
        lines = [f"claims of decisions are about {by} on these {candidates['sets']} sets of candidates"]
        mass = candidates["mass"]
        if not rule.startswith("softmax"):
            of = "" if mass in (None, "1.000000") else f"; the sets hold {mass} of it or more"
            named = f", said to be {reference}" if reference else ""
            column = "the column log_ref" if mass else "uniform, all candidates of a set alike"
            lines.append(f"the reference is {column}{named}{of}")
    if candidates["singles"]:
        lines.append(f"{candidates['singles']} sets have one candidate, which no policy can move; they count")
    return [*lines, "nothing is claimed of a single draw, another n, beta, N, reference or sampler"]


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


@functools.cache
def _of_draws(count: int, draws: int, kept: int) -> float:
    """C(count, kept) / C(draws, kept)."""
    return math.comb(count, kept) / math.comb(draws, kept)
