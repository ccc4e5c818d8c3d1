"""The contract that every constraint keeps: `check_constraint(constraint, choices)`. Run it on your own.

`example_choices` makes data with everything that tends to be forgotten: ties, unavailable alternatives, padding, split
votes, unequal weights, attributes that do not apply, outside options, twins of both kinds, strata, an empty group.
"""

from __future__ import annotations

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._choices import Attribute, Choices, Twin, make_choices
from ._constraint import Constraint, Statistics, add
from ._outcome import Hard, Outcome, Reading, Soft, read

GROUP = Attribute("group", ("a", "b", "c", "empty"))
KIND = Attribute("kind", ("x", "y"))
COMMUNITY = Attribute("community", ("north", "south"), chooser=True)


def example_choices(n: int = 60, k: int = 4, seed: int = 0) -> Choices:
    """Random choices with the attributes `GROUP` (an alternative's), `KIND` (an alternative's), `COMMUNITY` (the
    chooser's), and twins for `GROUP` and `COMMUNITY`."""
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
        },
    )


def _outcome(reading: Reading, rewards: Any, choices: Choices) -> Outcome:
    factual, twins = rewards
    factual = jnp.where(choices.outside, 0, factual)
    return read(reading, factual, choices, {name: twins[name] for name in twins})


def check_constraint(constraint: Constraint, choices: Choices | None = None, seed: int = 0) -> None:
    """Raise `AssertionError` naming the clause of the contract that `constraint` breaks on these choices.

    One number per label, labels unique; jit, vmap and pickle change nothing and do not retrace; the proxy has a finite
    gradient for every inequality that has data, the truth has none; padding, row order, the unit of weight and the
    splitting of a row into two of half the weight are invisible; statistics add up; the gap is within the bound
    exactly when `satisfied` says so; constant ties are shared.
    """
    choices = example_choices(seed=seed) if choices is None else choices
    n, k = choices.shape
    rng = np.random.default_rng(seed)
    rewards = jnp.asarray(np.round(rng.normal(size=(n, k)), 1))  # rounded: ties occur
    twins = {}
    for name in constraint.twins():
        assert name in choices.twins, f"twins: the constraint needs twins of {name!r}, the choices have {list(choices.twins)}"
        levels = choices.twins[name].valid.shape[-1]
        twins[name] = jnp.asarray(np.round(rng.normal(size=(n, k, levels)), 1))
    rewards = (rewards, twins)

    def truth(c: Constraint, r: Any = rewards, data: Choices = choices):
        return c.violation(_outcome(Hard(), r, data), data)

    def proxy(c: Constraint, r: Any = rewards, data: Choices = choices):
        rows = c.prepare(data)
        return c.combine(Statistics(c.proxy_sums(_outcome(Soft(), r, data), rows), c.masses(rows))) - c.bounds()

    both = jax.jit(lambda c, r, data: (truth(c, r, data), proxy(c, r, data)))

    def same(clause: str, got: Any, expected: Any, tolerance: float = 2e-5) -> None:
        assert np.shape(got) == np.shape(expected), f"{clause}: shape {np.shape(got)}, expected {np.shape(expected)}"
        worst = np.max(np.abs(np.asarray(got) - np.asarray(expected)), initial=0)
        assert worst <= tolerance, f"{clause}: differs by {worst:.3g}"

    labels, m = constraint.labels(), len(constraint.labels())
    expected = truth(constraint)
    assert expected.shape == (m,), f"labels: {m} labels for measurements of shape {expected.shape}; give one label per number"
    assert proxy(constraint).shape == (m,), f"proxy: {proxy(constraint).shape} numbers for {m} labels"
    assert len(set(labels)) == m, "labels: not unique"
    assert np.isfinite(np.asarray(expected)).all(), "measure: not finite; a row without data measures 0"
    parts = len(constraint.parts())
    statistics = constraint.statistics(_outcome(Hard(), rewards, choices), choices)
    gap = constraint.gap(statistics)
    assert gap.shape == (parts,), f"gap: shape {gap.shape}, expected one per part, ({parts},)"

    traces = []

    @jax.jit
    def traced(c: Constraint):
        traces.append(1)
        return truth(c)

    same("jit: differs from eager", traced(constraint), expected)
    same("pickle: the copy differs", traced(pickle.loads(pickle.dumps(constraint))), expected)
    assert len(traces) == 1, "static fields: an equal copy retraced; configuration must compare by value"
    pair = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), constraint)
    same("vmap over the constraint's numbers", jax.vmap(truth)(pair), jnp.stack([expected] * 2))

    pull = jax.jacobian(lambda r: proxy(constraint, r))(rewards)
    slopes = np.concatenate([np.asarray(leaf).reshape(m, -1) for leaf in jax.tree.leaves(pull)], 1)
    assert np.isfinite(slopes).all(), "proxy: gradient not finite"
    active = np.asarray(constraint.measure(_outcome(Soft(), rewards, choices), choices)) != 0
    flat = [label for label, row, on in zip(labels, slopes, active, strict=True) if on and not np.abs(row).any()]
    assert not flat, f"proxy: no gradient for {flat[:3]}; every inequality with data must move with the rewards"
    still = jax.tree.leaves(jax.jacobian(lambda r: truth(constraint, r))(rewards))
    assert not any(np.any(np.asarray(leaf)) for leaf in still), "truth: hard decisions must carry no gradient"

    def again(clause: str, index: Any, weight: Any) -> None:
        moved = choices.take(index)
        moved = moved.replace(weight=moved.weight * weight)
        seen = both(constraint, jax.tree.map(lambda leaf: leaf[index], rewards), moved)
        same(clause, seen[0], expected)
        same(clause + " (proxy)", seen[1], proxy(constraint))

    everyone, ones = np.arange(n), jnp.ones(n)
    again("row order is visible", rng.permutation(n), ones)
    again("the unit of weight is visible", everyone, 3 * ones)
    twice = np.concatenate([everyone, everyone])
    again("splitting a row into two of half the weight is visible", twice, jnp.concatenate([ones, ones]) / 2)
    again("padding (weight 0) is visible", twice, jnp.concatenate([ones, 0 * ones]))

    hard = _outcome(Hard(), rewards, choices)
    first = jnp.arange(n) < n // 2
    halves = [constraint.statistics(hard, choices.replace(weight=choices.weight * half)) for half in (first, ~first)]
    same("statistics of two halves do not add up", constraint.combine(add(*halves)) - constraint.bounds(), expected)
    hidden = ~np.asarray(choices.available)
    noise = (
        jnp.where(hidden, 1e3, rewards[0]),
        {name: jnp.where(hidden[..., None], 1e3, twin) for name, twin in rewards[1].items()},
    )
    same("an unavailable alternative's reward is visible", truth(constraint, noise), expected)
    loose, tight = constraint.at(float(np.max(gap)) + 1e-3), constraint.at(float(np.max(gap)) - 1e-3)
    assert bool(loose.satisfied(statistics)), "satisfied: False although the gap is within the bound"
    assert not bool(tight.satisfied(statistics)), "satisfied: True although the gap exceeds the bound"
    largest = np.max(np.asarray(constraint.combine(statistics)))
    assert largest >= np.max(gap) - 2e-5, "gap: exceeds every measurement, so the inequalities could hold while it is over the bound"
