"""How much a unit weighs in the cells of a constraint: what the policy of a model must allow for.

Sizes alone: weights, labels, and who is in which group, of all units, those held back as well. No reward is read. Where
a model reads support, of queries alone: nothing else is evidence about it.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd

from constraints import Choices, Constraint, Members, RateConstraint, Twin

from ..runtime.programs import Program
from . import Dataset
from .sharded import Sharded
from .support import QUERY, SupportRule, roles
from .twins import supported


def audit_sizes(data: Dataset | Sharded, constraint: Constraint, support: int = 0) -> dict[str, Any]:
    """What `faro policy` drafts from, as plain values.

    data        the labelled data that a model is trained on
    constraint  what it is trained under
    support     earlier choices of a person that the model reads

    `cap`: the largest mass of a unit in a cell, None where the constraint has no cells. `single`: whether every unit
    has one alternative that counts, each of the same mass, so that methods that count rows suit. `crossed`: the shared
    columns that have a value under two or more units.
    """
    parts = [part for part in constraint.parts() if isinstance(part, RateConstraint)]
    known = len(parts) == len(constraint.parts()) and data.labelled and not constraint.columns()
    sizes: dict[str, Any] = {"cap": None, "single": False, "crossed": crossed(data)}
    if not known:
        return sizes
    names = [twin.attribute for twin in data.schema.twins]
    if not set(constraint.twins()) <= set(names):
        return sizes
    counting = np.zeros(0, np.int64)  # of every unit, alternatives that count
    masses: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in parts]
    for piece, _ in data.pieces(np.arange(data.n)):
        asked = roles(piece, SupportRule(support, piece.schema.order)) == QUERY if support else np.ones(piece.n, bool)
        with jax.enable_x64(True):
            choices = _bare(piece, constraint.twins())
            counted = (np.asarray(choices.inside) & ((piece.weight > 0) & asked)[:, None]).sum(1)
            for pairs, part in zip(masses, parts, strict=True):
                pairs.append(_masses(part, choices, asked))
        counting = np.append(counting, np.zeros(max(0, int(piece.unit_codes.max()) + 1 - len(counting)), np.int64))
        np.add.at(counting, piece.unit_codes, counted)
    together = [tuple(map(np.concatenate, zip(*pairs, strict=True))) for pairs in masses]
    totals = [np.bincount(np.unique(pair, return_inverse=True)[1], share) for pair, share in together]
    cap = max((total.max(initial=0.0) for total in totals), default=0.0)
    values = np.concatenate([np.unique(share) for _, share in together])
    single = bool(counting.max(initial=0) <= 1 and len(np.unique(values[values > 0])) == 1)
    return sizes | {"cap": float(cap), "single": single}


def crossed(data: Dataset | Sharded) -> list[str]:
    """The shared columns, sorted, of which some value stands under two or more units."""
    first: dict[str, dict[str, int]] = {}  # of every column and value, a unit
    columns = set()
    for piece, _ in data.pieces(np.arange(data.n)):
        inside = piece.parsed.inside
        units = np.broadcast_to(piece.unit_codes[:, None], inside.shape)[inside]
        for name, texts in piece.shared.items():
            pairs = pd.DataFrame({"value": texts[inside].astype(str), "unit": units}).drop_duplicates()
            known = first.setdefault(name, {})
            if any(known.setdefault(value, unit) != unit for value, unit in pairs.itertuples(index=False)):
                columns.add(name)
    return sorted(columns)


def _bare(data: Dataset, twins: tuple[str, ...]) -> Choices:
    """The choices of all units without their features."""
    parsed = data.parsed
    array: Any = np.asarray  # on the host, where an operation is no program
    valid = {name: array(supported(data.schema, parsed, name)) for name in twins}
    return Choices(
        items=np.zeros((*parsed.available.shape, 1)),
        available=array(parsed.available),
        chosen=array(parsed.chosen),
        weight=array(parsed.weight),
        unit=array(data.unit_codes),
        outside=array(parsed.outside),
        attributes={name: array(codes, np.int32) for name, codes in parsed.attributes.items()},
        twins={name: Twin(valid=valid_of, items=np.zeros((*valid_of.shape, 1))) for name, valid_of in valid.items()},
    )


def _of_part(part: RateConstraint, choices: Choices) -> Members:
    return part.members(choices)


_members = Program(_of_part, known="members of a part")  # as one program, not an operation at a time


def _masses(part: RateConstraint, choices: Choices, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every member of a cell that is asked: its unit and cell as one number, and its mass."""
    members = _members(part, choices)
    cell, share = np.asarray(members.cell), np.asarray(members.share, np.float64)
    counts = (cell >= 0) & (np.asarray(choices.inside) & asked[:, None])[..., None] & (share > 0)
    unit = np.broadcast_to(np.asarray(choices.unit)[:, None, None], cell.shape)
    return unit[counts].astype(np.int64) * len(part.cells()) + cell[counts], share[counts]
