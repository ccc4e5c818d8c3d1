"""Whose numbers are compared: the groups of an attribute, in strata, among alternatives of a kind.

cell of an alternative = stratum * G + group          -1 = in no cell
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax import Array

from ._choices import Attribute, Choices


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Groups in strata among alternatives of a kind: cell = stratum * G + group.

    attribute: its levels are the groups; None: everyone is one
    of: (attribute, level): only alternatives of this kind count; needed where `attribute` is the chooser's and rates
        of being chosen are compared
    within: an attribute whose levels are the strata; None: one stratum
    """

    attribute: Attribute | None = None
    of: tuple[Attribute, str] | None = None
    within: Attribute | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, `[G]`."""
        if self.attribute is None:
            return ("everyone",)
        return tuple(f"{self.attribute.name}={level}" for level in self.attribute.levels)

    @property
    def strata(self) -> tuple[str, ...]:
        """Names of the strata, `[S]`; one without a name if there are none."""
        return tuple(f"{self.within.name}={level}" for level in self.within.levels) if self.within else ("",)

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells, `[S * G]`."""
        return tuple(joined(group, stratum) for stratum in self.strata for group in self.groups)

    def stratum(self, choices: Choices) -> Array:
        """`[n, K]` stratum of every alternative that counts, -1 for the others.

        choices: n choices with the attributes
        """
        stratum = self.within.codes(choices) if self.within else jnp.zeros(choices.shape, jnp.int32)
        if self.of:
            stratum = jnp.where(self.of[0].codes(choices) == self.of[0].code(self.of[1]), stratum, -1)
        return jnp.where(choices.inside, stratum, -1)

    def cell(self, choices: Choices) -> Array:
        """`[n, K]` cell of every alternative, -1 for none.

        choices: n choices with the attributes
        """
        stratum = self.stratum(choices)
        group = self.attribute.codes(choices) if self.attribute else jnp.zeros(choices.shape, jnp.int32)
        return jnp.where((stratum < 0) | (group < 0), -1, stratum * len(self.groups) + group)

    def title(self, notion: str) -> str:
        """notion(attribute, of=kind=level, within=stratum), as tables call it; of everyone the notion alone.

        notion: the name of the constraint
        """
        words = [self.attribute.name] if self.attribute else []
        words += [f"of={self.of[0].name}={self.of[1]}"] if self.of else []
        words += [f"within={self.within.name}"] if self.within else []
        return f"{notion}({', '.join(words)})" if words else notion


def joined(cell: str, *rest: str) -> str:
    """ "cell | a, b" from the parts that are not empty."""
    named = ", ".join(filter(None, rest))
    return f"{cell} | {named}" if named else cell
