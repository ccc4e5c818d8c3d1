"""Flags that several commands take, in the same words, and the data that they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError

ENCODER = "what reads texts that no schema is about (default: minilm)"
PAIRS = "features of answers to prompts: answer (default), together, both or products"
RULE = "argmax, softmax(temperature=T), kl_tilted(beta=B) or best_of(n=N): how rewards become decisions"
CONSTRAINT_OPTIONS = ("constraint", "attribute", "of", "within")  # that name one, as `make_constraint` is told


def add_measured(sub: argparse.ArgumentParser) -> None:
    """What a constraint measures."""
    sub.add_argument("--attribute", metavar="NAME", help="the attribute whose groups are compared")
    sub.add_argument(
        "--of", metavar="ATTR=LEVEL", help="count only alternatives of this kind (for a chooser's attribute)"
    )
    sub.add_argument("--within", metavar="NAME", help="compare only inside each level of this attribute")


def add_constraint(sub: argparse.ArgumentParser, whose: str) -> None:
    """The options that name a constraint; `whose` it is."""
    for name in CONSTRAINT_OPTIONS:
        sub.add_argument(f"--{name}", metavar="NAME", help=whose)


def said_of_constraint(options: argparse.Namespace) -> dict[str, str]:
    """What was said of the constraint, as `make_constraint` is told."""
    given = {name: getattr(options, name) for name in CONSTRAINT_OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def add_audited(sub: argparse.ArgumentParser) -> None:
    """What a certificate is made of beside the scored table."""
    sub.add_argument("--train-units", metavar="FILE", help="hashed units that training saw")
    sub.add_argument("--model", action="append", default=[], metavar="FILE", help="a file of the model (repeatable)")
    sub.add_argument(
        "--table", action="append", default=[], metavar="NAME=FILE", help="the table of a claim about models"
    )


def add_plugin(sub: argparse.ArgumentParser, what: str) -> None:
    """What may be imported, and `what` for."""
    sub.add_argument(
        "--plugin", action="append", default=[], metavar="NAME",
        help=f"{what}: a name, or package.module:Name (repeatable); no file decides what is imported",
    )  # fmt: skip


def tables(given: list[str]) -> dict[str, str]:
    """Name -> file of what `--table` was given; `UsageError` for anything else."""
    tables = dict(text.split("=", 1) for text in given if "=" in text)
    if len(tables) < len(given):
        raise UsageError("--table: expected NAME=FILE, every name once")
    return tables


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
