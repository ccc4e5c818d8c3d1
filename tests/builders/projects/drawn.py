"""A table of a random schema, of one of eight shapes, and the project that it is of."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import faro
from faro.data import Dataset, read_table

SHAPES = 8
GENERATION = 250  # seeds that share eight shapes
PARTS = {"train": 72, "dual": 14, "selection": 14, "dev": 40, "gate": 40}  # choices of each
FORMATS = ("accept", "long", "wide", "accept", "long", "long", "accept", "wide")
NAMES = (
    "sex",
    "größe",
    "job title",
    "x.y",
    "Ω",
    "a'b",
    'q"q',
    "region#1",
    "%",
    "[k]",
    "né(e)",
    "0",
    "NA",
    "$c",
    "tag\\n",
)


LEVELS = (
    ("A", "B"), ("F", "M", "X"), ("NO", "No"), ("1.10", "1.1"), ("02139", "2139"), ("true", "false"), ("0", "1"),
    ("nan", "None", "NA"), ("a,b", 'c"d'), ("new\nline", "tab\there"), ("é", "e"), ("🙂", "-"), ("=1+1", "a=b"),
    ("a & b", "a&b"), ("x|y", "x | y"), ("1e3", "1000"), ("-0", "+0"), (" ".join("long" * 15), "short"), ("'", "''"),
    ("null", "NULL"), ("Ⅷ", "VIII"), ("[1]", "{1}"), ("\\", "/"), ("0.1", "0.10", ".1"),
)  # fmt: skip


OF_PAIRS = ("demographic_parity", "equalized_odds", "equal_opportunity", "predictive_equality",
            "reward_parity(scale=0.25)", "threshold_parity(thresholds=(0.125,))")  # fmt: skip


SPECIAL = ("several", "crossed", "within", "plain", "of", "joined", "within", "of")
OF_RATES = ("rate_cap", "rate_floor", "group_error")
COLUMNS = ("unit", "part", "id", "weight", "label", "reward", "Größe des Hauses", "decision", "a b", "person", "choice",
           "content", "alternative", "outside", "c,d", 'say "x"', "x=1", "9", "ﬁ")  # fmt: skip


class Failed(AssertionError):
    """Two readers count different numbers, or something else than a refusal was raised."""


class Shape(NamedTuple):
    """What compiled programs depend on."""

    format: str
    k: int
    ragged: bool  # whether some choices have fewer alternatives
    levels: Mapping[str, tuple[str, ...]]  # of the two attributes of alternatives, and of "who": the chooser's
    who: str
    constraint: str
    attribute: str
    of: str
    within: str
    outside: str  # of long tables: "none", "some", "every"
    features: int
    seen: tuple[str, ...]  # attributes that are features too
    strange: tuple[str, ...]  # attributes with cells that are no level, which apply to nobody
    context: bool
    on_missing: str


@functools.cache
def shape_of(number: int, generation: int) -> Shape:
    """The shape of this number in a generation."""
    rng = np.random.default_rng([14, number, generation])
    form = FORMATS[number]
    one, two, who = rng.choice(NAMES, 3, replace=False).tolist()
    levels = {name: LEVELS[rng.integers(len(LEVELS))] for name in (one, two, who)}
    outside = {"accept": "every", "wide": "none"}.get(form) or ("none", "some", "every")[rng.integers(3)]
    special = SPECIAL[(3 * number + generation) % SHAPES]
    kind = (*OF_PAIRS, OF_RATES[generation % 3], OF_RATES[(generation + 1) % 3])[(number + 2 * generation) % SHAPES]
    attribute, of, within = one, "", ""
    if special == "several":
        attribute = f"{one},{two}"
    elif special == "crossed":
        attribute = f"{one}&{two}"
    elif special == "within":
        within = (two, who)[rng.integers(2)]
    elif special == "joined":
        kind = f"{kind}+{rng.choice([other for other in OF_RATES if other != kind])}"
    elif special == "of":
        attribute, of = who, f"{two}={levels[two][0]}"
    context = bool(rng.integers(2))
    k = 2 if form != "long" else int(rng.integers(2, 5))
    return Shape(
        form, k, k > 2 and bool(rng.integers(2)), levels, who, kind, attribute, of, within, outside,
        int(rng.integers(1, 4)), tuple(name for name in (one, two) if rng.integers(2)),
        tuple(name for name in levels if rng.integers(3) == 0), context, ("error", "drop", "level")[rng.integers(3)],
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Project:
    """A table in a file, how it is read, and what is asked of a model."""

    seed: int
    shape: Shape
    table: Path
    schema: faro.Schema
    split: int
    bound: float
    people: Mapping[str, int]  # spelling -> person

    @property
    def asked(self) -> dict[str, Any]:
        """Arguments of `faro.train` beside the data, as a command line has them."""
        shape = self.shape
        words = {"attribute": shape.attribute, "of": shape.of, "within": shape.within}
        return {"constraint": shape.constraint, "bound": self.bound, "seed": self.split} | {
            name: word for name, word in words.items() if word
        }


def build(seed: int, folder: Path) -> Project:
    """The project of a seed, its table written to `folder`."""
    rng = np.random.default_rng([1414, seed])
    shape = shape_of(seed % SHAPES, seed // GENERATION)
    split, container = int(rng.integers(3)), str(rng.choice(["csv", "jsonl", "parquet"]))
    table = folder / f"data.{container}"
    choices = 560
    for _ in range(4):  # until every part has its choices
        raw, schema, people, longs = _draw(np.random.default_rng([1414, seed, 1]), shape, choices)
        store(raw, table)
        data = Dataset.from_table(read_table(table), schema)
        kept = _quota(data, split)
        if kept is not None:
            raw = raw.iloc[kept].reset_index(drop=True)
            order = rng.permutation(len(raw)) if not longs else np.arange(len(raw))
            store(raw.iloc[order], table)
            return Project(seed, shape, table, schema, split, float(rng.choice([0.05, 0.15, 0.4, 0.9])), people)
        choices *= 2
    raise Failed(f"project {seed}: no part of the right size")


def store(raw: pd.DataFrame, path: Path) -> None:
    """The table as programs other than faro write it."""
    if path.suffix == ".csv":
        raw.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        raw.to_parquet(path, index=False)
    else:
        records = raw.astype(object).where(raw.notna(), None).to_dict("records")
        path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


def _quota(data: Dataset, split: int) -> np.ndarray | None:
    """Rows of the table of so many choices of each part, and a few of those that were dropped."""
    parts, rows = data.parts(split), []
    for code, size in enumerate(PARTS.values()):
        own = np.flatnonzero(parts == code)[:size]
        if len(own) < size:
            return None
        rows.append(data.parsed.source[own].ravel())
    used = np.unique(data.parsed.source)
    dropped = np.setdiff1d(np.arange(len(data.frame)), used)[: 0 if data.schema.format == "long" else 5]
    found = np.unique(np.concatenate([*rows, dropped]))
    return found[found >= 0]


def _draw(rng: np.random.Generator, shape: Shape, n: int) -> tuple[pd.DataFrame, faro.Schema, dict[str, int], bool]:
    """n choices: (the table, its schema, spelling -> person, whether several rows are one choice)."""
    k = shape.k if shape.format != "accept" else 1
    size = np.full(n, k)
    if shape.ragged:
        size[1:] = rng.integers(2, k + 1, n - 1)
    has = {"none": np.zeros(n, bool), "some": rng.random(n) < 0.5, "every": np.ones(n, bool)}[shape.outside]
    has &= shape.format == "long"
    choice = np.repeat(np.arange(n), size)
    slot = np.arange(len(choice)) - np.repeat(np.cumsum(size) - size, size)
    last = slot == size[choice] - 1
    outside = last & has[choice]
    rows = len(choice)

    # odd names: of columns by which nothing is counted
    names = dict(zip(("unit", "choice", "label", "weight", "tag", "alt"), rng.choice(COLUMNS, 6, False), strict=True))
    one, two, who = shape.levels
    spelled, people = _people(rng, n)
    person = np.array([people[name] for name in spelled])
    levels = {name: np.array(shape.levels[name], object) for name in shape.levels}
    alike = {
        name: rng.choice(levels[name], rows, p=rng.dirichlet(np.full(len(levels[name]), 4.0))) for name in (one, two)
    }
    of_person = rng.choice(levels[who], person.max() + 1)
    alike[who] = of_person[person][choice]
    columns: dict[str, Any] = {}
    values = rng.normal(size=(rows, shape.features)).round(int(rng.integers(1, 4)))
    values[:, 0] += 0.8 * (alike[one] == levels[one][0]) * rng.integers(0, 3)
    numeric = [f"f{j}" for j in range(shape.features)]
    columns |= dict(zip(numeric, values.T, strict=True))
    score = values[:, 0] + rng.gumbel(size=rows)
    if shape.format == "long":
        best = pd.Series(np.where(outside, rng.gumbel(size=rows), score)).groupby(choice).transform("max")
        label = (np.where(outside, -np.inf, score) == best).astype(float)
        none = pd.Series(label).groupby(choice).transform("sum").to_numpy() == 0
        label[none & outside] = 1
        label[none & ~outside] = 0
        label = _one_each(label, choice)
    else:
        label = (score > 0.3).astype(float)

    fields: dict[str, Any] = {"format": shape.format, "numeric": numeric}
    weights, drawn = bool(rng.integers(2)), rng.choice([0.0, 0.5, 1.0, 2.25, 3.0], n, p=[0.05, 0.2, 0.3, 0.25, 0.2])
    if weights:
        columns[names["weight"]], fields["weight"] = drawn[choice], names["weight"]
    by_row = shape.format == "accept" and bool(rng.integers(4) == 0)
    if by_row:
        fields["unit"] = "row"
    else:
        columns[names["unit"]] = np.array(spelled, object)[choice]
        fields["unit"] = names["unit"]
    if rng.integers(2):  # a column that says who it is, letter by letter
        names["tag"] = names["tag"] if rng.integers(8) == 0 else "who it is"
        columns[names["tag"]] = [f"person {number}" for number in person[choice]]
        fields["shared"] = [names["tag"]]
    specs = []
    for name in (one, two, who):
        own, chooser = alike[name], name == who
        column = name if name not in columns and rng.integers(2) else f"{name} (column)"
        words = list(shape.levels[name])
        spec = {"name": name, "column": column, "levels": words, "chooser": chooser}
        if name in shape.strange:
            spec["others"] = "exclude"
            strange = (rng.random(n)[choice] if chooser else rng.random(rows)) < 0.1
            own = np.where(strange, "someone else", own)
        columns[column] = own
        specs.append(spec)
    fields["attributes"] = specs
    fields["categorical"] = [spec["column"] for spec in specs if spec["name"] in shape.seen]
    if shape.context:
        columns["ctx"] = rng.normal(size=n).round(2)[choice]
        fields["context_numeric"] = ["ctx"]
    if shape.on_missing != "error":
        fields |= {"on_missing": shape.on_missing, "missing": ["-99.9", "n/a"]}
        gone = rng.random(rows) < 0.06
        columns["f0"] = np.where(gone, -99.9, columns["f0"])
    raw = pd.DataFrame(columns)

    if shape.format == "accept":
        words = (("yes", "no"), ("1", "0"), ("", ""))[rng.integers(3)]
        if words[0]:
            raw[names["label"]] = np.where(label > 0, *words)
            fields |= {"positive": words[0]}
        else:
            raw[names["label"]] = label.astype(int)
        fields["label"] = names["label"]
    elif shape.format == "long":
        raw[names["label"]] = label
        fields |= {"label": names["label"], "choice": [names["choice"]]}
        raw[names["choice"]] = [f"c/{i}" for i in choice]
        if rng.integers(3) == 0:  # a key of two columns
            raw["leg"] = choice % 2
            raw[names["choice"]] = [f"c\\{i // 2}" for i in choice]
            fields["choice"] = [names["choice"], "leg"]
        if rng.integers(2):
            raw[names["alt"]] = np.array(["p", "q", "007", "7"], object)[slot]
            fields["alternative"] = names["alt"]
        if shape.outside != "none":
            raw["none of them"] = outside.astype(int)
            fields["outside"] = "none of them"
        if rng.integers(2):
            there = (rng.random(rows) < 0.85) | (label > 0) | outside
            there |= ~pd.Series(there).groupby(choice).transform("any").to_numpy()
            raw["there"] = there if rng.integers(2) else there.astype(int)
            fields["available"] = "there"
    else:
        raw = _wide(raw, fields, specs, columns, label, rng, names)
    return raw, faro.Schema.from_dict(fields), people, shape.format == "long"


def _one_each(label: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """Labels of which every choice has exactly one."""
    first = np.zeros(len(label))
    frame = pd.DataFrame({"choice": choice, "label": label})
    first[frame.groupby("choice")["label"].idxmax()] = 1
    return first


def _wide(raw, fields, specs, columns, label, rng, names) -> pd.DataFrame:
    """Rows 2 i and 2 i + 1 as the sides of row i."""
    own = {*fields["numeric"], *fields["categorical"], *(s["column"] for s in specs if not s["chooser"])}
    sides, before = ("left", "right"), bool(rng.integers(2))
    wide = raw.drop(columns=sorted(own)).iloc[::2].reset_index(drop=True)
    for number, side in enumerate(sides):
        for column in sorted(own):
            name = f"{side}_{column}" if before else f"{column}_{side}"
            wide[name] = raw[column].iloc[number::2].to_numpy()
    fields["sides"] = list(sides)
    if rng.integers(4):
        share = rng.choice([0.0, 0.25, 0.5, 1.0], len(wide)) if rng.integers(2) else label[::2]
        wide[names["label"]], fields["label"] = share, names["label"]
    return wide


def _people(rng: np.random.Generator, n: int) -> tuple[list[str], dict[str, int]]:
    """(of every choice how its person is spelled, spelling -> person)."""
    rows = int(rng.integers(1, 4))
    person = np.sort(rng.integers(0, max(1, n // rows), n)) if rows > 1 else np.arange(n)
    style = rng.integers(5)

    def spell(i: int) -> str:
        which = int(rng.integers(3))
        if style == 0:
            return (f"{i}", f"{i:05d}", f"{i}.0")[which]
        if style == 1:
            return (f"ﬁ{i}", f"fi{i}", f" fi{i} ")[which]  # one name in NFKC
        if style == 2:
            return f"{'aA'[i % 2]}{i // 2}"  # case is kept
        if style == 3:
            return (f"Zoë  {i}", f"Zoë {i}", f"Zoe\u0308 {i}")[which]
        return f"mail+{i}@x.org"

    spelled = [spell(int(i)) for i in person]
    return spelled, dict(zip(spelled, person.tolist(), strict=True))
