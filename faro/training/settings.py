"""How a member is trained: names, defaults that are meant for every data set, and which values can be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError

PRIMAL: dict[str, dict[str, Any]] = {  # defaults that depend on the primal player
    "newton": {"steps": 100, "temperature": 0.7},
    "adam": {"steps": 600, "temperature": 0.05},
}
CHOICES = {
    "solver": ("game", "exact"),
    "solution": ("best", "last", "average", "mixture"),
    "primal": tuple(PRIMAL),
    "dual": ("nupi", "ascent"),
    "dual_data": ("train", "own"),
    "compute": ("float32", "bfloat16"),
}
WHOLE = ("steps", "every", "batch", "microbatch")
POSITIVE = ("temperature_start", "temperature", "learning_rate", "cap")


ROUNDS = 2  # of a training, at least: a look at where each begins, and one at where the last of them leads


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a member is trained; the defaults are meant for every data set. docs/training.md says when each matters.

    solver: "game", or "exact": the path of a linear model (docs/exact.md), where only weight_decay matters
    solution: what is returned: "best", "last", or a randomised model: "average", "mixture" (`faro.training.returned`)
    primal: "newton" or "adam"; None: newton for a narrow linear model that sees all of train
    steps: whole number of each stage; None: 100 of newton (50 of a crowd), 600 of adam
    every: steps between two looks at all of train and selection; None: 1 where a step sees all of train, of batches
        about as many as it takes to see them all, so that looks cost less than steps
    batch: choices per step; None: all of them
    microbatch: choices worked on at once, a divisor of batch; None: the batch. Same result, less memory
    compute: "float32" or "bfloat16", of rewards during steps; parameters, looks and judgement stay exact
    learning_rate: of Adam, > 0, decayed to a tenth by a cosine
    weight_decay: >= 0 on parameters, in units of the loss: weight_decay / 2 * |params|^2
    temperature_start: > 0, of the soft decisions that the primal player differentiates, at the first step
    temperature: > 0, and at the last, geometric in between; None: .7 of newton, .05 of adam
    dual: "nupi" or "ascent"
    dual_data: "train", or "own": the dual player looks at the dual part, which then does not join train
    dual_rate: >= 0, how fast multipliers follow a violation
    dual_proportional: >= 0, of nuPI's proportional term
    cap: > 0; multipliers stay in [0, cap]
    memory: of minibatches: how much of the running moments the dual player keeps each step
    margin: >= 0; the dual player aims at (1 - margin) * bound: at the bound itself it would rest a hair above
    max_ties: in [0, 1]: share of choices decided by a tie up to which an iterate is a candidate
    """

    solver: str = "game"
    solution: str = "best"
    primal: str | None = None
    steps: Any = None
    every: Any = None
    batch: int | None = None
    microbatch: int | None = None
    compute: str = "float32"
    learning_rate: float = 0.03
    weight_decay: float = 1e-4
    temperature_start: float = 1.0
    temperature: Any = None
    dual: str = "nupi"
    dual_data: str = "train"
    dual_rate: float = 0.03
    dual_proportional: float = 0.5
    cap: float = 100.0
    memory: float = 0.9
    margin: float = 0.01
    max_ties: float = 0.01

    @property
    def rounds(self) -> int:
        """Rounds per stage, of settings that are `filled`: at least as many steps as were asked for."""
        return -(-self.steps // (self.every or 1))

    def filled(self, primal: str = "adam", rows: int | None = None, shards: int = 1) -> Settings:
        """With this primal player, unless one is named, and what is left open as suits it; `UsageError` for fewer steps
        than there are between two looks.

        primal: "newton" or "adam", of settings that name none
        rows: train choices that a step draws from, of each shard; None: not known yet, and `every` stays open
        shards: into which the train choices are cut
        """
        own = self.primal or primal
        open_ = {name: value for name, value in PRIMAL[own].items() if getattr(self, name) is None}
        filled = dataclasses.replace(self, primal=own, **open_)
        if filled.every is None and rows is not None:
            seen_by = rows // (filled.batch or rows or 1)  # so many steps
            most = filled.steps // (ROUNDS * shards)
            filled = dataclasses.replace(filled, every=max(1, min(seen_by, most)))
        if filled.every is not None and filled.every > filled.steps:
            raise UsageError(f"every ({filled.every}) must not exceed steps ({filled.steps})")
        return filled

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from plain values.

        values: name -> value, of those that differ from the defaults

        `UsageError` for an unknown name or a value that cannot be.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in values.items():
            if name not in fields:
                raise UsageError(f"unknown setting {name!r} (known: {', '.join(fields)})")
            _check(name, value, fields[name].default)
        settings = cls(**values)
        if settings.steps is not None:
            settings.filled()  # every does not exceed them
        if settings.batch and settings.microbatch and settings.batch % settings.microbatch:
            raise UsageError(
                f"batch ({settings.batch}) must be a multiple of microbatch ({settings.microbatch}), or be left out"
            )
        if settings.solver == "exact" and settings.dual_data == "own":
            raise UsageError("dual_data = own: solver exact has no dual player; leave out one of the two")
        if settings.solver == "exact" and settings.solution != "best":
            raise UsageError(f"solution = {settings.solution}: solver exact has no iterates; leave out one of the two")
        return settings


def _check(name: str, value: Any, default: Any) -> None:
    if value is None and default is None:
        return
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise UsageError(f"{name}: expected one of {', '.join(CHOICES[name])}, got {value!r}")
        return
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    whole = isinstance(default, int) or name in WHOLE
    wrong = not number or value < 0 or (name in POSITIVE and value <= 0)
    if wrong or (whole and (value != int(value) or value < 1)):
        raise UsageError(f"{name}: expected a {'whole ' if whole else ''}number above 0, got {value!r}")
