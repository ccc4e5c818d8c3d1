"""Which choices answer which question. A tenth of all choices, and of all prompts, is hidden from training by hash.

    new people         people of no other part, prompts that training saw
    both new           the same people, hidden prompts
    seen people        people of train, choices that are hidden, on prompts that training saw
    new prompts        people of train, hidden prompts

The support of a person, as large as the largest that a method reads, is asked of no method. Without a column of prompts
that people share, the two questions about prompts cannot be asked. No row of the gate part is read.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..data import Dataset
from ..data.split import uniform
from ..data.support import QUERY, SupportRule, roles
from .names import BOTH, NEW_PEOPLE, PROMPTS, SEEN_PEOPLE

HIDDEN = 0.1  # share of choices, and of prompts, that training does not see
SALT = "faro compare 1"


@dataclasses.dataclass(frozen=True, eq=False)
class Questions:
    """Choices without the gate part, and which of them are hidden from training.

    data: those choices
    rows: `[n]` where they are in the whole table
    hidden: `[n]` choices that training does not see
    new_prompt: `[n]` choices on hidden prompts alone; None without prompts
    asked: `[n]` choices that are no support of any method
    """

    data: Dataset
    rows: np.ndarray
    hidden: np.ndarray
    new_prompt: np.ndarray | None
    asked: np.ndarray

    @classmethod
    def of(cls, data: Dataset, support: int) -> Questions:
        """Of a table.

        data: whose people are named
        support: choices of a person that some method reads
        """
        rows = np.flatnonzero(~np.isin(np.arange(data.n), data.rows("gate")))
        kept = data.take(rows)
        hidden = uniform(SALT, [f"{u}\x1f{c}" for u, c in zip(kept.units, kept.choice_names, strict=True)]) < HIDDEN
        prompts, new = prompts_of(kept), None
        if prompts is not None:
            values = np.unique(prompts[prompts != ""].astype(str))
            secret = set(values[uniform(f"{SALT} prompts", values.tolist()) < HIDDEN].tolist())
            in_secret = np.isin(prompts, list(secret))
            there = prompts != ""
            new = (in_secret | ~there).all(1) & there.any(1)
            hidden = hidden | (in_secret & there).any(1)
        asked = queries(kept, support)
        return cls(kept, rows, hidden, new, asked)

    def training(self, whole: Dataset) -> Dataset:
        """The whole table, in which hidden choices weigh nothing.

        whole: the table
        """
        weight = np.array(whole.weight, float)
        weight[self.rows[self.hidden]] = 0
        return dataclasses.replace(whole, parsed=dataclasses.replace(whole.parsed, weight=weight), population=None)

    def roles(self, whole: Dataset, seed: int) -> dict[str, np.ndarray]:
        """`[n]` which choices answer a question by a seed's split; also "selection", by which is chosen.

        whole: the table
        seed: of the split
        """
        dev, train, selection = (
            np.isin(self.rows, whole.rows(part, seed)) & self.asked for part in ("dev", ("train", "dual"), "selection")
        )
        new = np.zeros(len(self.rows), bool) if self.new_prompt is None else self.new_prompt
        straddles = self.hidden & ~new & self._touches_hidden
        found = {NEW_PEOPLE: dev & ~new & ~straddles, "selection": selection & ~self.hidden}
        found[SEEN_PEOPLE] = train & self.hidden & ~new & ~straddles
        if self.new_prompt is not None:
            found |= {BOTH: dev & new, PROMPTS: train & new}
        return found

    @property
    def _touches_hidden(self) -> np.ndarray:
        """`[n]` choices of several prompts, some of them hidden: they answer no question."""
        prompts = prompts_of(self.data)
        if prompts is None or self.new_prompt is None:
            return np.zeros(len(self.rows), bool)
        secret = np.unique(prompts[self.new_prompt & (prompts != "").any(1)])
        return np.isin(prompts, secret[secret != ""]).any(1) & ~self.new_prompt


def queries(data: Dataset, support: int) -> np.ndarray:
    """`[n]` choices that share nothing with so much support of their person.

    data: a table
    support: choices of a person
    """
    if not support:
        return np.ones(data.n, bool)
    return np.asarray(roles(data, SupportRule(support, data.schema.order)) == QUERY)


def prompts_of(data: Dataset) -> np.ndarray | None:
    """`[n, K]` the first shared column whose values several people answered, as texts; None without one.

    data: a table
    """
    for texts in data.shared.values():
        values, owner = texts.ravel(), np.repeat(data.unit_codes, texts.shape[1])
        there = values != ""
        pairs = {*zip(values[there].tolist(), owner[there].tolist(), strict=True)}
        if len(pairs) > len({value for value, _ in pairs}):
            return texts
    return None
