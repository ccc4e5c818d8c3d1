"""The surrogate: its gradient is that of REINFORCE at the policy that answered; clipping, lengths, divergences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faro.errors import UsageError
from faro.policies import clipped, divergence, exact_divergence

pytestmark = pytest.mark.usefixtures("x64")


def some(seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, (3, 4))
    mask = np.arange(5) < lengths[..., None]
    return jnp.asarray(-rng.random((3, 4, 5))), jnp.asarray(rng.normal(size=(3, 4))), jnp.asarray(mask)


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("length", ["answer", "constant"])
def test_gradient_where_nothing_moved_is_the_advantage(level, length):
    logs, advantages, mask = some()
    gradient = jax.grad(lambda now: clipped(now, logs, advantages, mask, level=level, length=length).sum())(logs)
    share = 1 / 5 if length == "constant" else 1 / mask.sum(-1, keepdims=True)
    np.testing.assert_allclose(gradient, mask * advantages[..., None] * share, atol=1e-12)


def test_what_gained_enough_or_lost_enough_has_no_gradient_left():
    old, mask = jnp.zeros((1, 4, 1)), jnp.ones((1, 4, 1), bool)
    now, advantages = jnp.log(jnp.asarray([1.5, 0.5, 1.5, 0.5]))[None, :, None], jnp.asarray([[1.0, -1, -1, 1]])
    gradient = jax.grad(lambda now: clipped(now, old, advantages, mask).sum())(now)[0, :, 0]
    np.testing.assert_allclose(gradient, [0, 0, -1.5, 0.5])
    np.testing.assert_allclose(clipped(now, old, advantages, mask)[0], [1.2, -0.8, -1.5, 0.5])


def test_a_ratio_of_a_sequence_is_the_mean_of_its_tokens():
    logs, advantages, mask = some()
    now = logs + 0.1
    found = clipped(now, logs, advantages, mask, level="sequence")
    np.testing.assert_allclose(found, advantages * np.exp(0.1), atol=1e-12)
    with pytest.raises(UsageError, match="expected token or sequence, got 'word'"):
        clipped(now, logs, advantages, mask, level="word")


def test_estimate_of_the_divergence_has_its_mean():
    rng = np.random.default_rng(0)
    law, reference = (np.log(rng.dirichlet(np.ones(4), 3)) for _ in range(2))
    exact = exact_divergence(jnp.asarray(law), jnp.asarray(reference))
    each = divergence(jnp.asarray(law)[..., None], jnp.asarray(reference)[..., None], jnp.ones((3, 4, 1), bool))
    assert (np.asarray(each) >= 0).all()
    np.testing.assert_allclose((np.exp(law) * each).sum(1), exact, atol=1e-12)
    nowhere = jnp.asarray([[0.0, -1e30]])
    assert float(exact_divergence(nowhere, jnp.log(jnp.asarray([[0.5, 0.5]])))[0]) == pytest.approx(np.log(2))
