"""Certificates of a frontier: the gate part of every point is scored, and all are disclosed at once.

    frontier.csv      gets the column certified_slack: the largest upper bound of the policy's claims, per point
    certificates/     one certificate per point, and the scored table it is about

Reading the gate part uses it up: the ledger divides one share of delta among the points and retires the audit set.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .certify import looks
from .certify.certificate import Case, Certificate, prepare
from .certify.policy import CAPS, PAIRS, Policy
from .data import NAMES, Dataset, load, write_table
from .errors import DataError, UsageError
from .files import replacing, write_json
from .trained import TrainedModel, load_model

METHODS = {"counterfactual_parity": "unit-ratio", "counterfactual_flip": "unit-ratio",
           "counterfactual_oscillation": "unit-ratio", "threshold_parity": "dkw"}  # fmt: skip


def certify_points(
    folder: Path, policy: Policy, ledger: Path, info: dict[str, Any], source: Any = None, points: str = "pareto"
) -> pd.DataFrame:
    """Disclose the points of a finished run that no other dominates ("pareto"), or all; their rows, with certified
    slack."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        table = pd.read_csv(folder / "frontier.csv", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a finished run of faro frontier: {error}") from None
    chosen = np.flatnonzero((table["pareto"] == "True") | (points == "all"))
    if not len(chosen):
        raise DataError(f"{folder}: no point of the frontier is FEASIBLE: there is nothing to certify")
    data = _data(manifest["data"]["name"] if source is None else source)
    if isinstance(data, Dataset) and data.digest != manifest["data"]["digest"]:
        raise DataError(f"{folder}: the data have changed since the run")
    cases, places = [], []
    twins = sorted({claim.attribute for claim in policy.audited if claim.twins and claim.attribute})
    for row in chosen:
        case, place = _case(folder, table["model"][row], data, policy, twins)
        cases.append(case)
        places.append(place)
    found = looks.disclose(cases, ledger, info)
    for certificate, place in zip(found, places, strict=True):
        write_json(place.with_suffix(".json"), certificate.record)
    table["certified_slack"] = ""
    table.loc[chosen, "certified_slack"] = [_slack(each) for each in found]
    with replacing(folder / "frontier.csv") as temporary:
        table.to_csv(temporary, index=False)
    summary = table.loc[chosen, ["bound", "seed", "certified_slack"]].copy()
    summary["verdict"] = [each.verdict.value for each in found]
    return summary


def _data(source: Any) -> Any:
    return load(source) if source in NAMES else source


def _case(folder: Path, name: str, data: Any, policy: Policy, twins: Sequence[str]) -> tuple[Case, Path]:
    model = load_model(folder / name)
    scored = model.score(data, twins)
    place = folder / "certificates" / Path(name).with_suffix(".csv").name
    place.parent.mkdir(exist_ok=True)
    write_table(scored[scored["part"] == "gate"], place)
    units = (folder / name).parent / f"seed{model.about['seed']}.units.txt"
    files = [folder / name, (folder / name).with_suffix(".safetensors")]
    return prepare(place, policy, train_units=units if units.exists() else None, models=files), place


def _slack(found: Certificate) -> str:
    """The largest upper bound of all claims, as text; 1 says nothing."""
    return str(max(float(each.ucb) for each in found.findings.values() if each.ucb is not None))


def first_model(folder: Path) -> Path:
    """A model of a finished run."""
    try:
        return folder / pd.read_csv(folder / "frontier.csv", dtype=str)["model"][0]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder}: not a finished run of faro frontier: {error}") from None


def draft_policy(model: TrainedModel, bound: float) -> str:
    """A policy for a model's own constraint: its attributes, and the usual method for its data."""
    notion, arguments = _constraint(model.about.get("constraint", ""))
    schema = model.schema
    single = schema.format == "accept" and schema.unit == "row"
    usual = "exact2" if single else "unit-ratio"  # several rows of a person depend on each other
    method = "clopper-pearson" if single and notion in CAPS else METHODS.get(notion, usual)
    lines = [
        "# What must be shown of held-out people; keep it where those who submit models cannot write.",
        'schema = "faro-policy/1"',
        "delta = 0.05",
        'estimand = "unit"' + ("" if single else "  # every person counts once"),
        f'nonce = "{str(model.about.get("digest", "faro"))[:16]}"',
        "min_group = 30",
        f'outside = "{"all" if schema.format == "accept" else "none"}"',
        'ledger = "ledger.jsonl"',
        'escrow = "escrow"',
        f"assumptions = {json.dumps(_assumptions(notion))}",
    ]
    used = {name for name in (arguments.get("attribute"), arguments.get("within")) if name}
    used |= {arguments["of"].split("=", 1)[0]} if "of" in arguments else set()
    for spec in schema.attributes:
        if spec.name in used:
            lines += ["", f"[attributes.{json.dumps(spec.name)}]", f"levels = {json.dumps(list(spec.levels))}"]
            lines += ["chooser = true"] if spec.chooser else []
    lines += ["", "[[claim]]", f'name = "{notion}"', f'constraint = "{notion}"', f"bound = {bound:.6f}".rstrip("0")]
    lines += [f"attribute = {json.dumps(arguments['attribute'])}"] if "attribute" in arguments else []
    lines += [f"of = {json.dumps(arguments['of'].split('=', 1))}"] if "of" in arguments else []
    lines += [f"within = {json.dumps(arguments['within'])}"] if "within" in arguments else []
    lines += ['thresholds = "all"'] if notion == "threshold_parity" else []
    lines += [f'method = "{"block-pair" if single and notion == "reward_parity" else method}"']
    return "\n".join(lines) + "\n"


def _assumptions(notion: str) -> list[str]:
    return [
        "iid-units",
        "group-labels-correct",
        *(["twins-as-declared"] if notion.startswith("counterfactual") else []),
    ]


def _constraint(name: str) -> tuple[str, dict[str, str]]:
    """ "notion(attribute, of=a=b, within=c)" as a saved model has it."""
    notion, bracket, rest = name.partition("(")
    parts = [part.strip() for part in rest.removesuffix(")").split(",")] if bracket else []
    arguments = {"attribute": parts[0]} if parts else {}
    for part in parts[1:]:
        key, _, value = part.partition("=")
        arguments[key] = value
    if notion not in PAIRS + CAPS or not set(arguments) <= {"attribute", "of", "within"}:
        raise UsageError(f"no draft for the constraint {name!r}: write the policy by hand, docs/certificate-format.md")
    return notion, arguments
