"""Kinds of cases: what is mutated, and which commands must bear it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._fuzz import mutations
from benchmarks._fuzz.cases import Case, same_verdict
from benchmarks._fuzz.commands import DONE
from benchmarks._fuzz.mutations import CONTAINERS, Table
from benchmarks._fuzz.policies import policy_of
from benchmarks._fuzz.projects import TWINS, Ground
from benchmarks._fuzz.scored import digest, put_scored, sealed_description


def fuzz_table(case: Case) -> None:
    container = case.rng.choice(CONTAINERS)
    name = f"table{container}"
    case.write(name, mutations.written(case.mutated(case.ground.data), container))
    case.faro("data", "describe", f"@{name}", "--schema", "@schema.toml", *["--json"] * case.rng.randrange(2))
    out = f"rated{case.rng.choice(CONTAINERS)}"
    more = ["--part", case.rng.choice(["train", "gate", "dev"])] * (case.rng.randrange(4) == 0)
    twin = TWINS[case.ground.name]
    more += ["--twins", twin] if twin else []
    scored = case.faro("score", "@model.json", f"@{name}", *more, written=out)
    if scored.code == 0:
        case.judge(out)


def fuzz_schema(case: Case) -> None:
    schema = case.ground.schema
    if case.rng.randrange(2):
        names = [name for name, _ in case.ground.data.columns]
        kinds = ["text", "number", "boolean", "date"]
        schema = schema | {"types": {name: case.rng.choice(kinds) for name in case.rng.sample(names, 2)}}
        schema |= {"missing": [str(case.rng.choice(mutations.ODD))], "on_missing": case.rng.choice(["level", "drop"])}
        case.rng.shuffle(names)
        schema |= {case.rng.choice(["numeric", "categorical", "context_categorical", "shared"]): names[:2]}
    for _ in range(case.rng.randrange(3)):
        schema = mutations.changed_json(case.rng, schema)
    text = mutations.toml(schema)
    if case.rng.randrange(4) == 0:
        text = mutations.toml_text(case.rng, text)
    case.write("schema.toml", text.encode("utf-8", "surrogatepass"))
    case.faro("data", "describe", "@data.csv", "--schema", "@schema.toml")


def fuzz_model(case: Case) -> None:
    what = case.rng.randrange(6)
    if what < 4:
        record = json.loads((case.folder / "model.json").read_text())
        part = case.rng.choice([None, "coding", "schema", "about", "constraint", "features", "model"])
        if part is None:
            record = mutations.changed_json(case.rng, record)
        else:
            record[part] = mutations.changed_json(case.rng, record[part])
        (case.folder / "model.json").write_text(mutations.json_text(record))
    elif what == 4:
        _other_parameters(case)
    else:
        name = case.rng.choice(["model.json", "model.safetensors", "model.units.txt"])
        (case.folder / name).write_bytes(mutations.broken(case.rng, (case.folder / name).read_bytes()))
    scored = case.faro("score", "@model.json", "@data.csv", written="rated.csv")
    if scored.code == 0:
        case.judge("rated.csv")
    drafted = case.faro("policy", "@model.json", written="draft.toml")
    if drafted.code == 0:
        case.faro("certify", "@scored.csv", "--policy", "@draft.toml")


def _other_parameters(case: Case) -> None:
    """Tensors dropped, renamed, of another shape or type, or no numbers, under the right digest."""
    import safetensors.numpy

    place = case.folder / "model.safetensors"
    tensors = safetensors.numpy.load(place.read_bytes())
    name = case.rng.choice(sorted(tensors))
    own = tensors.pop(name)
    changes: tuple[Callable[[], dict[str, Any]], ...] = (
        dict, lambda: {"x": own}, lambda: {'["x"]': own}, lambda: {"[": own}, lambda: {name: own[..., None]},
        lambda: {name: np.r_[own.ravel(), 1]},
        lambda: {name: own.astype(np.int32)}, lambda: {name: own * np.nan}, lambda: {name: own * np.float32(1e38)},
        lambda: {name: own + np.inf},
        lambda: {name: own.astype(bool)}, lambda: {name: own.astype(np.float16)}, lambda: {name: own, '["y"]': own},
        lambda: {name: own.ravel()[:0]},
    )  # fmt: skip
    changed = tensors | case.rng.choice(changes)()
    content = safetensors.numpy.save({key: np.asarray(value) for key, value in changed.items()})
    place.write_bytes(content)
    record = json.loads((case.folder / "model.json").read_text())
    record["parameters_sha256"] = hashlib.sha256(content).hexdigest()
    (case.folder / "model.json").write_text(json.dumps(record))


def fuzz_scored(case: Case) -> None:
    scored = case.ground.scored
    if case.rng.randrange(2):  # what the rewards decide is then not stated
        scored = Table(tuple(column for column in scored.columns if column[0] != "decision"))
    table = case.mutated(scored)
    container = case.rng.choice([".csv", ".csv", ".jsonl", ".jsonl", ".csv.gz", ".jsonl.gz", ".parquet"])
    describe = case.rng.choice(["fresh", "fresh", "none", "stale"])
    name = put_scored(case.folder, table, container, describe, case.ground)
    if case.rng.randrange(5) == 0:
        (case.folder / name).write_bytes(mutations.broken(case.rng, (case.folder / name).read_bytes()))
    if case.rng.randrange(2):
        asked = policy_of(case.rng, case.ground)
        (case.folder / "faro.toml").write_text(mutations.toml(asked))
    case.judge(name)


def fuzz_gated(case: Case) -> None:
    """A scored table before a ledger: a new one, and one that was made for the good table."""
    table = case.mutated(case.ground.scored)
    name = put_scored(case.folder, table, case.rng.choice([".csv", ".jsonl", ".parquet"]), "fresh", case.ground)
    case.faro("gate", f"@{name}", "--policy", "@faro.toml", written="passed.json")
    for path in [*case.folder.glob("ledger.jsonl*"), *case.folder.glob("faro-audit-*.txt")]:
        path.unlink()
    if case.faro("ledger", "init", f"@{name}", "--policy", "@faro.toml").code == 0:
        case.faro("gate", f"@{name}", "--policy", "@faro.toml", written="passed.json")
        shown = case.faro("certify", f"@{name}", "--policy", "@faro.toml", "--disclose", written="shown.json")
        if shown.code in DONE:
            checked = case.faro("verify", "@shown.json", f"@{case.plain(name)}", "--policy", "@faro.toml")
            if checked.code != shown.code and not same_verdict(checked, shown):
                checked.faults.append(f"certify ended with {shown.code}, verify with {checked.code}")


def fuzz_description(case: Case) -> None:
    place = case.folder / "scored.csv-metadata.json"
    said = mutations.changed_json(case.rng, json.loads(place.read_text()))
    if isinstance(said, dict) and case.rng.randrange(4):
        said = sealed_description(said)
    case.write(place.name, mutations.json_text(said).encode())
    case.judge("scored.csv", *["--model", "@model.json"] * 0)


def fuzz_policy(case: Case) -> None:
    asked = policy_of(case.rng, case.ground)
    part = case.rng.choice(["claim", "claim", "attributes", None, None, "nothing", "ledger"])
    if part == "ledger":
        asked |= {"ledger": str(case.rng.choice(mutations.TEXTS)), "escrow": str(case.rng.choice(mutations.TEXTS))}
        part = "nothing"
    if part is None:
        asked = mutations.changed_json(case.rng, asked)
    elif part != "nothing":
        asked[part] = mutations.changed_json(case.rng, asked[part])
    text = mutations.toml(asked)
    if case.rng.randrange(5) == 0:
        text = mutations.toml_text(case.rng, text)
    case.write("faro.toml", text.encode("utf-8", "surrogatepass"))
    case.judge("scored.csv")
    case.faro("ledger", "init", "@scored.csv", "--policy", "@faro.toml", "--ledger", "@new.jsonl")
    case.faro("verify", "@cert.json", "@scored.csv", "--policy", "@faro.toml")
    case.faro("@cert.json", "@scored.csv", "--policy", "@faro.toml", tool="verify")


def fuzz_units(case: Case) -> None:
    """A file of units broken, or of others; the description may say which it was."""
    place = case.folder / "model.units.txt"
    content = place.read_bytes()
    head, *hashes = content.decode().splitlines()
    others = [
        mutations.broken(case.rng, content), mutations.broken(case.rng, content), f"{head}\n".encode(),
        "\n".join([head, *hashes, hashes[0]]).encode(), "\n".join([head, *hashes, hashes[0].upper()]).encode(),
        "\n".join(["faro-units/1 ", *hashes]).encode(), "\n".join(["faro-units/1 \u200b\r", *hashes, ""]).encode(),
        "\n".join([head, *(digest([head.split(" ")[1], f"{c}{i:03}"]) for c in "pr" for i in range(9))]).encode(),
    ]  # fmt: skip
    place.write_bytes(case.rng.choice(others))
    if case.rng.randrange(3):
        said = json.loads((case.folder / "scored.csv-metadata.json").read_text())
        said["train_units_sha256"] = case.rng.choice([None, hashlib.sha256(place.read_bytes()).hexdigest()])
        (case.folder / "scored.csv-metadata.json").write_text(json.dumps(sealed_description(said)))
    case.judge("scored.csv", "--train-units", str(place))
    case.faro("gate", "@scored.csv", "--policy", "@faro.toml", "--train-units", "@model.units.txt")


def fuzz_ledger(case: Case) -> None:
    place = case.folder / "ledger.jsonl"
    what = case.rng.randrange(4)
    if what == 0:
        name = case.rng.choice(["", ".head", ".units", ".seed"])
        beside = case.folder / f"ledger.jsonl{name}"
        beside.write_bytes(mutations.broken(case.rng, beside.read_bytes()))
    elif what == 1:
        case.rng.choice([*case.folder.glob("ledger.jsonl*"), *case.folder.glob("faro-audit-*")]).unlink()
    elif what == 2:
        path = next(case.folder.glob("faro-audit-*.txt"))
        path.write_bytes(mutations.broken(case.rng, path.read_bytes()))
    else:
        _rechained(case.rng, place)
    table = case.rng.choice([case.ground.scored, mutations.one_cell(case.rng, case.ground.scored)])
    name = put_scored(case.folder, table, ".csv", "fresh", case.ground)
    case.faro("ledger", "show", "--policy", "@faro.toml", *["--json"] * case.rng.randrange(2))
    case.faro("gate", f"@{name}", "--policy", "@faro.toml", written="passed.json")
    case.faro("certify", f"@{name}", "--policy", "@faro.toml", "--disclose", written="shown.json")


def _rechained(rng: random.Random, place: Path) -> None:
    """A ledger with a change inside, sealed and chained again."""
    entries = [json.loads(line) for line in place.read_text().splitlines()]
    number = rng.randrange(len(entries))
    entries[number] = mutations.changed_json(rng, entries[number])
    previous = "0" * 64
    for entry in entries:
        if isinstance(entry, dict):
            entry["previous"] = previous
            entry.pop("sha256", None)
            entry["sha256"] = previous = digest(entry)
    place.write_text("".join(f"{mutations.json_text(entry)}\n" for entry in entries))
    Path(f"{place}.head").write_text(previous + "\n")


def fuzz_certificate(case: Case) -> None:
    found = json.loads((case.folder / "cert.json").read_text())
    part = case.rng.choice([None, "claims", "claims", "claims", "data", "info", "assumptions", "result"])
    if part is None:
        found = mutations.changed_json(case.rng, found)
    else:
        found[part] = mutations.changed_json(case.rng, found[part])
    if isinstance(found, dict) and case.rng.randrange(6):
        body = {key: value for key, value in found.items() if key not in ("sha256", "info")}
        found["sha256"] = digest(body)
    case.write("cert.json", mutations.json_text(found).encode())
    pages = ["--html", "@page.html", "--junit-xml", "@junit.xml", "--sarif", "@log.sarif", "--markdown", "@sum.md"]
    more = pages if case.rng.randrange(3) == 0 else []
    checked = case.faro("verify", "@cert.json", "@scored.csv", "--policy", "@faro.toml", *more)
    alone = case.faro("@cert.json", "@scored.csv", "--policy", "@faro.toml", tool="verify")
    if alone.code != checked.code:
        alone.faults.append(f"faro verify ended with {checked.code}, verify.py with {alone.code}")
    made = case.faro("certify", "@scored.csv", "--policy", "@faro.toml", "--baseline", "@cert.json")
    if checked.code == 0:
        made = case.faro("certify", "@scored.csv", "--policy", "@faro.toml")
        if made.code != 0:
            made.faults.append(f"verify accepts a certificate, certify ends with {made.code}")


def fuzz_arguments(case: Case) -> None:
    odd = case.rng.choice([*map(str, mutations.NUMBERS), *(str(text)[:200] for text in mutations.TEXTS)])
    odd = os.fsdecode(odd.replace("\x00", "").encode("utf-8", "surrogatepass"))  # as an argument can hold it
    commands = (
        ["score", "@model.json", "@data.csv", "--part", odd], ["score", "@model.json", "@data.csv", "--twins", odd],
        ["score", "@model.json", odd], ["score", odd, "@data.csv"], ["policy", "@model.json", f"--bound={odd}"],
        ["certify", odd, "--policy", "@faro.toml"], ["certify", "@scored.csv", "--policy", odd],
        ["certify", "@scored.csv", "--policy", "@faro.toml", "--train-units", odd],
        ["certify", "@scored.csv", "--policy", "@faro.toml", "--model", odd],
        ["certify", "@scored.csv", "--policy", "@faro.toml", "--table", odd],
        ["certify", "@scored.csv", "--policy", "@faro.toml", "--baseline", odd],
        ["verify", "@cert.json", "@scored.csv", "--policy", "@faro.toml", f"--tolerance={odd}"],
        ["verify", "@cert.json", odd, "--policy", "@faro.toml"], ["verify", odd, "@scored.csv", "--policy",
        "@faro.toml"],
        ["verify", "@cert.json", "@scored.csv", "--policy", "@faro.toml", "--rescore", odd, "--model", "@model.json"],
        ["data", "describe", odd], ["data", "describe", "@data.csv", "--schema", odd], ["ledger", "show", "--policy",
        odd],
        ["gate", "@scored.csv", "--policy", "@faro.toml", f"--ledger={odd}"], [odd],
    )  # fmt: skip
    case.faro(*commands[case.ordinal % len(commands)])


KINDS: dict[str, tuple[Callable[[Case], None], bool]] = {
    "table": (fuzz_table, False),
    "scored": (fuzz_scored, False),
    "policy": (fuzz_policy, False),
    "schema": (fuzz_schema, False),
    "certificate": (fuzz_certificate, False),
    "table again": (fuzz_table, False),
    "scored again": (fuzz_scored, False),
    "description": (fuzz_description, False),
    "ledger": (fuzz_ledger, True),
    "model": (fuzz_model, False),
    "gated": (fuzz_gated, True),
    "policy again": (fuzz_policy, False),
    "arguments": (fuzz_arguments, False),
    "units": (fuzz_units, False),
}


def run_case(number: int, grounds: dict[str, Ground], folder: Path) -> Case:
    """The case of this number: its kind, its project and its mutations follow from it."""
    turn, at = divmod(number, len(KINDS))
    kind = list(KINDS)[at]
    fuzz, ledgered = KINDS[kind]
    rng = random.Random(f"faro fuzz {number}")
    ground = grounds[list(grounds)[(turn + at) % len(grounds)]]
    shutil.copytree(ground.ledgered if ledgered else ground.folder, folder)
    case = Case(ground, rng, folder, turn // len(grounds) if kind in ("table", "scored") else rng.randrange(10**6))
    fuzz(case)
    return case


def record(number: int, case: Case) -> dict[str, Any]:
    """A line of the results."""
    kind = list(KINDS)[number % len(KINDS)].split()[0]
    commands = [[ran.command, ran.code, round(ran.seconds, 3)] for ran in case.ran]
    faults = [
        {"command": " ".join(ran.words).replace(str(case.folder), ""), "faults": ran.faults, "stderr": ran.err[-3000:]}
        for ran in case.ran
        if ran.faults
    ]
    return {"case": number, "kind": kind, "project": case.ground.name, "commands": commands, "faults": faults}
