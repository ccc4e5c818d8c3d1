"""Twins of a model with probabilities of its own: what a scored table holds of them decides as the model does."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
from faro.store.rewards import _as_rewards


@pytest.mark.parametrize("outside", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("k", [2, 4])
def test_decisions_on_twins_are_those_of_the_model(k, outside, x64):
    rng = np.random.default_rng(k)
    n, levels = 60, 3
    out = np.zeros((n, k), bool)
    out[:, -1] = outside
    made = ct.make_choices(rng.normal(size=(n, k - outside, 1)), np.eye(k)[np.zeros(n, int)], outside=out)
    there = rng.random((n, k)) < 0.8
    there[:, 0] = True
    made = made.replace(available=jnp.asarray(there))
    log = jax.nn.log_softmax
    scores = log(jnp.where(there, rng.normal(size=(n, k)), -1e30), -1)
    of_chooser = log(jnp.where(there[..., None], rng.normal(size=(n, k, levels)), -1e30), 1)
    alone = jnp.where(there[:, None, :, None], rng.normal(size=(n, k, k, levels)), -1e30)
    if k == 2:  # a tie
        alone = alone.at[0, 0].set(alone[0, 0, :1])
    alone = log(alone, 2)
    shift = jnp.sum(jnp.where(made.outside & there, scores, 0), -1, keepdims=True)
    rewards = jnp.where(made.outside, 0, scores - shift)
    valid = jnp.ones((n, k, levels), bool)
    for context, moved in ((jnp.zeros((n, levels, 0)), of_chooser), (None, alone)):
        choices = made.replace(twins={"t": ct.Twin(valid=valid, items=None, context=context)})
        for rule in (ct.Argmax(), ct.Softmax()):
            own = ct.decide(rule, rewards, choices, {"t": valid * 0.0}, scores=scores, twin_scores={"t": moved})
            told = ct.decide(rule, rewards, choices, {"t": _as_rewards(moved, rewards, choices)})
            assert np.allclose(own.decisions, told.decisions, atol=1e-12)
            if isinstance(rule, ct.Argmax) or context is not None or k == 2:
                inside = np.asarray(there & ~made.outside)
                assert np.allclose(own.twins["t"].decisions[inside], told.twins["t"].decisions[inside], atol=1e-12)
