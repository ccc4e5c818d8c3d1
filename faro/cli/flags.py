"""Flags that several commands take, in the same words, and the data that they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DataError

ENCODER = "what reads texts that no schema is about (default: minilm)"
PAIRS = "features of answers to prompts: answer (default), together, both or products"
RULE = "argmax, softmax(temperature=T), kl_tilted(beta=B) or best_of(n=N): how rewards become decisions"


def add_measured(sub: argparse.ArgumentParser) -> None:
    """What a constraint measures."""
    sub.add_argument("--attribute", metavar="NAME", help="the attribute whose groups are compared")
    sub.add_argument(
        "--of", metavar="ATTR=LEVEL", help="count only alternatives of this kind (for a chooser's attribute)"
    )
    sub.add_argument("--within", metavar="NAME", help="compare only inside each level of this attribute")


def source(name: str) -> Any:
    """The table of this name or path, as `faro.store.model.TrainedModel.read` takes it.

    name: of a known data set, or the path of a table

    `DataError` where there is neither.
    """
    from .. import data

    if name in data.NAMES:
        return data.load(name)
    if not Path(name).exists():
        raise DataError(f"no data set and no file {name!r}; data sets: {', '.join(data.NAMES)}")
    return name
