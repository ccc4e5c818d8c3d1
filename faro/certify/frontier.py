"""Certificates of a frontier: the gate part of every point is scored, and all are disclosed at once.

    frontier.csv      gets certified_slack, the largest upper bound of the policy's claims, and certified_verdict
    certificates/     one certificate per point, and the scored table it is about

Reading the gate part uses it up: the ledger divides one share of delta among the points and retires the audit set.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data import NAMES, load
from ..errors import DataError, UsageError
from ..files import write_json
from ..runtime import locks
from ..store import run as store
from ..store.columns import SLACK, VERDICT
from ..store.model import load_model, model_files, units_file
from . import modes
from .certificate import Case, Certificate, prepare
from .policy import Policy
from .scored import write_scored


def certify_points(
    folder: Path, policy: Policy, ledger: Path, info: dict[str, Any], source: Any = None, points: str = "pareto"
) -> pd.DataFrame:
    """Disclose the points of a finished run that no other dominates ("pareto"), or all; their rows, with certified
    slack and the share of delta that each spends. `UsageError` if another process writes into the folder."""
    with locks.alone(folder, folder=True):
        return _certified(folder, policy, ledger, info, source, points)


def _certified(
    folder: Path, policy: Policy, ledger: Path, info: dict[str, Any], source: Any, points: str
) -> pd.DataFrame:
    table = store.texts(folder)
    chosen = np.flatnonzero((table["pareto"] == "True") | (points == "all")).tolist()
    if not len(chosen):
        raise DataError(f"{folder}: no point of the frontier is FEASIBLE: there is nothing to certify")
    cases, places = [], []
    for row in chosen:
        case, place = _case(folder, table["model"][row], policy, source)
        cases.append(case)
        places.append(place)
    certificates = modes.disclose(cases, ledger, info)
    for certificate, place in zip(certificates, places, strict=True):
        write_json(place.with_suffix(".json"), certificate.record)
    slacks = {row: _slack(certificate) for row, certificate in zip(chosen, certificates, strict=True)}
    verdicts = {row: certificate.verdict.value for row, certificate in zip(chosen, certificates, strict=True)}
    table = store.write_certified(folder, slacks, verdicts)
    shown = table.loc[chosen, ["bound", "seed", SLACK, VERDICT]]
    return shown.assign(spent=[float(Fraction(certificate.record["ledger"]["delta"])) for certificate in certificates])


def score_gate(folder: Path, name: str, policy: Policy, source: Any = None) -> Path:
    """The gate part as a model of the run scores it, written to certificates/; `source` names data that faro does not
    know by name."""
    model = load_model(folder / name)
    known = model.about["data"]
    if source is None and known not in NAMES:
        raise UsageError(f"{folder}: the run is about {known!r}, a table of your own: give it with --data")
    data = model.read(load(source or known) if (source or known) in NAMES else source)
    if data.digest != model.about["digest"]:
        raise DataError(f"{source or known}: other data than the run of {folder} was trained on")
    twins = sorted({claim.attribute for claim in policy.audited if claim.twins and claim.attribute})
    place = folder / store.certificate_name(name, ".csv")
    place.parent.mkdir(exist_ok=True)
    write_scored(model, data, place, part="gate", twins=twins, files=model_files(folder / name))
    return place


def _case(folder: Path, name: str, policy: Policy, source: Any) -> tuple[Case, Path]:
    place = score_gate(folder, name, policy, source)
    return prepare(place, policy, train_units=units_file(folder / name), models=model_files(folder / name)), place


def _slack(certificate: Certificate) -> str:
    """The largest upper bound of all claims, as text; 1 says nothing."""
    return str(max(float(finding.ucb) for finding in certificate.findings.values() if finding.ucb is not None))


def first_model(folder: Path) -> str:
    """Name of a model of a finished run, relative to its folder."""
    return store.texts(folder)["model"][0]
