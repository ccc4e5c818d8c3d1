"""What rewards lead to: the decision rules (softmax, argmax, KL-tilted; best-of-n is in `_best_of`) and the `Outcome`
that a constraint looks at.

Whoever measures chooses the rule, never the constraint: one definition of a gap serves the loss, the metric, the
certificate and the policy tuned on the reward.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ._choices import Choices, record
from .alternatives import highest, joined, pieces, total

UNAVAILABLE_LOGIT = -1e30  # stands for "unavailable" in float32 logits; finite, so rows of padding never make NaN


@record
class TwinOutcome:
    """What is decided where one attribute is set to each of its L levels.

    rewards: `[n, K, L]` of alternative k when set to level l
    decisions: `[n, K, L]` in [0, 1], on alternative k when k alone is set to level l (of a chooser's attribute: when
        the chooser is)
    """

    rewards: Array
    decisions: Array


@record
class Outcome:
    """All that a constraint may look at: what a model's rewards lead to under a decision rule.

    rewards: `[n, K]`, 0 for an outside option; in units of the logit, so only differences within a choice count
    decisions: `[n, K]` in [0, 1]; rows sum to 1 over the available alternatives
    twins: attribute name -> `TwinOutcome`
    available: `[n, K]` bool; None: all
    """

    rewards: Array
    decisions: Array
    twins: dict[str, TwinOutcome]
    available: Array | None = None

    def log_probabilities(self) -> Array:
        """log of the choice probabilities of the rewards, `[n, K]`, whatever the rule: the conditional logit."""
        everything = jnp.ones_like(self.rewards, bool) if self.available is None else self.available
        return log_softmax(self.rewards, everything)


class DecisionRule(abc.ABC):
    """A decision rule: turns rewards into decisions. Subclasses are frozen pytrees (`record`) with one method.

    draws: whether the alternatives are draws of a reference, so that a `log_ref` beside them is refused
    """

    draws = False

    @abc.abstractmethod
    def decide(self, rewards: Array, available: Array, log_ref: Array) -> Array:
        """Decisions `[..., K]` in [0, 1] that sum to 1 over available alternatives; 0 elsewhere.

        rewards: `[..., K]`; built-in rules take `alternatives.pieces` of them as well
        available: `[..., K]` bool
        log_ref: `[..., K]` log of the reference policy, 0 where there is none
        """

    def softened(self, temperature: Any) -> DecisionRule:
        """What the primal player differentiates in place of this rule: itself, where it has gradients.

        temperature: > 0, in units of the rewards: how soft a stand-in is; towards 0 it is the rule
        """
        return self


def _softmax(logits: Array | list[Array], available: Array) -> Array:
    there, logit_pieces = pieces(available), _masked(logits, available)
    if len(logit_pieces) == 2:  # a pair: one exponential serves both
        first = jax.nn.sigmoid(logit_pieces[0] - logit_pieces[1])
        return joined([first * there[0], (1 - first) * there[1]])
    top = jax.lax.stop_gradient(highest(logit_pieces))
    powers = [jnp.exp(piece - top) for piece in logit_pieces]
    mass = total(powers)
    return joined([power / mass * exists for power, exists in zip(powers, there, strict=True)])


def _masked(logits: Array | list[Array], available: Array, low: float = UNAVAILABLE_LOGIT) -> list[Array]:
    """Pieces of the logits, `low` where there is no alternative."""
    return [jnp.where(exists, piece, low) for piece, exists in zip(pieces(logits), pieces(available), strict=True)]


def log_softmax(logits: Array, available: Array) -> Array:
    """log of the softmax over available alternatives, `[..., K]`; very negative (about -1e30) where unavailable.

    logits: `[..., K]`
    available: `[..., K]` bool
    """
    return joined(log_softmax_pieces(logits, available))


def log_softmax_pieces(logits: Array | list[Array], available: Array) -> list[Array]:
    """log of the softmax over available alternatives, in pieces `[k, ...]` of `constraints.alternatives`: a sum over
    alternatives need not put them side by side first.

    logits: `[..., K]`, or pieces of it
    available: `[..., K]` bool
    """
    logit_pieces = _masked(logits, available)
    if len(logit_pieces) == 2:
        return list(_log_softmax_pair(logit_pieces[0] - logit_pieces[1]))
    top = jax.lax.stop_gradient(highest(logit_pieces))
    mass = top + jnp.log(total([jnp.exp(piece - top) for piece in logit_pieces]))
    return [piece - mass for piece in logit_pieces]


@jax.custom_jvp
def _log_softmax_pair(apart: Array) -> tuple[Array, Array]:
    rest = jnp.log(1 + jnp.exp(-jnp.abs(apart)))  # log1p would be exact to the last digit, and twice as slow
    return jnp.minimum(apart, 0) - rest, jnp.minimum(-apart, 0) - rest


@_log_softmax_pair.defjvp
def _log_softmax_pair_jvp(at: Any, along: Any) -> Any:
    """The logistic function: what is differentiated step by step keeps four arrays and has a kink at 0."""
    first = jax.nn.sigmoid(at[0])
    return _log_softmax_pair(at[0]), ((1 - first) * along[0], -first * along[0])


@record
class Softmax(DecisionRule):
    """softmax(rewards / temperature): differentiable; what the primal player sees. At temperature 1 these are the
    choice probabilities of the conditional logit.

    temperature: > 0, in units of the rewards; towards 0 it becomes `Argmax`
    """

    temperature: Any = 1.0

    def decide(self, rewards, available, log_ref):
        return _softmax([piece / self.temperature for piece in pieces(rewards)], available)


@record
class Argmax(DecisionRule):
    """One-hot of the best available alternative, ties shared equally; no gradient. What the dual player, reports and
    certificates see."""

    def decide(self, rewards, available, log_ref):
        masked = _masked(jax.lax.stop_gradient(rewards), available, -jnp.inf)
        dtype = masked[0].dtype
        if len(masked) == 2:
            first = jnp.where(masked[0] > masked[1], 1.0, jnp.where(masked[0] < masked[1], 0.0, 0.5)).astype(dtype)
            return joined([first, 1 - first])
        top = highest(masked)
        best = [jnp.asarray(piece == top, dtype) for piece in masked]
        share = 1 / jnp.maximum(total(best), 1)
        return joined([is_best * share * exists for is_best, exists in zip(best, pieces(available), strict=True)])

    def softened(self, temperature):
        return Softmax(temperature=temperature)


@record
class KLTilted(DecisionRule):
    """The KL-regularised optimal policy over enumerated responses:

        pi(k) = softmax_k(log_ref_k + rewards_k / beta)  maximises  E_pi[reward] - beta KL(pi || pi_ref)

    beta: > 0, in units of the rewards. `Choices.log_ref` is log pi_ref of the enumerated responses; without it pi_ref
        is uniform. For draws of pi_ref: `Resampled`
    Source: Rafailov et al. NeurIPS 2023, equation 4.
    """

    beta: Any = 1.0

    def decide(self, rewards, available, log_ref):
        both = zip(pieces(log_ref), pieces(rewards), strict=True)
        return _softmax([ref + piece / self.beta for ref, piece in both], available)


def decide(
    rule: DecisionRule,
    rewards: Array | list[Array],
    choices: Choices,
    twins: Mapping[str, Array] | None = None,
    *,
    scores: Array | list[Array] | None = None,
    twin_scores: Mapping[str, Array] | None = None,
) -> Outcome:
    """The `Outcome` of rewards under a decision rule.

    rule: from rewards to decisions
    rewards: `[n, K]`, for a built-in rule also as `alternatives.pieces`
    choices: n choices among K alternatives
    twins: rewards with an attribute set to each of its levels, name -> `[n, K, L]`
    scores: `[n, K]` what decisions are made of, where that is not the rewards (log-probabilities of a mixture)
    twin_scores: what decisions on twins are made of, likewise: of a chooser's attribute `[n, K, L]`, of an
        alternative's `[n, K, K, L]`, where the first of the two axes says who alone is set
    """
    if rule.draws and choices.log_ref is not None:
        raise ValueError(
            f"log_ref: the alternatives are draws of the reference ({type(rule).__name__}), each as often as it came; "
            "beside them it squares it: leave it out, or declare candidates = 'enumerated'"
        )
    deciding: Any = rewards if scores is None else scores
    rewards = joined(rewards)
    log_ref = jnp.zeros_like(rewards) if choices.log_ref is None else choices.log_ref
    decisions = rule.decide(deciding, choices.available, log_ref)
    decided_twins = {}
    for name, twin_rewards in (twins or {}).items():
        chooser, moved = choices.twins[name].chooser, (twin_scores or {}).get(name)
        if chooser:
            decided = _chooser_set(rule, rewards, twin_rewards if moved is None else moved, choices.available, log_ref)
        elif moved is None:
            decided = _alone_set(rule, rewards, twin_rewards, choices.available, log_ref)
        else:
            decided = _alone_decided(rule, moved, choices.available, log_ref)
        decided_twins[name] = TwinOutcome(rewards=twin_rewards, decisions=decided)
    return Outcome(rewards=rewards, decisions=decisions, twins=decided_twins, available=choices.available)


def _chooser_set(rule, rewards, twin_rewards, available, log_ref):
    """The chooser is set to level l, so every alternative's reward is that of level l."""
    decide = jax.vmap(rule.decide, in_axes=(-1, None, None), out_axes=-1)
    return decide(twin_rewards, available, log_ref)


def _alone_set(rule, rewards, twin_rewards, available, log_ref):
    """Alternative k alone is set to level l, the others stay factual; its own decision is kept."""
    if rewards.shape[-1] == 2:  # against the one other
        other = [value[..., ::-1, None] for value in (rewards, available, log_ref)]
        return _against(rule, twin_rewards, available[..., None], log_ref[..., None], *other)
    set_alone = jnp.eye(rewards.shape[-1], dtype=bool)

    def at_level(level_rewards: Array) -> Array:  # [n, K] -> [n, K]
        worlds = jnp.where(set_alone, level_rewards[..., None], rewards[..., None, :])  # [n, K (who is set), K]
        decided = rule.decide(worlds, available[..., None, :], log_ref[..., None, :])
        return jnp.sum(decided * set_alone, -1)

    return jax.vmap(at_level, in_axes=-1, out_axes=-1)(twin_rewards)


def _alone_decided(rule, worlds, available, log_ref):
    """The same from what decisions are made of in every world, `[n, K (who is set), K, L]`."""
    set_alone = jnp.eye(worlds.shape[1], dtype=bool)

    def at_level(world: Array) -> Array:
        return jnp.sum(rule.decide(world, available[..., None, :], log_ref[..., None, :]) * set_alone, -1)

    return jax.vmap(at_level, in_axes=-1, out_axes=-1)(worlds)


def _against(rule, rewards, available, log_ref, other_rewards, other_available, other_log_ref):
    """The decision on each alternative of `rewards [..., L]` in a pair with another; the others broadcast."""

    def pair(first: Array, second: Array) -> Array:
        return joined([value[None] for value in jnp.broadcast_arrays(first, second)])

    shape = jnp.broadcast_to(available, rewards.shape)
    there, ref = pair(shape, other_available), pair(jnp.broadcast_to(log_ref, rewards.shape), other_log_ref)
    return pieces(rule.decide(pair(rewards, other_rewards), there, ref))[0][0]
