"""Training one member of a sweep: the two-player game on choices, and which of its iterates is returned.

A member is trained in two stages: `start` finds the unconstrained optimum, from which every bound of the sweep begins;
`advance` plays rounds of the constrained game. A round is `every` steps and one look at the whole train and selection
parts. What is returned is chosen, not last: among the looks whose hard train gap is within the bound and where at most
`max_ties` of the choices are decided by a tie, the one with the lowest selection loss. Everything here is pure and
un-batched: a sweep is `vmap` over the constraint's leaves and over seeds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from constraints import Choices, Constraint, Hard, Outcome, Reading, Soft, Statistics, read

from . import lagrangian, metrics, models
from .errors import UsageError

DUALS = ("nupi", "ascent")
POSITIVE = ("temperature", "learning_rate", "cap")
ROUNDING = 1e-4  # a candidate is within the bound by this share of it, so that float64 agrees with float32


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a member is trained; the defaults are meant for every data set."""

    steps: int = 600  # of each stage
    every: int = 3  # steps between two looks at the whole train and selection parts
    batch: int | None = None  # choices per step; None: all of them
    learning_rate: float = 0.05  # Adam, decayed to a tenth by a cosine
    weight_decay: float = 1e-4  # on parameters, in units of the loss: weight_decay / 2 * |params|^2
    temperature: float = 0.5  # of the soft decisions that the primal player differentiates
    dual: str = "nupi"  # or "ascent"
    dual_rate: float = 0.05
    dual_proportional: float = 0.5
    cap: float = 100.0  # multipliers stay in [0, cap]
    memory: float = 0.9  # minibatch only: how much of the running moments the dual player keeps each step
    margin: float = 0.01  # the dual player aims at (1 - margin) * bound: at the bound itself it would rest a hair above
    max_ties: float = 0.01

    @property
    def rounds(self) -> int:
        """Looks per stage."""
        return self.steps // self.every

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from plain values; `UsageError` for an unknown name or a value that cannot be."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in values.items():
            if name not in fields:
                raise UsageError(f"unknown setting {name!r} (known: {', '.join(fields)})")
            default = fields[name].default
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            whole = isinstance(default, int) or name == "batch"
            if name == "dual":
                if value not in DUALS:
                    raise UsageError(f"dual: expected one of {', '.join(DUALS)}, got {value!r}")
            elif not (value is None and name == "batch") and (
                not number
                or value < 0
                or (whole and (value != int(value) or value < 1))
                or (name in POSITIVE and value <= 0)
            ):
                raise UsageError(f"{name}: expected a {'whole ' if whole else ''}number above 0, got {value!r}")
        settings = cls(**values)
        if settings.every > settings.steps:
            raise UsageError(f"every ({settings.every}) must not exceed steps ({settings.steps})")
        return settings


class Data(NamedTuple):
    """What a member trains on and what selects its iterate; each `Choices` may be padded."""

    train: Choices
    selection: Choices


class Look(NamedTuple):
    """One look at the whole train and selection parts."""

    loss: Array  # train NLL
    selection_loss: Array
    gap: Array  # [P] hard train gap
    violation: Array  # [m] hard
    multipliers: Array  # [m]
    ties: Array


class Best(NamedTuple):
    """The iterate that would be returned now."""

    params: Any
    candidate: Array  # bool: within the bound, with few ties
    merit: Array  # the lower, the better: selection loss of a candidate, else by how much the gap exceeds the bound
    gap: Array  # [P] its hard train gap
    finite: Array  # bool: whether any look was finite
    smallest_gap: Array  # [P] the smallest train gap of any look with few ties


class Member(NamedTuple):
    """State of one member between rounds; a pytree that a checkpoint holds."""

    game: lagrangian.State
    moments: Any  # running sums of the constraint (minibatch)
    best: Best
    key: Array


def outcome(model: models.Model, params: Any, choices: Choices, reading: Reading, twins: tuple[str, ...]) -> Outcome:
    """The `Outcome` of a model on choices, with the twins that a constraint asks for."""
    return read(
        reading, models.rewards(model, params, choices), choices, models.twin_rewards(model, params, choices, twins)
    )


@dataclasses.dataclass(frozen=True)
class Game:
    """The game of one model class under one kind of constraint. Static; `constraint` arguments carry the numbers."""

    model: models.Model
    settings: Settings = Settings()

    def start(self, key: Array, constraint: Constraint, data: Data, rounds: int) -> tuple[Member, Look]:
        """A member at the unconstrained optimum, and the looks on the way; the multipliers never move."""
        unconstrained = constraint.at(jnp.inf)
        init_key, key = jax.random.split(key)
        params = self.model.init(init_key, data.train)
        return self.advance(self._member(key, params, unconstrained, data), unconstrained, data, rounds)

    def enter(self, pilot: Member, constraint: Constraint, data: Data) -> Member:
        """A member that begins the constrained game where `pilot`, the unconstrained member, ended."""
        return self._member(pilot.key, pilot.best.params, constraint, data)

    def advance(self, member: Member, constraint: Constraint, data: Data, rounds: int) -> tuple[Member, Look]:
        """Play `rounds` rounds; the looks are stacked along a leading axis."""
        data = Data(*(self.model.prepare(part) for part in data))
        rows = constraint.prepare(data.train)
        masses = constraint.masses(rows)

        def round_(member: Member, _):
            steps_key, key = jax.random.split(member.key)
            game, moments = self._steps(steps_key, member.game, member.moments, constraint, data.train, rows, masses)
            look = self._look(game, constraint, data, rows, masses)
            best = _better(member.best, game.params, look, constraint, self.settings.max_ties)
            return Member(game, moments, best, key), look

        return jax.lax.scan(round_, member, length=rounds)

    # one round -----------------------------------------------------------------------------------------------------

    def _member(self, key, params, constraint, data):
        size = len(constraint.labels())
        parts = len(constraint.parts())
        shapes = jax.eval_shape(
            lambda: self._sums(params, constraint, data.train, constraint.prepare(data.train), Hard())
        )
        moments = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        real = jnp.result_type(float)
        never, unknown = jnp.asarray(False), jnp.full(parts, jnp.inf, real)
        best = Best(params, never, jnp.asarray(jnp.inf, real), unknown, never, unknown)
        return Member(self._players(None).init(params, size), (moments, jnp.zeros(())), best, key)

    def _sums(self, params, constraint, choices, rows, reading):
        return constraint.sums(outcome(self.model, params, choices, reading, constraint.twins()), rows)

    def _players(self, evaluate: Any) -> lagrangian.Lagrangian:
        s = self.settings
        rate = optax.cosine_decay_schedule(s.learning_rate, s.steps, alpha=0.1)
        dual = {
            "nupi": lagrangian.nupi(s.dual_rate, s.dual_proportional, cap=s.cap),
            "ascent": lagrangian.ascent(s.dual_rate, cap=s.cap),
        }[s.dual]
        return lagrangian.Lagrangian(evaluate, optax.adam(rate), dual)

    def _steps(self, key, game, moments, constraint, train, rows, masses):
        """`every` steps of both players. Rates come from fixed population masses, so minibatch rates are unbiased."""
        s, n = self.settings, train.shape[0]
        total, whole = jnp.sum(train.weight), s.batch is None or s.batch >= n

        def evaluate(params, moments, choices, own, scale):
            rewards = models.rewards(self.model, params, choices)
            twins = models.twin_rewards(self.model, params, choices, constraint.twins())
            loss = scale * jnp.sum(choices.weight * metrics.log_losses(rewards, choices)) / total
            decay = s.weight_decay / 2 * optax.tree.norm(params, squared=True)

            def scaled(sums):
                return jax.tree.map(lambda leaf: scale * leaf, sums)

            soft = constraint.proxy_sums(read(Soft(temperature=s.temperature), rewards, choices, twins), own)
            hard = scaled(constraint.sums(read(Hard(), rewards, choices, twins), own))
            mean, count = moments
            keep = 0.0 if whole else s.memory
            count = keep * count + (1 - keep)
            mean = jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, mean, hard)
            smooth = jax.tree.map(lambda leaf: leaf / count, mean)
            violation = constraint.combine(Statistics(smooth, masses)) - (1 - s.margin) * constraint.bounds()
            proxy = constraint.combine(Statistics(scaled(soft), masses))
            return lagrangian.Evaluation(loss + decay, proxy, violation, (mean, count))

        players = self._players(evaluate)

        def step(carry, index):
            game, moments = carry
            if whole:
                batch = (train, rows, 1.0)
            else:
                batch = (train.take(index), jax.tree.map(lambda leaf: leaf[index], rows), n / s.batch)
            game, seen = players.step(game, jax.lax.stop_gradient(moments), *batch)
            return (game, seen.aux), None

        order = None if whole else _shuffled(key, n, s.every, s.batch or n)
        (game, moments), _ = jax.lax.scan(step, (game, moments), order, length=s.every)
        return game, moments

    def _look(self, game, constraint, data, rows, masses):
        hard = outcome(self.model, game.params, data.train, Hard(), constraint.twins())
        statistics = Statistics(constraint.sums(hard, rows), masses)
        return Look(
            loss=metrics.nll(hard.rewards, data.train),
            selection_loss=metrics.nll(models.rewards(self.model, game.params, data.selection), data.selection),
            gap=constraint.gap(statistics),
            violation=constraint.combine(statistics) - constraint.bounds(),
            multipliers=game.multipliers,
            ties=metrics.ties(hard.rewards, data.train),
        )


def _shuffled(key: Array, n: int, steps: int, batch: int) -> Array:
    """Row indices `[steps, batch]`, each pass over the data in a fresh order."""
    passes = -(-steps * batch // n)
    order = jax.vmap(lambda k: jax.random.permutation(k, n))(jax.random.split(key, passes)).ravel()
    return order[: steps * batch].reshape(steps, batch)


def _better(best: Best, params: Any, look: Look, constraint: Constraint, max_ties: float) -> Best:
    """The better of the best so far and this look: candidates before others, then by merit."""
    finite = jnp.isfinite(look.loss) & jnp.isfinite(look.selection_loss)
    few_ties = finite & (look.ties <= max_ties)
    bounds = jnp.stack([jnp.asarray(part.bound) for part in constraint.parts()])
    candidate = few_ties & jnp.all(look.gap <= bounds * (1 - ROUNDING))
    excess = jnp.where(few_ties, jnp.max(look.gap - bounds), jnp.inf)
    merit = jnp.where(candidate, look.selection_loss, excess)
    wins = (candidate & ~best.candidate) | ((candidate == best.candidate) & (merit < best.merit))
    return Best(
        params=jax.tree.map(lambda new, old: jnp.where(wins, new, old), params, best.params),
        candidate=best.candidate | candidate,
        merit=jnp.where(wins, merit, best.merit),
        gap=jnp.where(wins, look.gap, best.gap),
        finite=best.finite | finite,
        smallest_gap=jnp.where(few_ties, jnp.minimum(best.smallest_gap, look.gap), best.smallest_gap),
    )
