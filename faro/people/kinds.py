"""Kinds of people by expectation and maximisation: latent classes of a table, with restarts, outside of any training.

    P(person's choices) = sum_g share_g  prod over the person's choices i of  softmax(x_i w_g)[chosen_i]

A round deals every person to the kinds, in the proportions of that sum (soft) or wholly to the likeliest (hard), and
refits each kind on its people by Newton's steps under a ridge. It ends in a maximum near its start, so there are
several starts, and the likeliest end is taken. `faro.models.LatentClass` is the same law as a model.

Kinds are numbered by chance, the largest first. From one choice between two of each person they are not identified:
half of a taste and half of its opposite is a coin, as no taste at all is. Then `Kinds.doubt` says so.

Sources: Kamakura and Russell 1989; MaxMin-RLHF, arXiv 2402.08925 (hard); what is identified: EM-DPO, arXiv 2510.15716.
"""

from __future__ import annotations

import functools
import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import log_softmax

from ..errors import UsageError
from .mixed_logit import Panel, check

STEPS = 4  # of Newton in a round: the next begins where they end
NOT_IDENTIFIED = (
    "nobody made more than one choice, and every choice is between two: kinds are not identified, for half of a taste "
    "and half of its opposite is a coin; ask each person twice, or about three alternatives"
)


ALIKE = "all kinds choose alike, so who is of which is not told by the choices; one kind says the same"
SAME = 1e-4  # of log-probabilities of all choices of a person


class Kinds(NamedTuple):
    """G kinds of people, the largest first.

    share: `[G]`, sums to 1
    weights: `[G, D]`
    member: of every person, how probable each kind is after the choices, `[P, G]`; who made none has the shares
    log_likelihood: of all choices, in nats
    ends: the same of every start, `[R]`: where few reach the best, take more of them
    doubt: why kinds mean nothing, or ""
    """

    share: np.ndarray
    weights: np.ndarray
    member: np.ndarray
    log_likelihood: float
    ends: np.ndarray
    doubt: str


def fit(
    panel: Panel,
    kinds: int,
    *,
    restarts: int = 5,
    rounds: int = 50,
    ridge: float = 0.5,
    hard: bool = False,
    seed: int = 0,
) -> Kinds:
    """The kinds of greatest penalised likelihood over all starts.

    panel: choices of people
    kinds: G >= 1; 1 is the pooled fit
    restarts: starts, each a random deal of the people
    rounds: of each start
    ridge: r of r |w_g|^2 / 2, > 0: what is separable has no end without
    hard: whether a person is of one kind wholly while it is fitted, as MaxMin-RLHF has it; a kind may be left without
        people
    seed: of the deals

    `UsageError` for numbers out of range.
    """
    counts = (kinds, restarts, rounds)
    if any(not isinstance(of, numbers.Integral) or of < 1 for of in counts) or not 0 < ridge < np.inf or seed < 0:
        raise UsageError(
            "kinds: expected at least one kind, start and round, a ridge above 0 and a seed of 0 or more, got "
            f"{kinds}, {restarts}, {rounds}, {ridge}, {seed}"
        )
    check(panel)
    people = int(panel.person.max()) + 1
    deals = np.random.default_rng(seed).dirichlet(np.ones(kinds), (restarts, people))
    if hard:
        deals = np.eye(kinds)[deals.argmax(-1)]
    run = functools.partial(_run, rounds=rounds, hard=hard)
    share, weights = jax.vmap(run, (None, 0, None))(panel, jnp.asarray(deals, panel.features.dtype), ridge)
    logs = jax.vmap(lambda own, at: jnp.log(own) + _told(panel, at, people))(share, weights)  # [R, P, G]
    ends = np.asarray(jax.nn.logsumexp(logs, -1).sum(-1))
    best = int(np.argmax(ends - ridge / 2 * np.asarray(jnp.sum(weights**2, (1, 2)))))
    order = np.argsort(-np.asarray(share[best]), kind="stable")
    member = np.asarray(jax.nn.softmax(logs[best]))[:, order]
    made = np.bincount(np.asarray(panel.person), np.asarray(panel.weight) > 0, people)
    once = made.max(initial=0) <= 1 and np.asarray(panel.available).sum(-1).max(initial=0) <= 2
    apart = float(
        jnp.ptp(logs[best] - jnp.log(share[best]), axis=1).max()
    )  # of what any person's choices tell of kinds
    doubt = "" if kinds == 1 else NOT_IDENTIFIED if once else ALIKE if not apart > SAME else ""
    return Kinds(
        np.asarray(share[best])[order], np.asarray(weights[best])[order], member, float(ends[best]), ends, doubt
    )


def _told(panel: Panel, weights: Array, people: int) -> Array:
    """log probability of each person's choices under each kind, `[P, G]`."""

    def of_kind(own: Array) -> Array:
        logs = log_softmax(panel.features @ own, panel.available)
        said = jnp.where(panel.chosen > 0, panel.chosen * logs, 0).sum(-1)
        return jax.ops.segment_sum(panel.weight * said, panel.person, people)

    return jax.vmap(of_kind, out_axes=1)(weights)


@functools.partial(jax.jit, static_argnames=("rounds", "hard"))
def _run(panel: Panel, deal: Array, ridge: Array, rounds: int, hard: bool) -> tuple[Array, Array]:
    people, kinds = deal.shape
    size = panel.features.shape[-1]

    def refit(own: Array, member: Array) -> Array:
        """Weights of one kind after Newton's steps on its people."""
        weight = panel.weight * member[panel.person]

        def step(_: Any, own: Array) -> Array:
            chances = jnp.exp(log_softmax(panel.features @ own, panel.available))
            unit = jnp.eye(size, dtype=own.dtype)
            slope = jnp.einsum("n,nk,nkd->d", weight, chances - panel.chosen, panel.features) + ridge * own
            centred = panel.features - jnp.einsum("nk,nkd->nd", chances, panel.features)[:, None]
            curved = jnp.einsum("n,nk,nkd,nke->de", weight, chances, centred, centred) + ridge * unit
            along = jnp.linalg.solve(curved, slope)
            moved = jnp.where(panel.available, panel.features @ along, 0)
            most = jnp.max(jnp.abs(moved), initial=0)  # of any score: twice that of a margin, at which the loss falls
            return own - along * jnp.where(most > 0, jnp.log1p(2 * most) / jnp.maximum(2 * most, 1e-12), 1)

        return jax.lax.fori_loop(0, STEPS, step, own)

    def turn(_: Any, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        member, weights, _ = state
        weights = jax.vmap(refit)(weights, member.T)
        share = jnp.maximum(member.mean(0), 1e-12)
        logs = jnp.log(share) + _told(panel, weights, people)
        dealt = jax.nn.one_hot(logs.argmax(-1), kinds, dtype=logs.dtype) if hard else jax.nn.softmax(logs)
        return dealt, weights, share

    begun = deal, jnp.zeros((kinds, size), deal.dtype), jnp.full(kinds, 1 / kinds, deal.dtype)
    _, weights, share = jax.lax.fori_loop(0, rounds, turn, begun)
    return share, weights
