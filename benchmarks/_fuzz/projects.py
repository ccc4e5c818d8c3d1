"""What is fuzzed: three small projects, as schemas and columns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._fuzz.mutations import Table

UNITS = 60


def accept(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Applicants, one row each; twins of race, a missing number, weights."""
    schema = {
        "format": "accept", "unit": "person", "label": "hired", "weight": "w", "numeric": ["score", "age"],
        "categorical": ["race"], "missing": ["-99.9"], "on_missing": "level",
        "attributes": [{"name": "sex", "levels": ["F", "M"]}, {"name": "race", "levels": ["black", "white"]}],
        "twins": [{"attribute": "race", "origin": "the model's input exchanged"}],
    }  # fmt: skip
    sex = [("F", "M")[i % 2] for i in range(UNITS)]
    score = [float(round(x, 3)) for x in rng.normal(size=UNITS)]
    return schema, {
        "person": [f"p{i:03}" for i in range(UNITS)],
        "score": [-99.9, *score[1:]],
        "age": [int(x) for x in rng.integers(18, 70, UNITS)],
        "race": [("black", "white")[int(x)] for x in rng.integers(0, 2, UNITS)],
        "sex": sex,
        "hired": [int(x) for x in rng.integers(0, 2, UNITS)],
        "w": [1.0] * UNITS,
    }


def wide(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Pairs of answers to prompts that raters share; labels are words."""
    schema = {
        "format": "wide", "unit": "rater", "sides": ["a", "b"], "label": "first", "positive": "yes", "negative": "no",
        "numeric": ["len"], "categorical": ["lang"], "shared": ["prompt"], "on_missing": "error",
        "attributes": [{"name": "lang", "levels": ["en", "fr"]}],
        "twins": [{"attribute": "lang", "origin": "generated"}],
    }  # fmt: skip
    rows = range(UNITS)
    return schema, {
        "rater": [f"r{i:03}" for i in rows],
        "prompt": [f"q{i % 7}" for i in rows],
        **{f"{side}_len": [float(x) for x in rng.integers(1, 99, UNITS)] for side in "ab"},
        **{f"{side}_lang": [("en", "fr")[int(x)] for x in rng.integers(0, 2, UNITS)] for side in "ab"},
        "first": [("yes", "no")[int(x)] for x in rng.integers(0, 2, UNITS)],
    }


def long(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Three alternatives, the last the outside option, some unavailable, two choices of everybody; a chooser's
    attribute, and rows with a missing price are dropped."""
    schema = {
        "format": "long", "unit": "person", "choice": ["trip"], "alternative": "alt", "label": "took",
        "available": "ok", "outside": "none", "numeric": ["price"], "categorical": ["kind"],
        "context_categorical": ["gender"], "context_numeric": ["income"], "shared": ["day"], "on_missing": "drop",
        "attributes": [{"name": "gender", "levels": ["f", "m"], "chooser": True},
                       {"name": "kind", "levels": ["bus", "car"], "others": "exclude"}],
    }  # fmt: skip
    columns: dict[str, list[Any]] = {name: [] for name in ("person", "trip", "alt", "none", "ok", "price", "kind")}
    columns |= {name: [] for name in ("gender", "income", "day", "took")}
    for trip in range(UNITS):
        won, absent = int(rng.integers(3)), trip % 9 == 0 and trip % 3 == 0
        won = 2 if absent and won == 0 else won
        income = float(round(rng.normal(), 2))
        for k, alt in enumerate(("x", "y", "no")):
            row = (f"p{trip // 2}", trip, alt, int(k == 2), int(not (absent and k == 0)), int(rng.integers(1, 50)),
                   ("bus", "car", "")[k if k == 2 else int(rng.integers(2))], "fm"[trip // 2 % 2], income,
                   f"d{trip % 5}",
                   int(k == won))  # fmt: skip
            for cells, value in zip(columns.values(), row, strict=True):
                cells.append(value)
    return schema, columns


PROJECTS: dict[str, Any] = {"accept": accept, "wide": wide, "long": long}
OUTSIDE = {"accept": "all", "wide": "none", "long": "column"}
UNIT = {"accept": "person", "wide": "rater", "long": "person"}
ATTRIBUTE = {"accept": "sex", "wide": "lang", "long": "gender"}
TWINS = {"accept": "race", "wide": "lang", "long": None}
ASSUMPTIONS = [
    "iid-units",
    "group-labels-correct",
    "label-noise-bounded",
    "twins-as-declared",
    "train-overlap-unchecked",
]


@dataclasses.dataclass(frozen=True)
class Ground:
    """A project whose files are all good, in `folder`; `ledgered` is the same with a ledger and an attempt."""

    name: str
    schema: dict[str, Any]
    data: Table
    scored: Table
    folder: Path
    ledgered: Path
