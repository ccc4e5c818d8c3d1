"""Demo data with people who disagree, in a way that is known: a generated set for each kind of population.

    demo-people     tastes: w = mean + F u, u ~ N(0, I_2): people differ in two directions of four features
    demo-51-49      two kinds of opposite taste, 51 to 49: an aggregate reward is close to a coin
    demo-levels     accept or refuse: people differ in how much they accept, and in nothing else
    demo-coins      every choice is a coin: there is nothing to be found

Choices are a conditional logit of `items . w + level`. Dialect B has the lower quality, so that accuracy and parity
disagree; the community is a declared group of people, whose taste differs from the others' in `demo-people` alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from constraints import Choices, make_choices

from .dataset import Dataset
from .schema import AttributeSpec, Schema

FEATURES = ("quality", "clarity", "brevity", "warmth")
MEAN = np.array([0.8, 0.4, 0.3, 0.2])
DIRECTIONS = np.array([[1.2, 0.6, -0.4, 0.0], [0.0, -0.5, 0.8, 1.3]])  # F', a row each
APART = np.array([0.0, 0.3, 0.0, -0.4])  # half of what communities differ by
KINDS = np.array([[0.9, 0.5, -1.4, 1.0], [0.9, 0.5, 1.4, -1.0]])
SHARE = (0.51, 0.49)  # of both kinds, and of communities
SPREAD = 1.2  # of levels
QUALITY_GAP = 0.5
PEOPLE, CHOICES_PER_PERSON = 600, 24
COMMUNITIES = ("north", "south")


@dataclasses.dataclass(frozen=True)
class World:
    """A population of people, the law of whose weights is known.

    name: of the generated set
    title: what is in it
    mean: `[G, d]` weights of each kind
    share: `[G]` of the kinds among people
    directions: `[q, d]` in which people of a kind differ, each by N(0, 1)
    spread: of levels, N(0, spread^2); above 0 choices are to accept or refuse
    apart: `[d]` half of what communities differ by
    """

    name: str
    title: str
    mean: Any
    share: tuple[float, ...] = (1.0,)
    directions: Any = ()
    spread: float = 0.0
    apart: Any = 0.0

    def people(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights `[count, d]`, levels and communities `[count]` of people who are drawn.

        rng: from which
        count: how many people
        """
        kinds = rng.choice(len(self.share), count, p=self.share)
        community = (rng.permutation(count) >= round(SHARE[0] * count)).astype(int)
        directions = np.reshape(self.directions, (-1, len(FEATURES)))
        own = np.asarray(self.mean)[kinds] + rng.standard_normal((count, len(directions))) @ directions
        own = own + (2 * community - 1)[:, None] * self.apart
        return own, self.spread * rng.standard_normal(count), community

    def generate(self, seed: int = 0, people: int = PEOPLE, choices: int = CHOICES_PER_PERSON) -> pd.DataFrame:
        """A long table of people with so many choices each; of levels one row a choice, which is accepted or not.

        seed: >= 0
        people: how many
        choices: of each
        """
        rng = np.random.default_rng([20, 26, 11, seed])
        weights, levels, community = self.people(rng, people)
        inside, n = 1 if self.spread else 2, people * choices
        person = np.repeat(np.arange(people), choices)
        dialect = rng.integers(0, 2, (n, inside))
        x = rng.standard_normal((n, inside, len(FEATURES)))
        x[..., 0] += QUALITY_GAP * (0.5 - dialect)
        x = x.round(4)
        reward = np.einsum("nkd,nd->nk", x, weights[person]) + (levels[person][:, None] if self.spread else 0)
        margin = reward[:, 0] - (0 if self.spread else reward[:, 1])
        first = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(int)
        names = np.array([f"p{number + 1:04d}" for number in range(people)], object)[person]
        table = {
            "person": np.repeat(names, inside),
            "community": np.repeat(np.array(COMMUNITIES, object)[community[person]], inside),
            "choice": np.repeat(np.arange(1, n + 1), inside),
            **{name: x[..., place].ravel() for place, name in enumerate(FEATURES)},
            "dialect": np.array(["A", "B"], object)[dialect.ravel()],
        }
        if self.spread:
            return pd.DataFrame({**table, "accepted": np.where(first, "yes", "no")})
        sides = np.tile(["first", "second"], n)
        return pd.DataFrame({**table, "alternative": sides, "chosen": np.stack([first, 1 - first], 1).ravel()})

    @property
    def schema(self) -> Schema:
        """How its table is read."""
        shared: dict[str, Any] = {
            "unit": "person",
            "choice": ("choice",),
            "numeric": FEATURES,
            "context_categorical": ("community",),
            "attributes": (
                AttributeSpec(name="dialect", levels=("A", "B")),
                AttributeSpec(name="community", levels=COMMUNITIES, chooser=True),
            ),
        }
        if self.spread:
            return Schema(format="accept", label="accepted", positive="yes", **shared)
        return Schema(alternative="alternative", label="chosen", **shared)

    def dataset(self) -> Dataset:
        """The registered data set."""
        info = {
            "title": self.title,
            "source": "generated by faro (numpy Generator, fixed seed)",
            "licence": "as faro",
            "unit": f"person ({PEOPLE} people, {CHOICES_PER_PERSON} choices each)",
        }
        defaults = {"constraint": "demographic_parity", "attribute": "dialect", "of": None}
        return Dataset.from_table(self.generate(), self.schema, name=self.name, defaults=defaults, info=info)

    def arrays(self, seed: int, people: int, choices: int) -> Choices:
        """The same as arrays, without communities: choices of each person in a row, features as they are.

        seed: >= 0
        people: how many
        choices: of each
        """
        table = dataclasses.replace(self, apart=0.0).generate(seed, people, choices)
        inside = 1 if self.spread else 2
        items = table[list(FEATURES)].to_numpy(float).reshape(people * choices, inside, -1)
        unit = np.repeat(np.arange(people), choices)
        if self.spread:
            first = (table["accepted"] == "yes").to_numpy(float)
            chosen, out = np.stack([first, 1 - first], 1), np.tile([False, True], (len(items), 1))
            return make_choices(items, chosen, outside=out, unit=unit)
        return make_choices(items, table["chosen"].to_numpy(float).reshape(-1, 2), unit=unit)


WORLDS = {
    world.name: world
    for world in (
        World("demo-people", "generated pairs: tastes differ", MEAN[None], (1.0,), DIRECTIONS, 0.0, APART),
        World("demo-51-49", "generated pairs: two kinds of opposite taste, 51 to 49", KINDS, SHARE),
        World("demo-levels", "generated answers, accepted or not: levels differ", MEAN[None], spread=SPREAD),
        World("demo-coins", "generated pairs: labels are coins", np.zeros((1, 4))),
    )
}  # fmt: skip
