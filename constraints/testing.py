"""The contract that every constraint keeps: `check_constraint(constraint, choices)`. Run it on your own.

`example_choices` makes data with everything that tends to be forgotten: ties, unavailable alternatives, padding, split
votes, unequal weights, attributes that do not apply, outside options, twins of both kinds, strata, an empty group.
"""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._choices import ANOTHER, Attribute, Choices, Twin, make_choices
from ._constraint import Constraint, Statistics, add
from ._outcome import Argmax, DecisionRule, Outcome, Softmax, decide
from ._rate import RateConstraint

GROUP = Attribute("group", ("a", "b", "c", "empty"))
KIND = Attribute("kind", ("x", "y"))
COMMUNITY = Attribute("community", ("north", "south"), chooser=True)


def example_choices(n: int = 60, k: int = 4, seed: int = 0) -> Choices:
    """Random choices with the attributes `GROUP` (an alternative's), `KIND` (an alternative's), `COMMUNITY` (the
    chooser's), and twins for `GROUP`, `COMMUNITY` and with `ANOTHER` person."""
    rng = np.random.default_rng(seed)
    available = rng.random((n, k)) < 0.85
    available[:, 0] = True
    outside = np.zeros((n, k), bool)
    outside[: n // 3, 0] = True
    label = np.where(available, rng.random((n, k)) + 0.01, 0)
    votes = np.eye(k)[np.argmax(label, 1)]
    votes[::5] = (label / label.sum(1, keepdims=True))[::5]  # split votes
    inside = available & ~outside
    group = np.where(inside & (rng.random((n, k)) < 0.9), rng.integers(0, 3, (n, k)), -1)
    kind = np.where(inside, rng.integers(0, 2, (n, k)), -1)
    community = np.repeat(rng.integers(0, 2, (n, 1)), k, 1)
    weight = rng.uniform(0.5, 2, n)
    weight[-3:] = 0
    items, context = rng.normal(size=(n, k, 3)), rng.normal(size=(n, 2))
    valid = rng.random((n, k, 4)) < 0.95
    return make_choices(
        items,
        votes,
        context=context,
        available=available,
        outside=outside,
        attributes={"group": group, "kind": kind, "community": np.where(inside, community, -1)},
        weight=weight,
        unit=np.arange(n) // 3,
        twins={
            "group": Twin(items=jnp.asarray(rng.normal(size=(n, k, 4, 3))), valid=jnp.asarray(valid)),
            "community": Twin(context=jnp.asarray(rng.normal(size=(n, 2, 2))), valid=jnp.ones((n, k, 2), bool)),
            ANOTHER: Twin(
                unit=jnp.arange(n)[::-1, None] // 3,
                valid=jnp.asarray(inside & (np.arange(n) % 4 > 0)[:, None])[..., None],
            ),
        },
    )


def with_columns(constraint: Constraint, choices: Choices, seed: int = 0) -> Choices:
    """The choices with made-up numbers, positive and of different sizes, in the columns that the constraint reads and
    the choices lack."""
    rng = np.random.default_rng(seed)
    made = {name: rng.lognormal(1, 1, choices.shape) for name in constraint.columns() if name not in choices.columns}
    columns = {name: jnp.asarray(np.where(choices.inside, values, 0)) for name, values in made.items()}
    return choices.replace(columns={**choices.columns, **columns})


class Probe:
    """A constraint, choices, random rewards with ties, and what the constraint says of them."""

    def __init__(self, constraint: Constraint, choices: Choices, seed: int):
        self.constraint, self.choices = constraint, choices
        self.rng = np.random.default_rng(seed)
        self.rewards: tuple[Array, dict[str, Array]] = (self._draw(choices.shape), {})
        for name in constraint.twins():
            _require(name in choices.twins, f"twins: the constraint needs twins of {name!r}, the choices have none")
            self.rewards[1][name] = self._draw(choices.twins[name].valid.shape)
        shape = jax.eval_shape(lambda: constraint.measure(self._decide(Argmax(), self.rewards, choices), choices)).shape
        m = len(constraint.labels())
        _require(shape == (m,), f"labels: {m} labels for measurements of shape {shape}; give one label per number")
        self.traces = 0
        self.evaluate = jax.jit(self._evaluate)
        self.violation, self.proxy, self.statistics, _ = self.evaluate(constraint, self.rewards, choices)

    def _draw(self, shape: tuple[int, ...]) -> Array:
        return jnp.asarray(np.round(self.rng.normal(size=shape), 1))  # rounded: ties occur

    @staticmethod
    def _decide(rule: DecisionRule, rewards: tuple[Array, dict[str, Array]], choices: Choices) -> Outcome:
        return decide(rule, jnp.where(choices.outside, 0, rewards[0]), choices, rewards[1])

    def _evaluate(
        self, constraint: Constraint, rewards: Any, choices: Choices
    ) -> tuple[Array, Array, Statistics, Array]:
        self.traces += 1
        rows = constraint.prepare(choices)
        masses = constraint.masses(rows)
        soft = Statistics(constraint.proxy_sums(self._decide(Softmax(), rewards, choices), rows), masses)
        hard = Statistics(constraint.sums(self._decide(Argmax(), rewards, choices), rows), masses)
        bounds, measured = constraint.bounds(), constraint.combine(hard)
        return measured - bounds, constraint.combine(soft) - bounds, hard, measured

    def again(self, clause: str, rows: Any, weight: Any) -> None:
        """The violations must not change when the rows are taken like this and their weights multiplied."""
        moved = self.choices.take(rows)
        moved = moved.replace(weight=moved.weight * weight)
        measured = self.evaluate(self.constraint, jax.tree.map(lambda leaf: leaf[rows], self.rewards), moved)
        _same(clause, measured[0], self.violation)
        _same(f"{clause} (proxy)", measured[1], self.proxy)


def _require(holds: Any, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _same(clause: str, got: Any, expected: Any) -> None:
    _require(np.shape(got) == np.shape(expected), f"{clause}: shape {np.shape(got)}, expected {np.shape(expected)}")
    got, expected = np.asarray(got), np.asarray(expected)
    worst = np.max(
        np.abs(got - expected) / np.maximum(1, np.abs(expected)), initial=0
    )  # measures have units of their own
    _require(worst <= 2e-5, f"{clause}: differs by {worst:.3g}")


def labels_are_unique_and_numbers_finite(probe: Probe) -> None:
    """Labels are unique; a row without data measures 0, never NaN; an infinite bound leaves measurements finite."""
    labels = probe.constraint.labels()
    _require(len(set(labels)) == len(labels), "labels: not unique")
    for name, value in (("measure", probe.violation), ("proxy", probe.proxy)):
        _require(np.isfinite(np.asarray(value)).all(), f"{name}: not finite; a row without data measures 0")
    free = np.asarray(probe.evaluate(probe.constraint.at(jnp.inf), probe.rewards, probe.choices)[-1])
    _require(np.isfinite(free).all(), "measure: not finite at bound inf, at which every sweep begins")


def configuration_is_static(probe: Probe) -> None:
    """Eager and jit agree, a pickled copy neither differs nor retraces, and a sweep is vmap over the numbers."""
    constraint = probe.constraint

    def seen(c: Constraint) -> Array:
        return probe.evaluate(c, probe.rewards, probe.choices)[0]

    outcome = probe._decide(Argmax(), probe.rewards, probe.choices)
    _same("jit: differs from eager", constraint.violation(outcome, probe.choices), seen(constraint))
    before = probe.traces
    _same("pickle: the copy differs", seen(pickle.loads(pickle.dumps(constraint))), probe.violation)
    _require(probe.traces == before, "static fields: an equal copy retraced; configuration must compare by value")
    pair = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), constraint)
    _same("vmap over the constraint's numbers", jax.vmap(seen)(pair), jnp.stack([probe.violation] * 2))


def gradients_are_where_they_belong(probe: Probe) -> None:
    """The proxy has a finite gradient for every inequality that has data; the truth has none."""
    soft, hard = jax.jit(jax.jacobian(lambda r: probe.evaluate(probe.constraint, r, probe.choices)[:2][::-1]))(
        probe.rewards
    )
    labels = probe.constraint.labels()
    slopes = np.concatenate([np.asarray(leaf).reshape(len(labels), -1) for leaf in jax.tree.leaves(soft)], 1)
    _require(np.isfinite(slopes).all(), "proxy: gradient not finite")
    active = np.asarray(probe.proxy + probe.constraint.bounds()) != 0
    flat = [label for label, row, on in zip(labels, slopes, active, strict=True) if on and not np.abs(row).any()]
    _require(not flat, f"proxy: no gradient for {flat[:3]}; every inequality with data must move with the rewards")
    still = not any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(hard))
    _require(still, "truth: hard decisions must carry no gradient")


def only_people_count(probe: Probe) -> None:
    """Row order, the unit of weight, splitting a row into two of half the weight, and padding are invisible."""
    n = probe.choices.shape[0]
    everyone, ones = np.arange(n), jnp.ones(n)
    twice = np.concatenate([everyone, everyone])
    probe.again("row order is visible", probe.rng.permutation(n), ones)
    probe.again("the unit of weight is visible", everyone, 3 * ones)
    probe.again("splitting a row into two of half the weight is visible", twice, jnp.concatenate([ones, ones]) / 2)
    probe.again("padding (weight 0) is visible", twice, jnp.concatenate([ones, 0 * ones]))


def weights_count(probe: Probe) -> None:
    """A row of twice the weight counts as the row and its copy."""
    n = probe.choices.shape[0]
    some = probe.rng.integers(1, 3, n)
    heavier = probe.choices.replace(weight=probe.choices.weight * some)
    rows = np.concatenate([np.arange(n), np.arange(n)])
    copies = probe.choices.take(rows)
    copies = copies.replace(weight=copies.weight * jnp.concatenate([jnp.ones(n), jnp.asarray(some - 1.0)]))
    repeated = probe.evaluate(probe.constraint, jax.tree.map(lambda leaf: leaf[rows], probe.rewards), copies)
    _same(
        "weight: a row of weight 2 is not two rows",
        probe.evaluate(probe.constraint, probe.rewards, heavier)[0],
        repeated[0],
    )
    ignored = probe.choices.replace(weight=probe.choices.weight * (some > 1))
    rest = probe.evaluate(probe.constraint, probe.rewards, ignored)
    flipped = jax.tree.map(
        lambda leaf: jnp.where((some > 1).reshape(-1, *[1] * (leaf.ndim - 1)), leaf, -leaf), probe.rewards
    )
    _same("weight: a row of weight 0 is seen", probe.evaluate(probe.constraint, flipped, ignored)[0], rest[0])


def statistics_add_up(probe: Probe) -> None:
    """Statistics of two halves add up to those of the whole, and `events_of_cells` leaves out no member of a rate."""
    first = jnp.arange(probe.choices.shape[0]) < probe.choices.shape[0] // 2
    halves = [
        probe.evaluate(probe.constraint, probe.rewards, probe.choices.replace(weight=probe.choices.weight * half))[2]
        for half in (first, ~first)
    ]
    whole = probe.constraint.combine(add(*halves)) - probe.constraint.bounds()
    _same("statistics of two halves do not add up", whole, probe.violation)
    for part in probe.constraint.parts():
        if isinstance(part, RateConstraint):
            rows = part.prepare(probe.choices)
            lays = (rows, rows._replace(by_pair=None))
            laid, summed = (part.total(jnp.ones_like(rows.share), members) for members in lays)
            size = jnp.maximum(summed, 1)
            _same(f"{part.name()}: events_of_cells leaves out members", laid / size, summed / size)


def unavailable_alternatives_are_invisible(probe: Probe) -> None:
    """The reward of an alternative that is not available changes nothing."""
    hidden = ~np.asarray(probe.choices.available)
    twins = {name: jnp.where(hidden[..., None], 1e3, twin) for name, twin in probe.rewards[1].items()}
    noise = (jnp.where(hidden, 1e3, probe.rewards[0]), twins)
    measured = probe.evaluate(probe.constraint, noise, probe.choices)
    _same("an unavailable alternative's reward is visible", measured[0], probe.violation)
    _same("an unavailable alternative's reward is visible (proxy)", measured[1], probe.proxy)


def the_bound_bounds_the_gap(probe: Probe) -> None:
    """One gap per part; `satisfied` compares it with the bound; inequalities that hold prove it is within the bound."""
    constraint, parts = probe.constraint, len(probe.constraint.parts())
    gap = np.asarray(constraint.gap(probe.statistics))
    _require(gap.shape == (parts,), f"gap: shape {gap.shape}, expected one per part, ({parts},)")
    near = 1e-3 * max(1.0, float(np.abs(gap).max()))
    for shift, expected in ((near, True), (-near, False)):
        got = bool(constraint.at(float(gap.max()) + shift).satisfied(probe.statistics))
        _require(got == expected, f"satisfied: {got} at a bound {shift:+g} from the gap")
    tight = constraint.at(float(gap.max()) - near)
    worst = np.max(np.asarray(tight.combine(probe.statistics) - tight.bounds()))
    _require(worst > 0, "gap: over the bound although every inequality holds")


def certificates_count_what_is_measured(probe: Probe) -> None:
    """Where a certificate is possible: values are in [0, 1], `affine` is right, and the gap is that of the rates that
    `compared` names, counted one by one (`RateConstraint.counts`)."""
    outcome = probe._decide(Argmax(), probe.rewards, probe.choices)
    for part in probe.constraint.parts():
        if isinstance(part, RateConstraint) and part.certifiable_as() in ("counts", "scores"):
            wrong = miscounted(part, outcome, probe.choices)
            _require(not wrong, f"{part.name()}: {wrong}")


def miscounted(part: RateConstraint, outcome: Outcome, choices: Choices) -> str:
    """How `counts` and `compared` say something else than the gap that is measured; "" where they do not."""
    counts = part.counts(outcome, choices)
    cell, share, value = (np.asarray(array, float) for array in counts)
    counted = cell >= 0
    if np.any((value[counted] < -1e-6) | (value[counted] > 1 + 1e-6)):
        return "decision_values: expected values in [0, 1]"
    if (affine := part.affine()) is not None and not part.twins():  # of twins it is of their decisions
        expected = affine[0] + affine[1] * np.asarray(outcome.decisions, float)[..., None]
        if np.any(np.abs(value - expected)[counted] > 1e-5):
            return "affine: `decision_values` is another function of the decision"
    if (compared := part.compared()) is None:
        return ""
    blocks, groups, paired = compared
    if len(blocks) * len(groups) != len(part.cells()):
        return f"compared: {len(blocks)} blocks of {len(groups)} groups, but {len(part.cells())} cells"
    index, size = cell[counted].astype(int), len(part.cells())
    masses = np.bincount(index, share[counted], size)
    sums = np.bincount(index, (share * value)[counted], size)
    rates = np.divide(sums, masses, out=np.full(size, np.nan), where=masses > 0).reshape(len(blocks), len(groups))
    if paired:
        high, low = np.fmax.reduce(rates, 1), np.fmin.reduce(rates, 1)
        counted_gap = np.nanmax(high - low, initial=0)
    else:
        counted_gap = np.nanmax(rates, initial=0)
    gap = float(part.gap(part.statistics(outcome, choices))[0])
    if abs(gap - counted_gap) > 2e-5 * max(1, abs(gap)):
        return f"compared: the gap is {gap:.6g}, that of the rates it names {counted_gap:.6g}"
    return ""


CLAUSES = (
    labels_are_unique_and_numbers_finite,
    configuration_is_static,
    gradients_are_where_they_belong,
    only_people_count,
    weights_count,
    statistics_add_up,
    unavailable_alternatives_are_invisible,
    the_bound_bounds_the_gap,
    certificates_count_what_is_measured,
)


def _tried_on(constraint: Constraint, choices: Choices | None, seed: int) -> Choices:
    return with_columns(constraint, example_choices(seed=seed), seed) if choices is None else choices


def reads_coding(constraint: Constraint, choices: Choices | None = None, seed: int = 0) -> str:
    """ "" if the measurement stays the same when features are coded in other ways, else what to do about it.

    Features in `items` and `context` are standardised and in no order that anybody promised, so what a constraint reads
    there is in no units. They are scaled, shifted and put in another order here, the rewards held.
    """
    choices = _tried_on(constraint, choices, seed)
    probe, rng = Probe(constraint, choices, seed), np.random.default_rng(seed)

    def recoded(tree: Any) -> Any:
        def other(leaf: Any) -> Any:
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                return leaf
            return 3.0 * leaf[..., ::-1] + rng.normal(size=leaf.shape[-1:]).astype(leaf.dtype)

        return jax.tree.map(other, tree)

    twins = {
        name: dataclasses.replace(twin, items=recoded(twin.items), context=recoded(twin.context))
        for name, twin in choices.twins.items()
    }
    moved = choices.replace(items=recoded(choices.items), context=recoded(choices.context), twins=twins)
    try:
        _same("", probe.evaluate(constraint, probe.rewards, moved)[0], probe.violation)
    except AssertionError:
        return (
            f"{constraint.name()} reads coded features (`items` or `context`): standardised, in no units, and in no "
            "order to rely on; name what it reads in `columns` and take it from `choices.columns`"
        )
    return ""


def try_clauses(constraint: Constraint, choices: Choices | None = None, seed: int = 0) -> dict[str, str]:
    """What every clause of the contract says of a constraint: its name -> "" if it holds, else what breaks it."""
    results = {}
    try:
        probe = Probe(constraint, _tried_on(constraint, choices, seed), seed)
    except Exception as error:  # a constraint of somebody's own may fail in any way
        return {"it can be measured": _said(error)}
    for clause in CLAUSES:
        try:
            clause(probe)
            results[clause.__name__.replace("_", " ")] = ""
        except Exception as error:
            results[clause.__name__.replace("_", " ")] = _said(error)
    return results


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, AssertionError) else f"{type(error).__name__}: {lines[0]}"


def check_constraint(constraint: Constraint, choices: Choices | None = None, seed: int = 0) -> None:
    """Raise `AssertionError` naming the clause of the contract (`CLAUSES`) that `constraint` breaks on these choices.

    Without `choices` it is tried on `example_choices()`; a constraint on attributes of its own needs its own choices.
    """
    probe = Probe(constraint, _tried_on(constraint, choices, seed), seed)
    for clause in CLAUSES:
        clause(probe)
