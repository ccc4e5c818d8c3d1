"""What four readers count of one part of a project; they agree to 1e-9 or somebody refuses, in one line."""

from __future__ import annotations

import csv
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
from faro.certify.drafts import draft_policy
from faro.certify.policy import read_policy
from faro.certify.scored import write_scored
from faro.errors import FaroError
from faro.store.model import TrainedModel

from .drawn import OF_PAIRS, Failed, Project, build

CLOSE = 1e-9
SETTINGS = {"steps": 1, "primal": "adam"}


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
