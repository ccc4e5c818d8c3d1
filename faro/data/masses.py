"""How much a unit weighs in the cells of a constraint: what the policy of a model must allow for.

Sizes alone: weights, labels, and who is in which group, of all units, those held back as well. No reward is read.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from constraints import Choices, Constraint, RateConstraint, Twin

from . import Dataset
from .twins import supported


def audit_sizes(data: Dataset, constraint: Constraint) -> dict[str, Any]:
    """What `faro policy` drafts from, as plain values.

    data        the labelled data that a model is trained on
    constraint  what it is trained under

    `cap`: the largest mass of a unit in a cell, None where the constraint has no cells. `single`: whether every unit
    has one alternative that counts, each of the same mass, so that methods that count rows suit. `crossed`: the shared
    columns that have a value under two or more units.
    """
    parts = [part for part in constraint.parts() if isinstance(part, RateConstraint)]
    known = len(parts) == len(constraint.parts()) and data.labelled and not constraint.columns()
    found: dict[str, Any] = {"cap": None, "single": False, "crossed": crossed(data)}
    if not known:
        return found
    names = [twin.attribute for twin in data.schema.twins]
    if not set(constraint.twins()) <= set(names):
        return found
    with jax.enable_x64(True):
        choices = _bare(data, constraint.twins())
        inside = np.asarray(choices.inside)
        masses = [_masses(part, choices) for part in parts]
    cap = max((total.max(initial=0.0) for total, _ in masses), default=0.0)
    values = np.concatenate([np.unique(share) for _, share in masses])
    counting = np.bincount(data.unit_codes, (inside & (data.parsed.weight > 0)[:, None]).sum(1))
    single = bool(counting.max(initial=0) <= 1 and len(np.unique(values[values > 0])) == 1)
    return found | {"cap": float(cap), "single": single}


def crossed(data: Dataset) -> list[str]:
    """The shared columns, sorted, of which some value stands under two or more units."""
    inside = data.parsed.inside
    units = np.broadcast_to(data.unit_codes[:, None], inside.shape)[inside]
    found = []
    for name, texts in data.shared.items():
        values = np.unique(texts[inside].astype(str), return_inverse=True)[1]
        pairs = np.unique(np.stack([values, units], 1), axis=0)
        if (np.bincount(pairs[:, 0]) > 1).any():
            found.append(name)
    return sorted(found)


def _bare(data: Dataset, twins: tuple[str, ...]) -> Choices:
    """The choices of all units without their features."""
    parsed = data.parsed
    valid = {name: jnp.asarray(supported(data.schema, parsed, name)) for name in twins}
    return Choices(
        items=jnp.zeros((*parsed.available.shape, 1)),
        available=jnp.asarray(parsed.available),
        chosen=jnp.asarray(parsed.chosen),
        weight=jnp.asarray(parsed.weight),
        unit=jnp.asarray(data.unit_codes),
        outside=jnp.asarray(parsed.outside),
        attributes={name: jnp.asarray(codes, jnp.int32) for name, codes in parsed.attributes.items()},
        twins={name: Twin(valid=own, items=jnp.zeros((*own.shape, 1))) for name, own in valid.items()},
    )


def _masses(part: RateConstraint, choices: Choices) -> tuple[np.ndarray, np.ndarray]:
    """Mass of every unit in every cell, `[U * C]`, and the masses of single members."""
    members = part.members(choices)
    cell, share = np.asarray(members.cell), np.asarray(members.share, np.float64)
    counts = (cell >= 0) & np.asarray(choices.inside)[..., None] & (share > 0)
    unit = np.broadcast_to(np.asarray(choices.unit)[:, None, None], cell.shape)
    index = unit[counts].astype(np.int64) * len(part.cells()) + cell[counts]
    _, index = np.unique(index, return_inverse=True)  # pairs that exist: there are many units and cells
    return np.bincount(index, share[counts]), share[counts]
