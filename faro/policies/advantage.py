"""What an advantage is: by how much each answer's reward is above what stands for its baseline, `Advantage`."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple, dataclass_transform

import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import record, static

from ..errors import DataError, UsageError


class Rated(NamedTuple):
    """Rewards of G answers to each of N prompts, a generation group a row.

    rewards: `[N, G]`
    groups: `[N, G]` int, the preference group that each answer was rated for, 0..P-1, -1 = none; or None. A row is
        *mixed* where they differ
    several: `[N, G, M]`, more than one reward of each answer: objectives, or what every group says of it; or None
    valid: `[N, G]` bool, whether an answer was rated; None: all. The others have advantage 0 and are in no statistic
    """

    rewards: Array
    groups: Array | None = None
    several: Array | None = None
    valid: Array | None = None

    @property
    def weight(self) -> Array:
        """`[N, G]`: 1 for a rated answer, else 0."""
        return jnp.ones(self.rewards.shape) if self.valid is None else jnp.asarray(self.valid, jnp.result_type(float))

    @property
    def known(self) -> Array:
        """Rewards `[N, G]`, 0 where there is none."""
        return self.rewards if self.valid is None else jnp.where(self.valid, self.rewards, 0)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, dataclasses.field))
@dataclasses.dataclass(frozen=True, kw_only=True)
class Advantage(abc.ABC):
    """Advantages `[N, G]` of rewards, and what is kept between steps: `advantages, state = of(state, rated)`.

    A subclass gives `of`, and `begin` where it keeps anything; it becomes a frozen dataclass and a pytree by itself,
    whose numbers are leaves. Pure and without a look at values, so it runs inside `jit` and `vmap`.

    epsilon: added to a standard deviation before it divides, in units of the reward
    """

    reads: ClassVar[tuple[str, ...]] = ()  # of `Rated`, beside the rewards
    standardised: ClassVar[bool] = True  # whether a unit of it is a standard deviation of rewards, not one of rewards

    epsilon: Any = 1e-4

    def __init_subclass__(cls) -> None:
        record(cls)

    def begin(self, groups: int) -> Any:
        """What is kept before the first step; () by default.

        groups: P, how many preference groups there are
        """
        return ()

    @abc.abstractmethod
    def of(self, state: Any, rated: Rated) -> tuple[Array, Any]:
        """Advantages `[N, G]`, 0 where nothing is known, and the state after this step.

        state: of `begin`, or of the step before
        rated: the rewards of this step
        """

    def remembered(self, state: Any) -> dict[str, Array]:
        """What of the state a run reports of every group, name -> `[P]`; nothing by default.

        state: after the last step
        """
        return {}

    def name(self) -> str:
        """What it is called in tables."""
        return type(self).__name__


def needed(advantage: Advantage, rated: Rated) -> None:
    """`UsageError` unless there is what this advantage reads. Looks at no values, so also inside `jit`."""
    for field in advantage.reads:
        if getattr(rated, field) is None:
            words = {"groups": "the preference group of each answer", "several": "a reward of each answer by group"}
            raise UsageError(f"{advantage.name()} reads {words[field]}, and there is none; give `{field}`")


def rated(rewards: Any, groups: Any = None, several: Any = None, valid: Any = None, *, levels: int = 0) -> Rated:
    """`Rated` of arrays of the host, each promise checked.

    rewards: `[N, G]` finite numbers; or `[N, G, M]`, whose mean is the reward then
    groups: `[N, G]`, or `[N]`, one for all answers to a prompt; None: there are none
    several: `[N, G, M]` finite numbers
    valid: `[N, G]`, whether an answer was rated; the rewards of others may be anything
    levels: how many groups there are; 0: any

    `DataError` that names the first answer whose reward is no finite number, or a group that does not exist.
    """
    values = np.asarray(rewards, float)
    if values.ndim == 3:
        several, values = (values if several is None else several), values.mean(-1)
    if values.ndim != 2 or min(values.shape) < 1:
        raise DataError(f"rewards: expected [prompts, answers], got shape {values.shape}")
    there = np.ones(values.shape, bool) if valid is None else np.asarray(valid, bool)
    more = None if several is None else np.asarray(several, float)
    _finite(values, there)
    if more is not None:
        if more.shape[:2] != values.shape:
            raise DataError(f"several: expected {values.shape} answers with rewards each, got shape {more.shape}")
        _finite(more.sum(-1), there)
    codes = None
    if groups is not None:
        codes = np.asarray(groups)
        codes = np.broadcast_to(codes[:, None], values.shape) if codes.shape == values.shape[:1] else codes
        if codes.shape != values.shape or not np.issubdtype(codes.dtype, np.integer):
            raise DataError(f"groups: expected a whole number for each of {values.shape} answers, got {codes.shape}")
        if levels and codes.max() >= levels:
            raise DataError(f"groups: expected at most {levels - 1}, got {codes.max()}")
    arrays = (values, codes, more, None if valid is None else there)
    return Rated(*(None if array is None else jnp.asarray(array) for array in arrays))  # type: ignore[arg-type]


def _finite(values: np.ndarray, there: np.ndarray) -> None:
    bad = there & ~np.isfinite(values)
    if bad.any():
        prompt, answer = np.argwhere(bad)[0]
        value = values[prompt, answer]
        raise DataError(
            f"rewards: answer {answer + 1} to prompt {prompt + 1}: expected a finite number, got {value}; "
            "repair the reward, or mark the answer as not rated"
        )
