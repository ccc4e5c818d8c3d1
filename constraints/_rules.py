"""Decision rules as people write them, `best_of(n=16)`, and what a policy by such a rule is away from its reference.

The one place where a rule is read from a text and printed as one:

    argmax                      the best alternative, ties shared
    softmax(temperature=0.5)    softmax(rewards / temperature)
    kl_tilted(beta=0.1)         softmax(log_ref + rewards / beta)
    best_of(n=16)               the best of n draws of the reference

What a set of candidates is, the data declare: "enumerated", all answers there are, with the reference's probabilities
(uniform without `log_ref`); or "sampled", N draws of the reference, kept as often as they came. On draws `kl_tilted` is
"resample of N" (softmax(rewards / beta) over the draws, biased O(1/N) for the tilted law), `best_of` takes n of the N.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ._best_of import BestOf, BestOfDraws
from ._choices import record
from ._outcome import Argmax, DecisionRule, KLTilted, Softmax, log_softmax

CANDIDATES = ("enumerated", "sampled")
MOST_KEPT = 100_000  # answers of which the best is kept
SMALLEST, LARGEST = 1e-30, 1e30  # temperature and beta: rewards divided by them are numbers
SPELLED = re.compile(r"\s*([a-z_]+)\s*(?:\(\s*([a-z]+)\s*=\s*([^()=\s]+)\s*\))?\s*")
NAMES = "argmax, softmax(temperature=0.5), kl_tilted(beta=0.1), best_of(n=16)"


@record
class Resampled(KLTilted):
    """One of N draws of the reference, by softmax(rewards / beta): "resample of N". Refuses `log_ref`, which the draws
    stand for.

    beta: > 0, in units of the rewards
    """

    draws = True

    def decide(self, rewards, available, log_ref):
        return Softmax(temperature=self.beta).decide(rewards, available, log_ref)


_RULES: dict[str, tuple[str, type[DecisionRule], type[DecisionRule]]] = {
    "softmax": ("temperature", Softmax, Softmax),
    "kl_tilted": ("beta", KLTilted, Resampled),
    "best_of": ("n", BestOf, BestOfDraws),
}


def rule_of(text: str, candidates: str = "") -> DecisionRule:
    """The rule that a text names.

    text: `argmax`, `softmax(temperature=0.5)`, `kl_tilted(beta=0.1)` or `best_of(n=16)`
    candidates: what the sets are, "enumerated" or "sampled"; "": nobody said, which does for argmax and softmax

    `ValueError` for another text, a number that is none (beta 0 or NaN, n not whole in 1..100000), and for rules about
    a reference where nobody said what the sets are.
    """
    if candidates and candidates not in CANDIDATES:
        raise ValueError(f"candidates: expected one of {', '.join(CANDIDATES)}, got {candidates!r}")
    found = SPELLED.fullmatch(text)
    name, option, number = found.groups() if found else ("", None, None)
    if name == "argmax" and option is None:
        return Argmax()
    if name not in _RULES or option != _RULES[name][0]:
        raise ValueError(f"rule: expected one of {NAMES}, got {text!r}")
    _, enumerated, sampled = _RULES[name]
    if name != "softmax" and not candidates:
        raise ValueError(
            f"rule {name}: say what the sets are: candidates = 'enumerated' (all answers there are) or 'sampled' "
            "(draws of the reference), in the schema"
        )
    value = _number(str(number), f"rule {name}: {option}", whole=name == "best_of")
    return (sampled if candidates == "sampled" else enumerated)(**{str(option): value})


def _number(text: str, where: str, whole: bool) -> float | int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if whole and not (1 <= value <= MOST_KEPT and value == int(value)):
        raise ValueError(f"{where}: expected a whole number in 1..{MOST_KEPT}, got {text!r}")
    if not SMALLEST <= value <= LARGEST:
        raise ValueError(f"{where}: expected a number > 0 (from {SMALLEST:g} to {LARGEST:g}), got {text!r}")
    return int(value) if whole else value


def rule_text(rule: DecisionRule) -> str:
    """The one spelling of a rule: what `rule_of` reads.

    rule: a built-in one with plain numbers; else `ValueError`
    """
    if type(rule) is Argmax:
        return "argmax"
    for name, (option, *types) in _RULES.items():
        if type(rule) in types:
            return f"{name}({option}={_plain(getattr(rule, option))})"
    raise ValueError(f"rule {type(rule).__name__}: has no spelling; expected one of {NAMES}")


def _plain(value: Any) -> str:
    """A number without exponent, as short as reads back to the same double."""
    text = f"{Decimal(repr(float(value))):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def kl_divergence(decisions: Array, available: Array, log_ref: Array) -> Array:
    """KL(policy || reference) of enumerated sets, in nats, `[...]`: sum_k d_k log(d_k / p_k), exact.

    decisions: `[..., K]` of a rule, which sum to 1 over the available alternatives
    available: `[..., K]` bool
    log_ref: `[..., K]` log of the reference, up to a constant of the set; 0: uniform
    """
    logs = log_softmax(jnp.broadcast_to(log_ref, available.shape), available)
    taken = available & (decisions > 0)
    ratio = jnp.log(jnp.where(taken, decisions, 1)) - jnp.where(taken, logs, 0)
    return jnp.sum(jnp.where(taken, decisions * ratio, 0), -1)


def best_of_kl_bound(n: int) -> float:
    """log n - (n - 1) / n, in nats: no best-of-n of independent draws is further from its reference, and it is this far
    where rewards have no atoms. It says nothing of the best n of a finite pool.

    n: >= 1
    """
    if not n >= 1:
        raise ValueError(f"n: expected a number >= 1, got {n!r}")
    return float(np.log(n) - (n - 1) / n)
