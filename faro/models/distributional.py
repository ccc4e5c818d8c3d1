"""A law of the reward in place of a number: who has context that the model does not see makes rewards uncertain."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Choices

from .base import InputSpec, Model, Prediction, at_least
from .networks import Perceptron, features, hidden

NODES = 64  # of an alternative's own law, where there are more than two
HEADS = ("normal", "atoms")
WIDEST = 5.0  # |log of a deviation|, at most: where there is no noise it would run away, and take the slope along
TINY, NEVER = 1e-30, -1e30


@dataclasses.dataclass(frozen=True)
class Distributional(Model):
    """Rewards are drawn, of each alternative on its own, and the largest is chosen:

        P(choice) = P(reward_k > reward_j for all others j),        reward_k ~ law(x_k, z)

    normal: N(m, s^2), a network gives m and log s. Of two, Phi((m_1 - m_2) / sqrt(s_1^2 + s_2^2)); of more a mean over
        quantiles of each one's own law. Only ratios are known: an outside option is N(0, 1), and without one the weight
        decay alone holds the scale; |log s| < 5, for where nothing is uncertain s would run to 0
    atoms: a distribution on so many atoms of [0, 1], ties shared, exactly; an outside option is in the middle. Choices
        tell the order of rewards alone, so these are ranks, and their mean is no mean of utilities

    The reward of a `Prediction` is the mean. What varies between choices with the same features, as a goal that raters
    have and nobody wrote down, is in the law, and not in the mean. Source: DPL, arXiv 2312.08358; its released code has
    sigmoid(z sqrt(2 pi)) for Phi(z), which differs by up to .095, and two alternatives only.

    head: "normal" or "atoms"
    widths: units of each hidden layer; (): linear
    activation: of the hidden units, as `MLP` has it
    atoms: how many, of the head of that name, >= 2
    """

    head: str = "normal"
    widths: tuple[int, ...] = (16,)
    activation: str = "gelu"
    atoms: int = 10

    def __post_init__(self):
        if self.head not in HEADS:
            raise ValueError(f"head: expected one of {', '.join(HEADS)}, got {self.head!r}")
        at_least(self, atoms=2)
        hidden(self.widths, self.activation)

    def _network(self) -> Perceptron:
        return Perceptron(tuple(self.widths), self.activation, 2 if self.head == "normal" else self.atoms)

    def init(self, key, spec):
        return self._network().init(key, features(InputSpec.of(spec).example()))["params"]

    def law(self, params: Any, choices: Choices) -> tuple[Array, Array]:
        """Of the alternatives with items: means and deviations `[n, J]` each of "normal"; atoms `[atoms]`, and how
        probable each is `[n, J, atoms]`, of "atoms".

        params: of the model
        choices: n choices
        """
        said: Any = self._network().apply({"params": params}, features(choices))
        if self.head == "normal":
            return said[..., 0], jnp.exp(WIDEST * jnp.tanh(said[..., 1] / WIDEST))
        return jnp.linspace(0.0, 1.0, self.atoms, dtype=said.dtype), jax.nn.softmax(said)

    def moments(self, params: Any, choices: Choices) -> tuple[Array, Array]:
        """Means and variances of the reward, `[n, J]` each.

        params: of the model
        choices: n choices
        """
        first, second = self.law(params, choices)
        if self.head == "normal":
            return first, second**2
        mean = second @ first
        return mean, jnp.maximum(second @ first**2 - mean**2, 0)

    def hidden_context(self, params: Any, choices: Choices) -> float:
        """Share of the variance of rewards that features explain, in [0, 1], over the alternatives that are there:
        Var(mean) / (Var(mean) + E[variance]). The lower, the more hangs on what the model does not see, or on noise.

        params: of the model
        choices: n choices
        """
        mean, variance = self.moments(params, choices)
        there = (choices.available & ~choices.outside)[:, : mean.shape[1]]
        between, within = jnp.var(mean, where=there), jnp.mean(variance, where=there)
        return float(between / (between + within))

    def quantile(self, params: Any, choices: Choices, share: float = 0.01) -> Array:
        """A reward for who is averse to risk, `[n, J]`: the quantile of each alternative's law.

        params: of the model
        choices: n choices
        share: in (0, 1)
        """
        if not 0 < share < 1:
            raise ValueError(f"share: expected a number between 0 and 1, got {share}")
        first, second = self.law(params, choices)
        if self.head == "normal":
            return first + second * jax.scipy.special.ndtri(share)
        return first[jnp.argmax(jnp.cumsum(second, -1) >= share, -1)]

    def apply(self, params, choices):
        first, second = self.law(params, choices)
        k, out = choices.shape[1], choices.outside
        if self.head == "normal":
            mean, spread = (_with(part, k, rest) for part, rest in ((first, 0.0), (second, 1.0)))
            mean, spread = jnp.where(out, 0, mean), jnp.where(out, 1, spread)
            logs = of_normals(mean, spread, choices.available)
            return Prediction(first, logs)
        middle = np.abs(np.arange(self.atoms) - (self.atoms - 1) / 2) < 1
        half = jnp.asarray(middle / middle.sum(), second.dtype)
        own = jnp.where(out[..., None], half, _with(second, k, 0.0))
        return Prediction(second @ first - 0.5, of_atoms(own, choices.available))


def _with(inside: Array, k: int, rest: float) -> Array:
    """`[n, J, ...]` with a number for each of the K - J outside options."""
    of_rest = jnp.full((len(inside), k - inside.shape[1], *inside.shape[2:]), rest, inside.dtype)
    return jnp.concatenate([inside, of_rest], axis=1)


def of_normals(mean: Array, spread: Array, available: Array) -> Array:
    """log P(k is the largest) of independent normal laws, `[n, K]`; very negative where unavailable.

    mean, spread: `[n, K]`, spread > 0
    available: `[n, K]` bool
    """
    k = mean.shape[1]
    if k == 2:
        margin = (mean[:, 0] - mean[:, 1]) / jnp.sqrt(spread[:, 0] ** 2 + spread[:, 1] ** 2)
        both = jax.scipy.special.log_ndtr(jnp.stack([margin, -margin], -1))
        alone = jnp.where(available, 0.0, NEVER)
        return jnp.where(available.all(-1, keepdims=True), both, alone)
    nodes = jax.scipy.special.ndtri((jnp.arange(NODES) + 0.5) / NODES).astype(mean.dtype)
    own = mean[..., None] + spread[..., None] * nodes  # [n, K, NODES]
    below = jax.scipy.special.log_ndtr((own[:, :, None] - mean[:, None, :, None]) / spread[:, None, :, None])
    rivals = available[:, None, :, None] & ~jnp.eye(k, dtype=bool)[:, :, None]
    logs = jax.nn.logsumexp(jnp.where(rivals, below, 0).sum(2), -1)
    return jax.nn.log_softmax(jnp.where(available, logs, NEVER))


def of_atoms(chances: Array, available: Array) -> Array:
    """log P(k is the largest) of independent laws on the same atoms, in their order, ties shared, `[n, K]`; exact.

        sum_b p_k(b) integral over t in [0, 1] of prod_j (P_j(below b) + t p_j(b))

    whose integrand is a polynomial: t is who wins a tie. Very negative where unavailable.

    chances: p, `[n, K, atoms]`
    available: `[n, K]` bool
    """
    k = chances.shape[1]
    points, share = np.polynomial.legendre.leggauss((k + 1) // 2)
    below = jnp.cumsum(chances, -1) - chances
    found = jnp.zeros(available.shape, chances.dtype)
    for point, weight in zip(((points + 1) / 2).tolist(), (share / 2).tolist(), strict=True):
        up_to = jnp.where(available[..., None], below + point * chances, 1)
        others = jnp.stack([jnp.delete(up_to, own, 1).prod(1) for own in range(k)], 1)
        found += weight * (chances * others).sum(-1)
    return jnp.where(available, jnp.log(jnp.maximum(found, TINY)), NEVER)
