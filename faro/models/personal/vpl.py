"""A latent vector of a person, by an encoder of the earlier choices: amortised, so nothing is solved for a person."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices

from ..base import Model, Prediction, at_least, numeric
from . import roots, weights
from .tastes import COMMON, SETTINGS, layer, met, placed, sides

ACTIVE = 0.005  # variance over people above which a latent number is in use


class Latent(NamedTuple):
    """The normal law of the latent vector of each of U people.

    mean: `[U, q]`
    root: R of the covariance R R', `[U, q, q]`; no variance is above 1, that of the prior
    """

    mean: Array
    root: Array

    def kl(self) -> Array:
        """From the prior, `[U]` nats: (|mean|^2 + tr covariance - q - log det covariance) / 2."""
        log_det = 2 * jnp.log(jnp.diagonal(self.root, axis1=1, axis2=2)).sum(-1)
        return (jnp.sum(self.mean**2, -1) + jnp.sum(self.root**2, (1, 2)) - self.mean.shape[-1] - log_det) / 2

    def active(self) -> Array:
        """Which latent numbers differ between people, `[q]` bool; none: the encoder has collapsed."""
        return jnp.var(self.mean, 0) > ACTIVE


@dataclasses.dataclass(frozen=True)
class VPL(Model):
    """reward = common(x, z) + x . B u + network([x, u]), with u ~ N(mean, variance) by an encoder of the person's
    earlier choices; probabilities are means over points of that law.

    Every earlier choice i, as (mean of what was chosen, mean of what was not), is encoded as v_i and e_i, which add up
    as those of a product of normal laws do:

        precision = I + sum v_i v_i'        mean = precision^-1 sum e_i

    so the order of choices does not matter, without any the law is the prior's N(0, I), and no variance is above that.
    Published is a network on a set of fixed length, or attention, with independent latent numbers; also ours are the
    bilinear part, and means over points in place of one draw. Source: VPL, arXiv 2408.10075; Wu and Goodman 2018.

    size: q, latent numbers
    width: units of the hidden layer of encoder and decoder
    kl: weight of the Kullback-Leibler divergence from the prior, with its half, in nats a choice; that of the evidence
        bound is 1 over the choices of a person
    support: earlier choices of a person that are read, at most
    draws: points of the law over which probabilities are means
    dropout: share, in [0, 1), of the choices of a step of which the common part, that reads nothing of the person, is
        left out: a guard against a decoder that ignores the person (FedVPA-GP, arXiv 2605.30873)
    """

    settings: ClassVar[dict[str, Any]] = {
        **SETTINGS,
        "dual_rate": 0.1,
    }  # by 0.03 multipliers do not arrive in 120 steps
    size: int = 4
    width: int = 16
    kl: float = 0.01
    support: int = 10
    draws: int = 8
    dropout: float = 0.0

    def __post_init__(self):
        at_least(self, size=1, width=1, support=1, draws=1)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a share of at least 0 and below 1, got {self.dropout}")

    def init(self, key, spec):
        spec = numeric(spec)
        d, keys = spec.items.shape[-1], jax.random.split(key, 7)
        return {
            "common": COMMON.init(keys[0], spec),
            "encoder": {
                "hidden": layer(keys[1], 2 * (d + 1), self.width),
                "out": layer(keys[2], self.width, 2 * self.size, 0.5),
                "past": layer(keys[6], 2 * (d + 1), 2 * self.size, 0.5),
            },
            "bilinear": layer(keys[3], self.size, d, 0.5),
            "decoder": {
                "hidden": layer(keys[4], d + self.size, self.width),
                "bias": jnp.zeros(self.width),
                "out": layer(keys[5], self.width, 1, 0.1)[:, 0],
            },
        }

    def shares(self, params, interactions):
        return {**dict.fromkeys(params, 1.0), "common": COMMON.shares(params["common"], interactions)}

    def latent(self, params: Any, people: Choices) -> Latent:
        """What the encoder says of every person.

        params: of the model
        people: leading axes `[U, S]`
        """
        seen = sides(numeric(people))
        encoder = params["encoder"]
        said = jax.nn.gelu(seen @ encoder["hidden"]) @ encoder["out"] + seen @ encoder["past"]
        along, moved = jnp.split(said.reshape(*people.weight.shape, 2 * self.size) * people.weight[..., None], 2, -1)
        unit = jnp.eye(self.size, dtype=said.dtype)
        lower = roots.root(unit + jnp.einsum("usq,usr->uqr", along, along))
        root = jnp.swapaxes(roots.inverse_of_root(lower), 1, 2)
        return Latent(jnp.einsum("uqr,usr->uq", root @ jnp.swapaxes(root, 1, 2), moved), root)

    def apply(self, params, choices, *, people=None, key=None):
        people, choices = met(people, numeric(choices))
        latent = self.latent(params, people)
        points = weights.normal_points(self.draws, self.size).astype(latent.mean.dtype)
        drawn = latent.mean[:, None] + jnp.einsum("uqs,rs->urq", latent.root, points)
        common = COMMON.apply(params["common"], choices)
        if self.dropout and key is not None:
            common *= jax.random.bernoulli(key, 1 - self.dropout, common.shape[:1])[:, None]
        own, decoder = drawn[choices.unit], params["decoder"]
        inside = jnp.split(decoder["hidden"], [choices.items.shape[-1]])
        of_items = choices.items @ inside[0] + decoder["bias"]
        hidden = jax.nn.gelu(of_items[:, None] + (own @ inside[1])[:, :, None])  # [n, R, J, width]
        bent = jnp.einsum("nkd,nrd->nrk", choices.items, own @ params["bilinear"])
        scores = common[:, None] + bent + hidden @ decoder["out"]  # [n, R, J]
        every = jnp.moveaxis(placed(jnp.moveaxis(scores, 1, -1), choices), -1, 1)
        logs = weights.mean_of(every, choices.available, -jnp.log(self.draws) * jnp.ones(self.draws, scores.dtype))
        return Prediction(scores.mean(1), logs, {"kl": latent.kl()[choices.unit]})

    def alarms(self, params, people):
        if self.latent(params, people).active().any():
            return ()
        return (
            f"the encoder has collapsed: no latent number has a variance over people above {ACTIVE:g}, so everybody is "
            "predicted alike; lower kl, or take another model",
        )

    def penalty(self, params, seen):
        return self.kl * jnp.mean(seen.extra["kl"])
