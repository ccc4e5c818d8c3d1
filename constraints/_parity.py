"""Parity of rates between groups: a bound always bounds max minus min, in every block of cells.

    gap = max over blocks b of (max_g rate[b, g] - min_g rate[b, g]) <= bound

Three forms of the rows say the same or a stricter thing: `centred` (default), 2 (rate_g - midrange) on both sides,
feasible exactly when the gap is within the bound; `anchored`, 2 (rate_g - overall rate), sufficient, stricter by at
most a factor 2; `pairwise`, rate_g - rate_h for all ordered pairs, exact but quadratic in G.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ._choices import Attribute, static
from ._constraint import Constraint
from ._rate import Members, RateConstraint

FORMS = ("centred", "anchored", "pairwise")


class Parity(RateConstraint):
    """Equal rates over the groups of each block. A subclass gives `blocks`, `groups` and `members`, whose cell index
    is block * G + group."""

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
        shape = (len(self.blocks()), len(self.groups()))
        empty = (statistics.masses <= 0).reshape(shape)
        rates = jnp.nan_to_num(self.rates(statistics)).reshape(shape)
        low = jnp.where(empty, jnp.inf, rates).min(-1)
        high = jnp.where(empty, -jnp.inf, rates).max(-1)
        some = ~empty.all(-1)
        return rates, empty, jnp.where(some, low, 0), jnp.where(some, high, 0)

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


class GroupParity(Parity):
    """Equal rates of being chosen over the groups of `attribute`, in each of the `events` and strata.

    An event is a share of every alternative: "all" 1, "chosen" the label, "rejected" 1 - the label, so split votes
    lose nothing. `within`: compare inside each level of this attribute only. `of`: count only alternatives of this
    kind, (attribute, level); needed when `attribute` is the chooser's, whose rates over all alternatives never move.
    """

    attribute: Attribute = static()
    events: tuple[str, ...] = static(default=("all",))
    within: Attribute | None = static(default=None)
    of: tuple[Attribute, str] | None = static(default=None)
    title: str = static(default="demographic_parity")

    def name(self):
        text = f"{self.title}({self.attribute.name}"
        text += f", of={self.of[0].name}={self.of[1]}" if self.of else ""
        return text + (f", within={self.within.name})" if self.within else ")")

    def _strata(self) -> tuple[str, ...]:
        return tuple(f"{self.within.name}={level}" for level in self.within.levels) if self.within else ("",)

    def groups(self):
        return tuple(f"{self.attribute.name}={level}" for level in self.attribute.levels)

    def blocks(self):
        events = [event if event != "all" else "" for event in self.events]
        return tuple(", ".join(filter(None, (event, stratum))) for event in events for stratum in self._strata())

    def members(self, choices):
        group = choices.attributes[self.attribute.name]
        stratum = choices.attributes[self.within.name] if self.within else jnp.zeros_like(group)
        counted = (group >= 0) & (stratum >= 0)
        if self.of:
            counted &= choices.attributes[self.of[0].name] == self.of[0].code(self.of[1])
        strata = len(self._strata())
        cell = [
            jnp.where(counted, (event * strata + stratum) * len(self.attribute.levels) + group, -1)
            for event in range(len(self.events))
        ]
        shares = {"all": jnp.ones_like(choices.chosen), "chosen": choices.chosen, "rejected": 1 - choices.chosen}
        share = [choices.weight[:, None] * shares[event] for event in self.events]
        return Members(jnp.stack(cell, -1), jnp.stack(share, -1))


def demographic_parity(
    attribute: Attribute, bound=0.05, *, of=None, within: Attribute | None = None, form: str = "centred"
) -> Constraint:
    """Alternatives of every group are chosen at the same rate: |P(chosen | g) - P(chosen | h)| <= bound.

    For a chooser's attribute `of = (attribute, level)` names the kind of alternative whose rate is compared. With
    `within` it is conditional demographic parity. Rates and bound are in [0, 1]. Pairs within one group count too.
    Source: Dwork et al. 2012; as a constraint Agarwal et al. ICML 2018.
    """
    return GroupParity(bound=bound, attribute=attribute, of=of, within=within, form=form)


def equalized_odds(
    attribute: Attribute, bound=0.05, *, of=None, within: Attribute | None = None, form: str = "centred"
) -> Constraint:
    """Parity within the alternatives that people chose and within those they rejected: |P(chosen by the model | g, y) -
    P(. | h, y)| <= bound for both y. With a chooser's attribute this is equal accuracy.
    Source: Hardt et al. NeurIPS 2016.
    """
    return GroupParity(
        bound=bound, attribute=attribute, of=of, within=within, form=form,
        events=("chosen", "rejected"), title="equalized_odds",
    )  # fmt: skip


def equal_opportunity(
    attribute: Attribute, bound=0.05, *, of=None, within: Attribute | None = None, form: str = "centred"
) -> Constraint:
    """Parity within the alternatives that people chose: the first half of equalized odds.

    Source: Hardt et al. NeurIPS 2016.
    """
    return GroupParity(
        bound=bound, attribute=attribute, of=of, within=within, form=form,
        events=("chosen",), title="equal_opportunity",
    )  # fmt: skip
