"""A claim of the policy, what the certificate says of it, and the comparisons that it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

EVENTS = {
    "equalized_odds": ("chosen", "rejected"),
    "equal_opportunity": ("chosen",),
    "predictive_equality": ("rejected",),
    "group_error": ("chosen",),
}
CAPS = (
    "counterfactual_flip", "counterfactual_oscillation", "rate_cap", "rate_floor", "group_error", "plugin_cap",
)  # fmt: skip
FLOORS = ("welfare_floor", "welfare_tail")
ROLES = ("aggregate", "model")  # of a floor, in place of groups
TABLES = ("mixture", "head_optimum")


class Comparison(NamedTuple):
    """Rate of `high` minus rate of `low` in a block, or of `high` alone; `upper` where it has one of its own."""

    block: str
    high: str
    low: str | None
    status: str
    upper: Decimal | None

    @property
    def name(self) -> str:
        pair = f"{self.high} - {self.low}" if self.low is not None else self.high or "everyone"
        return f"{self.block}: {pair}" if self.block else pair


@dataclasses.dataclass(frozen=True)
class Claim:
    """`ucb` bounds all comparisons; `lcb` is a lower bound of one of them, or of all mixtures; `breakdown` the radius
    of the largest shift that was shown not to break it. `spec` is the claim in the policy; `history` what becomes of
    earlier answers in its twins, "kept" or "rewritten"; "" where a model reads none, or there are no twins."""

    name: str
    constraint: str
    bound: Decimal
    verdict: str | None
    ucb: Decimal | None
    lcb: Decimal | None
    breakdown: Decimal | None
    groups: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    spec: Mapping[str, Any]
    record: Mapping[str, Any]
    history: str = ""


def of_twins(spec: Mapping[str, Any]) -> bool:
    """Whether a claim sets an attribute to its levels."""
    return str(spec["constraint"]).startswith("counterfactual")


def read_claim(spec: Mapping[str, Any], rules: Mapping[str, Any], record: Mapping[str, Any], verdict: Any) -> Claim:
    """The claim of this policy table, its record in the certificate ({} if none) and its verdict (None if unknown)."""
    constraint = str(spec["constraint"])
    lower = record.get("lcb")
    breakdown = record.get("breakdown")
    groups, support = _groups(spec, rules), rules.get("support")
    through = support and spec.get("attribute") in support.get("rewritten", ())
    claim = Claim(
        name=str(spec["name"]),
        constraint=constraint,
        bound=Decimal(str(spec["bound"])),
        verdict=verdict,
        ucb=_decimal(record.get("ucb")),
        lcb=_decimal(lower["value"] if isinstance(lower, Mapping) else lower),
        breakdown=_decimal(breakdown["radius"]) if breakdown else None,
        groups=groups,
        comparisons=(),
        spec=spec,
        record=record,
        history=("rewritten" if through else "kept") if support and of_twins(spec) else "",
    )
    return dataclasses.replace(claim, comparisons=tuple(_comparisons(claim, rules)))


def _decimal(text: Any) -> Decimal | None:
    if text is None:
        return None
    top, _, bottom = str(text).partition("/")
    return Decimal(top) / Decimal(bottom) if bottom else Decimal(top)


def _levels(name: Any, rules: Mapping[str, Any]) -> list[str]:
    return [str(level) for level in rules.get("attributes", {}).get(name, {}).get("levels", [])]


def _groups(spec: Mapping[str, Any], rules: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        ROLES
        if spec["constraint"] in FLOORS
        else tuple(spec.get("groups") or _levels(spec.get("attribute"), rules) or ("",))
    )


def _blocks(spec: Mapping[str, Any], rules: Mapping[str, Any]) -> list[str]:
    if "plugin" in spec:
        return [str(block) for block in spec.get("blocks", [""])]
    thresholds = spec.get("thresholds")
    within, floor = spec.get("within"), spec["constraint"] in FLOORS
    within = spec.get("attribute") if floor else within
    names = []
    for event in EVENTS.get(spec["constraint"], ("",)):
        for threshold in thresholds if isinstance(thresholds, list) else ("",):
            for stratum in spec.get("groups" if floor else "strata") or (_levels(within, rules) if within else ("",)):
                words = (event, f"reward>{threshold}" if threshold != "" else "", stratum and f"{within}={stratum}")
                names.append(", ".join(word for word in words if word))
    return names


def _comparisons(claim: Claim, rules: Mapping[str, Any]) -> list[Comparison]:
    """Every inequality of the claim. What the certificate proves of the claim as a whole, it proves of each."""
    if claim.constraint in TABLES:
        return []
    comparisons = []
    for block in _blocks(claim.spec, rules):
        for high in claim.groups:
            for low in (None,) if claim.constraint in CAPS else claim.groups:
                if low != high and (claim.constraint not in FLOORS or high == ROLES[0]):
                    upper = _own(claim, block, high, low)
                    comparisons.append(Comparison(block, high, low, _status(claim, block, high, low, upper), upper))
    return comparisons


def _own(claim: Claim, block: str, high: str, low: str | None) -> Decimal | None:
    """The upper bound of this comparison alone, from the ends of its cells; None where all share one."""
    ends = claim.record.get("ends")
    if not ends or claim.spec.get("ball"):
        return None
    cells = ends[block]
    if claim.constraint == "accuracy_ratio":
        most, least = Decimal(cells[high][1]), Decimal(cells[low][0])
        return 1 - least / most if most else Decimal(1)
    return Decimal(cells[high][1]) - (Decimal(cells[low][0]) if low is not None else 0)


def _status(claim: Claim, block: str, high: str, low: str | None, upper: Decimal | None) -> str:
    """CERTIFIED with the claim or by its own ends; REFUTED if the certificate names it; else INCONCLUSIVE."""
    if claim.verdict == "CERTIFIED":
        return "CERTIFIED"
    lower = claim.record.get("lcb")
    if claim.verdict == "REFUTED" and lower:
        if (lower["block"], lower["high"], lower["low"]) == (block, high, low):
            return "REFUTED"
        if upper is not None and upper <= claim.bound:
            return "CERTIFIED"
    return "INCONCLUSIVE"
