"""Whole projects from a seed: a table of a random schema, a model trained on it, its scored table, policy and
certificate, and what four readers count of one part.

    train     `about["figures"]` of the model: hard decisions in float64
    pandas    the scored table, counted again here in a few lines that know nothing of faro's
    certify   `Finding.counted` and `Finding.rates`
    verify    the stand-alone checker

They agree to 1e-9 or somebody refuses, in one line. Names of attributes, levels, alternatives and sizes are those of
one of eight shapes, so that compiled programs are used again; a `generation` of seeds has eight of its own.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import faro
from faro import verify
from faro.certify import certificate
from faro.certify.columns import write_columns
from faro.certify.description import read_description, write_description
from faro.certify.drafts import draft_policy, toml
from faro.certify.policy import read_policy
from faro.certify.scored import write_scored
from faro.cli import main
from faro.data import Dataset, read_table
from faro.errors import FaroError
from faro.store.model import TrainedModel

SHAPES = 8
GENERATION = 250  # seeds that share eight shapes
PARTS = {"train": 72, "dual": 14, "selection": 14, "dev": 40, "gate": 40}  # choices of each
CLOSE = 1e-9
SETTINGS = {"steps": 1, "primal": "adam"}
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


# Shapes ---------------------------------------------------------------------------------------------------------------


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


# Projects -------------------------------------------------------------------------------------------------------------


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


# What four readers say ------------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """Of every claim the gap, and of every cell of every claim the rate, None where it is empty."""

    gaps: list[float]
    rates: list[float | None]


class Readers(NamedTuple):
    """How a project is followed; each may be exchanged for one with a planted fault."""

    score: Callable[..., Any] = write_scored
    policy: Callable[..., str] | None = None
    between: Callable[[Path, Path], Any] = lambda table, policy: None  # after scoring and drafting
    certify: Callable[..., Any] = certificate.prepare


HONEST = Readers()


def fit(project: Project) -> TrainedModel:
    """A model of a few steps."""
    return faro.train(project.table, schema=project.schema, settings=SETTINGS, **project.asked)


def follow(project: Project, model: TrainedModel, folder: Path, part: str = "dev", by: Readers = HONEST) -> str:
    """Score a part, draft, certify and verify: "agreed", or why somebody refused; `Failed` if they count otherwise."""
    table, rules = folder / f"scored{project.table.suffix}", folder / "faro.toml"
    model.save(folder / "model")
    files = [folder / "model.json", folder / "model.safetensors"]
    try:
        by.score(model, project.table, table, part=part, files=files)
        frame = read_texts(table)
        rules.write_text((by.policy or policy_of)(model), encoding="utf-8")
        by.between(table, rules)
        policy = read_policy(rules)
        case = by.certify(table, policy, models=files)
        made = certificate.make(case)
    except FaroError as error:
        return f"{type(error).__name__}: {error}"
    checked = as_csv(table, folder)
    (folder / "cert.json").write_text(json.dumps(made.record), encoding="utf-8")
    counts = {"certify": certified(made), "pandas": recount(frame, model, project)}
    if part == "dev":
        counts["train"] = trained(model)
    try:
        result = verify.verify(folder / "cert.json", str(checked), policy=rules, models=list(map(str, files)))
        proved = result.verdict
    except verify.Refused as refused:
        if part == "gate" or refused.code != 6 or "tuning data" not in str(refused):
            return f"verify ({refused.code}): {refused}"
        proved = str(refused).partition(",")[0]
    if proved != made.verdict.value:
        raise Failed(f"project {project.seed}: certify says {made.verdict.value}, verify {proved}")
    counts["verify"] = verified(rules, checked)
    _agree(project, counts)
    _same_people(project, frame)
    return "agreed"


def _agree(project: Project, counts: Mapping[str, Counts]) -> None:
    first = counts["pandas"]
    for name, other in counts.items():
        for what, mine, own in zip(Counts._fields, first, other, strict=True):
            same = len(mine) == len(own) and all(
                (a is None) == (b is None) and (a is None or abs(a - b) <= CLOSE)
                for a, b in zip(mine, own, strict=True)
            )
            if not same:
                raise Failed(f"project {project.seed}: {what}: pandas {mine}, {name} {own}")


def _same_people(project: Project, frame: pd.DataFrame) -> None:
    """A unit is a person: no two persons under one name, none under two."""
    tags = [column for column in project.schema.shared if column in frame]
    if project.schema.unit != "row" and tags:
        pairs = frame[["unit", tags[0]]].drop_duplicates()
        if pairs["unit"].duplicated().any() or pairs[tags[0]].duplicated().any():
            raise Failed(f"project {project.seed}: units are not the people of the table")


def trained(model: TrainedModel) -> Counts:
    """What training said of the dev part."""
    figures = model.about["figures"]
    gaps = [value for name, value in figures.items() if name.startswith("dev_gap")]
    rates = [value for name, value in figures.items() if name.startswith("dev_rate[")]
    return Counts(gaps, [None if value is None or value != value else value for value in map(_float, rates)])


def _float(value: Any) -> float | None:
    return None if value is None or value == "nan" else float(value)


def certified(made: Any) -> Counts:
    """What a certificate was made of; an event that nobody is in has no gap."""
    rates = [None if rate != rate else rate for found in made.findings.values() for rate in found.rates.values()]
    return Counts([found.counted or 0.0 for found in made.findings.values()], rates)


def verified(rules: Path, table: Path) -> Counts:
    """What the checker counts."""
    policy = verify.read_policy(rules)
    people = verify.People(policy, verify.read_audit(str(table), policy), 2, "")
    gaps, rates = [], []
    for claim in policy.claims:
        counted = verify.Counted(claim, people)
        found = [counted._value(*comparison) for comparison in claim.comparisons]
        gaps.append(max((value for value in found if value is not None), default=0.0))
        rates += [
            counted.rates.get((block, group)) for block, groups in people.cells(claim).items() for group in groups
        ]
    return Counts(gaps, rates)


def run(seed: int, folder: Path, by: Readers = HONEST) -> str:
    """ "agreed", or why somebody refused the project of this seed."""
    try:
        project = build(seed, folder)
        model = fit(project)
    except FaroError as error:
        return f"{type(error).__name__}: {error}"
    return follow(project, model, folder, by=by)


# Pandas, which knows nothing of faro ----------------------------------------------------------------------------------


def read_texts(table: Path) -> pd.DataFrame:
    """The cells of a scored table as texts, "" for none."""
    if table.suffix == ".csv":
        with open(table, encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        return pd.DataFrame(rows, columns=head, dtype=object)
    if table.suffix == ".parquet":
        return pd.read_parquet(table).astype(object)
    return pd.DataFrame(map(json.loads, table.read_text("utf-8").splitlines()), dtype=object)


def recount(frame: pd.DataFrame, model: TrainedModel, project: Project) -> Counts:
    """Rates by group of the decisions that rewards make."""
    shape = project.shape
    table = pd.DataFrame({name: frame[name].astype(float) for name in ("reward", "weight", "label")})
    table["choice"] = frame["choice"]
    best = table.groupby("choice")["reward"].transform("max")
    beside = pd.Series(project.schema.format == "accept", index=table.index)
    if project.schema.outside:
        beside = frame["outside"].astype(float) == 1
    wins = (table["reward"] == best) & ~(beside & (best < 0))
    table["z"] = wins / (wins.groupby(table["choice"]).transform("sum") + (beside & (best == 0))).clip(lower=1)
    gaps: list[float] = []
    rates: list[float | None] = []
    for attribute in shape.attribute.split(","):
        names = attribute.split("&")
        groups = pd.MultiIndex.from_product([shape.levels[name] for name in names])
        for kind in shape.constraint.split("+"):
            strata = shape.levels[shape.within] if shape.within else ("",)
            events = {"equalized_odds": ("chosen", "rejected"), "predictive_equality": ("rejected",)}
            largest = 0.0
            for event in events.get(kind, ("chosen",) if kind in ("equal_opportunity", "group_error") else ("all",)):
                for stratum in strata:
                    own = table.copy()
                    own["mass"] = (
                        own["weight"] * {"all": 1.0, "chosen": own["label"], "rejected": 1 - own["label"]}[event]
                    )
                    inside = own["mass"] > 0
                    if shape.within:
                        inside &= frame[shape.within] == stratum
                    if shape.of:
                        kind_of, level = shape.of.split("=", 1)
                        inside &= frame[kind_of] == level
                    if kind in ("rate_floor", "group_error"):
                        own["z"] = 1 - own["z"]
                    if kind.startswith("reward_parity"):
                        own["z"] = 1 / (1 + np.exp(-own["reward"] / 0.25))
                    if kind.startswith("threshold_parity"):
                        own["z"] = (own["reward"] > 0.125).astype(float)
                    own["total"] = own["mass"] * own["z"]
                    own.index = pd.MultiIndex.from_frame(frame[names])
                    sums = own[inside.to_numpy()].groupby(level=list(range(len(names))))[["total", "mass"]].sum()
                    found = (sums["total"] / sums["mass"]).reindex(
                        groups if len(names) > 1 else groups.get_level_values(0)
                    )
                    rates += [None if value != value else float(value) for value in found]
                    known = found.dropna()
                    if len(known):
                        apart = known.max() - known.min() if kind in OF_PAIRS else known.max()
                        largest = max(largest, float(apart))
            gaps.append(largest)
    return Counts(gaps, rates)


# Commands -------------------------------------------------------------------------------------------------------------


def commands(seed: int, folder: Path) -> str:
    """The same project by the commands, gate part too: "agreed", or which command refused and why."""
    project = build(seed, folder)
    schema, settings, model = folder / "schema.toml", folder / "settings.toml", folder / "m.json"
    schema.write_text(_schema_toml(project.schema), encoding="utf-8")
    settings.write_text("[settings]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in SETTINGS.items()))
    words = [word for name, value in project.asked.items() for word in (f"--{name}", str(value))]
    words += ["--schema", schema, "--config", settings, "--out", model, "--quiet"]
    if refused := _run({0, 3}, "train", "--data", project.table, *words):
        return refused
    dev, gate = (folder / f"{part}{project.table.suffix}" for part in ("dev", "gate"))
    for part in (dev, gate):
        if refused := _run({0}, "score", model, project.table, "--part", part.stem, "--out", part, "--quiet"):
            return refused
    if refused := _run({0}, "policy", model, "--out", folder / "draft.toml"):
        return refused
    rules, cert = folder / "faro.toml", folder / "cert.json"
    asked = policy_of(faro.load_model(model), ledger=True)
    rules.write_text(asked, encoding="utf-8")
    with_model = ["--policy", rules, "--train-units", folder / "m.units.txt", "--model", model]
    with_model += ["--model", model.with_suffix(".safetensors")]
    for code, *asked_of in (
        ({0, 1, 3}, "certify", dev, *with_model), ({0}, "ledger", "init", gate, "--policy", rules),
        ({0, 1, 3}, "gate", gate, *with_model),
    ):  # fmt: skip
        if refused := _run(code, *asked_of):
            return refused
    disclosed = _called("certify", gate, *with_model, "--disclose", "--out", cert)
    if disclosed[0] not in (0, 1, 3):
        return _run(set(), "certify", gate, *with_model, "--disclose") or ""
    checked = _called("verify", cert, as_csv(gate, folder), *with_model)
    if checked[0] != disclosed[0]:
        raise Failed(f"project {seed}: certify ends with {disclosed}, verify with {checked}")
    return "agreed"


def _called(*words: Any) -> tuple[int, str]:
    """(exit code, what a command said)."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main([str(word) for word in words])
    return code, said.getvalue()


def _run(expected: set[int], *words: Any) -> str:
    """Why a command refused, or ""; `Failed` for an exit code that is no refusal."""
    code, said = _called(*words)
    if code in expected:
        return ""
    if code not in (2, 4, 5, 6, 7) or "Traceback" in said:
        raise Failed(f"faro {words[0]} ended with {code}: {said[-1500:]}")
    return f"faro {words[0]}: {said.strip().splitlines()[-1]}"


def _schema_toml(schema: faro.Schema) -> str:
    """A schema as people write it."""
    usual = faro.Schema(unit="row", numeric=("x",), format="wide").to_dict()
    fields = {name: value for name, value in schema.to_dict().items() if value != usual[name] or name == "format"}
    attributes = fields.pop("attributes", [])
    lines = [f"{name} = {toml(value)}" for name, value in fields.items()]
    for spec in attributes:
        lines += ["", "[[attributes]]", *(f"{name} = {toml(value)}" for name, value in spec.items())]
    return "\n".join(lines) + "\n"


def reason(answer: str) -> str:
    """A refusal without names and numbers, so that alike ones are counted together."""
    return re.sub(r"\S*/\S*|'[^']*'|\"[^\"]*\"|[0-9.]+", "*", answer)[:100]


# Policy and checker ---------------------------------------------------------------------------------------------------


def policy_of(model: TrainedModel, ledger: bool = False) -> str:
    """The draft, for as few people as there are; without its ledger, what it then assumes is added."""
    text = draft_policy(model).replace("min_group = 30", "min_group = 1").replace("ties = 0.01", "ties = 1")
    if ledger:
        return text
    text = re.sub(r"(?m)^(ledger|escrow) = .*\n", "", text)
    return text.replace("assumptions = [", 'assumptions = ["no-ledger", "train-overlap-unchecked", ', 1)


def as_csv(table: Path, folder: Path) -> Path:
    """The table for the checker, which reads no Parquet."""
    if table.suffix != ".parquet":
        return table
    from faro.certify.columns import read_columns

    copy = folder / "copy.csv"
    write_columns(read_columns(table), copy)
    if (described := read_description(table)) is not None:
        write_description(copy, described)
    return copy
