"""What a step of policy optimisation maximises: a clipped surrogate of advantages, less a divergence from a reference.

Log-probabilities are `[N, G, T]`, of T tokens of each answer; an answer that is one decision has T = 1.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..errors import UsageError

LEVELS = ("token", "sequence")
LENGTHS = ("answer", "constant")


def clipped(
    log_probs: Array,
    old: Array,
    advantages: Array,
    mask: Array,
    *,
    low: float = 0.2,
    high: float = 0.2,
    level: str = "token",
    length: str = "answer",
) -> Array:
    """The surrogate of every answer, `[N, G]`, whose mean is maximised.

        min(ratio A, clip(ratio, 1 - low, 1 + high) A)        ratio = pi / pi of the rollout

    log_probs: `[N, G, T]` of the policy, differentiable
    old: `[N, G, T]` of the policy that answered
    advantages: `[N, G]`
    mask: `[N, G, T]`, which tokens an answer has
    low, high: how far below and above 1 a ratio still counts
    level: "token", a ratio for each (GRPO); "sequence", the geometric mean of an answer's (GSPO, arXiv 2507.18071)
    length: "answer", the mean over its tokens; "constant", their sum over T (Dr. GRPO)

    `UsageError` for another level or length.
    """
    for word, known in ((level, LEVELS), (length, LENGTHS)):
        if word not in known:
            raise UsageError(f"surrogate: expected {' or '.join(known)}, got {word!r}")
    weight = jnp.asarray(mask, log_probs.dtype)
    tokens = weight.sum(-1)
    apart = (log_probs - old) * weight
    own = jnp.maximum(tokens, 1)
    if level == "sequence":
        ratio = jnp.exp(apart.sum(-1) / own)
        share = 1.0 if length == "answer" else tokens / mask.shape[-1]
        return share * _least(ratio, advantages, low, high)
    each = weight * _least(jnp.exp(apart), advantages[..., None], low, high)
    return each.sum(-1) / (own if length == "answer" else mask.shape[-1])


def _least(ratio: Array, advantages: Array, low: float, high: float) -> Array:
    return jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - low, 1 + high) * advantages)


def divergence(log_probs: Array, log_ref: Array, mask: Array) -> Array:
    """An estimate of the Kullback-Leibler divergence from the reference of every answer, `[N, G]`, never negative:

        sum over its tokens of  r - 1 - log r        r = pi_ref / pi

    whose mean over answers of the policy itself is the divergence. Of policies that know the law of all answers
    `exact_divergence` is without noise.

    log_probs: `[N, G, T]` of the policy
    log_ref: `[N, G, T]` of the reference
    mask: `[N, G, T]`, which tokens an answer has
    Source: J. Schulman, "Approximating KL divergence", 2020 (k3).
    """
    away = jnp.where(mask, log_ref - log_probs, 0)
    return jnp.sum(jnp.expm1(away) - away, -1)


def exact_divergence(law: Array, reference: Array) -> Array:
    """The divergence of two laws on K answers, `[N]`: sum of p (log p - log q).

    law, reference: `[N, K]` log-probabilities, very negative where there is no answer
    """
    share = jnp.exp(law)
    return jnp.sum(jnp.where(share > 0, share * (law - reference), 0), -1)
