"""Losses and metrics against scikit-learn and against definitions written out again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import constraints as ct
from constraints.testing import example_choices
from faro import metrics, models


def ece(rewards, choices):
    """From rewards, in one call."""
    return metrics.ece(*map(np.asarray, metrics.top_label(rewards, choices)), np.asarray(choices.weight))


def accept_reject(n=300, d=4, seed=0):
    """A classification table as choices against the outside option, the applicant first."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.integers(0, 2, n)
    items = np.zeros((n, 2, d))
    items[:, 0] = x
    outside = np.tile([False, True], (n, 1))
    return x, y, ct.make_choices(items, 1 - y, outside=outside, weight=rng.uniform(0.5, 2, n))


@pytest.mark.slow
def test_accept_reject_is_logistic_regression(x64):
    """Loss and gradient of the linear model equal scikit-learn's to 1e-6, also at its optimum."""
    x, y, choices = accept_reject()
    weight = np.asarray(choices.weight)
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(x, y, sample_weight=weight)
    rng = np.random.default_rng(1)
    for w, b in ((rng.normal(size=4), 0.3), (reference.coef_[0], reference.intercept_[0])):
        params = {"intercept": jnp.asarray(b), "item": jnp.asarray(w)}

        def loss(p):
            return metrics.nll(models.rewards(models.Linear(), p, choices), choices)

        value, gradient = jax.value_and_grad(loss)(params)
        p = 1 / (1 + np.exp(-(x @ w + b)))
        assert value == pytest.approx(log_loss(y, p, sample_weight=weight), abs=1e-9)
        expected = (weight * (p - y)) @ np.c_[x, np.ones(len(y))] / weight.sum()
        np.testing.assert_allclose(np.append(gradient["item"], gradient["intercept"]), expected, atol=1e-9)
    assert np.abs(np.append(gradient["item"], gradient["intercept"])).max() < 1e-6


def test_the_loss_is_the_conditional_logit_over_available_alternatives():
    choices = example_choices(n=20)
    rewards = jnp.asarray(np.random.default_rng(0).normal(size=choices.shape))
    total = 0.0
    for i in range(20):
        mask = np.asarray(choices.available[i])
        p = np.exp(rewards[i][mask]) / np.exp(rewards[i][mask]).sum()
        total += float(choices.weight[i]) * -(np.asarray(choices.chosen[i])[mask] * np.log(p)).sum()
    assert float(metrics.nll(rewards, choices)) == pytest.approx(total / float(choices.weight.sum()), rel=1e-5)


@pytest.mark.slow
def test_many_alternatives_take_the_other_path_to_the_same_numbers():
    """`constraints.alternatives` unrolls few alternatives; with unavailable ones added, results must not change."""
    few = example_choices(n=20, k=4)
    wide = jnp.zeros((20, 30))

    def widen(leaf, fill):
        return jnp.concatenate([leaf, jnp.full_like(wide, fill, dtype=leaf.dtype)], 1)

    many = ct.Choices(
        items=jnp.zeros((20, 34, 1)),
        available=widen(few.available, False),
        chosen=widen(few.chosen, 0),
        weight=few.weight,
        unit=few.unit,
        outside=widen(few.outside, False),
    )
    rewards = jnp.asarray(np.round(np.random.default_rng(0).normal(size=few.shape), 1))
    padded = jnp.concatenate([rewards, wide + 5], 1)
    for rule in (ct.Argmax(), ct.Softmax(temperature=0.5), ct.KLTilted(beta=2.0)):
        ours, theirs = ct.decide(rule, rewards, few).decisions, ct.decide(rule, padded, many).decisions
        np.testing.assert_allclose(theirs[:, :4], ours, atol=1e-6)
        assert not np.any(theirs[:, 4:])
    for metric in (metrics.nll, metrics.accuracy, metrics.ties, metrics.spread, ece):
        assert float(metric(padded, many)) == pytest.approx(float(metric(rewards, few)), abs=1e-6)
    gradients = [jax.grad(metrics.nll)(r, c) for r, c in ((rewards, few), (padded, many))]
    np.testing.assert_allclose(gradients[1][:, :4], gradients[0], atol=1e-6)


def test_a_tie_in_float64_is_one_in_float32():
    rng = np.random.default_rng(4)
    items, weights = rng.normal(size=(400, 2, 30)), 10 * rng.normal(size=30)
    items[:40, 1] = items[:40, 0, ::-1]  # the same sum, added up in another order
    weights = weights + weights[::-1]
    with jax.enable_x64(True):
        choices = ct.make_choices(items=items, chosen=np.eye(2)[np.zeros(400, int)])
        exact = np.asarray(metrics.tied(jnp.asarray(items @ weights), choices))
        single = jnp.asarray(items.astype(np.float32) @ weights.astype(np.float32))
        assert (np.asarray(single[:40, 0] != single[:40, 1])).any()  # else there is nothing to see
        rounded = np.asarray(metrics.tied(single, choices))
    assert exact.tolist() == rounded.tolist() == [True] * 40 + [False] * 360


def test_accuracy_shares_ties_and_is_expected_accuracy_under_soft_labels():
    rewards = jnp.array([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0]])
    choices = ct.make_choices(np.zeros((3, 2, 1)), np.array([[1, 0], [0.7, 0.3], [0.2, 0.8]]), weight=[1, 2, 1])
    assert float(metrics.accuracy(rewards, choices)) == pytest.approx((0.5 + 2 * 0.7 + 0.8) / 4)
    assert float(metrics.ties(rewards, choices)) == pytest.approx(0.25)


def test_ece_does_not_depend_on_the_order_of_rows_that_are_as_sure_as_each_other():
    rng = np.random.default_rng(0)
    sure, label, weight = rng.choice([0.5, 0.6, 0.9], 400), rng.integers(0, 2, 400) * 1.0, rng.uniform(0.5, 2, 400)
    orders = [rng.permutation(400) for _ in range(5)]
    assert np.ptp([metrics.ece(sure[rows], label[rows], np.ones(400)) for rows in orders]) < 1e-12
    found = [metrics.ece(sure[rows], label[rows], weight[rows]) for rows in orders]
    assert np.ptp(found) < 1e-3  # but for the one row whose weight is on both sides of an edge
    by_value = [(weight * (sure - label))[sure == value].sum() for value in (0.5, 0.6, 0.9)]
    assert 0 < found[0] <= np.abs(by_value).sum() / weight.sum() + 1e-12  # bins that two share may cancel
    constant = metrics.ece(np.full(400, 0.7), label, weight)
    assert constant == pytest.approx(abs(0.7 - np.average(label, weights=weight)))
    assert np.isnan(metrics.ece(sure[:0], label[:0], weight[:0]))


def test_ece_by_hand_and_for_calibrated_rewards():
    rng = np.random.default_rng(0)
    n = 30_000
    reward = np.stack([rng.normal(size=n), np.zeros(n)], 1)
    p = 1 / (1 + np.exp(-reward[:, 0]))
    choices = ct.make_choices(np.zeros((n, 2, 1)), (rng.random(n) > p).astype(int))
    confidence, label = np.maximum(p, 1 - p), np.where(p > 0.5, choices.chosen[:, 0], choices.chosen[:, 1])
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, 15)
    expected = sum(len(b) / n * abs(confidence[b].mean() - label[b].mean()) for b in bins)
    assert float(ece(jnp.asarray(reward), choices)) == pytest.approx(expected, abs=1e-4)
    assert expected < 0.02
    assert float(ece(3 * jnp.asarray(reward), choices)) > 0.08  # overconfident: must be seen
