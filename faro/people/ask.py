"""A few questions to a new person, each chosen by what the answers so far leave open: `faro ask`.

The law before the first answer is the fitted population's: a `Tastes` model (`faro.models.personal.tastes`) says of
every pair what everybody likes, and directions of a person's weights u ~ N(0, I). After each answer it is the normal
law with the mean and covariance of what is known (`questions.matched`), whose intervals cover.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..data import Dataset
from ..errors import DataError, UsageError
from ..models import numeric
from ..models.personal.tastes import Tastes
from ..registry import known
from ..store.model import TrainedModel
from . import questions

CRITERIA: dict[str, questions.Criterion | None] = {
    "d_optimal": questions.d_optimal,
    "pref": questions.pref,
    "bald": questions.bald,
    "random": None,
}
ANSWERS = {"1": 1.0, "2": 0.0, "=": 0.5}


@dataclasses.dataclass
class Interview:
    """Pairs that may be asked, and what a person has answered so far.

    names: `[m]` of the pairs, the choices of a table
    pairs: `[m, 1 + q]`: what everybody's taste says of the first less the second, and directions
    prior: of weights (1, u) before the first answer
    count: how many questions there will be, 1 to m
    criterion: by which the next pair is chosen; None: at random
    seed: of the order, where it is at random
    asked: places of the pairs that were answered
    answers: to each, 1: the first, 0: the second, .5: neither more than the other
    """

    names: Sequence[str]
    pairs: np.ndarray
    prior: questions.Gaussian
    count: int
    criterion: questions.Criterion | None = questions.d_optimal
    seed: int = 0
    asked: list[int] = dataclasses.field(default_factory=list)
    answers: list[float] = dataclasses.field(default_factory=list)

    @classmethod
    def of(
        cls, model: TrainedModel, items: Dataset, count: int = 10, by: str = "d_optimal", seed: int = 0
    ) -> Interview:
        """An interview with a new person about the pairs of a table.

        model: trained, whose people differ by a normal law: mixed_logit, pref, person_constants
        items: pairs, as the model's schema reads them; labels and persons are not read
        count: how many questions, 1 to the number of pairs
        by: "d_optimal", "pref", "bald" or "random"
        seed: of the order, where it is "random"

        `UsageError` for another model or count, `DataError` for choices that are no pairs.
        """
        known("criterion", by, CRITERIA)
        kind = model.model
        if not isinstance(kind, Tastes) or model.draw is not None:
            what = "a randomised model" if isinstance(kind, Tastes) else type(kind).__name__
            raise UsageError(
                "ask: expected a model whose people differ by a normal law, mixed_logit, pref or person_constants, got "
                f"{what}"
            )
        if items.k != 2 or not items.parsed.available.all():
            raise DataError(f"{items.name}: ask expects pairs, two alternatives in each choice, got up to {items.k}")
        if not 1 <= count <= items.n:
            raise UsageError(f"-k: expected 1 to {items.n} questions, as {items.name} has so many pairs, got {count}")
        with jax.enable_x64(True):
            params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model.params)
            choices = jax.tree.map(jnp.asarray, numeric(items.choices(model.coding, dtype=np.float64)))
            common, directions = kind.pieces(params, choices)
            pairs = np.concatenate([(common[:, 0] - common[:, 1])[:, None], directions[:, 0] - directions[:, 1]], 1)
            q = pairs.shape[1] - 1
            prior = questions.Gaussian(jnp.asarray(np.eye(1, q + 1)[0]), jnp.asarray(np.diag([0.0, *[1.0] * q])))
        return cls(list(items.choice_ids), pairs, prior, count, CRITERIA[by], seed)

    def person(self) -> questions.Gaussian:
        """The law of the person's weights (1, u) after the answers so far."""
        rest = self.count - len(self.asked)
        asked = np.array([*self.asked, *[0] * rest])  # one shape, so that one program serves all
        answers = np.array([*self.answers, *[0.0] * rest])
        weight = (np.arange(self.count) < len(self.asked)).astype(float)
        with jax.enable_x64(True):
            return questions.matched(self.prior, jnp.asarray(self.pairs[asked]), answers, weight)

    def next(self) -> int | None:
        """The place of the pair to ask now; None when all questions were asked."""
        if len(self.asked) == self.count:
            return None
        left = np.ones(len(self.pairs), bool)
        left[self.asked] = False
        if self.criterion is None:
            order = np.random.default_rng([20, self.seed]).permutation(len(self.pairs))
            return int(order[left[order]][0])
        with jax.enable_x64(True):
            return int(questions.ask(self.criterion, self.person(), jnp.asarray(self.pairs), jnp.asarray(left)))

    def tell(self, place: int, answer: float) -> None:
        """Take an answer down.

        place: of the pair
        answer: 1: the first, 0: the second, or between
        """
        self.asked.append(place)
        self.answers.append(float(answer))

    def predictions(self, level: float = 0.9) -> dict[str, np.ndarray]:
        """Of every pair the probability of its first alternative, and the interval of the person's own, `[m]` each.

        level: of the intervals, in (0, 1)
        """
        person = self.person()
        with jax.enable_x64(True):
            pairs = jnp.asarray(self.pairs)
            low, high = questions.interval(person, pairs, level)
            probability = questions.probability(person, pairs)
        return {"probability": np.asarray(probability), "low": np.asarray(low), "high": np.asarray(high)}


def hold(interview: Interview, answer: Callable[[int], str | None], level: float = 0.9) -> dict[str, Any]:
    """Ask until all questions are asked, or somebody says that it is enough; what was asked, and what is known then.

    interview: as yet without answers
    answer: of the place of a pair, "1", "2" or "=" (neither more than the other); None ends it
    level: of the intervals, in (0, 1)

    `DataError` for an answer that is none of these, `UsageError` for another level.
    """
    if not 0 < level < 1:
        raise UsageError(f"--level: expected a number between 0 and 1, got {level}")
    while (place := interview.next()) is not None:
        said = answer(place)
        if said is None:
            break
        if said not in ANSWERS:
            raise DataError(f"answer to choice {interview.names[place]}: expected 1, 2 or =, got {said!r}")
        interview.tell(place, ANSWERS[said])
    person, said_of = interview.person(), interview.predictions(level)
    spread = np.sqrt(np.diag(np.asarray(person.covariance))[1:])
    asked = zip(interview.asked, interview.answers, strict=True)
    return {
        "asked": [{"choice": str(interview.names[place]), "first": given} for place, given in asked],
        "weights": [
            {"mean": float(mean), "deviation": float(own)} for mean, own in zip(person.mean[1:], spread, strict=True)
        ],
        "level": level,
        "pairs": [
            {"choice": str(name), **{key: float(values[place]) for key, values in said_of.items()}}
            for place, name in enumerate(interview.names)
        ],
    }


def given(answers: Mapping[str, str], names: Sequence[str]) -> Callable[[int], str]:
    """Answers that are known beforehand, by the name of the choice, for `hold`.

    answers: name of the choice -> "1", "2" or "="
    names: of the pairs

    What it returns raises `DataError` for a pair without an answer.
    """

    def answer(place: int) -> str:
        name = str(names[place])
        if name not in answers:
            raise DataError(f"--answers: no answer to choice {name}; answer all pairs that may be asked, or ask fewer")
        return answers[name]

    return answer
