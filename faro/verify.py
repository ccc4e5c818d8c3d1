"""Checks a certificate of faro, trusting nothing: `python verify.py CERT AUDIT --policy faro.toml [--ledger L]`;
or the envelope of a linear model's losses: `python verify.py ENVELOPE TABLE`.

One file, Python 3.11, standard library only. It reads bounds, confidence, methods and groups from the policy, counts
everything again from the audit table, and proves every number that the certificate claims, rounding against the claim.
The files, the formulas and what each proves: docs/certificate-format.md, docs/envelope.md. In this order: numbers,
JSON, policy, audit table, its description, cells, proofs, shift, optimality, ledger, independence, verdict, envelopes,
command line. Certificates of older formats verify as they always did; `form` is 1, 2 or 3 where formats differ.

Exit codes: 0 CERTIFIED or proved, 1 REFUTED, 2 usage or policy, 3 INCONCLUSIVE, 4 does not check, 5 malformed input or
digest, 6 audit not independent, 7 dual point outside its domain, 70 internal error.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import io
import json
import math
import os
import re
import sys
import tomllib
import unicodedata
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple

USAGE, UNPROVED, MALFORMED, DEPENDENT, NO_DUAL, INTERNAL = 2, 4, 5, 6, 7, 70
VERDICTS = {"CERTIFIED": 0, "REFUTED": 1, "INCONCLUSIVE": 3}
MAX_BYTES = 4 << 20  # of certificates, policies and ledgers; tables may be large
ULP = 2.0**-52  # twice the largest relative error of one operation on doubles
ZERO, ONE, HALF = Fraction(0), Fraction(1), Fraction(1, 2)


class Refused(Exception):
    """Ends the check with an exit code and one line that says why."""

    def __init__(self, code: int, reason: str):
        super().__init__(reason)
        self.code = code


def need(condition: Any, code: int, reason: str) -> None:
    if not condition:
        raise Refused(code, reason)


# ---------------------------------------------------------------- numbers
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?").fullmatch
RATIO = re.compile(r"-?[0-9]+/[0-9]*[1-9][0-9]*").fullmatch
CELL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?").fullmatch
HEX = re.compile(r"[0-9a-f]{64}").fullmatch
WHOLE = re.compile(r"[+]?0*([0-9]+)(\.0*)?").fullmatch
CELL_NUMBER = re.compile("0|[1-9][0-9]{0,8}").fullmatch
NAMED = re.compile(r"(cells by|aggregate) .+ at [0-9a-f]{64}|summaries by .+").fullmatch


def number(value: Any, where: str, code: int = MALFORMED) -> Fraction:
    """A decimal string of at most 60 characters, exactly."""
    need(isinstance(value, str) and len(value) <= 60 and NUMBER(value), code, f"{where}: expected a decimal string")
    return Fraction(value)


def rational(value: Any, where: str) -> Fraction:
    """A decimal string or "p/q", exactly."""
    if isinstance(value, str) and len(value) <= 2000 and RATIO(value):
        return Fraction(value)
    return number(value, where)


def down(x: Fraction) -> float:
    """The largest double <= x, or a little less."""
    near = float(x)
    return near if near <= x else math.nextafter(near, -math.inf)


def up(x: Fraction) -> float:
    """The smallest double >= x, or a little more."""
    return -down(-x)


HIGH = Context(prec=30, rounding=ROUND_CEILING, Emin=-(10**6), Emax=10**6)


def decimal_up(x: Fraction) -> Decimal:
    return HIGH.divide(Decimal(x.numerator), Decimal(x.denominator))


def exp_up(x: Fraction) -> Fraction:
    """At least e^x. Decimal's exp and ln are rounded to the nearest, so that one step up encloses them."""
    return ONE if x == 0 else Fraction(HIGH.next_plus(HIGH.exp(decimal_up(x))))


def ln_up(x: Fraction) -> Fraction:
    return Fraction(HIGH.next_plus(HIGH.ln(decimal_up(x))))


def sqrt_up(x: Fraction) -> Fraction:
    return Fraction(HIGH.next_plus(HIGH.sqrt(decimal_up(x))))


SHORT = Context(prec=17)


def exp(x: float) -> float:
    """e^x within a unit of the last place, whatever the platform's; x <= 0."""
    return float(SHORT.exp(SHORT.create_decimal_from_float(x))) if x else 1.0


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x) within a few units of the last place."""
    e = exp(-abs(x))
    return e / (1 + e) if x < 0 else 1 / (1 + e)


def shares(utilities: list[float]) -> list[float]:
    """Softmax of these utilities beside one that is 0, each within as many units of the last place as there are."""
    top = max(0.0, *utilities)
    weights = [exp(u - top) for u in utilities]
    total = exp(-top) + sum(weights)
    return [weight / total for weight in weights]


# ---------------------------------------------------------------- JSON and digests
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode
_quote = json.encoder.encode_basestring_ascii


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """H(value): sha256 of the canonical JSON."""
    return sha256(_encode(value).encode())


def digest_texts(*texts: str) -> str:
    """H of a list of texts."""
    return sha256(f"[{','.join(map(_quote, texts))}]".encode())


def read_bytes(path: str | Path, code: int = MALFORMED, limit: int | None = MAX_BYTES) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read() if limit is None else file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise Refused(USAGE, f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    need(limit is None or len(data) <= limit, code, f"{path}: longer than {limit} bytes")
    return data


def text_of(data: bytes, where: str, code: int = MALFORMED) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(code, f"{where}: not UTF-8 at byte {error.start}") from None


def lines_of(text: str) -> list[str]:
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    need(len(found) == len(pairs), MALFORMED, "JSON: a key stands twice in one object")
    return found


def _count(text: str) -> int:
    need(len(text) <= 13 and text[0] != "-" and int(text) <= 10**12, MALFORMED, "JSON: expected a count in 0..10^12")
    return int(text)


def _no_fraction(text: str) -> None:
    raise Refused(MALFORMED, f"JSON: {text[:20]} is no count; numbers are decimal strings")


def _depth(value: Any, left: int = 12) -> None:
    need(left > 0, MALFORMED, "JSON: nested too deep")
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(child, (dict, list)):
            _depth(child, left - 1)


def parse_json(text: str, where: str) -> Any:
    """JSON without fractions, NaN, duplicate keys or deep nesting."""
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_count, parse_float=_no_fraction, parse_constant=_no_fraction
        )
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise Refused(MALFORMED, f"{where}: not JSON: {error}") from None
    _depth(value)
    return value


def fields(value: Any, names: str, where: str) -> dict[str, Any]:
    """`value` if it is an object with exactly these fields."""
    need(isinstance(value, dict), MALFORMED, f"{where}: expected an object")
    expected = set(names.split())
    for name in sorted(set(value) ^ expected):
        raise Refused(MALFORMED, f"{where}: {'missing' if name in expected else 'unknown'} field {name!r}")
    return value


def hexadecimal(value: Any, where: str) -> str:
    need(isinstance(value, str) and HEX(value), MALFORMED, f"{where}: expected a sha256 in lower-case hex")
    return value


# ---------------------------------------------------------------- policy
PAIRS = ("demographic_parity", "equalized_odds", "equal_opportunity", "predictive_equality", "threshold_parity",
         "reward_parity", "counterfactual_parity")  # fmt: skip
SERVED = "policy_parity"  # of format 3: how often a rule answers in one way, by groups of choosers
EXCHANGE = "person_exchange"  # of format 3: what somebody else in the person's place changes, by pairs of people
PAIR, ANOTHER = "pair of people", "another person"  # columns: who belong together; reward with the other one
CAPS = ("counterfactual_flip", "counterfactual_oscillation", "rate_cap", "rate_floor", "group_error")
PLUGINS = ("plugin_parity", "plugin_cap")  # of cells that somebody's constraint made
FLOORS = ("welfare_floor", "welfare_tail")  # mean over people of the aggregate's welfare less the model's
ACCURACIES = ("accuracy_parity", "accuracy_ratio")  # mean welfare over the people of a group
ROLES = ("aggregate", "model")  # of a floor, where others have groups
TABLES = ("mixture", "head_optimum")
EVENTS = {"equalized_odds": ("chosen", "rejected"), "equal_opportunity": ("chosen",),
          "predictive_equality": ("rejected",), "group_error": ("chosen",)}  # fmt: skip
ENDS = ("clopper-pearson", "unit-ratio")
ONE_ROW = ("exact2", "clopper-pearson", "block-pair", "dkw")
METHODS = ("exact2", "clopper-pearson", "unit-ratio", "block-pair", "dkw")
BALLS = {"tv": ("eta",), "label-noise": ("eta",), "kl": ("lambda",), "chi2": ("eta", "lambda"), "lr": ("eta",),
         "cvar": ("eta",), "w1": ("lambda",)}  # fmt: skip
# assumptions that format 1 has no word for
FORMAT_2 = ("undescribed-table", "weights-ignored", "same-items", "twins-missing")
ASSUMPTIONS = {"iid-units": USAGE, "group-labels-correct": USAGE, "label-noise-bounded": USAGE,
               "twins-as-declared": USAGE, **dict.fromkeys(FORMAT_2, USAGE), "train-overlap-unchecked": DEPENDENT,
               "no-ledger": DEPENDENT}  # fmt: skip
TIES = Fraction(1, 100)
# columns that are never shared
MEANT = ("unit", "choice", "alternative", "weight", "label", "outside", "reward", "decision", "part", PAIR)


RULE = re.compile(r"(softmax)\(temperature=(.+)\)|(kl_tilted)\(beta=(.+)\)|(best_of)\(n=([1-9][0-9]{0,5})\)").fullmatch
MOST_KEPT = 100_000  # answers of which the best is kept
REFERENCE_ROUNDING = 1e-6  # of the sum of a reference over an enumerated set


class Rule(NamedTuple):
    """A decision rule that is not argmax, and the sets of candidates that it decides on."""

    text: str
    name: str  # "softmax", "kl_tilted" or "best_of"
    value: Fraction  # temperature, beta or n
    kind: str  # of the sets: "enumerated" or "sampled"
    draws: int | None  # of every sampled set
    candidates_sha256: str | None
    reference: str
    decoding: str

    def decide(self, rewards: list[float], logs: list[float] | None) -> list[float]:
        """Of every candidate of a set the probability that it is the answer; `logs` of the reference, None: uniform."""
        if self.name == "best_of":
            return self._best(rewards, logs)
        scale, top = float(self.value), max(rewards)
        scores = [(reward - top) / scale for reward in rewards]  # at most 0: what is far below may be -inf, never NaN
        if logs is not None and self.name == "kl_tilted":
            scores = [score + log for score, log in zip(scores, logs, strict=True)]
        return _softmax(scores)

    def _best(self, rewards: list[float], logs: list[float] | None) -> list[float]:
        """By levels of equal rewards from below: what is kept is at most that level with probability `at_most`."""
        order = sorted(range(len(rewards)), key=rewards.__getitem__)
        reference = _softmax(logs) if logs is not None else [1 / len(rewards)] * len(rewards)
        levels: list[list[int]] = []
        for place in order:
            if levels and rewards[levels[-1][0]] == rewards[place]:
                levels[-1].append(place)
            else:
                levels.append([place])
        found, passed, before, below = [0.0] * len(rewards), 0, 0.0, 0.0
        for level in levels:
            passed += len(level)
            mass = math.fsum(reference[place] for place in level)
            before += mass
            if self.kind == "sampled":
                at_most, shares = of_draws(passed, len(rewards), int(self.value)), [1 / len(level)] * len(level)
            else:
                at_most = 1.0 if passed == len(rewards) else min(1.0, before) ** int(self.value)
                shares = [reference[place] / mass if mass > 0 else 0.0 for place in level]
            for place, share in zip(level, shares, strict=True):
                found[place] = (at_most - below) * share
            below = at_most
        return found


def _softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    powers = [exp(score - top) for score in scores]
    total = math.fsum(powers)
    return [power / total for power in powers]


@cache
def of_draws(count: int, draws: int, kept: int) -> float:
    """C(count, kept) / C(draws, kept): how often all that are kept of the draws are among these."""
    return float(Fraction(math.comb(count, kept), math.comb(draws, kept)))


class Attribute(NamedTuple):
    levels: tuple[str, ...]
    chooser: bool


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim as the policy asks for it."""

    name: str
    constraint: str
    bound: Fraction
    method: str = ""
    attribute: str | None = None
    groups: tuple[str, ...] = ("",)
    of: tuple[str, ...] | None = None
    within: str | None = None
    strata: tuple[str, ...] = ("",)
    per: str | None = None  # a column whose values are the units
    cap: Fraction | None = None
    thresholds: tuple[str, ...] | None = None  # None: all, where the constraint has thresholds
    score: str = "sigmoid"
    scale: Fraction = ONE
    low: Fraction = ZERO
    high: Fraction = ONE
    tail: bool = False
    ball: str | None = None
    radius: Fraction = ZERO
    tolerance: Fraction = ZERO
    mu: Fraction = ONE
    slack: Fraction = ZERO
    plugin: str | None = None  # who made the cells
    plugin_sha256: str = ""
    named_blocks: tuple[str, ...] = ("",)  # of these cells
    scores: bool = False  # of these cells: z is what the table says, not the decision
    against: str | None = None  # the aggregate of a floor
    welfare: str = "decision"
    floor: Fraction = Fraction(3)  # no loss counts for more, in nats
    cutoff: Fraction = ZERO  # who fares so or worse by half A is of the tail

    @property
    def people_once(self) -> bool:
        """Whether every unit counts once, whatever the policy's estimand."""
        return self.constraint in (*FLOORS, *ACCURACIES)

    @property
    def one_sample(self) -> bool:
        """Whether two values of the same rows are compared."""
        return self.constraint == "counterfactual_parity" or self.constraint in FLOORS

    @property
    def cells_by(self) -> str:
        """The assumption that somebody's cells are what he says."""
        return f"cells by {self.plugin} at {self.plugin_sha256}"

    @property
    def twins(self) -> bool:
        return self.constraint.startswith("counterfactual")

    @property
    def measured(self) -> Claim:
        """The part of a claim that decides what is counted."""
        ball = self.ball if self.ball == "w1" else None
        return dataclasses.replace(self, name="", bound=ZERO, method="", cap=None, ball=ball, radius=ZERO)

    @property
    def decided(self) -> bool:
        """Whether z is made of decisions."""
        if self.people_once:
            return self.welfare == "decision"
        other = ("threshold_parity", "reward_parity", "counterfactual_oscillation", *TABLES)
        return not self.scores and self.constraint not in other

    @property
    def by_choice(self) -> bool:
        """Whether a choice counts once, by its first row."""
        return self.people_once or self.constraint in (SERVED, EXCHANGE)

    @property
    def units(self) -> str | None:
        """The column whose values are units; None: those of the table."""
        return PAIR if self.constraint == EXCHANGE else self.per

    @property
    def decides(self) -> bool:
        """Whether z is a decision, in claims of pairs."""
        other = ("threshold_parity", "reward_parity", *ACCURACIES)
        return self.paired and not self.scores and self.constraint not in other

    @property
    def everywhere(self) -> bool:
        """Whether all thresholds are meant."""
        return self.constraint == "threshold_parity" and self.thresholds is None

    @property
    def paired(self) -> bool:
        return self.constraint in (*PAIRS, SERVED, "plugin_parity", *FLOORS, *ACCURACIES)

    @property
    def blocks(self) -> list[tuple[str, str, str, str]]:
        """(name, event, threshold, stratum) of every block."""
        if self.plugin:
            return [(name, "", "", "") for name in self.named_blocks]
        found = []
        for event in EVENTS.get(self.constraint, ("",)):
            for threshold in self.thresholds or ("",):
                for stratum in self.strata:
                    parts = (event, threshold and f"reward>{threshold}", stratum and f"{self.within}={stratum}")
                    found.append((", ".join(filter(None, parts)), event, threshold, stratum))
        return found

    @property
    def comparisons(self) -> list[tuple[str, str, str | None]]:
        """(block, high, low) of every inequality; low is None for caps."""
        if self.constraint in TABLES:
            return []
        blocks = [block[0] for block in self.blocks]
        if self.constraint in FLOORS:
            return [(block, *ROLES) for block in blocks]
        if not self.paired:
            return [(block, group, None) for block in blocks for group in self.groups]
        return [(block, a, b) for block in blocks for a in self.groups for b in self.groups if a != b]

    def problem(self, policy: Policy) -> str | None:
        """Why the method or the ball does not suit this claim, or None."""
        rule = policy.rule is not None and self.decided
        bounded = self.scores or self.constraint in ("reward_parity", SERVED, EXCHANGE) or rule
        counted = self.paired and not self.twins and not bounded and not self.everywhere and not self.people_once
        caps = not self.paired and not self.twins and not bounded
        wasserstein = self.ball == "w1"
        suits = {
            "exact2": counted and not self.ball,
            "clopper-pearson": (counted or caps) and not wasserstein,
            "unit-ratio": not self.everywhere and not wasserstein
            and not (self.ball and self.constraint == "counterfactual_parity"),
            "block-pair": (counted or (bounded and self.paired and not self.twins)) and not self.ball,
            "dkw": (self.everywhere and not self.ball) or (self.constraint == "reward_parity" and not wasserstein)
            or (self.constraint == "threshold_parity" and not self.everywhere and wasserstein),
        }  # fmt: skip
        if not suits[self.method]:
            return f"method {self.method!r} cannot prove {self.constraint}" + (
                f" with ball {self.ball!r}" * bool(self.ball)
            )
        capless = (self.cap or policy.cap) is None and not self.people_once
        if self.method == "unit-ratio" and policy.estimand == "row" and capless:
            return "unit-ratio needs `cap`, the largest mass of a unit in a cell"
        if len({block[0] for block in self.blocks}) < len(self.blocks):
            return "two blocks have the same name"
        return None

    def check_radius(self, radius: Fraction) -> bool:
        if self.ball in ("tv", "label-noise"):
            return 0 <= radius < 1
        return {"lr": radius >= 1, "cvar": 0 < radius <= 1}.get(str(self.ball), radius >= 0)


@dataclasses.dataclass(frozen=True)
class Policy:
    form: int
    delta: Fraction
    estimand: str
    min_group: int
    assumptions: tuple[str, ...]
    attributes: dict[str, Attribute]
    claims: tuple[Claim, ...]
    outside: str
    threshold: Fraction
    nonce: str = ""  # of format 1
    units: str | None = None  # where they come from, in format 2: a column of the data, or "row"
    ties: Fraction = TIES
    cap: Fraction | None = None
    equal_content: str = "allow"
    ledger: str | None = None
    passes: int = 1
    escrow: str | None = None
    # answers of a person that the model reads, by which column the first, and the twins for which they are rewritten
    support: tuple[int, str, tuple[str, ...]] | None = None
    rule: Rule | None = None  # None: argmax
    sha256: str = ""

    @property
    def audited(self) -> bool:
        """Whether some claim reads the audit table."""
        return any(claim.constraint not in TABLES for claim in self.claims)

    @property
    def twins(self) -> list[str]:
        """The attributes that claims set to their levels."""
        return sorted({claim.attribute or "" for claim in self.claims if claim.twins})

    @property
    def comparisons(self) -> int:
        return sum(len(claim.comparisons) for claim in self.claims)


class Keys:
    """A table of the policy whose keys are taken one by one; what is left over at the end is unknown."""

    def __init__(self, table: Any, where: str):
        need(isinstance(table, dict), USAGE, f"{where}: expected a table")
        self.left, self.where = dict(table), where

    def take(self, key: str, kind: Callable[[Any], Any], expected: str, default: Any = ...) -> Any:
        if key not in self.left:
            need(default is not ..., USAGE, f"{self.where}: key {key!r} is needed")
            return default
        try:
            return kind(self.left.pop(key))
        except (TypeError, ValueError, Refused):
            raise Refused(USAGE, f"{self.where}.{key}: expected {expected}") from None

    def text(self, key: str, default: Any = ..., known: tuple[str, ...] | None = None) -> Any:
        def kind(value: Any) -> str:
            need(isinstance(value, str) and value and (known is None or value in known), USAGE, "")
            return value

        return self.take(key, kind, f"one of {', '.join(known)}" if known else "a text", default)

    def real(self, key: str, inside: Callable[[Fraction], bool], expected: str, default: Any = ...) -> Any:
        def kind(value: Any) -> Fraction:
            found = number(_plain(value), key)
            need(inside(found), USAGE, "")
            return found

        return self.take(key, kind, expected, default)

    def whole(self, key: str, most: int, default: Any = ...) -> int:
        def kind(value: Any) -> int:
            need(type(value) is int and 1 <= value <= most, USAGE, "")
            return value

        return self.take(key, kind, f"a whole number in 1..{most}", default)

    def texts(self, key: str, default: Any = ..., least: int = 1) -> Any:
        def kind(value: Any) -> tuple[str, ...]:
            need(
                isinstance(value, list) and len(value) >= least and all(isinstance(v, str) and v for v in value), 2, ""
            )
            need(len(set(value)) == len(value), USAGE, "")
            return tuple(value)

        return self.take(key, kind, f"a list of {least} or more different texts", default)

    def end(self) -> None:
        for key in self.left:
            raise Refused(USAGE, f"{self.where}: unknown key {key!r}, or not for this constraint or method")


def _plain(value: Any) -> Any:
    """A number of TOML as its text; booleans and the rest stay what they are and are refused later."""
    return str(value) if type(value) is int else value


def read_policy(path: str | Path) -> Policy:
    """The policy file; every key known, every value checked."""
    data = read_bytes(path, USAGE)
    try:
        table = Keys(tomllib.loads(text_of(data, str(path), USAGE), parse_float=str), "policy")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise Refused(USAGE, f"{path}: not TOML: {error}") from None
    form = int(table.text("schema", known=tuple(f"faro-policy/{form}" for form in (1, 2, 3)))[-1])
    second = form >= 2
    attributes = {}
    for name, spec in Keys(table.take("attributes", _any, "a table", {}), "attributes").left.items():
        keys = Keys(spec, f"attributes.{name}")
        attributes[name] = Attribute(keys.texts("levels", least=2), keys.take("chooser", _bool, "true or false", False))
        keys.end()
    policy = Policy(
        form=form,
        delta=table.real("delta", lambda x: 0 < x <= HALF, "a number in (0, 0.5]"),
        estimand=table.text("estimand", known=("row", "unit")),
        nonce="" if second else table.text("nonce"),
        min_group=table.whole("min_group", 10**9),
        assumptions=table.texts("assumptions", least=0),
        attributes=attributes,
        claims=tuple(
            _claim(Keys(spec, "claim"), attributes, form) for spec in table.take("claim", _some, "[[claim]] tables")
        ),
        outside=table.text("outside", ... if second else "none", ("none", "all", "column")),
        threshold=table.real("threshold", lambda x: True, "a number", ... if second else ZERO),
        units=table.text("units") if second else None,
        ties=table.real("ties", lambda x: 0 <= x <= 1, "a number in [0, 1]", TIES) if second else TIES,
        cap=table.real("cap", lambda x: x > 0, "a number > 0", None),
        equal_content=table.text("equal_content", "allow", ("allow", "refuse")),
        ledger=table.text("ledger", None),
        passes=table.whole("passes", 100, 1),
        escrow=table.text("escrow", None),
        support=_support(table) if second else None,
        rule=_rule(table) if form == 3 else None,
        sha256=sha256(data),
    )
    table.end()
    if policy.support:
        of_new = "train-overlap-unchecked" not in policy.assumptions and not any(claim.per for claim in policy.claims)
        need(of_new, USAGE, "policy: support: claims are about new people: neither `per` nor train-overlap-unchecked")
        choosers = {name for name in policy.twins if policy.attributes[name].chooser}
        told = set(policy.support[2]) <= choosers
        need(told, USAGE, "policy: support: rewritten: expected chooser's attributes with claims of twins")
    if policy.rule:
        alone = policy.rule.name == "softmax" or policy.outside == "none"
        need(alone, USAGE, "policy: rule: a reference says nothing of an outside option")
    for name in policy.assumptions:
        known = (name in ASSUMPTIONS and (second or name not in FORMAT_2)) or (second and NAMED(name))
        need(known, USAGE, f"policy: unknown assumption {name!r}")
    need(len({claim.name for claim in policy.claims}) == len(policy.claims), USAGE, "policy: two claims share a name")
    for claim in policy.claims:
        problem = claim.problem(policy) if claim.constraint not in TABLES else None
        need(problem is None, USAGE, f"claim {claim.name!r}: {problem}")
    return policy


def _support(table: Keys) -> tuple[int, str, tuple[str, ...]] | None:
    """Which earlier answers of a person the model may read; None: none."""
    if "support" not in table.left:
        return None
    keys = Keys(table.take("support", _any, "a table"), "policy.support")
    found = keys.whole("k", 10**6), keys.text("order", ""), tuple(sorted(keys.texts("rewritten", ())))
    keys.end()
    return found


def _rule(table: Keys) -> Rule | None:
    """The decision rule, and what it decides on; None: argmax."""
    text = table.text("rule", "argmax")
    if text == "argmax":
        return None
    found = RULE(text)
    need(
        found, USAGE, f"policy.rule: expected argmax, softmax(temperature=T), kl_tilted(beta=B) or best_of(n=N): {text}"
    )
    name, option = filter(None, found.groups())  # type: ignore[union-attr]
    value = number(option, "policy.rule", USAGE)
    need(value > 0 and (name != "best_of" or value <= MOST_KEPT), USAGE, f"policy.rule: out of range: {text}")
    keys = Keys(table.take("candidates", _any, "a table"), "policy.candidates")
    kind = keys.text("kind", known=("enumerated", "sampled"))
    sampled = kind == "sampled"
    draws = keys.whole("draws", 10**6) if sampled else None
    sets = keys.take("sha256", lambda value: hexadecimal(value, ""), "a sha256", None)
    words = keys.text("reference", ... if sampled else ""), keys.text("decoding", ... if sampled else "")
    keys.end()
    need(name != "best_of" or not draws or value <= draws, USAGE, f"policy.rule: {text} of only {draws} draws")
    return Rule(text, name, value, kind, draws, sets, *words)


def _any(value: Any) -> Any:
    return value


def _bool(value: Any) -> bool:
    need(isinstance(value, bool), USAGE, "")
    return value


def _some(value: Any) -> list:
    need(isinstance(value, list) and value, USAGE, "")
    return value


def _claim(keys: Keys, attributes: dict[str, Attribute], form: int) -> Claim:
    kinds = PAIRS + CAPS + TABLES + ((*PLUGINS, *FLOORS, *ACCURACIES) if form >= 2 else ())
    kinds += (SERVED, EXCHANGE) * (form == 3)
    name, constraint = keys.text("name"), keys.text("constraint", known=kinds)
    keys.where = f"claim {name!r}"
    found: dict[str, Any] = {"bound": keys.real("bound", lambda x: 0 <= x < 1, "a number in [0, 1)")}
    positive = (lambda x: x > 0, "a number > 0")
    if constraint == "mixture":
        found["tolerance"] = keys.real("tolerance", lambda x: x >= 0, "a number >= 0")
    elif constraint == "head_optimum":
        found["mu"] = keys.real("mu", *positive)
        found["slack"] = keys.real("slack", lambda x: x >= 0, "a number >= 0")
    elif constraint in (*FLOORS, *ACCURACIES):
        found |= _once(keys, constraint, attributes)
    else:
        found |= _cells_by(keys, constraint) if constraint in PLUGINS else _people(keys, constraint, attributes)
        if constraint == EXCHANGE:
            found["cap"] = keys.real("cap", *positive, None)
        elif form >= 2:
            found["per"], found["cap"] = keys.text("per", None), keys.real("cap", *positive, None)
            shared = found["per"] not in MEANT and not str(found["per"]).startswith("reward:")
            need(shared, USAGE, f"{keys.where}.per: {found['per']!r} is no column that units share")
        found["method"] = keys.text("method", known=METHODS if constraint != EXCHANGE else ("unit-ratio",))
        if constraint == "threshold_parity":
            found["thresholds"] = keys.take("thresholds", _thresholds, 'a list of different numbers, or "all"')
        elif constraint == "reward_parity":
            found["score"] = keys.text("score", "sigmoid", ("sigmoid", "clip"))
            if found["score"] == "clip":
                found["low"] = keys.real("low", lambda x: True, "a number")
                found["high"] = keys.real("high", lambda x: float(x) > float(found["low"]), "a number above `low`")
            else:
                found["scale"] = keys.real("scale", *positive, ONE)
        elif constraint == "counterfactual_oscillation":
            found["scale"] = keys.real("scale", *positive, ONE)
            found["tail"] = keys.take("tail", _bool, "true or false", False)
        ball = None if constraint == EXCHANGE else keys.text("ball", None, tuple(BALLS))
        if ball:
            found |= {"ball": ball, "radius": keys.real("radius", lambda x: x <= 10**6, "a number")}
    keys.end()
    claim = Claim(name, constraint, **found)
    need(claim.ball is None or claim.check_radius(claim.radius), USAGE, f"{keys.where}: radius outside its range")
    return claim


def _people(keys: Keys, constraint: str, attributes: dict[str, Attribute]) -> dict[str, Any]:
    """Whose numbers a claim compares."""
    paired = constraint in (*PAIRS, SERVED)
    needed = paired or constraint.startswith("counterfactual")
    found: dict[str, Any] = {}
    for key, levels, least in (("attribute", "groups", 2 if paired else 1), ("within", "strata", 1)):
        if constraint == EXCHANGE and key == "attribute":
            continue
        name = keys.text(
            key, ... if needed and key == "attribute" else None, tuple(attributes) or ("a declared attribute",)
        )
        if name is not None:
            chosen = keys.texts(levels, attributes[name].levels, least)
            need(set(chosen) <= set(attributes[name].levels), USAGE, f"{keys.where}.{levels}: not levels of {name!r}")
            found |= {key: name, levels: chosen}
    if of := keys.texts("of", None):
        known = len(of) == 2 and of[0] in attributes and of[1] in attributes[of[0]].levels
        need(known, USAGE, f"{keys.where}.of: expected [attribute, level], both declared")
        found["of"] = of
    if constraint == SERVED:
        served = "of" in found and "within" not in found and attributes[found["attribute"]].chooser
        need(served, USAGE, f"{keys.where}: {SERVED} is of one kind of answer (`of`), by a chooser's attribute")
    return found


def _once(keys: Keys, constraint: str, attributes: dict[str, Attribute]) -> dict[str, Any]:
    """Of a claim in which people count once: whose welfare, which, and against whom."""
    found: dict[str, Any] = {"method": keys.text("method", known=("unit-ratio",))}
    found["welfare"] = keys.text("welfare", "decision", ("decision", "brier", "log"))
    if found["welfare"] == "log":
        found["floor"] = keys.real("floor", lambda x: x > 0, "a number > 0", Fraction(3))
    compared = constraint in ACCURACIES
    if not compared:
        found |= {"against": keys.text("against"), "groups": ROLES}
    if constraint == "welfare_tail":
        return found | {"cutoff": keys.real("cutoff", lambda x: -1 <= x <= 1, "a number in [-1, 1]")}
    choosers = tuple(name for name, attribute in attributes.items() if attribute.chooser)
    name = keys.text("attribute", ... if compared else None, choosers or ("a chooser's attribute",))
    if name is not None:
        levels = keys.texts("groups", attributes[name].levels, 2 if compared else 1)
        need(set(levels) <= set(attributes[name].levels), USAGE, f"{keys.where}.groups: not levels of {name!r}")
        found |= {"attribute": name, "groups": levels} if compared else {"within": name, "strata": levels}
    return found


def _cells_by(keys: Keys, constraint: str) -> dict[str, Any]:
    """Whose cells a claim compares, and which of them."""

    def blocks(value: Any) -> tuple[str, ...]:
        need(isinstance(value, list) and value and all(isinstance(v, str) for v in value), USAGE, "")
        need(len(set(value)) == len(value), USAGE, "")
        return tuple(value)

    return {
        "plugin": keys.text("plugin"),
        "plugin_sha256": keys.take("plugin_sha256", lambda value: hexadecimal(value, ""), "a sha256"),
        "named_blocks": keys.take("blocks", blocks, "a list of different texts", ("",)),
        "groups": keys.texts("groups", least=2 if constraint == "plugin_parity" else 1),
        "scores": keys.take("scores", _bool, "true or false", False),
    }


def _thresholds(value: Any) -> tuple[str, ...] | None:
    if value == "all":
        return None
    texts = [_plain(v) for v in _some(value)]
    need(len({number(text, "") for text in texts}) == len(texts), USAGE, "")
    return tuple(texts)


# ---------------------------------------------------------------- audit table
@dataclasses.dataclass
class Audit:
    """The columns of the audit table, an entry per row."""

    unit: list[str]
    choice: list[str]
    alternative: list[str]
    weight: list[float]
    label: list[float] | None
    reward: list[float]
    level: dict[str, list[str]]  # attribute -> level, "" does not apply
    twin: dict[str, list[list[float | None]]]  # attribute -> rewards at each level
    outside: list[bool]
    decision: list[float | None]  # as the table states it
    shared: dict[str, list[str]]  # columns by which rows of several units belong together
    described: Description | None
    choices: list[list[int]]  # rows of every choice
    rows_sha256: str
    frame_sha256: str
    parts: list[str]  # of the split that rows are from, where a column `part` says so
    made: dict[str, list[list[tuple[str, str, float, float | None]]]]  # digest of a plug-in -> per row its cells
    others: dict[str, list[float]]  # an aggregate -> its rewards
    rule: Rule | None  # None: argmax
    log_ref: list[float] | None  # of the reference, where the rule reads one
    candidates: dict[str, Any] | None  # what the sets are, as a certificate says it
    pair: list[str]  # of every row that of its unit, where claims are of pairs

    def decide(self, rewards: list[float], threshold: float) -> list[float]:
        """Of every row how likely it is decided for: by argmax the best reward, ties shared equally."""
        found = [0.0] * len(rewards)
        for rows in self.choices:
            if self.rule:
                chances = self._chances(rows, [rewards[row] for row in rows], threshold)
                for row, chance in zip(rows, chances, strict=False):
                    found[row] = chance
                continue
            best = max([rewards[row] for row in rows])
            outside = self.outside[rows[0]]
            if outside and threshold > best:
                continue
            winners = [row for row in rows if rewards[row] == best]
            share = 1 / (len(winners) + (outside and threshold == best))
            for row in winners:
                found[row] = share
        return found

    def _chances(self, rows: list[int], rewards: list[float], threshold: float) -> list[float]:
        """What the rule makes of these rewards of the rows of a choice; that of an outside option is last."""
        logs = None if self.log_ref is None else [self.log_ref[row] for row in rows]
        return self.rule.decide([*rewards, *[threshold] * self.outside[rows[0]]], logs)  # type: ignore[union-attr]

    def decide_twins(self, name: str, chooser: bool, threshold: float) -> list[list[float | None]]:
        """The decisions d_l of every row, per level; None where the row has no valid twins."""
        twins = self.twin[name]
        found: list[list[float | None]] = [[None] * len(self.reward) for _ in twins]
        for rows in self.choices:
            filled = [all(rewards[row] is not None for rewards in twins) for row in rows]
            if chooser and not all(filled):
                continue
            for own, rewards in zip(found, twins, strict=True):
                for place, (row, valid) in enumerate(zip(rows, filled, strict=True)):
                    if valid and self.rule:
                        set_so = [(rewards if chooser or other == row else self.reward)[other] for other in rows]
                        own[row] = self._chances(rows, set_so, threshold)[place]  # type: ignore[arg-type]
                    elif valid:
                        mine = rewards[row]
                        others = [(rewards if chooser else self.reward)[other] for other in rows if other != row]
                        others += [threshold] if self.outside[row] else []
                        best = all(mine >= other for other in others)  # type: ignore[operator]
                        own[row] = 1 / (1 + others.count(mine)) if best else 0.0
        return found


def read_audit(path: str, policy: Policy, form: int = 2) -> Audit:
    """The audit table: every needed column, every cell checked, digests, no duplicate rows."""
    table = _columns(path)
    described = read_description(path, table) if form >= 2 else None
    read = [claim for claim in policy.claims if claim.constraint not in TABLES]
    n = len(table["unit"]) if "unit" in table else 0
    empty = [""] * n

    def column(name: str, filled: bool = True) -> list[str]:
        need(name in table, MALFORMED, f"{path}: column {name!r} is needed")
        need(not filled or "" not in table[name], MALFORMED, f"{path}: column {name!r} has an empty cell")
        return table[name]

    def reals(name: str, filled: bool = True) -> list[Any]:
        found = []
        for text in column(name, filled):
            if text and not (len(text) <= 60 and CELL(text) and math.isfinite(float(text))):
                raise Refused(MALFORMED, f"{path}: column {name!r}: {text[:20]!r} is not a finite number")
            found.append(float(text) + 0.0 if text else None)
        return found

    unit, choice, reward = column("unit"), column("choice"), reals("reward")
    need(n, MALFORMED, f"{path}: no rows")
    columns_named = {*policy.attributes, *(claim.per for claim in read)}
    foreign = described is None and "role" in table and "role" not in columns_named
    if policy.support or foreign:  # what was told is no evidence about the model
        told = [text for text in column("role", bool(policy.support)) if text != "query"]
        told = told if policy.support else [text for text in told if text in ("support", "neither")]
        need(not told, DEPENDENT, f"{path}: {len(told)} rows are no queries, but what the model was told, or near it")
    alternative = table.get("alternative", empty)
    weight = reals("weight") if "weight" in table else [1.0] * n
    need(min(weight) >= 0, MALFORMED, f"{path}: a weight is negative")
    need(_finite_sum(weight), MALFORMED, f"{path}: weights overflow when they are added up")
    events = {event for claim in read for _, event, _, _ in claim.blocks} - {""}
    once = [claim for claim in read if claim.people_once]
    label = reals("label") if events or once else None
    need(not label or (min(label) >= 0 and max(label) <= 1), MALFORMED, f"{path}: a label is outside [0, 1]")
    outside = reals("outside") if policy.outside == "column" else None
    need(not outside or set(outside) <= {0.0, 1.0}, MALFORMED, f"{path}: column 'outside' is 1 or 0")
    content = column("content") if policy.equal_content == "refuse" else empty
    decision = reals("decision", filled=False) if form >= 2 and "decision" in table else []
    rule = policy.rule
    log_ref = reals("log_ref") if rule and "log_ref" in table else None
    per = {claim.per for claim in read if claim.per}
    shared = {name: column(name) for name in sorted(per | set(described.shared if described else ()))}
    level = {}
    for name, attribute in sorted(policy.attributes.items()):
        level[name] = column(name, filled=False)
        for strange in sorted(set(level[name]) - {*attribute.levels, ""}):
            raise Refused(MALFORMED, f"{path}: column {name!r}: {strange!r} is not a declared level")
    twin = {
        name: [reals(f"reward:{name}={level}", filled=False) for level in policy.attributes[name].levels]
        for name in policy.twins
    }
    pair = column(PAIR) if any(claim.constraint == EXCHANGE for claim in read) else []
    if pair:
        twin[ANOTHER] = [reals(f"reward:{ANOTHER}", filled=False)]
        twin = dict(sorted(twin.items()))
        _check_pairs(path, unit, pair, [reward is not None for reward in twin[ANOTHER][0]], table.get("part", []))

    others = {name: reals(f"reward:{name}") for name in sorted({claim.against for claim in once if claim.against})}
    for name in others:
        whose = described.aggregates if described else {}
        need(name in whose, MALFORMED, f"{path}: nothing says whose the rewards of the aggregate {name!r} are")
    claimed = {(claim.plugin or "", claim.plugin_sha256) for claim in read if claim.plugin}
    known = {own.sha256: own for own in (described.plugins if described else ())}
    cells, made = [], {}
    for plugin, sha in sorted(claimed):
        need(sha in known, MALFORMED, f"{path}: nothing says that it has cells by {plugin} at {sha}")
        cells.append(_slots(known[sha], column, reals))
        made[sha] = _memberships(known[sha], cells[-1], path)
    frame = [unit, choice, alternative, _texts(weight), _texts(label) if label else empty]
    frame += [_texts(outside) if outside else empty, content, *level.values(), *(shared[name] for name in sorted(per))]
    frame += [pair] if pair else []
    frame += [_texts(log_ref) if log_ref else empty] * (rule is not None)
    frame += [texts for own in cells for slot in own for texts in (slot.cell, _texts(slot.share))]
    if policy.form >= 2:  # which twins there are is of the audit set, and no model's to say
        absent = {name: _absent(level[name], twin[name]) for name in policy.twins}
        frame += [[name * missing for missing in rows] for name, rows in absent.items() if any(rows)]
    rewards = [_texts(reward), *(_texts(column) for columns in twin.values() for column in columns)]
    rewards += [_texts(column) for column in others.values()]
    rewards += [_texts(slot.value) for own in cells for slot in own if slot.value is not None]
    frame_rows = [",".join(map(_quote, row)) for row in zip(*frame, strict=True)]
    row_rows = [f"{f},{','.join(map(_quote, r))}" for f, r in zip(frame_rows, zip(*rewards, strict=True), strict=True)]

    seen = Counter(zip(unit, choice, alternative, strict=True))
    key, times = max(seen.items(), key=lambda item: item[1])
    need(times == 1, DEPENDENT, f"{path}: the row {key!r} stands {times} times")
    spellings: dict[str, str] = {}
    for name in dict.fromkeys(unit):
        other = spellings.setdefault(plain(name), name)
        need(other == name, DEPENDENT, f"{path}: units {other!r} and {name!r} are one name in two spellings")
    choices: dict[str, list[int]] = {}
    for row, name in enumerate(choice):
        choices.setdefault(name, []).append(row)
    _constant(path, choices, unit, "unit")
    _constant(path, choices, content, "content")
    if outside:
        _constant(path, choices, outside, "outside")
    by_choice = [claim for claim in read if claim.by_choice]
    if by_choice:
        _constant(path, choices, weight, "weight")
    for named in sorted({claim.attribute or claim.within or "" for claim in by_choice} - {""}):
        _constant(path, choices, level[named], named)
    if policy.equal_content == "refuse":
        owners: dict[str, str] = {}
        for owner, shown in zip(unit, content, strict=True):
            need(owners.setdefault(shown, owner) == owner, DEPENDENT, f"{path}: two units share the content {shown!r}")
    return Audit(
        unit, choice, alternative, weight, label, reward, level, twin,
        [bool(flag) for flag in outside] if outside else [policy.outside == "all"] * n, decision, shared, described,
        list(choices.values()), _rows_digest(row_rows), _rows_digest(frame_rows), sorted(set(table.get("part", []))),
        made, others, rule, log_ref,
        _candidates(path, rule, list(choices.values()), choice, alternative, log_ref) if rule else None,
        pair,
    )  # fmt: skip


def _absent(level: list[str], twins: list[list[float | None]]) -> list[bool]:
    """Rows that have a level of the attribute, and not at every level a twin."""
    return [own != "" and None in rewards for own, rewards in zip(level, zip(*twins, strict=True), strict=True)]


def _check_pairs(path: str, unit: list[str], pair: list[str], there: list[bool], part: list[str]) -> None:
    """Units of one part are paired two by two in the order of a hash of their names, nobody twice, and every row of who
    has a partner has a reward with that one, no other row."""
    need(len(set(part)) <= 1, DEPENDENT, f"{path}: people are paired within one part, the table has several")
    ordered = sorted(set(unit), key=lambda name: (_lot(name), name))
    both = {name: ordered[at - at % 2 : at - at % 2 + 2] for at, name in enumerate(ordered)}
    for name, own, filled in zip(unit, pair, there, strict=True):
        called = " & ".join(one.replace("&", "&&") for one in sorted(both[name]))
        need(own == called, DEPENDENT, f"{path}: {name!r} is not paired as the hash of names has it: {called!r}")
        partner = len(both[name]) == 2
        need(filled == partner, MALFORMED, f"{path}: rewards with another person: in each row of {name!r}, or in none")


def _lot(name: str) -> int:
    """The place of a name among those of its part."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, key=b"faro pair 1").digest(), "big") >> 11


def _finite_sum(masses: list[float]) -> bool:
    """Whether no sum of some of these is infinite, of which every share would be 0."""
    return math.isfinite(len(masses) * max(masses, default=0.0))


def _candidates(
    path: str, rule: Rule, sets: list[list[int]], choice: list[str], alternative: list[str], logs: list[float] | None
) -> dict[str, Any]:
    """What the sets are that a rule decides on, and that it may: `data.candidates` of a certificate."""
    if rule.kind == "sampled":
        need(logs is None, MALFORMED, f"{path}: column 'log_ref' beside draws of the reference, which stand for it")
        for rows in sets:
            need(
                len(rows) == rule.draws,
                MALFORMED,
                f"{path}: a choice of {len(rows)} draws, the policy says {rule.draws}",
            )
    least = None
    if logs is not None:
        sums = [math.fsum(map(math.exp, (min(logs[row], 1.0) for row in rows))) for rows in sets]
        least = min(sums)
        most = max(sums)
        need(most <= 1 + REFERENCE_ROUNDING, MALFORMED, f"{path}: log_ref of a choice adds up to {most:g}, above 1")
        whole = rule.name != "best_of" or least >= 1 - REFERENCE_ROUNDING
        need(whole, MALFORMED, f"{path}: best_of needs the whole reference: log_ref of a choice adds up to {least:g}")
    texts = _texts(logs) if logs is not None else [""] * len(choice)
    rows_of = [",".join(map(_quote, row)) for row in zip(choice, alternative, texts, strict=True)]
    found = _rows_digest(rows_of)
    same = rule.candidates_sha256 in (None, found)
    need(same, MALFORMED, f"{path}: other sets of candidates than the policy's: {found}")
    singles = sum(len(rows) == 1 for rows in sets)
    mass = None if least is None else f"{math.floor(min(1.0, least + 1e-9) * 10**6) / 10**6:.6f}"
    return {"sha256": found, "sets": len(sets), "singles": singles, "mass": mass}


class Slot(NamedTuple):
    """Columns of a plug-in's cells: the number of the cell, the share, the value; "" and None where there is none."""

    cell: list[str]
    share: list[float | None]
    value: list[float | None] | None


def _slots(plugin: PlugIn, column: Callable[..., list[str]], reals: Callable[..., list[Any]]) -> list[Slot]:
    read = []
    for name in plugin.slots:
        value = reals(f"value:{name}", filled=False) if plugin.values == "column" else None
        read.append(Slot(column(f"cell:{name}", filled=False), reals(f"share:{name}", filled=False), value))
    return read


def _memberships(plugin: PlugIn, slots: list[Slot], path: str) -> list[list[tuple[str, str, float, float | None]]]:
    """(block, group, share, value) of every row, once a slot in which it has a cell."""
    width = len(plugin.groups)
    found: list[list[tuple[str, str, float, float | None]]] = [[] for _ in slots[0].cell]
    for name, slot in zip(plugin.slots, slots, strict=True):
        for row, (cell, share) in enumerate(zip(slot.cell, slot.share, strict=True)):
            value = slot.value[row] if slot.value is not None else None
            if cell == "":
                need(share is None and value is None, MALFORMED, f"{path}: slot {name!r}: a share or value of no cell")
                continue
            block, group = divmod(int(cell) if CELL_NUMBER(cell) else len(plugin.blocks) * width, width)
            need(block < len(plugin.blocks), MALFORMED, f"{path}: column 'cell:{name}': {cell[:20]!r} is no cell")
            good = share is not None and share > 0
            good = good and (slot.value is None or (value is not None and 0 <= value <= 1))
            need(good, MALFORMED, f"{path}: slot {name!r}: a share must be > 0, a value in [0, 1]")
            found[row].append((plugin.blocks[block], plugin.groups[group], share or 0.0, value))
    finite = _finite_sum([share for row in found for _, _, share, _ in row])
    need(finite, MALFORMED, f"{path}: shares of {plugin.plugin} overflow when they are added up")
    return found


def plain(name: str) -> str:
    """A unit's name in one spelling: NFKC, white space cut and single, 007 and 7.0 are 7."""
    name = " ".join((name if name.isascii() else unicodedata.normalize("NFKC", name)).split())
    whole = WHOLE(name)
    return whole[1] if whole else name


def _texts(values: list[Any]) -> list[str]:
    return ["" if value is None else repr(value) for value in values]


def _row_digests(rows: Iterable[str]) -> list[str]:
    """Sorted H(row) of rows of quoted texts."""
    return sorted(sha256(f"[{row}]".encode()) for row in rows)


def _rows_digest(rows: list[str]) -> str:
    return sha256("".join(_row_digests(rows)).encode())


def _constant(path: str, choices: dict[str, list[int]], column: list, name: str) -> None:
    for choice, rows in choices.items():
        if any(column[row] != column[rows[0]] for row in rows):
            raise Refused(MALFORMED, f"{path}: choice {choice!r} has two values of {name!r}")


def _columns(path: str) -> dict[str, list[str]]:
    """The cells of a .csv or .jsonl file as texts, by column."""
    text = text_of(read_bytes(path, limit=None), path)
    header: list[str] = []
    rows: list[list[str]] = []
    if path.endswith(".jsonl"):
        for line in lines_of(text):
            try:
                row = json.loads(line, object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)
            except (json.JSONDecodeError, RecursionError, ValueError) as error:
                raise Refused(MALFORMED, f"{path}: line {len(rows) + 1} is not JSON: {error}") from None
            need(isinstance(row, dict), MALFORMED, f"{path}: line {len(rows) + 1}: expected an object")
            header = header or list(row)
            cells = [row.get(name) for name in header]
            same = len(row) == len(header) and all(name in row for name in header)
            need(same, MALFORMED, f"{path}: line {len(rows) + 1}: other names than in the first line")
            flat = all(cell is None or isinstance(cell, str) for cell in cells)
            need(flat, MALFORMED, f"{path}: line {len(rows) + 1}: a cell is neither text nor number")
            rows.append([cell or "" for cell in cells])
    else:
        need(path.endswith(".csv"), USAGE, f"{path}: expected a .csv or .jsonl file")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = next(reader, [])
            rows = list(reader)
        except csv.Error as error:
            raise Refused(MALFORMED, f"{path}: line {reader.line_num}: {error}") from None
    need(len(set(header)) == len(header), MALFORMED, f"{path}: two columns have the same name")
    for index, row in enumerate(rows):
        if len(row) != len(header):
            raise Refused(MALFORMED, f"{path}: row {index + 1} has {len(row)} cells, the header has {len(header)}")
    return {name: list(column) for name, column in zip(header, zip(*rows, strict=True), strict=False)}


# ---------------------------------------------------------------- description of the table
DESCRIBED = ("schema table_sha256 outside rule threshold estimand weights units shared attributes constraint "
             "model_sha256 train_units_sha256 data_sha256 sha256")  # fmt: skip
MADE = "plugin options source_sha256 blocks groups compared values columns slots"


class PlugIn(NamedTuple):
    """Whose cells a table has, and what they mean."""

    plugin: str
    sha256: str  # of all below, and of what it was made with
    blocks: tuple[str, ...]
    groups: tuple[str, ...]
    compared: str
    values: str
    columns: tuple[str, ...]
    slots: tuple[str, ...]

    def suits(self, claim: Claim) -> bool:
        """Whether a claim asks of these cells what they are."""
        kind = "plugin_parity" if self.compared == "pairs" else "plugin_cap"
        same = claim.constraint == kind and claim.scores == (self.values == "column") and claim.plugin == self.plugin
        return same and set(claim.named_blocks) <= set(self.blocks) and set(claim.groups) <= set(self.groups)


class Description(NamedTuple):
    """What a table says of itself that a policy can contradict, or that a reader is told."""

    where: str
    sha256: str
    outside: str
    threshold: Fraction
    origin: str
    column: str  # of the data, from which units come
    rule: int | None  # by which spellings of a unit are one name
    estimand: str  # of training
    shared: tuple[str, ...]
    attributes: dict[str, Attribute]
    constraint: str
    model_sha256: tuple[str, ...]
    train_units_sha256: str | None
    plugins: tuple[PlugIn, ...]
    aggregates: dict[str, str]  # name -> digest of the model whose rewards the table has
    support: tuple[int, str, tuple[str, ...]] | None  # which answers of a person the model read
    decided_by: str  # a rule's spelling
    candidates: dict[str, str] | None  # kind, reference and decoding of the sets
    summaries: dict[str, str]  # who put earlier answers into words -> digest of those

    def check(self, policy: Policy, models: list[str], train_units: str | None) -> None:
        """Nothing that is given may contradict it."""

        def agree(condition: Any, reason: str) -> None:
            need(condition, MALFORMED, f"{self.where}: {reason}")

        need(self.origin != "none", DEPENDENT, f"{self.where}: units of unknown origin: nobody knows who is one person")
        read = self.support and (*self.support[:2], tuple(name for name in self.support[2] if name in policy.twins))
        rules = [
            f"{of[0]} by {of[1] or 'hash'}" + f", rewritten for twins of {', '.join(of[2])}" * bool(of[2])
            if of
            else "none"
            for of in (read, policy.support)
        ]
        agree(rules[0] == rules[1], f"answers of a person that were read: {rules[0]}, the policy says {rules[1]}")
        rule = policy.rule.text if policy.rule else "argmax"
        agree(self.decided_by == rule, f"decided by {self.decided_by}, the policy says {rule}")
        if policy.rule and self.candidates:
            for key in ("kind", "reference", "decoding"):
                agree(
                    self.candidates[key] == getattr(policy.rule, key), f"candidates: another {key} than the policy says"
                )
        agree(self.outside == policy.outside, f"outside is {self.outside!r}, the policy says {policy.outside!r}")
        same = float(self.threshold) == float(policy.threshold)
        agree(same, f"threshold is {float(self.threshold):g}, the policy says {float(policy.threshold):g}")
        for name, attribute in policy.attributes.items():
            agree(name in self.attributes, f"has no attribute {name!r}")
            ours = self.attributes[name]
            agree(set(ours.levels) == set(attribute.levels), f"other levels of {name!r} than the policy's")
            agree(ours.chooser == attribute.chooser, f"attribute {name!r}: chooser is {ours.chooser}".lower())
        named = (self.origin == "content") == (policy.units == "row") and self.column == policy.units
        agree(policy.units is None or named, f"units come from {self.column!r}, the policy says {policy.units!r}")
        made = {own.sha256: own for own in self.plugins}
        for claim in policy.claims:
            if claim.plugin:
                asked = claim.plugin_sha256 in made and made[claim.plugin_sha256].suits(claim)
                agree(asked, f"claim {claim.name!r} asks for other cells than it has")
        agree(set(models) <= set(self.model_sha256), "the table was scored by another model")
        trained = train_units is None or self.train_units_sha256 in (None, train_units)
        agree(trained, "the model was trained on other units than --train-units names")


def read_description(table: str, columns: dict[str, list[str]]) -> Description | None:
    """What stands beside a table, if it is about exactly these cells; None if nothing does."""
    path = f"{table}-metadata.json"
    if not os.path.lexists(path):
        return None
    found = parse_json(text_of(read_bytes(path), path), path)
    more = ""  # what has a field only where there is any
    by_rule = isinstance(found, dict) and found.get("schema") == "faro-scored/2"  # of another rule than argmax
    for name in ("plugins", "aggregates", "summaries", "support", *(["candidates"] if by_rule else [])):
        more += f" {name}" if isinstance(found, dict) and found.get(name) else ""
    fields(found, DESCRIBED + more, path)

    def valid(name: str, condition: Any, expected: str) -> None:
        need(condition, MALFORMED, f"{path}: {name}: expected {expected}")

    valid("schema", by_rule or found["schema"] == "faro-scored/1", "faro-scored/1 or faro-scored/2")
    body = {key: value for key, value in found.items() if key != "sha256"}
    need(found["sha256"] == digest(body), MALFORMED, f"{path}: sha256: the description was changed")
    for name, words in (("outside", ("none", "all", "column")), ("estimand", ("row", "unit")),
                        ("weights", ("column", "none"))):  # fmt: skip
        valid(name, found[name] in words, " or ".join(words))
    valid(
        "rule",
        (RULE(str(found["rule"])) if by_rule else found["rule"] == "argmax"),
        "argmax, or of faro-scored/2 another",
    )
    sets = None
    if by_rule:
        sets = fields(found.get("candidates"), "kind reference decoding", f"{path}: candidates")
        texts = all(isinstance(value, str) for value in sets.values()) and sets["kind"] in ("enumerated", "sampled")
        valid("candidates", texts, "kind, reference and decoding")
    threshold = number(found["threshold"], f"{path}: threshold")
    units = fields(found["units"], "origin column rule", f"{path}: units")
    origin, column, spelling = (units[key] for key in ("origin", "column", "rule"))
    named = isinstance(column, str) and column and origin == "column"
    valid("units", named or (origin, column) in (("content", "row"), ("none", "")), "a column, content, or none")
    valid("units.rule", type(spelling) is int or (spelling is None and origin != "column"), "a count")
    shared = found["shared"]
    valid("shared", _names(shared) and shared == sorted(shared) and set(shared) <= set(columns), "sorted columns")
    valid("attributes", isinstance(found["attributes"], dict), "an object")
    attributes = {}
    for name, spec in found["attributes"].items():
        fields(spec, "levels chooser", f"{path}: attributes")
        valid("attributes", name in columns and _names(spec["levels"]), "columns and their levels")
        valid("attributes", isinstance(spec["chooser"], bool), "chooser: true or false")
        attributes[name] = Attribute(tuple(spec["levels"]), spec["chooser"])
    valid("constraint", isinstance(found["constraint"], str), "a text")
    files = found["model_sha256"]
    valid("model_sha256", _names(files) and files == sorted(files), "a sorted list")
    for value in (*files, *(found[name] for name in ("train_units_sha256", "data_sha256") if found[name] is not None)):
        hexadecimal(value, path)
    stated = hexadecimal(found["table_sha256"], f"{path}: table_sha256")
    need(stated == table_digest(columns), MALFORMED, f"{path}: describes another table than {table}")
    several = len(set(columns.get("weight", []))) > 1
    agrees = "weight" in columns if found["weights"] == "column" else not several
    need(agrees, MALFORMED, f"{path}: weights is {found['weights']!r}, which the table contradicts")
    plugins, aggregates = _plugins(found.get("plugins", []), path), found.get("aggregates", {})
    valid("aggregates", isinstance(aggregates, dict) and "" not in aggregates, "names and digests")
    for name, own in aggregates.items():
        hexadecimal(own, f"{path}: aggregates")
        valid("aggregates", f"reward:{name}" in columns, "columns of rewards")
    support = None
    if "support" in found:
        rewritten = isinstance(found["support"], dict) and found["support"].get("rewritten")
        told = fields(found["support"], "k order" + " rewritten" * bool(rewritten), f"{path}: support")
        valid("support", type(told["k"]) is int and told["k"] > 0 and isinstance(told["order"], str), "k and order")
        through = told.get("rewritten", [])
        valid("support", _names(through) and through == sorted(through) and set(through) <= set(attributes), "names")
        support = told["k"], told["order"], tuple(through)
    summaries = found.get("summaries", {})
    valid("summaries", isinstance(summaries, dict) and "" not in summaries, "names and digests")
    valid("summaries", support or not summaries, "none where no earlier answers are read")
    for own in summaries.values():
        hexadecimal(own, f"{path}: summaries")
    known = {*MEANT, "content", *shared, *attributes, *(["role"] if support else []), *(["log_ref"] if by_rule else [])}
    for own in plugins:
        kinds = ("cell", "share", "value") if own.values == "column" else ("cell", "share")
        known |= {f"{kind}:{slot}" for slot in own.slots for kind in kinds} | {f"column:{name}" for name in own.columns}
    for strange in sorted(name for name in columns if name not in known and not name.startswith("reward:")):
        raise Refused(MALFORMED, f"{path}: says nothing of the column {strange!r}")
    return Description(
        path, found["sha256"], found["outside"], threshold, origin, column, spelling, found["estimand"], tuple(shared),
        attributes, found["constraint"], tuple(files), found["train_units_sha256"], plugins, aggregates,
        support, found["rule"], sets, summaries,
    )  # fmt: skip


def _plugins(values: Any, path: str) -> tuple[PlugIn, ...]:
    """Whose cells a description says that its table has."""
    need(isinstance(values, list), MALFORMED, f"{path}: plugins: expected a list")
    read = []
    for value in values:
        where = f"{path}: plugins"
        fields(value, MADE, where)
        named = all(isinstance(value[name], str) and value[name] for name in ("plugin", "options"))
        lists = all(_names(value[name]) for name in ("groups", "columns", "slots"))
        need(named and lists and value["groups"] and value["slots"], MALFORMED, f"{where}: expected different texts")
        blocks = value["blocks"]
        listed = isinstance(blocks, list) and blocks and all(isinstance(v, str) for v in blocks)
        need(listed and len(set(blocks)) == len(blocks), MALFORMED, f"{where}: blocks: expected different texts")
        need(value["compared"] in ("pairs", "rates"), MALFORMED, f"{where}: compared: pairs or rates")
        need(value["values"] in ("decision", "1 - decision", "column"), MALFORMED, f"{where}: unknown values")
        hexadecimal(value["source_sha256"], f"{where}: source_sha256")
        sha = digest({name: own for name, own in value.items() if name != "slots"})
        read.append(
            PlugIn(
                value["plugin"], sha, tuple(blocks), tuple(value["groups"]), value["compared"], value["values"],
                tuple(value["columns"]), tuple(value["slots"]),
            )
        )  # fmt: skip
    slots = [slot for own in read for slot in own.slots]
    different = len(set(slots)) == len(slots) and len({own.sha256 for own in read}) == len(read)
    need(different, MALFORMED, f"{path}: plugins: expected different ones, of different slots")
    return tuple(read)


def _names(value: Any) -> bool:
    """Whether it is a list of different texts, none empty."""
    return isinstance(value, list) and all(isinstance(v, str) and v for v in value) and len(set(value)) == len(value)


def table_digest(columns: dict[str, list[str]]) -> str:
    """Of all cells, whatever the order of rows and columns."""
    rows = zip(*(map(_quote, columns[name]) for name in sorted(columns)), strict=True)
    return sha256("".join([digest(sorted(columns)), *_row_digests(map(",".join, rows))]).encode())


# ---------------------------------------------------------------- cells
class Cell(NamedTuple):
    """Members of a cell: row numbers, masses, values z."""

    rows: list[int]
    mass: list[float]
    z: list[float]


def _enter(cell: Cell, row: int, mass: float, z: float) -> None:
    cell.rows.append(row)
    cell.mass.append(mass)
    cell.z.append(z)


class Sample(NamedTuple):
    """Per unit in committed order: sums of mass * z and of mass; no number sums more than `rows` rows."""

    sums: list[float]
    masses: list[float]
    rows: int


class Units(NamedTuple):
    """The unit of every row, its rank in committed order, and the rows of the largest unit."""

    name: list[str]
    rank: list[int]
    most_rows: int


class People:
    """The audit table under a policy: who is in which cell, and what the methods may read of it.

    `nonce` fixes the order of units, and which row of a unit is kept.
    """

    def __init__(self, policy: Policy, audit: Audit, form: int, nonce: str):
        self.policy, self.audit, self.form, self.nonce = policy, audit, form, nonce
        self.threshold = float(policy.threshold)
        self.decisions = audit.decide(audit.reward, self.threshold)
        self._units: dict[str | None, Units] = {}
        self._cells: dict[Claim, dict[str, dict[str, Cell]]] = {}
        self._kept: dict[Claim, dict[str, dict[str, list[float]]]] = {}

    def units(self, claim: Claim) -> Units:
        """Who is a unit of a claim: the table's units, or the values of the column that it names."""
        if claim.units not in self._units:
            names = self.audit.pair if claim.units == PAIR else self.audit.unit
            names = self.audit.shared[claim.per] if claim.per else names
            ordered = sorted(set(names), key=lambda name: digest_texts(self.nonce, name))
            rank = {name: rank for rank, name in enumerate(ordered)}
            self._units[claim.units] = Units(names, [rank[name] for name in names], max(Counter(names).values()))
        return self._units[claim.units]

    def values(self, claim: Claim, threshold: str) -> list[list[float]]:
        """z of every row; for twins a list per group, otherwise one list."""
        kind, reward = claim.constraint, self.audit.reward
        if kind in ("rate_floor", "group_error"):
            return [[1 - z for z in self.decisions]]
        if kind == "threshold_parity":
            raw = claim.everywhere or claim.ball == "w1"
            return [reward] if raw else [[float(r > float(threshold)) for r in reward]]
        if kind == "reward_parity":
            return [self.scores(claim)]
        if not claim.twins:
            return [self.decisions]
        attribute = self.policy.attributes[claim.attribute or ""]
        index = [attribute.levels.index(group) for group in claim.groups]
        if kind == "counterfactual_oscillation":
            scale = float(claim.scale)
            moves = [
                [abs(r - t) / scale if t is not None else 0.0 for r, t in zip(reward, twins, strict=True)]
                for twins in self.audit.twin[claim.attribute or ""]
            ]
            return [[float(m > 1) if claim.tail else min(1.0, m) for m in moves[level]] for level in index]
        twin = self.audit.decide_twins(claim.attribute or "", attribute.chooser, self.threshold)
        if kind == "counterfactual_parity":
            return [[z or 0.0 for z in twin[level]] for level in index]
        return [[abs(d - (z or 0.0)) for d, z in zip(self.decisions, twin[level], strict=True)] for level in index]

    def scores(self, claim: Claim) -> list[float]:
        if claim.score == "sigmoid":
            scale = float(claim.scale)
            return [sigmoid(r / scale) for r in self.audit.reward]
        low, high = float(claim.low), float(claim.high)
        return [min(1.0, max(0.0, (r - low) / (high - low))) for r in self.audit.reward]

    def cells(self, claim: Claim) -> dict[str, dict[str, Cell]]:
        """The cells of a claim, by block and group; counted once for all claims that measure the same."""
        if claim.measured not in self._cells:
            count = self._count_made if claim.plugin else self._count_once if claim.people_once else self._count
            count = {SERVED: self._count_served, EXCHANGE: self._count_exchanged}.get(claim.constraint, count)
            self._cells[claim.measured] = dict(count(claim))
        return self._cells[claim.measured]

    def _count(self, claim: Claim) -> Iterator[tuple[str, dict[str, Cell]]]:
        valid, ranks = self._valid(claim), self.units(claim).rank
        values = None
        twins, same_too = claim.twins, claim.constraint == "counterfactual_parity"
        for name, event, threshold, stratum in claim.blocks:
            if values is None or threshold:
                values = self.values(claim, threshold)
            members = self._members(claim, valid, event, stratum)
            self._check_movable(claim, name, members)
            share = self._unit_masses(members, ranks) if self.policy.estimand == "unit" else None
            cells = {group: Cell([], [], []) for group in claim.groups}
            for row, (group, mass) in members.items():
                if share:
                    mass /= share[ranks[row]]
                for index, other in enumerate(claim.groups) if twins else ((0, group),):
                    if not twins or same_too or other != group:
                        rows, masses, z = cells[other]
                        rows.append(row)
                        masses.append(mass)
                        z.append(values[index][row])
            yield name, cells

    def _count_made(self, claim: Claim) -> Iterator[tuple[str, dict[str, Cell]]]:
        """Of cells that a plug-in made: a row is in as many as it has slots there."""
        audit, ranks = self.audit, self.units(claim).rank
        made = audit.made[claim.plugin_sha256]
        plugins = audit.described.plugins if audit.described else ()
        values = next(own.values for own in plugins if own.sha256 == claim.plugin_sha256)
        decided = self.decisions if values == "decision" else [1 - z for z in self.decisions]
        for name, _, _, _ in claim.blocks:
            cells = {group: Cell([], [], []) for group in claim.groups}
            mine = [[own for own in row if own[0] == name and own[1] in cells] for row in made]
            if values != "column":
                self._check_comparable(claim, name, mine)
            masses: dict[int, float] = {}
            for row, own in enumerate(mine):
                if own:
                    masses[ranks[row]] = masses.get(ranks[row], 0.0) + math.fsum(share for _, _, share, _ in own)
            for row, own in enumerate(mine):
                for _, group, share, value in own:
                    cells[group].rows.append(row)
                    cells[group].mass.append(share / masses[ranks[row]] if self.policy.estimand == "unit" else share)
                    cells[group].z.append(decided[row] if value is None else value)
            yield name, cells

    def welfare(self, claim: Claim, rewards: list[float]) -> list[float]:
        """Of every choice, in [0, 1]: what a model of these rewards is worth to who chose. The outside option has the
        threshold as its reward, and what the labels of the others leave."""
        audit, found = self.audit, []
        decided = audit.decide(rewards, self.threshold)
        for rows in audit.choices:
            labels, utilities = [(audit.label or [])[row] for row in rows], [rewards[row] for row in rows]
            chosen = [decided[row] for row in rows]
            if audit.outside[rows[0]]:
                utilities.append(self.threshold)
                labels.append(max(0.0, 1 - math.fsum(labels)))
                chosen.append(max(0.0, 1 - math.fsum(chosen)))
            if claim.welfare == "decision":
                value = math.fsum(map(mul, labels, chosen))
            else:
                top = max(utilities)
                powers = [exp(u - top) for u in utilities]
                total = math.fsum(powers)
                if claim.welfare == "brier":
                    value = 1 - math.fsum((p / total - y) ** 2 for p, y in zip(powers, labels, strict=True)) / 2
                else:
                    logs = [u - top - _log(total) for u in utilities]
                    loss = -math.fsum(y * log for y, log in zip(labels, logs, strict=True) if y > 0)
                    value = 1 - loss / float(claim.floor)
            found.append(min(1.0, max(0.0, value)))
        return found

    def _count_served(self, claim: Claim) -> Iterator[tuple[str, dict[str, Cell]]]:
        """Of every choice, at its first row, how likely the answer is of the kind, none there or several."""
        audit, ranks = self.audit, self.units(claim).rank
        name, wanted = claim.of or ("", "")
        own, kind = audit.level[claim.attribute or ""], audit.level[name]
        members = {
            rows[0]: (own[rows[0]], audit.weight[rows[0]])
            for rows in audit.choices
            if audit.weight[rows[0]] > 0 and own[rows[0]] in claim.groups
        }
        share = self._unit_masses(members, ranks) if self.policy.estimand == "unit" else None
        cells = {group: Cell([], [], []) for group in claim.groups}
        movable = not members
        for rows in audit.choices:
            if rows[0] in members:
                group, mass = members[rows[0]]
                likely = math.fsum(self.decisions[row] for row in rows if kind[row] == wanted)
                _enter(cells[group], rows[0], mass / share[ranks[rows[0]]] if share else mass, min(1.0, likely))
                of_kind = {kind[row] == wanted for row in rows} | ({False} if audit.outside[rows[0]] else set())
                movable = movable or len(of_kind) > 1
        need(movable, USAGE, f"claim {claim.name!r}: no model can move these rates: every set is of one kind")
        yield "", cells

    def _count_exchanged(self, claim: Claim) -> Iterator[tuple[str, dict[str, Cell]]]:
        """Of every choice, at its first row, half of what its decisions, that for the outside option included, differ
        by from those with the other one in the person's place."""
        audit, ranks = self.audit, self.units(claim).rank
        rewards = audit.twin[ANOTHER][0]
        whole = [rows for rows in audit.choices if all(rewards[row] is not None for row in rows)]
        other = audit.decide([0.0 if r is None else r for r in rewards], self.threshold)
        anyone = [""] * len(audit.unit)
        within = audit.level[claim.within] if claim.within else anyone
        kind, wanted = (audit.level[claim.of[0]], claim.of[1]) if claim.of else (anyone, "")
        for name, _, _, stratum in claim.blocks:
            members, apart = {}, {}
            for rows in whole:
                weight = audit.weight[rows[0]]
                if weight > 0 and within[rows[0]] == stratum and any(kind[row] == wanted for row in rows):
                    members[rows[0]] = "", weight
                    moved = [self.decisions[row] - other[row] for row in rows]
                    apart[rows[0]] = min(1.0, (math.fsum(map(abs, moved)) + abs(math.fsum(moved))) / 2)
            share = self._unit_masses(members, ranks) if self.policy.estimand == "unit" else None
            cell = Cell([], [], [])
            for row, (_, mass) in members.items():
                _enter(cell, row, mass / share[ranks[row]] if share else mass, apart[row])
            yield name, {"": cell}

    def _count_once(self, claim: Claim) -> Iterator[tuple[str, dict[str, Cell]]]:
        """Of claims in which people count once: a choice stands for its share of its unit, at its first row."""
        audit = self.audit
        first = [rows[0] for rows in audit.choices]
        mine = self.welfare(claim, audit.reward)
        if claim.constraint in ACCURACIES:
            group = [audit.level[claim.attribute or ""][row] for row in first]
            mass = [audit.weight[row] if own in claim.groups else 0.0 for row, own in zip(first, group, strict=True)]
            shares_of = self._shares(first, mass)
            found = {name: Cell([], [], []) for name in claim.groups}
            for row, own, share, z in zip(first, group, shares_of, mine, strict=True):
                if share > 0:
                    _enter(found[own], row, share, z)
            yield "", found
            return
        theirs = self.welfare(claim, audit.others[claim.against or ""])
        for name, _, _, stratum in claim.blocks:
            within = audit.level[claim.within] if claim.within else [""] * len(audit.unit)
            mass = [audit.weight[row] if within[row] == stratum else 0.0 for row in first]
            if claim.constraint == "welfare_tail":
                self._keep_tail(claim, first, mass, [m - t for m, t in zip(mine, theirs, strict=True)])
            cells = {role: Cell([], [], []) for role in ROLES}
            for row, share, *both in zip(first, self._shares(first, mass), theirs, mine, strict=True):
                for role, z in zip(ROLES, both, strict=True):
                    if share > 0:
                        _enter(cells[role], row, share, z)
            yield name, cells

    def _shares(self, first: list[int], mass: list[float]) -> list[float]:
        """Of its unit's mass, that of every choice."""
        unit, whole = self.audit.unit, dict.fromkeys(self.audit.unit, 0.0)
        for row, own in zip(first, mass, strict=True):
            whole[unit[row]] += own
        return [own / whole[unit[row]] if own > 0 else 0.0 for row, own in zip(first, mass, strict=True)]

    def _keep_tail(self, claim: Claim, first: list[int], mass: list[float], gained: list[float]) -> None:
        """Sets to 0 the mass of choices that are not in half B of a unit of the tail. Half A are the first half,
        rounded down, by hash; who gains by it no more than the cutoff, on average, is of the tail."""
        of_unit: dict[str, list[tuple[str, int]]] = {}
        for index, row in enumerate(first):
            if mass[index] > 0:
                unit, choice = self.audit.unit[row], self.audit.choice[row]
                of_unit.setdefault(unit, []).append((digest_texts(self.nonce, "half", unit, choice), index))
        for lots in of_unit.values():
            order = [index for _, index in sorted(lots)]
            half = len(order) // 2
            weight = math.fsum(mass[index] for index in order[:half])
            mean = math.fsum(mass[index] * gained[index] for index in order[:half]) / weight if weight else math.inf
            for index in order[:half] if mean <= float(claim.cutoff) + 1e-9 else order:
                mass[index] = 0.0

    def _check_comparable(self, claim: Claim, name: str, members: list[list[tuple]]) -> None:
        """Some choice must let a model choose between cells: an outside option, or rows of different masses in them."""

        def by_cell(row: int) -> list[float]:
            return [math.fsum(share for _, own, share, _ in members[row] if own == group) for group in claim.groups]

        here = [rows for rows in self.audit.choices if any(members[row] for row in rows)]
        for rows in here:
            if self.audit.outside[rows[0]] or any(by_cell(row) != by_cell(rows[0]) for row in rows[1:]):
                return
        need(not here, USAGE, f"claim {claim.name!r}, block {name!r}: no model can move these rates")

    def _valid(self, claim: Claim) -> list[bool]:
        """Rows whose twins are valid, for claims about twins; else all."""
        audit = self.audit
        if not claim.twins:
            return [True] * len(audit.unit)
        twins = audit.twin[claim.attribute or ""]
        valid = [all(t is not None for t in row) for row in zip(*twins, strict=True)]
        if self.policy.attributes[claim.attribute or ""].chooser:
            for rows in audit.choices:
                if not all(valid[row] for row in rows):
                    for row in rows:
                        valid[row] = False
        return valid

    def untwinned(self) -> dict[str, dict[str, int]]:
        """Of the attributes that claims set to their levels: how many choices are asked about, and in how many of them
        a row is not counted for want of a twin; none where all have theirs."""
        found, everyone = {}, [True] * len(self.audit.unit)
        for name in self.policy.twins:
            asked, missing = set[str](), set[str]()
            for claim in self.policy.claims:
                if claim.twins and claim.attribute == name:
                    valid = self._valid(claim)
                    for _, event, _, stratum in claim.blocks:
                        members = self._members(claim, everyone, event, stratum)
                        asked |= {self.audit.choice[row] for row in members}
                        missing |= {self.audit.choice[row] for row in members if not valid[row]}
            if missing:
                found[name] = {"choices": len(asked), "missing": len(missing)}
        return found

    def _members(self, claim: Claim, valid: list[bool], event: str, stratum: str) -> dict[int, tuple[str, float]]:
        """row -> (group, mass) of the members of a block."""
        audit = self.audit
        anyone = [""] * len(audit.unit)
        group = audit.level[claim.attribute] if claim.attribute else anyone
        within = audit.level[claim.within] if claim.within else anyone
        kind, wanted = (audit.level[claim.of[0]], claim.of[1]) if claim.of else (anyone, "")
        label = audit.label or [1.0] * len(audit.unit)
        share = {"": [1.0] * len(label), "chosen": label, "rejected": [1 - y for y in label]}[event]
        # With twins, whoever has a level at all is set to every group; otherwise the own level must take part.
        groups = set(self.policy.attributes[claim.attribute or ""].levels) if claim.twins else set(claim.groups)
        found = {}
        for row, (weight, y, level) in enumerate(zip(audit.weight, share, group, strict=True)):
            mass = weight * y
            if mass > 0 and level in groups and within[row] == stratum and kind[row] == wanted and valid[row]:
                found[row] = (level, mass)
        return found

    def _check_movable(self, claim: Claim, name: str, members: dict[int, tuple[str, float]]) -> None:
        chooser = claim.attribute is not None and self.policy.attributes[claim.attribute].chooser
        if claim.constraint in (
            "threshold_parity",
            "reward_parity",
            "counterfactual_oscillation",
            "counterfactual_flip",
        ):
            return
        twins = claim.constraint == "counterfactual_parity"
        if (twins and not chooser) or not members:
            return
        for rows in self.audit.choices:
            found = [members.get(row) for row in rows]
            if any(found) and (
                self.audit.outside[rows[0]] or any(self._differ(found[0], other, twins) for other in found)
            ):
                return
        raise Refused(
            USAGE, f"claim {claim.name!r}, block {name!r}: no model can move these rates; compare rates `of` a kind"
        )

    @staticmethod
    def _differ(one: tuple[str, float] | None, other: tuple[str, float] | None, twins: bool) -> bool:
        if one is None or other is None:
            return one is not other
        return one[1] != other[1] or (not twins and one[0] != other[0])

    @staticmethod
    def _unit_masses(members: dict[int, tuple[str, float]], ranks: list[int]) -> dict[int, float]:
        """Mass of every unit in the block, by rank."""
        found: dict[int, float] = {}
        for row, (_, mass) in members.items():
            found[ranks[row]] = found.get(ranks[row], 0.0) + mass
        return found

    def size(self, claim: Claim, cell: Cell) -> int:
        """The number of units in a cell."""
        ranks = self.units(claim).rank
        return len({ranks[row] for row in cell.rows})

    def sample(self, claim: Claim, cell: Cell, z: list[float]) -> Sample:
        """Sums per unit of a cell, in committed order; units above the cap are refused."""
        sums: dict[int, float] = {}
        masses: dict[int, float] = {}
        units = self.units(claim)
        for row, mass, value in zip(cell.rows, cell.mass, z, strict=True):
            rank = units.rank[row]
            sums[rank] = sums.get(rank, 0.0) + mass * value
            masses[rank] = masses.get(rank, 0.0) + mass
        cap = self.cap(claim) * (1 + 1e-9)  # sums of doubles may exceed an exact cap by rounding
        need(max(masses.values(), default=0.0) <= cap, USAGE, f"claim {claim.name!r}: a unit exceeds the cap; raise it")
        ranks = sorted(masses)
        return Sample([sums[r] for r in ranks], [masses[r] for r in ranks], units.most_rows)

    def cap(self, claim: Claim) -> float:
        once = claim.people_once or self.policy.estimand == "unit"
        return 1.0 if once else float(claim.cap or self.policy.cap or 0)

    def kept(self, claim: Claim) -> dict[str, dict[str, list[float]]]:
        """z of one row per unit and block, in the committed order of units; thinned if the estimand is "unit"."""
        if claim.measured not in self._kept:
            blocks, units, where = self.cells(claim).items(), self.units(claim), f"claim {claim.name!r}"
            chances = self.policy.estimand == "unit" and claim.decided and (self.policy.rule or claim.by_choice)
            keep = self._means if chances else self._keep
            self._kept[claim.measured] = {name: keep(cells, units, where) for name, cells in blocks}
        return self._kept[claim.measured]

    def _means(self, cells: dict[str, Cell], units: Units, where: str) -> dict[str, list[float]]:
        """The mean z of every unit, which is of one group alone, in the committed order of units."""
        found, seen = {}, set[int]()
        for group, cell in cells.items():
            sums: dict[int, list[float]] = {}
            for row, mass, z in zip(cell.rows, cell.mass, cell.z, strict=True):
                sums.setdefault(units.rank[row], []).append(mass * z)
            need(seen.isdisjoint(sums), USAGE, f"{where}: a unit is in two groups of a block; use unit-ratio")
            seen |= set(sums)
            found[group] = [min(1.0, math.fsum(sums[rank])) for rank in sorted(sums)]
        return found

    def _keep(self, cells: dict[str, Cell], units: Units, where: str) -> dict[str, list[float]]:
        ranks = units.rank
        first: dict[int, int] = {}  # rank of a unit -> its row, or the one that is kept
        several: dict[int, set[int]] = {}
        for cell in cells.values():
            for row in cell.rows:
                rank = ranks[row]
                if first.setdefault(rank, row) != row:
                    several.setdefault(rank, {first[rank]}).add(row)
        masses: dict[int, float] = {}
        by_unit = self.policy.estimand == "unit"
        need(by_unit or not several, USAGE, f"{where}: one row per unit is needed; use unit-ratio, or estimand 'unit'")
        rows = [row for cell in cells.values() for row in cell.rows]
        need(len(set(rows)) == len(rows), USAGE, f"{where}: a row is in several cells of a block; use unit-ratio")
        for cell in cells.values():
            for row, mass in zip(cell.rows, cell.mass, strict=True):
                if masses.setdefault(ranks[row] if by_unit else 0, mass) != mass:
                    raise Refused(USAGE, f"{where}: equal weights are needed; use unit-ratio")

        def lot(row: int) -> str:
            """Decides which row of a unit is kept."""
            return digest_texts(self.nonce, units.name[row], self.audit.choice[row], self.audit.alternative[row])

        first |= {rank: min(rows, key=lot) for rank, rows in several.items()}
        found = {}
        for group, cell in cells.items():
            ranked = [(ranks[row], z) for row, z in zip(cell.rows, cell.z, strict=True) if first[ranks[row]] == row]
            found[group] = [z for _, z in sorted(ranked)]
        return found


# ---------------------------------------------------------------- proofs: binomial
def odds(p: Fraction) -> float:
    return float(p / (1 - p))


def tail(k: int, n: int, ratio: float) -> float:
    """At least P(X <= k) for X ~ Bin(n, p) with odds p/(1-p) = ratio in (0, inf).

    Terms relative to that of k: all below k are added (or bounded by a geometric remainder), those above only as long
    as they matter. A quotient of sums of positive doubles errs by few units of the last place per step.
    """
    if k >= n:
        return 1.0
    if k < 0:
        return 0.0
    below, term, steps = 1.0, 1.0, 0
    for x in range(k, 0, -1):
        factor = x / ((n - x + 1) * ratio)
        term *= factor
        below += term
        steps += 1
        if factor < 0.999 and term < 1e-20 * below:
            below += term * factor / (1 - factor) * 1.001
            break
    above, term = 0.0, 1.0
    for x in range(k, n):
        term *= (n - x) / (x + 1) * ratio
        above += term
        steps += 1
        if term < 1e-20 * above or above > 1e280:
            break
    return min(1.0, below / (below + above) * (1 + 16 * ULP * (steps + 8)))


def tail_at(k: int, n: int, p: Fraction) -> float:
    """At least P(X <= k), X ~ Bin(n, p), for any p in [0, 1]."""
    if p <= 0:
        return 1.0 if k >= 0 else 0.0
    if p >= 1:
        return 1.0 if k >= n else 0.0
    ratio = odds(p)
    return tail(k, n, ratio) if 1e-250 < ratio < 1e250 else 1.0


@cache
def upper_end(k: int, n: int, level: float) -> float:
    """At least the Clopper-Pearson upper end: P(X <= k; n, p) <= level is proved at the returned p, unless it is 1."""
    low, high = k / n if n else 0.0, 1.0
    while high - low > 1e-13 * max(1 - high, 1e-3) and low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if tail_at(k, n, Fraction(middle)) <= level else (middle, high)
    return high


class Window(NamedTuple):
    """A binomial law by terms relative to its mode, from `start` on; `rest` bounds the mass outside, `total` <= all."""

    start: int
    terms: list[float]
    rest: float
    total: float


def window(n: int, p: float) -> Window:
    if p <= 0 or p >= 1:
        return Window(0 if p <= 0 else n, [1.0], 0.0, 1.0)
    ratio = p / (1 - p)
    mode = min(n, max(0, int((n + 1) * p)))
    left, right, rest = [], [], 0.0
    term = 1.0
    for x in range(mode, 0, -1):
        factor = x / ((n - x + 1) * ratio)
        term *= factor
        left.append(term)
        if term < 1e-20 and factor < 0.999:
            rest += term * factor / (1 - factor) * 1.001
            break
    term = 1.0
    for x in range(mode, n):
        factor = (n - x) / (x + 1) * ratio
        term *= factor
        right.append(term)
        if term < 1e-20 and factor < 0.999:
            rest += term * factor / (1 - factor) * 1.001
            break
    terms = [*left[::-1], 1.0, *right]
    return Window(mode - len(left), terms, rest, math.fsum(terms) * (1 - 1e-15))


def difference_tail(p_a: float, p_b: float, n_a: int, n_b: int, observed: int) -> float:
    """At least P(X_a n_b - X_b n_a <= observed): falls in p_a, rises in p_b."""
    a, b = window(n_a, p_a), window(n_b, p_b)
    cumulative, sum_so_far = [], a.rest
    for term in a.terms:
        sum_so_far += term
        cumulative.append(sum_so_far)
    last, found = len(cumulative), 0.0
    for x, weight in enumerate(b.terms, b.start):
        y = (observed + x * n_a) // n_b - a.start
        if y >= last:
            found += weight * a.total
        elif y >= 0:
            found += weight * min(cumulative[y], a.total)
        elif y + a.start >= 0:
            found += weight * a.rest
    found = (found / a.total + b.rest) / b.total
    return found * (1 + 16 * ULP * (len(a.terms) + len(b.terms) + 8))


CELLS = 100  # of the nuisance rate


def exact2(a: list[float], b: list[float], gap: Fraction, level: Fraction) -> bool:
    """Whether E a - E b < gap is proved at `level` for independent 0/1 values (others count in the worse direction).

    But for a chance of level / 20, E a <= high and E b >= low (Clopper-Pearson). Null points with E b in a cell [u, w]
    lie under its corner (u + gap, w), since the tail falls in E a and rises in E b.
    """
    n_a, n_b = len(a), len(b)
    if not n_a or not n_b:
        return False
    k_a, k_b = sum(z > 0 for z in a), sum(z == 1 for z in b)
    observed = k_a * n_b - k_b * n_a
    if observed >= gap * n_a * n_b:
        return False
    spent = level / 20
    high = upper_end(k_a, n_a, down(spent / 2))
    low = max(0.0, math.nextafter(1 - upper_end(n_b - k_b, n_b, down(spent / 2)), -1))
    if Fraction(high) - Fraction(low) < gap:
        return True
    step = down(gap)  # proving a smaller gap proves this one
    last = math.nextafter(high - step, 2)
    edges = [low + (last - low) * i / CELLS for i in range(CELLS)] + [last]
    allowed = down(level - spent)
    for u, w in pairwise(edges):
        corner = math.nextafter(u + step, -2)
        if difference_tail(min(1.0, max(0.0, corner)), min(1.0, max(0.0, w)), n_a, n_b, observed) > allowed:
            return False
    return True


def clopper_pearson(k: int, n: int, end: Fraction, level: Fraction) -> bool:
    """Whether P(X <= k; n, end) <= level."""
    return end >= 1 or (n > 0 and end > 0 and tail_at(k, n, end) <= down(level))


# ---------------------------------------------------------------- proofs: betting
def betting(sample: Sample, cap: float, end: Fraction, level: Fraction) -> bool:
    """Whether the ratio of expected sums to expected masses is below `end`: the capital of a gambler reaches 1/level.

    K = prod (1 - l (S - m N)/cap) is a supermartingale if the ratio is >= m, whatever the bets l, which depend on
    earlier units only; hence their rounding is free, and only the product must be enclosed.
    """
    m = down(end)
    if end >= 1:
        return True
    if m <= 0 or not sample.sums:
        return False
    n, target = len(sample.sums), up(1 / level)
    budget = 2 * math.log(1 / float(level)) / n
    most = 0.75 / (1 - m) if m < 1 else 0.75 / ULP
    past_sum, past_mass, spread = 0.5, 1.0, 0.25
    capital, bets = 1.0, 0.0
    unsure = 8 * (2 * sample.rows + 24) * ULP  # relative error of a factor per unit of bet
    for i, (s, mass) in enumerate(zip(sample.sums, sample.masses, strict=True), 1):
        bet = min(math.sqrt(budget * i / spread), most)
        capital *= 1 - bet * ((s - m * mass) / cap)
        bets += bet
        if capital >= target and capital * (1 - unsure * bets - 8 * i * ULP) >= target:
            return True
        if capital < 1e-200:
            capital, target = capital * 2.0**400, target * 2.0**400
        spread += ((s - past_sum / past_mass * mass) / cap) ** 2
        past_sum += s
        past_mass += mass
    return False


def complement(sample: Sample) -> Sample:
    """The sample of 1 - z."""
    return Sample([n - s for s, n in zip(sample.sums, sample.masses, strict=True)], sample.masses, sample.rows)


def block_pair(a: list[float], b: list[float]) -> Sample:
    """Half of one plus differences of block means: a mean of values in [0, 1], one per pair of blocks."""
    n = min(len(a), len(b))
    if not n:
        return Sample([], [], 0)
    size_a, size_b = len(a) // n, len(b) // n
    means = (
        [math.fsum(values[i * size : (i + 1) * size]) / size for i in range(n)]
        for values, size in ((a, size_a), (b, size_b))
    )
    return Sample([(1 + x - y) / 2 for x, y in zip(*means, strict=True)], [1.0] * n, 8)


# ---------------------------------------------------------------- proofs: all thresholds
GRID = 2000


def massart(n: int, x: float) -> float:
    """At least exp(-2 n x^2) where that is <= 1/2, else 1; x is rounded down."""
    if x <= 0:
        return 1.0
    exponent = -2 * n * x * x * (1 - 8 * ULP)
    if exponent < -700:
        return 1e-300
    found = float(SHORT.exp(SHORT.create_decimal_from_float(exponent))) * (1 + 8 * ULP)
    return found if found <= 0.5 else 1.0


@cache
def radius_tail(n_a: int, n_b: int, r: float) -> float:
    """At least P(E_a + E_b > r) for independent deviations with Massart's tails; E_a is rounded up to a grid."""
    grid = [r * i / GRID * (1 - 4 * ULP) for i in range(GRID + 1)]
    tails = [massart(n_a, x) for x in grid]
    others = [massart(n_b, (r - x) * (1 - 4 * ULP) - 8 * ULP * r) for x in grid[1:]]
    others[-1] = 1.0
    # Rises in every tail and every other, so that upper bounds may stand for both; by parts all terms are positive.
    parts = [tails[0] * others[0]] + [
        t * max(0.0, y - x) for t, x, y in zip(tails[1:], others, [*others[1:], 1.0], strict=True)
    ]
    return math.fsum(parts) * (1 + 1e-12)


def cdf_gap(a: list[float], b: list[float]) -> Fraction:
    """Largest F_b(t) - F_a(t) over t, at least 0: how much more of a than of b lies above some threshold."""
    a, b = sorted(a), sorted(b)
    found = passed = 0
    for at_most_b, (t, following) in enumerate(zip(b, [*b[1:], None], strict=True), 1):
        if t != following:  # the last of its ties; the maximum lies at a value of b
            passed = bisect_right(a, t, lo=passed)
            found = max(found, at_most_b * len(a) - passed * len(b))
    return Fraction(found, len(a) * len(b))


# ---------------------------------------------------------------- shift
class Law(NamedTuple):
    """An outer law of z in [0, 1]: masses at points; x: how much larger the mean of a rising f of range 1 can be."""

    points: list[tuple[Fraction, Fraction]]
    x: Fraction

    def mean(self, f: Callable[[Fraction], Fraction]) -> Fraction:
        """At least E f(z) for f that rises."""
        return sum((mass * f(z) for z, mass in self.points), ZERO) + self.x * (f(ONE) - f(ZERO))


def two_points(p: Fraction) -> Law:
    return Law([(ZERO, 1 - p), (ONE, p)], ZERO)


def deviation(n: int, level: Fraction) -> Fraction:
    """One-sided Massart deviation of an empirical distribution of n rows."""
    return sqrt_up(ln_up(1 / level) / (2 * n))


def histogram(z: list[float], level: Fraction) -> Law:
    """Values rounded up to 256 bins; a hair is added for the rounding of z itself."""
    bins = Counter(math.ceil(value * 256) for value in z)
    hair = Fraction(1, 2**50)
    points = [(min(ONE, Fraction(k, 256) + hair), Fraction(times, len(z))) for k, times in bins.items()]
    return Law(points, deviation(len(z), level))


def read_dual(ball: str, value: Any, where: str) -> dict[str, Fraction]:
    """The dual point of a ball, inside its domain."""
    found = {k: number(v, where) for k, v in fields(value, " ".join(BALLS[ball]), where).items()}
    need(all(abs(x) <= 10**6 for x in found.values()), NO_DUAL, f"{where}: beyond 10^6")
    need(found.get("lambda", ONE) >= Fraction(1, 1000), NO_DUAL, f"{where}: lambda is below 0.001")
    if ball in ("tv", "label-noise"):
        need(0 <= found["eta"] <= 1, NO_DUAL, f"{where}: eta is outside [0, 1]")
    return found


def shifted(ball: str, rho: Fraction, dual: dict[str, Fraction], law: Law) -> Fraction:
    """At least the largest mean of z over the ball, by weak duality at any point."""
    eta, lam = dual.get("eta", ZERO), dual.get("lambda", ONE)
    if ball in ("tv", "label-noise"):
        return rho + eta * (1 - rho) + law.mean(lambda z: max(ZERO, z - eta))
    if ball == "kl":
        return lam * (rho + ln_up(law.mean(lambda z: exp_up(z / lam))))
    if ball == "chi2":
        return eta + lam * rho + lam * law.mean(lambda z: _conjugate((z - eta) / lam))
    if ball == "lr":
        return eta + law.mean(lambda z: (z - eta) * rho if z >= eta else (z - eta) / rho)
    return eta + law.mean(lambda z: max(ZERO, z - eta)) / rho  # cvar


def _conjugate(s: Fraction) -> Fraction:
    return s + s * s / 4 if s >= -2 else Fraction(-1)


def transported(
    rewards: list[float], threshold: float, above: bool, rho: Fraction, lam: Fraction, level: Fraction
) -> Fraction:
    """At least the largest share above (or not above) the threshold over a transport ball."""
    if not above:
        rewards, threshold = [-r for r in rewards], -threshold
    slope = float(lam)
    costs = [1.0 if (r > threshold if above else r >= threshold) else 1 - slope * (threshold - r) for r in rewards]
    mean = Fraction(math.fsum(max(0.0, v) for v in costs)) / len(costs) + Fraction(1, 2**40)
    return lam * rho + mean + deviation(len(rewards), level)


# ---------------------------------------------------------------- what was counted
class Steps(NamedTuple):
    """A distribution: rising points, and the shares at or below them, after that of none."""

    points: list[float]
    shares: list[float]


class Counted:
    """Rates and differences of rates of all rows of a claim, which no bound may contradict.

    Format 2 allows for rounding. Format 1 allows for what thinning explains but for one time in a million, since a
    bound of that format need not have been widened to what was counted.
    """

    def __init__(self, claim: Claim, people: People):
        self.claim, self.people, self.cells = claim, people, people.cells(claim)
        self.rates: dict[tuple[str, str], float] = {}
        self.laws: dict[tuple[str, str], Steps] = {}
        for name, groups in self.cells.items():
            for group, cell in groups.items():
                mass = math.fsum(cell.mass)
                if mass > 0 and claim.everywhere:
                    self.laws[name, group] = steps(cell)
                elif mass > 0 and claim.ball != "w1":
                    self.rates[name, group] = math.fsum(map(mul, cell.mass, cell.z)) / mass

    def _value(self, name: str, high: str, low: str | None) -> float | None:
        """The rate of a cell, or the difference of two; None if it cannot be counted."""
        asked = [(name, group) for group in (high, low) if group is not None]
        if all(cell in self.laws for cell in asked):
            return widest(*(self.laws[cell] for cell in asked))
        if not all(cell in self.rates for cell in asked):
            return None
        if self.claim.constraint == "accuracy_ratio" and low is not None:
            return 1 - self.rates[asked[1]] / self.rates[asked[0]] if self.rates[asked[0]] > 0 else 0.0
        return self.rates[asked[0]] - (self.rates[asked[1]] if low is not None else 0.0)

    def _room(self, name: str, *groups: str | None) -> float:
        """How far a bound may lie on the wrong side."""
        if self.people.form >= 2:
            return 1e-9
        cells = [self.cells[name][group] for group in groups if group is not None]
        return math.sqrt(7 * sum(1 / self.people.size(self.claim, cell) for cell in cells)) + 1e-9

    def at_least(self, bound: float, name: str, high: str, low: str | None = None) -> bool:
        """Whether a bound from above is not below what was counted."""
        value = None if bound >= 1 else self._value(name, high, low)
        return value is None or bound >= value or bound + self._room(name, high, low) >= value

    def at_most(self, bound: float, name: str, high: str, low: str | None = None) -> bool:
        """Whether a bound from below is not above what was counted."""
        value = self._value(name, high, low)
        return value is None or bound <= value or bound - self._room(name, high, low) <= value

    def blind(self) -> str:
        """Why the decisions of a claim of pairs cannot tell groups apart; "" if they can, and for caps."""
        claim = self.claim
        if not claim.paired or claim.constraint in FLOORS:
            return ""
        seen: set[float] = set()
        for name, _, threshold, _ in claim.blocks:
            for cell in self.cells[name].values():
                seen.update((r > float(threshold) for r in cell.z) if claim.ball == "w1" else cell.z)
        if len(seen) <= 1:
            return "blind: all rows have one and the same value"
        if not claim.decides or self.people.policy.rule or claim.by_choice or seen <= {0.0, 1.0}:
            return ""
        cells = [cell for groups in self.cells.values() for cell in groups.values()]
        choice = self.people.audit.choice
        choices = {choice[row] for cell in cells for row in cell.rows}
        tied = {choice[row] for cell in cells for row, z in zip(cell.rows, cell.z, strict=True) if 0 < z < 1}
        allowed = self.people.policy.ties
        many = len(tied) > allowed * len(choices)
        return f"blind: ties decide {len(tied)} of {len(choices)} choices, share {float(allowed):g} allowed" * many


def steps(cell: Cell) -> Steps:
    """The distribution of the z of a cell by mass."""
    total, passed = math.fsum(cell.mass), 0.0
    below: dict[float, float] = {}
    for z, mass in sorted(zip(cell.z, cell.mass, strict=True)):
        passed += mass
        below[z] = passed / total
    return Steps(list(below), [0.0, *below.values()])


def widest(a: Steps, b: Steps) -> float:
    """Largest F_b(t) - F_a(t) over t, at least 0: the largest lies at a step of b."""
    found, passed = 0.0, 0
    for z, share in zip(b.points, b.shares[1:], strict=True):
        passed = bisect_right(a.points, z, lo=passed)
        if share - a.shares[passed] > found:
            found = share - a.shares[passed]
    return found


# ---------------------------------------------------------------- one claim about people
class Finding(NamedTuple):
    """What was proved about a claim, and what was counted (no proof)."""

    verdict: str
    ucb: Fraction | None
    lcb: Fraction | None
    note: str
    reason: str = ""  # why there is no verdict, whatever the numbers


class Prover:
    """Proves the record of one claim. `level` is the share of delta that this audit may spend."""

    def __init__(self, claim: Claim, people: People, level: Fraction):
        self.claim, self.people, self.level = claim, people, level
        self.cells, self.cap = people.cells(claim), people.cap(claim)
        if claim.method in ONE_ROW:
            self.z = people.kept(claim)
            self.units = {(name, g): len(z) for name, groups in self.z.items() for g, z in groups.items()}
        else:
            self.units = {
                (name, g): people.size(claim, c) for name, cells in self.cells.items() for g, c in cells.items()
            }
            if not claim.one_sample:
                self.samples = {
                    (name, g): people.sample(claim, c, c.z)
                    for name, cells in self.cells.items()
                    for g, c in cells.items()
                }
        self.counted = Counted(claim, people)

    @property
    def has_ends(self) -> bool:
        return self.claim.method in ENDS and not self.claim.one_sample

    def check(self, record: Any) -> Finding:
        claim, where = self.claim, f"claim {self.claim.name!r}"
        names = "ucb lcb" + " ends" * self.has_ends + " dual breakdown" * bool(claim.ball)
        fields(record, names, where)
        ucb = number(record["ucb"], f"{where}: ucb")
        for comparison in claim.comparisons:
            possible = self.counted.at_least(float(ucb), *comparison)
            need(possible, UNPROVED, f"{where}: ucb is below what was counted")
        if self.has_ends:
            self.ends = self._ends(record["ends"], where)
        if claim.ball or self.has_ends or (claim.constraint == "reward_parity" and claim.method == "dkw"):
            worst = self._worst(record.get("dual"), claim.radius, where)
            need(ucb >= min(ONE, worst), UNPROVED, f"{where}: ucb is not proved")
        elif ucb < 1:
            for comparison in claim.comparisons:
                need(self._below(*comparison, ucb, self.level), UNPROVED, f"{where}: ucb is not proved")
        if claim.ball and record["breakdown"] is not None:
            self._breakdown(record["breakdown"], where)
        lcb = self._lcb(record["lcb"], where)
        reason = self._reason()
        return Finding(self._verdict(ucb, lcb, reason), ucb, lcb, self._note(), reason)

    def _reason(self) -> str:
        """Why these people or these decisions show nothing."""
        least = self.people.policy.min_group
        if (fewest := min(self.units.values())) < least:
            return f"too few: a cell of {fewest} units, the policy wants {least}"
        return self.counted.blind() if self.people.form >= 2 else ""

    def _verdict(self, ucb: Fraction, lcb: Fraction | None, reason: str) -> str:
        if reason:
            return "INCONCLUSIVE"
        if ucb <= self.claim.bound:
            return "CERTIFIED"
        return "REFUTED" if lcb is not None and lcb > self.claim.bound else "INCONCLUSIVE"

    # -- upper ends of cells
    def _grid(self, value: Any, where: str, leaf: Callable[[Any, str], Any]) -> dict[tuple[str, str], Any]:
        """{block: {group: leaf}} with exactly the cells of the claim."""
        found = {}
        need(
            isinstance(value, dict) and set(value) == set(self.cells),
            MALFORMED,
            f"{where}: expected exactly the blocks",
        )
        for name, groups in value.items():
            same = isinstance(groups, dict) and set(groups) == set(self.claim.groups)
            need(same, MALFORMED, f"{where}: block {name!r}: expected exactly the groups")
            for group, inner in groups.items():
                found[name, group] = leaf(inner, f"{where}, {name!r}, {group!r}")
        return found

    def _ends(self, value: Any, where: str) -> dict[tuple[str, str], tuple[Fraction, Fraction]]:
        def leaf(inner: Any, place: str) -> tuple[Fraction, Fraction]:
            need(isinstance(inner, list) and len(inner) == 2, MALFORMED, f"{place}: expected [lo, hi]")
            lo, hi = (number(x, place) for x in inner)
            need(0 <= lo <= hi <= 1, UNPROVED, f"{place}: expected 0 <= lo <= hi <= 1")
            return lo, hi

        found = self._grid(value, f"{where}: ends", leaf)
        level = self.level / 2 if self.claim.paired else self.level
        for (name, group), (lo, hi) in found.items():
            need(self.claim.paired or lo == 0, UNPROVED, f"{where}: lower ends of caps are 0")
            good = self._rate_below(name, group, hi, level) and self._rate_above(name, group, lo, level)
            need(good, UNPROVED, f"{where}: ends of {name!r}, {group!r} are not proved")
            good = self.counted.at_least(float(hi), name, group) and self.counted.at_most(float(lo), name, group)
            need(good, UNPROVED, f"{where}: ends of {name!r}, {group!r} leave out the rate that was counted")
        return found

    def _rate_below(self, name: str, group: str, end: Fraction, level: Fraction) -> bool:
        if self.claim.method == "unit-ratio":
            return betting(self.samples[name, group], self.cap, end, level)
        z = self.z[name][group]
        return clopper_pearson(sum(v > 0 for v in z), len(z), end, level)

    def _rate_above(self, name: str, group: str, end: Fraction, level: Fraction) -> bool:
        if end <= 0:
            return True
        if self.claim.method == "unit-ratio":
            return betting(complement(self.samples[name, group]), self.cap, 1 - end, level)
        z = self.z[name][group]
        return clopper_pearson(sum(v < 1 for v in z), len(z), 1 - end, level)

    # -- whole comparisons
    def _below(self, name: str, high: str, low: str | None, gap: Fraction, level: Fraction) -> bool:
        """Whether rate high - rate low < gap is proved at `level`, for methods without ends."""
        claim, method = self.claim, self.claim.method
        if claim.one_sample:
            a, b = (self.cells[name][g] for g in (high, low or ""))
            middle = [(1 + x - y) / 2 for x, y in zip(a.z, b.z, strict=True)]
            return betting(self.people.sample(claim, a, middle), self.cap, (1 + gap) / 2, level)
        z_a, z_b = self.z[name][high], self.z[name][low or ""]
        if method == "exact2":
            return exact2(z_a, z_b, gap, level)
        if method == "block-pair":
            return betting(block_pair(z_a, z_b), 1.0, (1 + gap) / 2, level)
        if not z_a or not z_b:
            return False
        r = down(gap - cdf_gap(z_a, z_b))
        return r > 0 and radius_tail(*sorted((len(z_a), len(z_b))), r) <= down(level)

    def _lcb(self, value: Any, where: str) -> Fraction | None:
        claim, method, place = self.claim, self.claim.method, f"{where}: lcb"
        if value is None:
            return None
        need(method != "dkw" or claim.everywhere, MALFORMED, f"{place}: expected null")
        fields(value, "block high low value split", place)
        name, high, low = value["block"], value["high"], value["low"]
        texts = isinstance(name, str) and isinstance(high, str) and (low is None or isinstance(low, str))
        need(texts and (name, high, low) in claim.comparisons, MALFORMED, f"{place}: no such comparison")
        found = number(value["value"], place)
        level = self.level / self.people.policy.comparisons
        splits = self.has_ends and low is not None
        need(splits or value["split"] is None, MALFORMED, f"{place}: expected split null")
        if splits:
            split = number(value["split"], place)
            end = split * (1 - found) if claim.constraint == "accuracy_ratio" else split - found  # of the other rate
            good = self._rate_above(name, high, split, level / 2) and self._rate_below(name, low, end, level / 2)
        elif low is None:
            good = self._rate_above(name, high, found, level)
        elif claim.everywhere:
            a, b = self.z[name][high], self.z[name][low]
            r = down(cdf_gap(a, b) - found) if a and b else 0.0
            good = r > 0 and radius_tail(*sorted((len(a), len(b))), r) <= down(level)
        else:
            good = self._below(name, low, high, -found, level)
        need(good, UNPROVED, f"{place} is not proved")
        if self.people.form >= 2:
            good = self.counted.at_most(float(found), name, high, low)
            if splits:
                good = good and self.counted.at_most(float(split), name, high)
                good = good and self.counted.at_least(float(end), name, str(low))
            need(good, UNPROVED, f"{place} is above what was counted")
        return found

    # -- sums of ends, with or without a shift
    def _worst(self, dual: Any, radius: Fraction, where: str) -> Fraction:
        """At least the largest rate (caps) or difference of rates over all comparisons, shifted by `radius`."""
        claim = self.claim
        if claim.ball:
            duals = self._grid(dual, f"{where}: dual", self._dual_leaf)
        highs: dict[tuple[str, str], Fraction] = {}
        lows: dict[tuple[str, str], Fraction] = {}
        for cell in self.units:
            for side, found in (("up", highs), ("down", lows)):
                if side == "up" or claim.paired:
                    point = duals[cell][side] if claim.ball else None
                    found[cell] = min(ONE, self._side(cell, side, point, radius))
        if claim.constraint == "accuracy_ratio":
            ends = [(highs[name, high], 1 - lows[name, low or ""]) for name, high, low in claim.comparisons]
            return max(1 - least / most if most > 0 else ONE for most, least in ends)
        return max(
            highs[name, high] + (lows[name, low] - 1 if low is not None else 0) for name, high, low in claim.comparisons
        )

    def _dual_leaf(self, inner: Any, place: str) -> dict[str, dict[str, Fraction]]:
        sides = fields(inner, "up down" if self.claim.paired else "up", place)
        return {side: read_dual(self.claim.ball or "", point, place) for side, point in sides.items()}

    def _side(self, cell: tuple[str, str], side: str, point: dict[str, Fraction] | None, radius: Fraction) -> Fraction:
        """At least the mean of z (up) or of 1 - z (down) in a cell."""
        claim, above = self.claim, side == "up"
        if self.has_ends:
            lo, hi = self.ends[cell]
            p = hi if above else 1 - lo
            return p if point is None else shifted(claim.ball or "", radius, point, two_points(p))
        z = self.z[cell[0]][cell[1]]
        if not z:
            return ONE
        if claim.ball == "w1":
            threshold = next(t for name, _, t, _ in claim.blocks if name == cell[0])
            return transported(z, float(threshold), above, radius, (point or {})["lambda"], self.level / 2)
        law = histogram(z if above else [1 - v for v in z], self.level / 2)
        return law.mean(lambda v: v) if point is None else shifted(claim.ball or "", radius, point, law)

    def _breakdown(self, value: Any, where: str) -> None:
        claim, place = self.claim, f"{where}: breakdown"
        fields(value, "radius dual", place)
        radius = number(value["radius"], place)
        need(radius <= 10**6 and claim.check_radius(radius), MALFORMED, f"{place}: radius outside its range")
        larger = radius <= claim.radius if claim.ball == "cvar" else radius >= claim.radius
        need(larger, UNPROVED, f"{place}: a smaller shift than the policy's")
        need(self._worst(value["dual"], radius, place) <= claim.bound, UNPROVED, f"{place} is not proved")

    def _note(self) -> str:
        """What was counted, without any confidence."""
        rates = self.counted.rates
        cells = f"{len(self.units)} cells of {min(self.units.values())} to {max(self.units.values())} units"
        if not self.claim.paired or not rates:
            return cells + (f", largest rate counted {max(rates.values()):.4f}" if rates else "")
        gaps = [rates[n, a] - rates[n, b] for n, a, b in self.claim.comparisons if (n, a) in rates and (n, b) in rates]  # type: ignore[index]
        return cells + (f", gap counted {max(gaps):.4f}" if gaps else "")


# ---------------------------------------------------------------- claims about tables
def read_table(path: str, first: str, prefix: str) -> tuple[str, list[list[str]]]:
    """sha256 and rows of a table with header first,prefix1,prefix2,..."""
    data = read_bytes(path, limit=None)
    try:
        rows = list(csv.reader(io.StringIO(text_of(data, path), newline=""), strict=True))
    except csv.Error as error:
        raise Refused(MALFORMED, f"{path}: {error}") from None
    need(len(rows) > 1, MALFORMED, f"{path}: no rows")
    width = len(rows[0])
    expected = [first, *(f"{prefix}{i}" for i in range(1, width))]
    need(width > 1 and rows[0] == expected, MALFORMED, f"{path}: expected the header {first},{prefix}1,...")
    need(all(len(row) == width for row in rows), MALFORMED, f"{path}: a row of another length")
    return sha256(data), rows[1:]


def listed(value: Any, length: int, where: str) -> list[Fraction]:
    need(isinstance(value, list) and len(value) == length, MALFORMED, f"{where}: expected {length} numbers")
    return [rational(x, where) for x in value]


def mixture(claim: Claim, record: Any, path: str) -> Finding:
    """Weak duality in exact rationals over mixtures of the rows of a table."""
    where = f"claim {claim.name!r}"
    fields(record, "ucb lcb weights multipliers table_sha256", where)
    sha, rows = read_table(path, "loss", "c")
    need(record["table_sha256"] == sha, MALFORMED, f"{where}: another table than {path}")
    table = [[rational(cell, path) for cell in row] for row in rows]
    m = len(table[0]) - 1
    multipliers = listed(record["multipliers"], m, f"{where}: multipliers")
    need(min(multipliers) >= 0, NO_DUAL, f"{where}: a multiplier is negative")
    lcb = None
    if record["lcb"] is not None:
        lcb = number(record["lcb"], where)
        need(sum(multipliers) == 1, NO_DUAL, f"{where}: multipliers must sum to 1 to refute")
        least = min(sum(map(mul, multipliers, row[1:]), ZERO) for row in table)
        need(lcb <= least, UNPROVED, f"{where}: lcb is not proved")
    weights, ucb = record["weights"], None
    need(isinstance(weights, dict), MALFORMED, f"{where}: weights: expected an object")
    if weights:
        ucb = number(record["ucb"], where)
        _mixture_gap(claim, weights, multipliers, table, ucb, where)
    need(weights or record["ucb"] is None, MALFORMED, f"{where}: ucb: expected null without weights")
    verdict = "REFUTED" if lcb is not None and lcb > claim.tolerance else "INCONCLUSIVE"
    if ucb is not None and ucb <= claim.bound:
        verdict = "CERTIFIED"
    return Finding(verdict, ucb, lcb, f"{len(table)} models, {m} constraints")


def _mixture_gap(claim: Claim, weights: dict, multipliers: list, table: list, ucb: Fraction, where: str) -> None:
    shares = {}
    for key, value in weights.items():
        known = re.fullmatch(r"0|[1-9][0-9]{0,8}", key) and int(key) < len(table)
        need(known, MALFORMED, f"{where}: weights: no row {key[:20]!r}")
        shares[int(key)] = rational(value, f"{where}: weights")
    positive = [share for share in shares.values() if share > 0]
    need(len(positive) == len(shares) and sum(positive) == 1, UNPROVED, f"{where}: weights must be > 0 and sum to 1")
    need(len(shares) <= len(multipliers) + 1, UNPROVED, f"{where}: more than m + 1 models")
    for j in range(1, len(multipliers) + 1):
        violation = sum((share * table[i][j] for i, share in shares.items()), ZERO)
        need(violation <= claim.tolerance, UNPROVED, f"{where}: constraint c{j} is violated")
    value = sum((share * table[i][0] for i, share in shares.items()), ZERO)
    lower = min(row[0] + sum(map(mul, multipliers, row[1:]), ZERO) for row in table)
    need(value - lower <= ucb, UNPROVED, f"{where}: ucb is not proved")


def head_optimum(claim: Claim, record: Any, path: str) -> Finding:
    """The Fenchel gap of a linear head: |mu w - v + M'nu|^2 / (2 mu) + slack |nu|_1 - nu.(M w).

    A choice is a row `pair` and the rows `also` that follow it: chosen less each rejected alternative.
    """
    where = f"claim {claim.name!r}"
    fields(record, "ucb lcb w nu table_sha256", where)
    sha, rows = read_table(path, "kind", "x")
    need(record["table_sha256"] == sha, MALFORMED, f"{where}: another table than {path}")
    need(record["lcb"] is None, MALFORMED, f"{where}: lcb: expected null")
    need({row[0] for row in rows} <= {"pair", "also", "row"}, MALFORMED, f"{path}: kind is 'pair', 'also' or 'row'")
    constraints = [[rational(cell, path) for cell in row[1:]] for row in rows if row[0] == "row"]
    choices: list[list[list[float]]] = []
    for row in rows:
        if row[0] != "row":
            need(all(len(cell) <= 60 and CELL(cell) for cell in row[1:]), MALFORMED, f"{path}: a cell is no number")
            need(choices or row[0] == "pair", MALFORMED, f"{path}: 'also' before any 'pair'")
            choices += [[]] if row[0] == "pair" else []
            choices[-1].append([float(cell) for cell in row[1:]])
    need(choices, MALFORMED, f"{path}: no pairs")
    d, n, pairs = len(rows[0]) - 1, len(choices), [pair for choice in choices for pair in choice]
    w, nu = listed(record["w"], d, f"{where}: w"), listed(record["nu"], len(constraints), f"{where}: nu")
    mapped = [sum(map(mul, row, w), ZERO) for row in constraints]
    need(all(abs(x) <= claim.slack for x in mapped), UNPROVED, f"{where}: w violates the slack")
    head = [float(x) for x in w]
    largest = max(max(map(abs, pair)) for pair in pairs)
    size = sum(map(abs, head))
    need(
        math.isfinite(largest * size * d) and largest * size <= 1e6, UNPROVED, f"{where}: features or weights too large"
    )
    sums = [0.0] * d
    for choice in choices:
        for a, pair in zip(shares([-sum(map(mul, pair, head)) for pair in choice]), choice, strict=True):
            sums = [total + a * x for total, x in zip(sums, pair, strict=True)]
    # Errors: of u = d.w (errors within e move all shares of a choice together by at most e), of the shares, of the
    # running sums.
    widest = max(map(len, choices))
    unsure = Fraction(largest) * Fraction(((d + 6) * largest * size + len(pairs) + 2 * widest + 16) * ULP)
    residual = ZERO
    for j in range(d):
        pulled = sum((x * row[j] for x, row in zip(nu, constraints, strict=True)), ZERO)
        residual += (abs(claim.mu * w[j] - Fraction(sums[j]) / n + pulled) + unsure) ** 2
    gap = residual / (2 * claim.mu) + claim.slack * sum(map(abs, nu)) - sum(map(mul, nu, mapped), ZERO)
    ucb = number(record["ucb"], where)
    need(ucb >= gap, UNPROVED, f"{where}: ucb is not proved")
    verdict = "CERTIFIED" if ucb <= claim.bound else "INCONCLUSIVE"
    return Finding(verdict, ucb, None, f"{n} choices, {d} features, {len(constraints)} constraints")


# ---------------------------------------------------------------- ledger and independence
class Audited(NamedTuple):
    """The audit of a certificate: people, the share of delta that it may spend, and the counts of shared columns."""

    people: People
    level: Fraction
    shared: dict[str, dict[str, int | None]]
    untwinned: dict[str, dict[str, int]]


SHARE = Fraction(607927101854, 10**12)  # below 6 / pi^2


def attempt_share(delta: Fraction, attempt: int, passes: int) -> Fraction:
    """What attempt j may spend: 6 delta / (pi^2 j^2) over the number of transcripts with fewer than `passes` passes."""
    transcripts = sum(math.comb(attempt - 1, i) for i in range(min(passes, attempt)))
    return delta * SHARE / (attempt**2 * transcripts)


INIT = {1: "schema policy_sha256 frame_sha256", 2: "schema policy_sha256 frame_sha256 seed_sha256 units_sha256"}
ENTRIES = {"init": INIT[2], "sequence": "rows_sha256", "attempt": "attempt rows_sha256",
           "points": "attempt rows_sha256", "passed": "attempt", "disclosed": "reason",
           "retired": "reason"}  # fmt: skip
LOOKS = ("attempt", "points")


def read_ledger(path: Path, policy: Policy, audit: Audit, form: int) -> list[dict[str, Any]]:
    """The entries; chain, order and first entry checked."""
    lines = lines_of(text_of(read_bytes(path), str(path)))
    need(lines, MALFORMED, f"{path}: empty ledger")
    entries: list[dict[str, Any]] = []
    previous, attempts, passed, scores = "0" * 64, 0, set(), set()
    form = min(form, 2)  # ledgers have two
    known = ENTRIES | {"init": INIT[form]}
    for place, line in enumerate(lines, 1):
        where = f"{path}: line {place}"
        entry = parse_json(line, where)
        kind = entry.get("kind") if isinstance(entry, dict) else None
        names = known.get(kind) if isinstance(kind, str) else None
        need(names, MALFORMED, f"{where}: unknown kind of entry")
        fields(entry, f"kind previous sha256 {names}", where)
        body = {key: value for key, value in entry.items() if key != "sha256"}
        need(
            entry["previous"] == previous and entry["sha256"] == digest(body),
            MALFORMED,
            f"{where}: the chain is broken",
        )
        need((kind == "init") == (place == 1), MALFORMED, f"{where}: 'init' is the first entry and only that")
        if kind == "sequence":
            need(place == 2, MALFORMED, f"{where}: 'sequence' comes before every attempt")
            listed = looked_at(entry, where)
            need(len(set(listed)) == len(listed), MALFORMED, f"{where}: a table stands twice in the sequence")
        if kind in LOOKS:
            attempts += 1
            need(entry["attempt"] == attempts, MALFORMED, f"{where}: expected attempt {attempts}")
            for rows in looked_at(entry, where):
                need(rows not in scores, MALFORMED, f"{where}: these scores were attempted before")
                scores.add(rows)
            if (order := sequence_of(entries)) is not None:
                following = order[attempts - 1 : attempts]
                need([entry["rows_sha256"]] == following, MALFORMED, f"{where}: not the next table of the sequence")
        elif kind == "passed":
            j = entry["attempt"]
            need(type(j) is int and 1 <= j <= attempts and j not in passed, MALFORMED, f"{where}: no such attempt")
            passed.add(j)
        elif kind not in ("init", "sequence"):
            need(isinstance(entry["reason"], str), MALFORMED, f"{where}: reason: expected a text")
        entries.append(entry)
        previous = entry["sha256"]
    need(entries[0]["schema"] == f"faro-ledger/{form}", MALFORMED, f"{path}: expected schema faro-ledger/{form}")
    need(entries[0]["policy_sha256"] == policy.sha256, MALFORMED, f"{path}: the ledger is of another policy")
    need(entries[0]["frame_sha256"] == audit.frame_sha256, MALFORMED, f"{path}: the ledger is of another audit set")
    if form == 2:
        people, stated = f"{path}.units", hexadecimal(entries[0]["units_sha256"], f"{path}: units_sha256")
        same = not os.path.lexists(people) or sha256(read_bytes(people, limit=None)) == stated
        need(same, MALFORMED, f"{people}: other audited people than the ledger names")
    return entries


def sequence_of(entries: list[dict[str, Any]]) -> list[str] | None:
    """The tables that were registered to be asked about in this order; None where none were."""
    return entries[1]["rows_sha256"] if len(entries) > 1 and entries[1]["kind"] == "sequence" else None


def looked_at(entry: dict[str, Any], where: str) -> list[str]:
    """Digests of the tables that an attempt is about: one, or several points that share it."""
    rows = entry["rows_sha256"]
    if entry["kind"] == "attempt":
        return [hexadecimal(rows, where)]
    need(isinstance(rows, list) and rows, MALFORMED, f"{where}: expected a list of tables")
    return [hexadecimal(each, where) for each in rows]


def check_ledger(record: Any, path: Path | None, policy: Policy, audit: Audit, form: int) -> Fraction:
    """The share of delta that this certificate may spend."""
    if policy.ledger is None:
        need(path is None, USAGE, "--ledger: the policy names no ledger")
        need(record is None, MALFORMED, "ledger: expected null, the policy names none")
        return policy.delta
    need(record is not None, DEPENDENT, "ledger: no attempt: tuning data, which prove nothing to a gate")
    entries = read_ledger(path or Path(policy.ledger), policy, audit, form)
    fields(record, "attempt delta entry" + " seed" * (form >= 2), "ledger")
    if form >= 2:
        seed = hexadecimal(record["seed"], "ledger.seed")
        need(sha256(seed.encode()) == entries[0]["seed_sha256"], MALFORMED, "ledger.seed: not the ledger's")
    hexadecimal(record["entry"], "ledger.entry")
    place = next((i for i, entry in enumerate(entries) if entry["sha256"] == record["entry"]), 0)
    need(place, MALFORMED, "ledger.entry: no such attempt in the ledger")
    entry, before = entries[place], entries[:place]
    same = entry["kind"] in LOOKS and entry["attempt"] == record["attempt"] and type(record["attempt"]) is int
    need(same, MALFORMED, "ledger: the entry is another attempt")
    tables = looked_at(entry, "ledger")
    need(audit.rows_sha256 in tables, MALFORMED, "ledger: the attempt is about other scores")
    passed = {entry["attempt"] for entry in before if entry["kind"] == "passed"}
    many, in_sequence = len(passed), sequence_of(entries) is not None
    if in_sequence:  # each at all of delta, while every one before it passed
        need(many == entry["attempt"] - 1, DEPENDENT, "ledger: the sequence ended before this attempt")
    else:
        need(many < policy.passes, DEPENDENT, f"ledger: exhausted, {many} passes were shown before this attempt")
    for kind in ("disclosed", "retired"):
        used = any(entry["kind"] == kind for entry in before)
        need(not used, DEPENDENT, f"ledger: the audit set was {kind} before this attempt")
    share = policy.delta if in_sequence else attempt_share(policy.delta, entry["attempt"], policy.passes) / len(tables)
    need(rational(record["delta"], "ledger.delta") == share, UNPROVED, "ledger.delta: another share of delta")
    return share


def check_train_units(claimed: Any, path: str | None, audit: Audit) -> dict[str, int] | None:
    """No audit unit may be among those that training saw; how many values of shared columns are. None if unknown."""
    need(claimed is None or hexadecimal(claimed, "train_units_sha256"), MALFORMED, "")
    if path is None:
        need(claimed is None, USAGE, "the certificate names units of training: give --train-units FILE")
        return None
    data = read_bytes(path, limit=None)
    need(claimed == sha256(data), MALFORMED, f"{path}: other units of training than the certificate names")
    lines = lines_of(text_of(data, path))
    head = lines[0].split(" ", 1) if lines else []
    need(
        len(head) == 2 and head[0] == "faro-units/1", MALFORMED, f"{path}: expected the first line 'faro-units/1 SALT'"
    )
    need(all(map(HEX, lines[1:])), MALFORMED, f"{path}: expected a sha256 in hex on every line")
    seen = set(lines[1:])
    need(seen, MALFORMED, f"{path}: names no unit; a model that saw nobody was not trained")
    leaked = sum(any(digest_texts(head[1], n) in seen for n in {unit, plain(unit)}) for unit in set(audit.unit))
    need(not leaked, DEPENDENT, f"{leaked} audit units were seen in training")
    return {
        name: sum(digest_texts(head[1], name, value) in seen for value in set(values))
        for name, values in audit.shared.items()
    }


def shared_counts(audit: Audit, trained: dict[str, int] | None) -> dict[str, dict[str, int | None]]:
    """Of every shared column: its values, those under two or more units, and those that training saw."""
    found: dict[str, dict[str, int | None]] = {}
    for name, values in audit.shared.items():
        owners = Counter(value for value, _ in set(zip(values, audit.unit, strict=True)))
        crossed = sum(times > 1 for times in owners.values())
        known = trained[name] if trained and audit.described else None
        found[name] = {"values": len(owners), "crossed": crossed, "trained": known}
    return found


def assumptions(policy: Policy, checked_overlap: bool, audited: Audited | None) -> list[str]:
    """What the claims rest on, sorted; `audited`: of a certificate of format 2."""
    people = [claim for claim in policy.claims if claim.constraint not in TABLES]
    audit = audited.people.audit if audited else None
    columns = set(audit.described.shared if audit and audit.described else ()) - {claim.per for claim in people}
    needed = {
        "iid-units": bool(people),
        "group-labels-correct": any(
            (claim.attribute or claim.plugin or (claim.people_once and claim.within)) and claim.ball != "label-noise"
            for claim in people
        ),
        "label-noise-bounded": any(claim.ball == "label-noise" for claim in people),
        "twins-as-declared": any(claim.twins or claim.constraint == EXCHANGE for claim in people),
        "undescribed-table": audit is not None and audit.described is None,
        "weights-ignored": audit is not None and policy.estimand == "unit" and len(set(audit.weight)) > 1,
        "twins-missing": audited is not None and bool(audited.untwinned),
        "same-items": audited is not None and any(audited.shared[name]["crossed"] for name in columns),
        "train-overlap-unchecked": bool(people) and not checked_overlap,
        "no-ledger": bool(people) and policy.ledger is None,
    }
    needed |= {claim.cells_by: True for claim in people if claim.plugin}
    whose = audit.described.aggregates if audit and audit.described else {}
    needed |= {f"aggregate {claim.against} at {whose[claim.against]}": True for claim in people if claim.against}
    needed |= {
        f"summaries by {name}": True for name in (audit.described.summaries if audit and audit.described else ())
    }
    return sorted(name for name, is_needed in needed.items() if is_needed)


# ---------------------------------------------------------------- verdict
TOP = "schema policy_sha256 model_sha256 data ledger train_units_sha256 assumptions claims result sha256 info"


DATA = {1: "rows units rows_sha256 frame_sha256", 2: "rows units rows_sha256 frame_sha256 description_sha256 shared"}
DATA[3] = DATA[2]


class Result(NamedTuple):
    verdict: str
    findings: dict[str, Finding]
    policy: Policy
    level: Fraction
    assumed: list[str]
    compared: bool  # whether the model's files were given
    form: int
    audited: Audited | None


def verify(
    certificate: str | Path,
    audit: str | None = None,
    *,
    policy: str | Path,
    ledger: str | Path | None = None,
    train_units: str | None = None,
    tables: dict[str, str] | None = None,
    models: list[str] | None = None,
) -> Result:
    """Check everything; raises `Refused` with an exit code and a reason unless the certificate holds as it stands."""
    rules = read_policy(policy)
    cert = fields(parse_json(text_of(read_bytes(certificate), str(certificate)), str(certificate)), TOP, "certificate")
    form = {f"faro-certificate/{form}": form for form in (1, 2, 3)}.get(str(cert["schema"]))
    suits = form and form >= rules.form and (form == 3) == (rules.form == 3)
    need(suits, MALFORMED, f"schema: expected faro-certificate/{rules.form}")
    assert form is not None
    sealed = {key: value for key, value in cert.items() if key not in ("sha256", "info")}
    need(cert["sha256"] == digest(sealed), MALFORMED, "sha256: the certificate was changed")
    need(isinstance(cert["info"], dict), MALFORMED, "info: expected an object")
    need(cert["policy_sha256"] == rules.sha256, MALFORMED, "policy_sha256: made under another policy")
    hexadecimal(cert["model_sha256"], "model_sha256")
    files = sorted(sha256(read_bytes(path, limit=None)) for path in models or ())
    if files:
        need(cert["model_sha256"] == sha256("".join(files).encode()), MALFORMED, "model_sha256: another model")
    fields(cert["result"], "verdict", "result")
    records = cert["claims"]
    names = [claim.name for claim in rules.claims]
    need(isinstance(records, dict) and set(records) == set(names), MALFORMED, "claims: expected exactly the policy's")
    audited, level = None, rules.delta
    if rules.audited:
        need(audit is not None, USAGE, "the policy has claims about people: give the audit table")
        path = Path(ledger) if ledger is not None else Path(policy).parent / rules.ledger if rules.ledger else None
        audited = _audit_of(cert, form, str(audit), rules, path, train_units, files)
        level = audited.level
    else:
        nothing = all(cert[key] is None for key in ("data", "ledger", "train_units_sha256"))
        need(nothing, MALFORMED, "data, ledger, train_units_sha256: expected null, no claim reads an audit table")
        need(audit is None and ledger is None and train_units is None, USAGE, "no claim reads an audit table")
    assumed = assumptions(rules, cert["train_units_sha256"] is not None, audited if form >= 2 else None)
    need(cert["assumptions"] == assumed, UNPROVED, f"assumptions: expected {', '.join(assumed) or 'none'}")
    for name in assumed:
        admitted = name in rules.assumptions or (name in FORMAT_2 and rules.form == 1)
        need(admitted, ASSUMPTIONS.get(name, USAGE), f"the policy does not admit the assumption {name!r}")
    given = tables or {}
    wanted = {claim.name for claim in rules.claims if claim.constraint in TABLES}
    need(set(given) == wanted, USAGE, f"--table: expected NAME=FILE for exactly {sorted(wanted)}")
    findings = {}
    for claim in rules.claims:
        if claim.constraint in TABLES:
            prove = mixture if claim.constraint == "mixture" else head_optimum
            findings[claim.name] = prove(claim, records[claim.name], given[claim.name])
        else:
            assert audited is not None
            findings[claim.name] = Prover(claim, audited.people, level).check(records[claim.name])
    found = {finding.verdict for finding in findings.values()}
    verdict = "CERTIFIED" if found == {"CERTIFIED"} else "REFUTED" if "REFUTED" in found else "INCONCLUSIVE"
    need(cert["result"]["verdict"] == verdict, UNPROVED, f"result.verdict: the proofs say {verdict}")
    parts = audited.people.audit.parts if audited else []
    tuned = f"{verdict}, but of rows of the part {', '.join(map(repr, parts))}: tuning data, no guarantee"
    need(parts in ([], ["gate"], [""]), DEPENDENT, tuned)
    return Result(verdict, findings, rules, level, assumed, bool(models), form, audited)


def _audit_of(
    cert: dict, form: int, audit: str, rules: Policy, ledger: Path | None, train: str | None, models: list[str]
) -> Audited:
    """The audit table, held against all that the certificate, the policy and the table itself say of it."""
    more = " support" * (rules.support is not None) + " candidates" * (rules.rule is not None)
    if form >= 2 and isinstance(cert["data"], dict) and cert["data"].get("twins"):
        more += " twins"  # a field only where some are missing
    data = fields(cert["data"], DATA[form] + more, "data")
    if rules.support:
        k, order, through = rules.support
        said = fields(data["support"], "k order" + " rewritten" * bool(through), "data.support")
        same = type(said["k"]) is int and (said["k"], said["order"]) == (k, order)
        same = same and said.get("rewritten", []) == list(through)
        need(same, MALFORMED, "data.support: other answers than the policy says")
    table = read_audit(audit, rules, form)
    other = f"the certificate is about another table than {audit}"
    for key in ("rows_sha256", "frame_sha256"):
        need(data[key] == getattr(table, key), MALFORMED, f"data.{key}: {other}")
    if rules.rule:
        same = digest(data["candidates"]) == digest(table.candidates)
        need(same, MALFORMED, f"data.candidates: expected {_encode(table.candidates)}")
    for key, size in (("rows", len(table.unit)), ("units", len(set(table.unit)))):
        need(type(data[key]) is int and data[key] == size, MALFORMED, f"data.{key}: expected {size}")
    level = check_ledger(cert["ledger"], ledger, rules, table, form)
    trained = check_train_units(cert["train_units_sha256"], train, table)
    if form == 1:
        return Audited(People(rules, table, form, rules.nonce), level, {}, {})
    named = table.described.sha256 if table.described else None
    same = data["description_sha256"] == named
    need(same, MALFORMED, f"data.description_sha256: {audit} has {'another' if named else 'no'} description beside it")
    if table.described:
        table.described.check(rules, models, cert["train_units_sha256"])
    need(table.described or not models, MALFORMED, f"{audit}: no description: nothing says which model scored it")
    shared = shared_counts(table, trained)
    need(digest(data["shared"]) == digest(shared), MALFORMED, f"data.shared: expected {_encode(shared)}")
    secret = cert["ledger"]["seed"] if cert["ledger"] else rules.nonce
    people = People(rules, table, form, digest_texts(secret, table.rows_sha256))
    for stated, decision in zip(table.decision, people.decisions, strict=False):
        if stated is not None and abs(stated - decision) > 1e-9:
            asked = "`rule`" if rules.rule else "`outside` and `threshold`"
            reason = f"decision {stated:g} where rewards and {asked} of the policy give {decision:g}"
            raise Refused(MALFORMED, f"{audit}: {reason}")
    untwinned = people.untwinned()
    same = digest(data.get("twins", {})) == digest(untwinned)
    need(same, MALFORMED, f"data.twins: expected {_encode(untwinned)}")
    return Audited(people, level, shared, untwinned)


# ---------------------------------------------------------------- envelopes
SCOPE = (
    "no model of this head class on these frozen features, on this sample, with this convex proxy at slack eps, has "
    "loss lower than LB"
)
CLAIMED = "slack loss constant price w multipliers"
UPWARD = Context(prec=4, rounding=ROUND_CEILING)
HUGE = 1e75  # products of four such numbers are doubles
BLOCK = 256  # choices that are summed before they join the sum of all


class Problem(NamedTuple):
    """The table of an envelope: what the models of a class are fitted to, and the rows of the proxy."""

    sha256: str
    ridge: float
    d: int
    rows: list[tuple[float, float, array]]  # base, slope, features
    choices: list[tuple[float, list[float], list[array]]]  # weight, labels, features; empty for all zero
    weight: float  # of all
    largest: float  # feature
    alternatives: int  # of the largest choice
    label: float  # largest sum of a choice's labels


class Line(NamedTuple):
    """What is proved of a point: its loss at a slack, and that no loss at eps is below constant - price eps."""

    slack: Fraction
    loss: Fraction
    constant: Fraction
    price: Fraction

    def at(self, eps: Fraction) -> Fraction:
        return self.constant - self.price * eps


def _doubles(values: Any, length: int | None, where: str) -> array:
    """JSON numbers as doubles."""
    need(isinstance(values, list) and length in (None, len(values)), MALFORMED, f"{where}: expected {length} numbers")
    try:
        found = array("d", values)
    except (TypeError, OverflowError):
        raise Refused(MALFORMED, f"{where}: expected numbers") from None
    need(
        max(map(abs, found), default=0.0) <= HUGE and not any(map(math.isnan, found)), MALFORMED, f"{where}: too large"
    )
    return found


def read_problem(path: str) -> Problem:
    """A table of faro-features/1."""
    digest, lines, where = hashlib.sha256(), [], path
    try:
        with open(path, "rb") as file:
            for index, line in enumerate(file, 1):
                digest.update(line)
                where = f"{path}, line {index}"
                need(len(line) <= MAX_BYTES, MALFORMED, f"{where}: too long")
                lines.append(json.loads(line, object_pairs_hook=_object, parse_constant=_no_fraction))
                if index == 1:
                    head = fields(lines[0], "schema ridge features rows", where)
                    need(head["schema"] == "faro-features/1", MALFORMED, f"{where}: expected faro-features/1")
                    d, m = head["features"], head["rows"]
                    need(type(d) is type(m) is int and d > 0 and m >= 0, MALFORMED, f"{where}: expected counts")
                    lines[0] = _doubles([head["ridge"]], 1, where)[0]
                elif index <= m + 1:
                    row = fields(lines[-1], "row base slope features", where)
                    base, slope = _doubles([row["base"], row["slope"]], 2, where)
                    need(slope >= 0 and isinstance(row["row"], str), MALFORMED, f"{where}: expected a slope >= 0")
                    lines[-1] = (base, slope, _doubles(row["features"], d, where))
                else:
                    choice = fields(lines[-1], "weight chosen items", where)
                    need(isinstance(choice["items"], list) and choice["items"], MALFORMED, f"{where}: no alternative")
                    items = [_doubles(item, d if item else 0, where) for item in choice["items"]]
                    labels = _doubles(choice["chosen"], len(items), where)
                    weight = _doubles([choice["weight"]], 1, where)[0]
                    need(min(labels) >= 0 and weight >= 0, MALFORMED, f"{where}: expected numbers >= 0")
                    lines[-1] = (weight, list(labels), items)
    except OSError as error:
        raise Refused(USAGE, f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Refused(MALFORMED, f"{where}: not JSON: {error}") from None
    need(len(lines) > 1 + (m if lines else 0), MALFORMED, f"{path}: no choices")
    need(lines[0] > 0, MALFORMED, f"{path}: ridge: expected a number above 0")
    choices = lines[1 + m :]
    weight = math.fsum(choice[0] for choice in choices)
    need(0 < weight < math.inf, MALFORMED, f"{path}: weights: expected a finite sum above 0")
    largest = max(max(map(abs, item), default=0.0) for _, _, items in choices for item in items)
    size, label = max(len(items) for _, _, items in choices), max(sum(labels) for _, labels, _ in choices)
    return Problem(digest.hexdigest(), lines[0], d, lines[1 : 1 + m], choices, weight, largest, size, label)


def _double(value: Any, where: str) -> float:
    """A decimal string as the double nearest to it."""
    good = isinstance(value, str) and len(value) <= 60 and CELL(value) and abs(float(value)) <= HUGE
    need(good, MALFORMED, f"{where}: expected a number as a string, of a size below {HUGE:g}")
    return float(value)


def _many(values: Any, length: int, where: str) -> list[float]:
    need(isinstance(values, list) and len(values) == length, MALFORMED, f"{where}: expected {length} numbers")
    return [_double(value, where) for value in values]


def _around(terms: list[float]) -> tuple[Fraction, Fraction]:
    """A sum of products of doubles, each rounded once, and how far from it the exact one can be."""
    return Fraction(math.fsum(terms)), Fraction(ULP) * Fraction(sum(map(abs, terms)))


def prove_model(claim: dict[str, Any], table: Problem, where: str) -> tuple[Fraction, Fraction, Moments]:
    """The slack and loss that are claimed of w, proved; and what one pass over the choices gives."""
    w = _many(claim["w"], table.d, f"{where}: w")
    slack, loss = (Fraction(_double(claim[name], f"{where}: {name}")) for name in ("slack", "loss"))
    for base, slope, row in table.rows:
        value, unsure = _around(list(map(mul, row, w)))
        need(value + unsure <= Fraction(base) + Fraction(slope) * slack, UNPROVED, f"{where}: slack is not proved")
    seen = _pass(table, w, where)
    size = sum((Fraction(x) ** 2 for x in w), ZERO)
    need(loss >= seen.loss + Fraction(table.ridge) / 2 * size, UNPROVED, f"{where}: loss is not proved")
    return slack, loss, seen


def prove_point(claim: dict[str, Any], table: Problem, where: str) -> Line:
    """That (w, multipliers) prove what is claimed of them; see docs/envelope.md for the inequalities."""
    nu = _many(claim["multipliers"], len(table.rows), f"{where}: multipliers")
    need(min(nu, default=0) >= 0, NO_DUAL, f"{where}: a multiplier is negative")
    slack, loss, seen = prove_model(claim, table, where)
    constant, price = (Fraction(_double(claim[name], f"{where}: {name}")) for name in ("constant", "price"))
    square, base, least = ZERO, ZERO, ZERO
    for j, v in enumerate(seen.moment):
        pulled, unsure = _around([x * row[2][j] for x, row in zip(nu, table.rows, strict=True)])
        square += (abs(v + pulled) + unsure + seen.unsure) ** 2
    for x, row in zip(nu, table.rows, strict=True):
        base, least = base + Fraction(x) * Fraction(row[0]), least + Fraction(x) * Fraction(row[1])
    proved = seen.entropy - square / (2 * Fraction(table.ridge)) - base
    need(constant <= proved, UNPROVED, f"{where}: constant is not proved")
    need(price >= least, UNPROVED, f"{where}: price is not proved")
    return Line(slack, loss, constant, price)


class Moments(NamedTuple):
    """Of w: its loss without the ridge at most, the entropy of alpha at least, and the mean of features times
    (alpha - label), every number of which may be off by `unsure`."""

    loss: Fraction
    entropy: Fraction
    moment: list[Fraction]
    unsure: Fraction


def _pass(table: Problem, w: list[float], where: str) -> Moments:
    """One pass over the choices. alpha is the softmax of rewards as it was computed: any distribution proves a line."""
    d, k, n = table.d, table.alternatives, len(table.choices)
    size = sum(map(abs, w))
    reach = table.largest * size  # of a reward
    need(reach <= 1e6, UNPROVED, f"{where}: features or weights too large")
    losses, entropies, logs = [], [], []
    products: dict[float, float] = {}  # of the sums of powers, by the weight of their logarithm
    total, part, empty = [0.0] * d, [0.0] * d, [0.0] * d
    for index, (weight, labels, items) in enumerate(table.choices):
        rewards = [sum(map(mul, item, w)) if item else 0.0 for item in items]
        top = max(rewards)
        below = [reward - top for reward in rewards]
        powers = [float(SHORT.exp(SHORT.create_decimal_from_float(x))) if x else 1.0 for x in below]
        whole, label = sum(powers), sum(labels)
        alpha = [power / whole for power in powers]
        losses.append(weight * (label * top - sum(map(mul, labels, rewards))))
        entropies.append(-weight * label * sum(map(mul, alpha, below)))
        products[weight * label] = whole * (product := products.get(weight * label, 1.0))
        if whole * product > 1e200:  # one logarithm for many choices
            logs.append(weight * label * _log(product))
            products[weight * label] = whole
        for item, a, y in zip(items, alpha, labels, strict=True):
            if item and (share := weight * (label * a - y)):
                part = [seen + share * x for seen, x in zip(part, item, strict=True)]
        if index % BLOCK == BLOCK - 1:
            total, part = [a + b for a, b in zip(total, part, strict=True)], empty
    moment = [(a + b) / table.weight for a, b in zip(total, part, strict=True)]
    # Twice and more of: the error of a reward (d + 2 roundings); logarithms and powers; the running sums.
    unit = Fraction(ULP) * Fraction(table.label)
    spread = 1 + Fraction(2 * reach + math.log(k))
    log_error = unit * (2 * k + 16) * spread
    loss_error = unit * 2 * (d + 2) * Fraction(reach) + log_error
    unsure = unit * Fraction(table.largest) * (4 * (BLOCK * k + n // BLOCK + 8) + 2 * k * (k + 8))
    logs += [share * _log(product) for share, product in products.items()]
    loss, entropy = (Fraction(math.fsum(terms + logs) / table.weight) for terms in (losses, entropies))
    return Moments(loss + loss_error, entropy - log_error, list(map(Fraction, moment)), unsure)


def _log(x: float) -> float:
    """ln within a few units of the last place, whatever the platform's log."""
    return float(SHORT.ln(SHORT.create_decimal_from_float(x)))


def sandwich(points: list[Line]) -> Fraction:
    """How wide it is at most between the first slack and the last: chords between losses, which only fall, above the
    lower lines of the two points beside them."""
    losses, widest = [points[0].loss], ZERO
    for point in points[1:]:
        losses.append(min(losses[-1], point.loss))
    for a, b, high, low in zip(points, [*points[1:], points[-1]], losses, [*losses[1:], losses[-1]], strict=True):
        steeper = a.price - b.price
        cross = (a.constant - b.constant) / steeper if steeper > 0 else a.slack
        for eps in {a.slack, min(max(cross, a.slack), b.slack), b.slack}:
            along = (eps - a.slack) / (b.slack - a.slack) if b.slack > a.slack else ONE
            widest = max(widest, high + along * (low - high) - max(a.at(eps), b.at(eps)))
    return widest


def _shown(x: Fraction) -> str:
    """With four digits, rounded up."""
    return f"{UPWARD.divide(Decimal(x.numerator), Decimal(x.denominator)):g}"


def envelope(record: str | Path, table: str) -> str:
    """Check every claim of an envelope; what it says, as text. Raises `Refused` unless all of it is proved."""
    found = parse_json(text_of(read_bytes(record), str(record)), str(record))
    fields(found, "schema scope about table_sha256 width points members sha256", "envelope")
    need(found["schema"] == "faro-envelope/1", MALFORMED, "schema: expected faro-envelope/1")
    sealed = {key: value for key, value in found.items() if key != "sha256"}
    need(found["sha256"] == digest(sealed), MALFORMED, "sha256: the envelope was changed")
    need(found["scope"] == SCOPE, MALFORMED, "scope: expected the sentence of faro-envelope/1")
    need(isinstance(found["about"], dict), MALFORMED, "about: expected an object")
    problem = read_problem(table)
    need(hexadecimal(found["table_sha256"], "table_sha256") == problem.sha256, MALFORMED, f"another table than {table}")
    need(isinstance(found["points"], list) and found["points"], MALFORMED, "points: expected at least one")
    need(isinstance(found["members"], list), MALFORMED, "members: expected a list")
    points = []
    for index, claim in enumerate(found["points"]):
        points.append(prove_point(fields(claim, CLAIMED, f"point {index}"), problem, f"point {index}"))
    need(all(a.slack <= b.slack for a, b in pairwise(points)), MALFORMED, "points: expected the order of their slacks")
    width = Fraction(_double(found["width"], "width"))
    need(width >= sandwich(points), UNPROVED, "width: the points leave more room")
    ends = f"{_shown(points[0].slack)} and {_shown(points[-1].slack)}"
    lines = [f"PROVED       lower envelope from {len(points)} points: {SCOPE}"]
    lines += [f"             between slack {ends} some model is within {_shown(width)} nats of it"]
    for index, claim in enumerate(found["members"]):
        where = f"member {index}"
        fields(claim, "name w slack loss gap own own_gap", where)
        slack, loss, _ = prove_model(claim, problem, where)
        own = prove_point(fields(claim["own"], CLAIMED, f"{where}: own"), problem, f"{where}: own")
        gap, own_gap = (Fraction(_double(claim[name], f"{where}: {name}")) for name in ("gap", "own_gap"))
        need(gap >= loss - max(point.at(slack) for point in [*points, own]), UNPROVED, f"{where}: gap is not proved")
        need(own_gap >= loss - own.at(slack), UNPROVED, f"{where}: own_gap is not proved")
        need(isinstance(claim["name"], str), MALFORMED, f"{where}: name: expected text")
        lines.append(
            f"PROVED       {_one_line(claim['name'])}: loss {_shown(loss)} at slack {_shown(slack)}; "
            f"no model there has one lower by more than {_shown(gap)}"
        )
    return "\n".join(lines)


# ---------------------------------------------------------------- command line
def served(policy: Policy, audited: Audited) -> list[str]:
    """By which rule, on which sets: what is claimed of a policy, and what is not."""
    if not policy.rule:
        return []
    rule, sets = policy.rule, audited.people.audit.candidates or {}
    by = f"the probability under {rule.text}"
    if rule.kind == "sampled":
        one = "n of the N" if rule.name == "best_of" else "resample of N"
        lines = [f"claims of decisions: the mean of {by} after {rule.draws} draws of the reference ({one})"]
        lines.append(f"reference: {_printable(rule.reference)}; drawn by: {_printable(rule.decoding)}")
    else:
        lines = [f"claims of decisions: the mean of {by} on these {sets['sets']} sets of candidates"]
        uniform = sets["mass"] is None
        mass = "" if uniform or sets["mass"] == "1.000000" else f", of which these sets hold {sets['mass']} or more"
        named = f", said to be {_printable(rule.reference)}" if rule.reference else ""
        of = "uniform, all candidates of a set alike" if uniform else "the column log_ref"
        lines += [f"reference: {of}{named}{mass}"] * (rule.name != "softmax")
    lines.append(f"sets {sets['sha256'][:12]}, {sets['singles']} of them of one candidate, which no policy can move")
    return [*lines, "nothing is claimed of a single draw, another n, beta, N, reference or sampler"]


def provenance(policy: Policy, form: int, audited: Audited) -> list[str]:
    """Where units come from, what the model was trained under, and which populations are meant."""
    if form == 1:
        return ["format 1: the nonce is public; whoever knew it could fit just the rows that thinning keeps"]
    return [*missing_twins(audited.untwinned), *_origins(policy, audited)]


def missing_twins(untwinned: dict[str, dict[str, int]]) -> list[str]:
    """How much claims of twins leave out."""
    return [
        f"twins of {_name(name)}: missing in {of['missing']} of {of['choices']} choices (share "
        f"{of['missing'] / of['choices']:.3g}), of which nothing is claimed"
        for name, of in untwinned.items()
    ]


def _origins(policy: Policy, audited: Audited) -> list[str]:
    described, shared = audited.people.audit.described, audited.shared
    if described is None:
        said = {None: "rows of one `unit`", "row": "single rows"}.get(
            policy.units, f"{_name(policy.units)} of the data"
        )
        return [f"foreign table: units are said to be {said}", *_populations(policy, "unit", shared)]
    rows = described.origin == "content"
    lines = ["units: every row, by its content" if rows else f"units: column {_name(described.column)} of the data"]
    if policy.support:
        k, order, through = policy.support
        how = f"the earliest by {_name(order)}" if order else "by a hash of names"
        lines.append(f"for new people, after k = {k} answers of each ({how}; fewer where that leaves no question)")
        for name in policy.twins:
            kept, rewritten = "kept (the direct effect given history)", "rewritten too (the effect through history)"
            lines.append(f"twins of {_name(name)}: earlier answers are {rewritten if name in through else kept}")
    for name, sha in described.summaries.items():
        lines.append(f"earlier answers are told in summaries by {_name(name)} at {sha[:12]}")
    if described.rule == 1:
        lines.append("units are spelled by rule 1: two spellings of one person may be two units")
    lines.append(f"trained under: {_printable(described.constraint) if described.constraint else 'nothing says what'}")
    if described.estimand != policy.estimand:
        lines.append(f"in training every {described.estimand} counts alike, here every {policy.estimand}")
    return lines + _populations(policy, "row" if rows else described.column, shared)


def _populations(policy: Policy, unit: str, shared: dict[str, dict[str, int | None]]) -> list[str]:
    """Who is new in what is claimed, by the claims' units: people, or the values of a column."""
    lines = []
    for per in dict.fromkeys(claim.per for claim in policy.claims if claim.constraint not in TABLES):
        these = []
        for name, counts in shared.items():
            if name != per and (counts["crossed"] or counts["trained"]):
                seen = "" if counts["trained"] is None else f", {counts['trained']} seen in training"
                these.append(f"these {_name(name)} ({counts['values']} values{seen})")
        if per is not None:
            crossed, trained = shared[per]["crossed"], shared[per]["trained"]
            these += [f"these {_name(unit)}"] * bool(crossed)
            these += [f"{trained} of {shared[per]['values']} values seen in training"] * (trained is not None)
        if these:
            lines.append(f"new {'units of ' * (per is None)}{_name(per or unit)}, {', '.join(these)}")
    return lines


def _name(column: Any) -> str:
    return f"`{_printable(column)}`"


def _printable(text: Any) -> str:
    """What somebody else wrote, on one line, not long."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:200]


def report(result: Result) -> str:
    """A line per claim and one for the whole."""
    lines = []
    for claim in result.policy.claims:
        finding = result.findings[claim.name]
        ucb, lcb = ("none" if x is None else f"{float(x):.6g}" for x in (finding.ucb, finding.lcb))
        name = " ".join(claim.name.split())
        shift = f" under {claim.ball} shifts of {float(claim.radius):g}" if claim.ball else ""
        lines.append(
            f"{finding.verdict:12} {name}: {claim.constraint}{shift} within {float(claim.bound):g}: "
            f"ucb {ucb}, lcb {lcb} ({claim.method or 'exact'}; {finding.note})"
        )
        lines += [f"{'':12} {finding.reason}"] * bool(finding.reason)
    if result.audited:
        lines.append(f"confidence {1 - float(result.level):.6g}, every {result.policy.estimand} counts alike")
        if result.policy.estimand == "row" and any(claim.people_once for claim in result.policy.claims):
            lines.append("in claims of welfare and accuracy every unit counts alike")
        lines += served(result.policy, result.audited)
        lines += provenance(result.policy, result.form, result.audited)
        lines.append(f"assumed: {', '.join(result.assumed)}")
        lines.append(f"model: {'of these files' if result.compared else 'not compared; give its files with --model'}")
    return "\n".join([*lines, result.verdict])


def _one_line(reason: Any) -> str:
    """Printable, on one line, not long."""
    return " ".join(str(reason).encode("ascii", "backslashreplace").decode().split())[:300]


def main(argv: list[str] | None = None) -> int:
    """The exit code; a verdict on stdout, a reason in one line on stderr."""
    parser = argparse.ArgumentParser(prog="verify.py", description="Check a certificate of faro, trusting nothing.")
    parser.add_argument("certificate", help="a certificate, or an envelope")
    parser.add_argument("audit", nargs="?", help="the audit table, .csv or .jsonl; or the table of the envelope")
    parser.add_argument("--policy", help="faro.toml, from where nobody who is judged can change it")
    parser.add_argument("--ledger", help="the ledger, if it is not where the policy says")
    parser.add_argument("--train-units", metavar="FILE", help="hashed units that training saw")
    parser.add_argument("--table", action="append", default=[], metavar="NAME=FILE", help="the table of a claim")
    parser.add_argument("--model", action="append", default=[], metavar="FILE", help="a file of the model (repeatable)")
    given = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        tables = dict(item.split("=", 1) for item in given.table if "=" in item)
        need(len(tables) == len(given.table), USAGE, "--table: expected NAME=FILE, every name once")
        if given.policy is None:
            need(given.audit, USAGE, "a certificate needs --policy faro.toml, an envelope its table")
            others = (given.ledger, given.train_units, tables, given.model)
            need(not any(others), USAGE, "an envelope takes its table and no options; a certificate needs --policy")
            print(envelope(given.certificate, given.audit))
            return 0
        result = verify(
            given.certificate, given.audit, policy=given.policy, ledger=given.ledger,
            train_units=given.train_units, tables=tables, models=given.model,
        )  # fmt: skip
    except Refused as refused:
        print(f"refused ({refused.code}): {_one_line(refused)}", file=sys.stderr)
        return refused.code
    except Exception as error:  # a fault of this file, never a pass
        print(f"refused ({INTERNAL}): internal error: {_one_line(f'{type(error).__name__}: {error}')}", file=sys.stderr)
        return INTERNAL
    try:
        print(report(result), flush=True)
    except OSError as error:  # nobody reads, or no space is left: never a pass
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"refused ({INTERNAL}): the verdict cannot be written: {error.strerror}", file=sys.stderr)
        return INTERNAL
    return VERDICTS[result.verdict]


if __name__ == "__main__":
    sys.exit(main())
