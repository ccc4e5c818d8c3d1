"""What gives reason to doubt what training came to, as notes: what was measured, beside what it would be by chance.

constant     a log-likelihood that is no better than that of a constant, which looks at no feature
parameters   more of them than choices to train on
apart        a gap on dev larger than the draw of people makes it, given that on train and groups of this size

    chance    gap of rates  train rate + z sqrt(s rate (1 - rate) (1 / people on train + 1 / people on dev))

with z normal, the people of a cell as `AttainableRange.people` counts them, and s = 2 where somebody counts in several
cells, whose rates then lean against each other: two of them differ by no more than that.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from constraints import AttainableRange, Choices, Compared, Constraint, RateConstraint

from ..store import columns

DRAWS = 4000
SURE = 0.99  # of the draws are below the end that chance is said to reach
ROUNDING = 1e-6  # nats
LEAST = 1e-12  # probability of what a constant takes for impossible


class Cells(NamedTuple):
    """The cells of a part whose rates its bound compares: who is compared, how many people each has on train and dev
    `[C]`, and whether somebody counts in several."""

    compared: Compared
    train: np.ndarray
    dev: np.ndarray
    shared: bool

    @classmethod
    def of(cls, part: Constraint, train: AttainableRange, dev: AttainableRange) -> Cells | None:
        """Of a part; None where its gap is no comparison of rates of decisions."""
        compared = part.compared() if isinstance(part, RateConstraint) and part.affine() else None
        if compared is None:
            return None
        return cls(compared, np.array(train.people), np.array(dev.people), train.shared or dev.shared)

    def chance(self, rates: np.ndarray) -> float:
        """Below which gap most draws of people are, if what is true of everybody is these rates `[C]`."""
        there = (self.train > 0) & (self.dev > 0) & np.isfinite(rates)
        people = np.where(there, 1 / np.maximum(self.train, 1) + 1 / np.maximum(self.dev, 1), 0)
        known = np.where(there, rates, 0)
        spread = np.sqrt((1 + self.shared) * known * (1 - known) * people)
        drawn = np.clip(known + spread * _normal(len(rates)), 0, 1)
        return float(np.quantile(_gaps(np.where(there, drawn, np.nan), self.compared), SURE))


@functools.lru_cache(maxsize=8)
def _normal(cells: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((DRAWS, cells))


def _gaps(rates: np.ndarray, compared: Compared) -> np.ndarray:
    """The gap of every draw of rates `[D, C]`; NaN: a cell without people."""
    blocks = rates.reshape(len(rates), -1, len(compared.groups))
    high = np.where(np.isnan(blocks), -np.inf, blocks).max(2)
    low = np.where(np.isnan(blocks), np.inf, blocks).min(2) if compared.paired else 0.0
    return np.where(np.isfinite(high), high - low, 0.0).max(1)


class Apart(NamedTuple):
    """A gap on dev that chance does not explain, given the one on train: the part, and what chance makes of it."""

    name: str
    bound: float
    seed: int
    train: float
    dev: float
    chance: float

    @property
    def said(self) -> str:
        """In numbers, for whom it was measured on."""
        return (
            f"the gap is {self.dev:.3f} on dev and {self.train:.3f} on train; in groups of this size chance makes it "
            f"at most {self.chance:.3f} ({100 * SURE:.0f} %)"
        )


def apart(constraint: Constraint, about: Mapping[str, Any], cells: Mapping[str, Cells]) -> tuple[Apart, ...]:
    """The parts of the constraint whose dev gap is further above the train gap than chance explains, for the model that
    `about` is about."""
    names, figures = [part.name() for part in constraint.parts()], about["figures"]
    gap_of = {part: dict(zip(names, columns.gaps(part, names), strict=True)) for part in ("train", "dev")}
    found = []
    for name, own in cells.items():
        train, dev = (float(figures[gap_of[part][name]]) for part in ("train", "dev"))
        rates = [float(figures[column]) for column in columns.rates_in(figures, "train", names, name).values()]
        if not (math.isfinite(train) and math.isfinite(dev)):
            continue
        chance = own.chance(np.array(rates))
        if dev > chance:
            found.append(Apart(name, max(map(float, about["bound"])), about["seed"], train, dev, chance))
    return tuple(found)


class Doubts(NamedTuple):
    """What gives reason to doubt one model: of its seed, the log-losses of the unconstrained model that are none lower
    than a constant's, part -> (its own, the constant's), and how many parameters there are where they exceed the
    choices to train on, (parameters, choices); and of its own gaps those that chance does not explain."""

    seed: int
    constant: Mapping[str, tuple[float, float]]
    exceed: tuple[int, int] | None
    apart: tuple[Apart, ...] = ()


def of_seed(figures: Mapping[str, Any], constants: Mapping[str, float], parameters: int, seed: int) -> Doubts:
    """The doubts of a seed, from the figures of its unconstrained model, the log-loss of a constant by part, and how
    many parameters there are."""
    losses = {part: (float(figures[columns.figure(part, "nll")]), constant) for part, constant in constants.items()}
    no_better = {part: pair for part, pair in losses.items() if pair[0] >= pair[1] - ROUNDING}
    return Doubts(seed, no_better, exceeding(parameters, int(figures[columns.figure("train", "n")])))


def exceeding(parameters: int, choices: int) -> tuple[int, int] | None:
    """Parameters and choices to train on, if there are more of the first."""
    return (parameters, choices) if parameters > choices else None


def said(found: Sequence[Doubts]) -> list[str]:
    """The sentences about one model, or about all models of a run."""
    seeds = {own.seed: own for own in found}
    sentences = []
    if no_better := [own for own in seeds.values() if own.constant]:
        parts = dict.fromkeys(part for own in no_better for part in own.constant)
        pairs = {part: [own.constant[part] for own in no_better if part in own.constant] for part in parts}
        measured = " and ".join(
            f"{np.mean([own for own, _ in pair]):.3f} on {part} ({np.mean([least for _, least in pair]):.3f})"
            for part, pair in pairs.items()
        )
        sentences.append(
            f"without a constraint the model predicts no better than a constant: nll {measured}"
            f"{_of_seeds(no_better, seeds)}; punish parameters more, or take fewer features"
        )
    if exceed := [own for own in seeds.values() if own.exceed]:
        parameters, choices = np.transpose([own.exceed for own in exceed if own.exceed])
        sentences.append(
            f"more parameters ({parameters.max():,}) than choices to train on ({choices.min():,})"
            f"{_of_seeds(exceed, seeds)}: how they are punished decides what they say"
        )
    far = [gap for own in found for gap in own.apart]
    for name in dict.fromkeys(gap.name for gap in far):
        of_part = [gap for gap in far if gap.name == name]
        worst = max(of_part, key=lambda gap: gap.dev - gap.chance)
        where = "without a bound" if math.isinf(worst.bound) else f"at bound {worst.bound:.4g}"
        among = f"; so {where}, seed {worst.seed}; chance does not explain {len(of_part)} of {len(found)} models"
        sentences.append(f"{name}: {worst.said}{among if len(found) > 1 else ''}")
    return sentences


def _of_seeds(some: Sequence[Doubts], seeds: Mapping[int, Doubts]) -> str:
    """Of which seeds it holds, where that is not all of them."""
    return "" if len(some) == len(seeds) else f" (seed {', '.join(str(own.seed) for own in some)})"


def constant_losses(train: Iterable[Choices], judged: Mapping[str, Iterable[Choices]], sides: bool) -> dict[str, float]:
    """The mean log-loss of a constant on the shards of each part it is judged on, in nats: the better of one
    probability for all alternatives, and of how often on train the outside option was chosen or, where `sides` mean
    something, each. Train is read once, and not at all where there is neither."""
    rates = functools.cache(lambda: _rates(train, sides))
    return {part: _constant_loss(rates, shards, sides) for part, shards in judged.items()}


def _constant_loss(rates: Callable[[], Any], judged: Iterable[Choices], sides: bool) -> float:
    losses, total = np.zeros(2), 0.0
    for choices in judged:
        available, chosen = np.asarray(choices.available, float), np.asarray(choices.chosen, float)
        constants = [available / np.maximum(available.sum(1, keepdims=True), 1)] * 2
        outside = available * np.asarray(choices.outside)
        if sides or outside.any():
            odds = available * rates() if sides else _with_outside(available, outside, rates())
            constants[1] = odds / np.maximum(odds.sum(1, keepdims=True), LEAST)
        weight = np.asarray(choices.weight, float)
        losses += [-(chosen * np.log(np.maximum(own, LEAST))).sum(1) @ weight for own in constants]
        total += weight.sum()
    return float(losses.min() / total)


def _with_outside(available: np.ndarray, outside: np.ndarray, rate: float) -> np.ndarray:
    """Odds `[n, K]`: the outside option at its rate, the others alike."""
    rivals = available - outside
    odds = outside * rate + rivals * (1 - rate) / np.maximum(rivals.sum(1, keepdims=True), 1)
    return np.where(outside.any(1, keepdims=True), odds, available)


def _rates(train: Iterable[Choices], sides: bool) -> Any:
    """How often each side was chosen where it was there `[K]`, or the outside option."""
    chosen, there = 0.0, 0.0
    for own in train:
        weight, counts = np.asarray(own.weight, float)[:, None], np.asarray(own.available)
        counts = counts if sides else counts & np.asarray(own.outside)
        share = np.asarray(own.chosen, float) * counts
        chosen = chosen + (weight * (share if sides else share.sum(1, keepdims=True))).sum(0)
        there = there + (weight * (counts if sides else counts.any(1, keepdims=True))).sum(0)
    return chosen / np.maximum(there, LEAST)
