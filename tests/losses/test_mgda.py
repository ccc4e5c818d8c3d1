"""The shortest mixture of groups' gradients: closed forms, what makes it the shortest, where training by it ends."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
import faro
from faro.losses import MGDA, Logit
from faro.losses.mgda import shortest
from faro.models import Linear, predict
from faro.training.players import products


def test_of_two_it_is_the_published_formula(x64):
    both = np.random.default_rng(0).normal(size=(20, 2, 3)) * [[1], [3]]
    found = jax.vmap(shortest)(jnp.asarray(both @ both.transpose(0, 2, 1)))
    first, second = both.transpose(1, 0, 2)
    along = ((second - first) * second).sum(-1) / ((first - second) ** 2).sum(-1)
    np.testing.assert_allclose(found[:, 0], np.clip(along, 0, 1), atol=1e-12)
    assert 0 < (along < 0).mean() + (along > 1).mean() < 1  # both a corner and the inside


@pytest.mark.parametrize("groups", [3, 8, 16])
def test_the_shortest_mixture_goes_down_for_every_group(groups, x64):
    slopes = np.random.default_rng(groups).normal(size=(groups, 20)) + 0.5
    share = np.asarray(shortest(jnp.asarray(slopes @ slopes.T)))
    mixed = share @ slopes
    assert np.isclose(share.sum(), 1) and (share >= 0).all()
    assert (slopes @ mixed >= mixed @ mixed - 1e-4).all()  # a step along it lowers every loss: no shorter one does
    equal = slopes.mean(0)
    assert (slopes @ equal).min() < (slopes @ mixed).min()  # the control: equal shares


def test_who_is_not_there_has_no_say():
    np.testing.assert_allclose(shortest(jnp.asarray([[0.0, 0, 0], [0, 4, 2], [0, 2, 2]])), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(shortest(jnp.zeros((4, 4))), 0.25)


def test_slopes_are_those_of_the_parameters():
    weights = jnp.asarray([[1.0, 2.0], [0.5, -1.0]])
    found = products(lambda params: weights @ params["w"] + params["b"], {"w": jnp.ones(2), "b": jnp.ones(())})
    np.testing.assert_allclose(found, weights @ weights.T + 1, rtol=1e-6)


@pytest.mark.slow
def test_training_ends_where_no_step_serves_all_groups():
    data = faro.load("demo-people")
    who = ct.Grouping(data.attributes["community"])
    given = {"settings": {"steps": 120, "primal": "adam"}, "attribute": "community", "bound": float("inf")}
    model = faro.train(data, "group_error", loss=MGDA(who=who), **given)
    objective, choices = MGDA(who=who), data.choices(model.coding, data.rows(("train", "dual"), 0), dtype=np.float32)
    rows = objective.prepare(choices, ())

    def losses(params):
        sums = choices.weight * Logit().per_choice(predict(Linear(), params, choices), choices) @ rows
        return objective.parts(sums, objective.masses(choices, rows))

    def shortest_square(params):
        inner = products(losses, params)
        share = shortest(inner)
        return float(share @ inner @ share), float(jnp.max(jnp.diagonal(inner)))

    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), model.params)
    ended, steepest = shortest_square(params)
    began, _ = shortest_square(jax.tree.map(jnp.zeros_like, params))
    assert ended < 0.02 * min(steepest, began)
