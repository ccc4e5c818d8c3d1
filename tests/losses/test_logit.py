"""Losses of choices against closed forms: what they are equal to, and what holds of them on average."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

import constraints as ct
from constraints.alternatives import pieces
from faro import losses
from faro.models import Seen

N, K = 30, 3


def choices(available: np.ndarray, chosen: np.ndarray) -> ct.Choices:
    return ct.make_choices(np.zeros((*chosen.shape, 1)), chosen, available=available)


def seen(scores: np.ndarray) -> Seen:
    return Seen(pieces(jnp.asarray(scores)), None, {})


@pytest.fixture
def given(x64):
    """Scores, which alternatives there are, and which of them was chosen."""
    rng = np.random.default_rng(0)
    available = np.ones((N, K), bool)
    available[::3, 2] = False
    chosen = np.where(available, rng.random((N, K)), -1).argmax(1)
    return rng.normal(size=(N, K)), available, np.eye(K)[chosen]


def logit(scores, available, chosen):
    """By scipy."""
    return -(chosen * log_softmax(np.where(available, scores, -1e3), 1)).sum(1)


def of(loss: losses.Loss, scores, available, chosen) -> np.ndarray:
    return np.asarray(jax.jit(loss.per_choice)(seen(scores), choices(available, chosen)))


def test_logit_is_that_of_scipy(given):
    np.testing.assert_allclose(of(losses.Logit(), *given), logit(*given), atol=1e-7)


def test_smoothed_is_the_logit_of_smoothed_labels(given):
    scores, available, chosen = given
    smooth = 0.8 * chosen + 0.2 * available / available.sum(1, keepdims=True)
    np.testing.assert_allclose(of(losses.Smoothed(share=0.2), *given), logit(scores, available, smooth), atol=1e-6)


def test_noisy_is_the_logit_of_true_labels_on_average_over_noise(given):
    scores, available, chosen = given
    rate, others = 0.3, available.sum(1, keepdims=True) - 1
    mean = np.zeros(N)
    for label in np.eye(K):  # every label that noise could make of the true one
        chance = (np.where(chosen > 0, 1 - rate, rate / others) * available) @ label
        there = np.where((available @ label > 0)[:, None], label, chosen)  # a label that is not there has no chance
        mean += chance * of(losses.Noisy(rate=rate), scores, available, there)
    np.testing.assert_allclose(mean, logit(scores, available, chosen), atol=1e-5)


def test_pairs_are_the_logit_of_two_and_the_mean_over_rivals_of_more(given):
    scores, available, chosen = given
    two = scores[:, :2], np.ones((N, 2), bool), np.eye(2)[np.arange(N) % 2]
    np.testing.assert_allclose(of(losses.Pairwise(), *two), logit(*two), atol=1e-6)
    rivals = []
    for own, there, won in zip(scores, available, chosen.argmax(1), strict=True):
        rivals.append(np.mean([np.log1p(np.exp(own[j] - own[won])) for j in range(K) if there[j] and j != won]))
    np.testing.assert_allclose(of(losses.Pairwise(), *given), rivals, atol=1e-6)
