"""Advantages of `faro.policies` in trainers of others: TRL's GRPO trainer and Tunix' registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from faro.errors import DataError, UsageError
from faro.policies import Advantage, rated
from faro.registry import make


class GroupAdvantage:
    """An advantage on the host, with its state: `advantages = compute(rewards, groups)`, step after step.

    advantage: a name (`faro advantages list`) or a `faro.policies.Advantage`
    column: of the trainer's data set, which says whose preference group an answer is rated for
    levels: the groups, in order; a cell that is none of them is nobody's, whose advantage by groups is 0

    `UsageError` for an unknown name, and for what is no advantage.
    """

    def __init__(self, advantage: str | Advantage = "p_grpo", column: str | None = None, levels: Sequence[Any] = ()):
        self.advantage = make("advantage", advantage) if isinstance(advantage, str) else advantage
        if not isinstance(self.advantage, Advantage):
            raise UsageError(f"advantage: expected a name or a faro.policies.Advantage, got {advantage!r}")
        if "groups" in self.advantage.reads and (column is None or not levels):
            raise UsageError(f"{self.advantage.name()} reads the group of each answer: give column and levels")
        self.column, self.levels = column, tuple(levels)
        self.state = self.advantage.begin(max(1, len(self.levels)))
        self._step: Any = None
        self._seen: list[Any] | None = None

    def compute(self, rewards: Any, groups: Sequence[Any] | None = None, *, valid: Any = None) -> np.ndarray:
        """Advantages `[N, G]`; the state moves on.

        rewards: `[N, G]`, or `[N, G, M]` of several
        groups: cells of the column, `[N * G]` or `[N, G]`
        valid: `[N, G]` bool, whether an answer was rated; None: all

        `DataError` that names the first answer whose reward is no finite number.
        """
        import jax

        codes = None
        if self.column is not None and groups is not None:
            code_of = {level: code for code, level in enumerate(self.levels)}
            shape = np.shape(rewards)[:2]
            cells = np.asarray(groups, object).reshape(-1)
            if cells.size != (count := shape[0] * shape[1]):
                raise DataError(f"{self.column}: expected a group of each of {count} answers, got {cells.size}")
            codes = np.array([code_of.get(cell, -1) for cell in cells]).reshape(shape)
        given = rated(rewards, codes, valid=valid, levels=len(self.levels))
        if self._step is None:
            self._step = jax.jit(self.advantage.of)
        advantages, self.state = self._step(self.state, given)
        return np.asarray(advantages)

    def remembered(self) -> dict[str, dict[Any, float]]:
        """What it has seen of every group: "seen", "mean" and "deviation", each by level; to be reported with a run."""
        kept = self.advantage.remembered(self.state)
        return {name: dict(zip(self.levels, np.asarray(of).tolist(), strict=True)) for name, of in kept.items()}

    def of_reward(self, reward: Callable[..., Any]) -> Callable[..., Any]:
        """The same reward function, which keeps the groups of its last call for an estimator told rewards alone.

        reward: `f(prompts, completions, **columns) -> rewards`
        """

        def watched(prompts: Any, completions: Any, **columns: Any) -> Any:
            if self.column is not None and self.column not in columns:
                raise UsageError(f"the trainer gave no column {self.column!r}; the data set needs it")
            self._seen = list(columns[self.column]) if self.column is not None else None
            given = reward(prompts, completions, **columns)
            if len(given) != len(completions):
                raise DataError(f"reward function: expected {len(completions)} rewards, got {len(given)}")
            return given

        watched.__name__ = getattr(reward, "__name__", "reward")
        return watched

    def estimate(self, rewards: Any, num_generations: int, valid_mask: Any = None) -> np.ndarray:
        """Advantages `[N * G]` as an estimator of Tunix gives them; groups are those of `of_reward`'s last call.

        rewards: `[N * G]`
        num_generations: G
        valid_mask: `[N * G]`, which answers count; None: all
        """
        values = np.asarray(rewards, float).reshape(-1, num_generations)
        valid = None if valid_mask is None else np.asarray(valid_mask, bool).reshape(values.shape)
        return self.compute(values, self._seen, valid=valid).reshape(-1)


def trl_trainer(trainer: type, advantage: GroupAdvantage) -> type:
    """A class of TRL's `GRPOTrainer` whose advantages are these; in everything else it is that trainer.

    trainer: `trl.GRPOTrainer`, or a subclass of it
    advantage: of which group answers are, it reads off the data set's column

    An answer without a reward (None) has advantage 0, as in TRL. Evaluation keeps TRL's own advantages. Written for TRL
    1.16, whose trainer gives rewards of all processes to one method and advantages to the next. `UsageError` where
    there are no such methods, and for several processes, whose groups the trainer does not gather.
    """
    for method in ("_calculate_rewards", "_generate_and_score_completions"):
        if not hasattr(trainer, method):
            raise UsageError(f"{trainer.__name__}: expected the GRPOTrainer of TRL 1.16, which has {method}")

    class Trainer(trainer):
        def _calculate_rewards(self, inputs: Any, *rest: Any) -> Any:
            found = super()._calculate_rewards(inputs, *rest)
            if len(found) != len(inputs):
                raise UsageError("advantages by group: expected one process, whose groups are all there are")
            self._faro = found, inputs
            return found

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            out = super()._generate_and_score_completions(inputs)
            if not self.model.training:
                return out
            each, rows = self._faro
            rewards = np.asarray(each.cpu(), float)
            weights = np.asarray(self.reward_weights.cpu(), float)
            there = ~np.isnan(rewards).all(1)
            values = np.nan_to_num(rewards) * weights
            shape = (-1, self.num_generations)
            groups = None if advantage.column is None else [row[advantage.column] for row in rows]
            several = values.reshape(*shape, values.shape[1])
            given = several if "several" in advantage.advantage.reads else several.sum(-1)
            found = advantage.compute(given, groups, valid=there.reshape(shape)).reshape(-1)
            out["advantages"] = out["advantages"].new_tensor(found.tolist())
            return out

    Trainer.__name__ = f"{advantage.advantage.name()}{trainer.__name__}"
    return Trainer


def tunix_estimator(config: Any, advantage: GroupAdvantage, name: str = "faro") -> Any:
    """Register an advantage with Tunix, and have a configuration use it; returns the configuration.

    config: `tunix`'s `GRPOConfig`, as made: its constructor knows Tunix' own names alone
    advantage: wrap the reward function with its `of_reward`, for Tunix tells an estimator rewards alone
    name: under which it is registered

    Needs google-tunix (extra `llm`); written for 0.1.7. `UsageError` without it.
    """
    try:
        from tunix.rl import function_registry
    except ImportError as error:
        raise UsageError(f"tunix: cannot be imported ({error}); pip install 'faro-fairness[llm]'") from error
    function_registry.register_advantage_estimator(name)(advantage.estimate)
    config.advantage_estimator = name
    return config
