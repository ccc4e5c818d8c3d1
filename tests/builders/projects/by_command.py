"""A project by commands alone, and the reasons of refusals."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import faro
from faro.certify.drafts import toml
from faro.cli import main

from .drawn import Failed, build
from .readers import SETTINGS, as_csv, policy_of


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
