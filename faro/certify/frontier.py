"""Certificates of a frontier: the gate part of every point is scored, and all are disclosed at once.

    frontier.csv      gets certified_slack, the largest upper bound of the policy's claims, and certified_verdict
    certificates/     one certificate per point, and the scored table it is about

Reading the gate part uses it up: the ledger divides one share of delta among the points and retires the audit set.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd

from ..data import NAMES, Dataset, load
from ..errors import DataError, UsageError
from ..files import write_json
from ..runtime import locks
from ..store import run as store
from ..store.choice import read_choice
from ..store.columns import SLACK, VERDICT
from ..store.model import TrainedModel, load_model
from ..store.saved import model_files, units_file
from . import modes
from .certificate import Case, Certificate, prepare
from .policy import Policy
from .scored import under, write_scored


def certify_points(
    folder: Path, policy: Policy, ledger: Path, info: dict[str, Any], source: Any = None, points: str = "pareto"
) -> pd.DataFrame:
    """Disclose what `faro choose` chose of a finished run, in sequence, each at the whole delta. Where nothing was
    chosen, the points that no other dominates ("pareto"), or all, at one share divided among them. Their rows, with
    certified slack and the share of delta that each spends. `UsageError` if another process writes into the folder."""
    with locks.alone(folder, folder=True):
        return _certified(folder, policy, ledger, info, source, points)


def _certified(
    folder: Path, policy: Policy, ledger: Path, info: dict[str, Any], source: Any, points: str
) -> pd.DataFrame:
    table = store.texts(folder)
    choice = read_choice(folder, policy.sha256) if points == "pareto" else None
    if choice is not None:
        named = choice["models"]
    else:
        named = table["model"][(table["pareto"] == "True") | (points == "all")].drop_duplicates().tolist()
    if not named:
        raise DataError(f"{folder}: no point of the frontier is FEASIBLE: there is nothing to certify")
    cases, places = _cases(folder, named, policy, source)
    found = (modes.disclose if choice is None else modes.disclose_sequence)(cases, ledger, info)
    certified = dict(zip(named, found, strict=False))  # a sequence may end before its last
    for certificate, place in zip(found, places, strict=False):
        write_json(place.with_suffix(".json"), certificate.record)
    rows = [row for row, name in enumerate(table["model"]) if name in certified]
    slacks = {row: _slack(certified[table["model"][row]]) for row in rows}
    verdicts = {row: certified[table["model"][row]].verdict.value for row in rows}
    table = store.write_certified(folder, slacks, verdicts)
    shown = table.loc[rows, ["bound", "seed", SLACK, VERDICT]]
    spent = {name: float(Fraction(own.record["ledger"]["delta"])) for name, own in certified.items()}
    return shown.assign(spent=[spent[table["model"][row]] for row in rows])


def register(folder: Path, named: Sequence[str], policy: Policy, ledger: Path, source: Any = None) -> None:
    """Write these models of a run, in this order, as a sequence into the ledger, before anybody looks: their scores of
    the gate part are digested. `NotIndependentError` if there was an attempt or another sequence."""
    with locks.alone(folder, folder=True):
        modes.register(_cases(folder, named, policy, source)[0], ledger)


def _cases(folder: Path, named: Sequence[str], policy: Policy, source: Any) -> tuple[list[Case], list[Path]]:
    cases, places = zip(*(_case(folder, name, policy, source) for name in named), strict=True)
    return list(cases), list(places)


def read_data(folder: Path, model: TrainedModel, source: Any = None) -> Dataset:
    """The data of a run, as one of its models reads them; `source` names data that faro does not know by name.
    `UsageError` where it must be given, `DataError` for other data than the run's."""
    known = model.about["data"]
    if source is None and known not in NAMES:
        raise UsageError(f"{folder}: the run is about {known!r}, a table of your own: give it with --data")
    data = model.read(load(source or known) if (source or known) in NAMES else source)
    if data.digest != model.about["digest"]:
        raise DataError(f"{source or known}: other data than the run of {folder} was trained on")
    return data


def score_gate(folder: Path, name: str, policy: Policy, source: Any = None) -> Path:
    """The gate part as a model of the run scores it, written to certificates/; `source` names data that faro does not
    know by name."""
    model = load_model(folder / name)
    data = read_data(folder, model, source)
    twins = policy.twins
    place = folder / store.certificate_name(name, ".csv")
    place.parent.mkdir(exist_ok=True)
    model, rule = under(model, policy)
    write_scored(model, data, place, part="gate", twins=twins, files=model_files(folder / name), rule=rule)
    return place


def _case(folder: Path, name: str, policy: Policy, source: Any) -> tuple[Case, Path]:
    place = score_gate(folder, name, policy, source)
    return prepare(place, policy, train_units=units_file(folder / name), models=model_files(folder / name)), place


def _slack(certificate: Certificate) -> str:
    """The largest upper bound of all claims, as text; 1 says nothing."""
    return str(max(float(finding.ucb) for finding in certificate.findings.values() if finding.ucb is not None))


def first_models(folder: Path) -> list[str]:
    """Name of a model of every seed of a finished run, relative to its folder."""
    return store.texts(folder).drop_duplicates("seed")["model"].tolist()


def first_model(folder: Path) -> str:
    """Name of a model of a finished run, relative to its folder."""
    return store.texts(folder)["model"][0]
