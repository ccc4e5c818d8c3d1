"""What claims of notes are made of: a claim, figures by name, and choices of people in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from constraints import make_choices

Found = dict[str, float]


class Claim(NamedTuple):
    """A sentence of a note.

    part: which note
    says: in words
    figures: whose means over seeds are shown
    note: the note's figures
    holds: whether the figures bear it out
    """

    part: str
    says: str
    figures: tuple[str, ...]
    note: str
    holds: Callable[..., bool]


def near(*wanted: float, by: float = 0.0) -> Callable[..., bool]:
    """That figures are within `by` of these."""
    return lambda *found: bool(np.all(np.abs(np.subtract(found, wanted)) <= by))


def asked(x: np.ndarray, label: np.ndarray) -> Any:
    """Pairs of x and nothing, of people in a row, `[U, n, d]`."""
    flat = x.reshape(-1, x.shape[-1])
    unit, first = np.repeat(np.arange(len(x)), x.shape[1]), label.ravel()
    return make_choices(np.stack([flat, np.zeros_like(flat)], 1), np.stack([first, 1 - first], 1), unit=unit)


def people(x: np.ndarray, label: np.ndarray) -> Any:
    """The same with leading axes `[U, n]`."""
    flat = asked(x, label)
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(*x.shape[:2], *np.shape(leaf)[1:]), flat)
