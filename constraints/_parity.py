"""Parity of rates between groups: a bound always bounds max minus min, in every block of cells.

    gap = max over blocks b of (max_g rate[b, g] - min_g rate[b, g]) <= bound

Three forms of the rows say the same or a stricter thing: `centred` (default), 2 (rate_g - midrange) on both sides,
feasible exactly when the gap is within the bound; `anchored`, 2 (rate_g - overall rate), sufficient, stricter by at
most a factor 2; `pairwise`, rate_g - rate_h for all ordered pairs, exact but quadratic in G.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from ._choices import Attribute, Choices, static
from ._constraint import Constraint
from ._grouping import Grouping
from ._rate import Compared, Members, RateConstraint

FORMS = ("centred", "anchored", "pairwise")


class Parity(RateConstraint):
    """Equal rates over the groups of each block: gap = max over blocks of (largest rate - smallest rate). A subclass
    gives `blocks`, `groups` and `members`, whose cell index is block * G + group.

    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the groups)
    """

    form: str = static(default="centred")

    def blocks(self) -> tuple[str, ...]:
        """Name of each block of cells, `[B]`; rates are compared within a block only."""
        return ("",)

    def groups(self) -> tuple[str, ...]:
        """Name of each group, `[G]`."""
        raise NotImplementedError

    def cells(self):
        return tuple(f"{group} | {block}" if block else group for block in self.blocks() for group in self.groups())

    def labels(self):
        if self.form == "pairwise":
            return tuple(
                f"{g} over {h}" + (f" | {block}" if block else "")
                for block in self.blocks()
                for g in self.groups()
                for h in self.groups()
                if g != h
            )
        return tuple(f"{side} {cell}" for side in ("high", "low") for cell in self.cells())

    def _tables(self, statistics):
        rates = self.rates(statistics).reshape(len(self.blocks()), len(self.groups()))
        empty = jnp.isnan(rates)  # a rate that is not defined takes no part
        low = jnp.where(empty, jnp.inf, rates).min(-1)
        high = jnp.where(empty, -jnp.inf, rates).max(-1)
        some = ~empty.all(-1)
        return jnp.where(empty, 0, rates), empty, jnp.where(some, low, 0), jnp.where(some, high, 0)

    def combine(self, statistics):
        rates, empty, low, high = self._tables(statistics)
        if self.form == "pairwise":
            both = ~empty[:, :, None] & ~empty[:, None, :]
            pairs = jnp.where(both, rates[:, :, None] - rates[:, None, :], 0)
            return pairs[:, *np.nonzero(~np.eye(rates.shape[1], dtype=bool))].ravel()
        if self.form == "centred":
            centre = (low + high) / 2
        else:
            sums, masses = statistics.sums.reshape(rates.shape).sum(-1), statistics.masses.reshape(rates.shape).sum(-1)
            centre = sums / jnp.where(masses > 0, masses, 1)
        above = jnp.where(empty, 0, 2 * (rates - centre[:, None])).ravel()
        return jnp.concatenate([above, -above])

    def gap(self, statistics):
        _, _, low, high = self._tables(statistics)
        return jnp.max(high - low, keepdims=True)

    def compared(self):
        plain = type(self).combine is Parity.combine and type(self).gap is Parity.gap
        return Compared(self.blocks(), self.groups(), True) if plain else None


def shares(choices: Choices, event: str) -> Array:
    """The weight with which every alternative counts in an event, `[n, K]`: "all", "chosen" or "rejected" by people."""
    label = {"all": jnp.ones_like(choices.chosen), "chosen": choices.chosen, "rejected": 1 - choices.chosen}
    return choices.weight[:, None] * label[event]


class GroupParity(Parity):
    """Equal rates of being chosen over the groups of `who`, in each of the `events` and strata.

    An event is a share of every alternative: "all" 1, "chosen" the label, "rejected" 1 - the label, so split votes
    lose nothing.
    """

    who: Grouping = static()
    events: tuple[str, ...] = static(default=("all",))
    title: str = static(default="demographic_parity")

    def name(self):
        return self.who.title(self.title)

    def groups(self):
        return self.who.groups

    def blocks(self):
        events = [event if event != "all" else "" for event in self.events]
        return tuple(", ".join(filter(None, (event, stratum))) for event in events for stratum in self.who.strata)

    def members(self, choices):
        cell, cells = self.who.cell(choices), len(self.who.cells)
        index = [jnp.where(cell < 0, -1, event * cells + cell) for event in range(len(self.events))]
        return Members(jnp.stack(index, -1), jnp.stack([shares(choices, event) for event in self.events], -1))

    def events_of_cells(self):
        return tuple((event,) for event in range(len(self.events)) for _ in self.who.cells)


def demographic_parity(attribute: Attribute, bound=0.05, *, of=None, within=None, form: str = "centred") -> Constraint:
    """Alternatives of every group are chosen at the same rate: |P(chosen | g) - P(chosen | h)| <= bound.

    With `within` it is conditional demographic parity. Pairs within one group count too.

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the groups)
    Source: Dwork et al. ITCS 2012; as a constraint Agarwal et al. ICML 2018; conditional: Kamiran et al. 2013.
    """
    return GroupParity(bound=bound, who=Grouping(attribute, of, within), form=form)


def equalized_odds(attribute: Attribute, bound=0.05, *, of=None, within=None, form: str = "centred") -> Constraint:
    """Equal true and false positive rates, within what people chose (y = 1) and within what they rejected (y = 0):

        |P(chosen by the model | g, y) - P(chosen by the model | h, y)| <= bound        for both y

    With a chooser's attribute this is equal accuracy.

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the groups)
    Source: Hardt et al. NeurIPS 2016.
    """
    events = ("chosen", "rejected")
    return GroupParity(
        bound=bound, who=Grouping(attribute, of, within), form=form, events=events, title="equalized_odds"
    )


def equal_opportunity(attribute: Attribute, bound=0.05, *, of=None, within=None, form: str = "centred") -> Constraint:
    """Equal true positive rates, within what people chose:

        |P(chosen by the model | g, chosen by people) - P(chosen by the model | h, chosen by people)| <= bound

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the groups)
    Source: Hardt et al. NeurIPS 2016.
    """
    who = Grouping(attribute, of, within)
    return GroupParity(bound=bound, who=who, form=form, events=("chosen",), title="equal_opportunity")


def predictive_equality(attribute: Attribute, bound=0.05, *, of=None, within=None, form: str = "centred") -> Constraint:
    """Equal false positive rates, within what people rejected:

        |P(chosen by the model | g, rejected by people) - P(chosen by the model | h, rejected by people)| <= bound

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the groups)
    Source: Corbett-Davies et al. KDD 2017.
    """
    who = Grouping(attribute, of, within)
    return GroupParity(bound=bound, who=who, form=form, events=("rejected",), title="predictive_equality")
