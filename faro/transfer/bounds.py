"""From rewards to policies pi ~ pi_ref exp(r / beta): what is known, each with the conditions under which it holds.

    tanh         one prompt, or a prompt and its twin with one reference: TV <= tanh(oscillation / (4 beta)), attained
                 by two atoms; a gap between groups moves by the sum of two means of it
    Wasserstein  two answers, uniform reference, laws of margins within prompts: gap <= W1 / (4 beta)
    variance     expected rewards on finite sets: d E[r] / d(1/beta) = Var(r), so a gap grows by the integral of
                 differences of variances

All loosen as 1 / beta. A bound of 1 or more says nothing. That means, or whole laws, of rewards over prompts are equal
bounds no policy: docs/transfer.md, where all of this is derived. The policy: Rafailov et al. 2023, equation 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid
from scipy.stats import wasserstein_distance

from ..errors import DataError, UsageError

STEPS = 2001  # of the integral over 1 / beta


def _temperature(beta: Any) -> float:
    if not (np.isfinite(beta) and beta > 0):
        raise UsageError(f"beta: expected a number > 0, got {beta!r}")
    return float(beta)


def tilt_bound(oscillation: ArrayLike, beta: float) -> NDArray[np.float64]:
    """tanh(oscillation / (4 beta)): total variation between two policies whose rewards on the same answers, with the
    same reference, differ by a function of this oscillation. Attained by two answers.

    oscillation: `[...]` max - min over answers of r (against the reference itself) or of r - r' (against a twin), >= 0
    beta: > 0, in units of the rewards
    """
    values = np.asarray(oscillation, float)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise DataError("oscillation: expected finite numbers >= 0; an unbounded reward has no bound of this kind")
    return np.tanh(values / (4 * _temperature(beta)))


def mean_move(rewards: ArrayLike, available: ArrayLike, beta: float) -> NDArray[np.float64]:
    """Of every prompt by how much the policy can move the probability of anything from its reference, `[n]`: a gap of
    groups a and b is within the reference's gap by the mean of this over a and over b.

    rewards: `[n, K]`
    available: `[n, K]` bool
    beta: > 0, in units of the rewards
    """
    rewards, available = np.asarray(rewards, float), np.asarray(available, bool)
    high, low = np.where(available, rewards, -np.inf).max(1), np.where(available, rewards, np.inf).min(1)
    return tilt_bound(high - low, beta)


def twin_oscillation(rewards: ArrayLike, twins: ArrayLike, available: ArrayLike) -> NDArray[np.float64]:
    """Oscillation of r(x, y) - r(x', y) over the answers of a prompt, `[n]`: for `tilt_bound`, which then bounds how
    far policies on a prompt and on its twin are apart. Adding a constant to a prompt changes nothing.

    rewards: `[n, K]` of the prompt
    twins: `[n, K]` of the same answers to its twin; the reference of both is to be the same
    available: `[n, K]` bool
    """
    if not np.shape(rewards) == np.shape(twins) == np.shape(available):
        raise DataError(f"twins: expected the same answers for both, {np.shape(rewards)}, got {np.shape(twins)}")
    moved = np.asarray(rewards, float) - np.asarray(twins, float)
    there = np.asarray(available, bool)
    return np.where(there, moved, -np.inf).max(1) - np.where(there, moved, np.inf).min(1)


def wasserstein_bound(
    first: ArrayLike, second: ArrayLike, beta: float,
    first_weights: ArrayLike | None = None, second_weights: ArrayLike | None = None, *,
    answers: int = 2, uniform: bool = True,
) -> float:  # fmt: skip
    """W1(law of margins in one group, law in the other) / (4 beta): the gap of mean probabilities of one of two
    answers, since sigma(margin / beta) is 1 / (4 beta)-Lipschitz in the margin.

    first: `[n]` margins within prompts of one group, reward of the one answer less that of the other
    second: `[m]` of the other group
    beta: > 0, in units of the rewards
    first_weights: `[n]` >= 0; None: 1
    second_weights: `[m]` likewise
    answers: of every prompt; `UsageError` for more than 2
    uniform: whether the reference takes both alike; `UsageError` if not
    """
    if answers != 2 or not uniform:
        raise UsageError(
            f"wasserstein: it is about two answers with a uniform reference, not {answers} answers"
            + ("" if uniform else " with another reference")
        )
    apart = wasserstein_distance(np.ravel(first), np.ravel(second), first_weights, second_weights)
    return float(apart) / (4 * _temperature(beta))


def _moments(rewards: NDArray, logs: NDArray, tilt: float) -> tuple[NDArray, NDArray]:
    """Mean and variance of the rewards of every prompt under the policy at 1 / beta = tilt."""
    with np.errstate(invalid="ignore"):
        scores = np.where(np.isfinite(logs), logs + tilt * rewards, -np.inf)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    policy = powers / powers.sum(1, keepdims=True)
    mean = (policy * rewards).sum(1)
    return mean, (policy * (rewards - mean[:, None]) ** 2).sum(1)


def _prepared(rewards: ArrayLike, group: ArrayLike, log_ref: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray]:
    values, member = np.asarray(rewards, float), np.asarray(group, bool)
    if not np.isfinite(values).all():
        raise DataError("rewards: expected finite numbers on finite sets; use log_ref = -inf for what is not there")
    if member.all() or not member.any():
        raise DataError("group: expected prompts of two groups")
    return values, member, np.zeros_like(values) if log_ref is None else np.asarray(log_ref, float)


def reward_gap(rewards: ArrayLike, group: ArrayLike, beta: float, log_ref: ArrayLike | None = None) -> float:
    """Mean expected reward of the policy over the prompts of the group, less that over the others.

    rewards: `[n, K]` of finite sets
    group: `[n]` bool
    beta: > 0, in units of the rewards; inf: the reference itself
    log_ref: `[n, K]` of the reference, -inf where there is no answer; None: uniform
    """
    values, member, logs = _prepared(rewards, group, log_ref)
    mean, _ = _moments(values, logs, 0.0 if np.isinf(beta) else 1 / _temperature(beta))
    return float(mean[member].mean() - mean[~member].mean())


def reward_gap_by_variance(
    rewards: ArrayLike, group: ArrayLike, beta: float, log_ref: ArrayLike | None = None
) -> float:
    """The same by the identity: gap of the reference + integral over s from 0 to 1 / beta of (mean variance of rewards
    within prompts of the group - that of the others) ds. Never further from the reference's gap than R^2 / (4 beta), R
    the range of the rewards.

    rewards: `[n, K]` of finite sets
    group: `[n]` bool
    beta: > 0, in units of the rewards
    log_ref: `[n, K]` of the reference, -inf where there is no answer; None: uniform
    """
    values, member, logs = _prepared(rewards, group, log_ref)
    tilts = np.linspace(0, 1 / _temperature(beta), STEPS)
    within = [_moments(values, logs, tilt)[1] for tilt in tilts]
    differences = [variance[member].mean() - variance[~member].mean() for variance in within]
    return reward_gap(values, member, np.inf, logs) + float(trapezoid(differences, tilts))
