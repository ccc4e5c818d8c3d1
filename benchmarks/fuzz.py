"""Ten thousand fuzzed tables, schemas, policies, descriptions, ledgers and certificates through every command.

    make bench ARGS="fuzz -- --n 10000 --out out/fuzz"
    python -m benchmarks fuzz -- --case 137 --out out/fuzz     # one case again, its files kept

What must hold of every command: a documented exit code, never 70; one line that says why, beside notes; no traceback,
no warning, no hang; nothing half-written and nothing left over; and no false pass: what `certify` certifies, `verify`
accepts, and what `verify` accepts, `certify` certifies of the same table and policy. A run that was cut off goes on;
files of a case that broke a rule lie in OUT/faults. A case is its number: the same files on every machine.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import _mutations as mutations
from benchmarks._mutations import CONTAINERS, Table

CODES = frozenset(range(8))
DONE = (0, 1, 3)  # codes of a command that may have written something
VERDICTS = {"CERTIFIED": 0, "REFUTED": 1, "INCONCLUSIVE": 3}
SECONDS = 60  # a command that takes longer hangs
UNITS = 60
SAID = re.compile(r"faro[a-z ]*: |refused \([0-7]\): ")
COMMANDS = ("data", "score", "policy", "certify", "gate", "verify", "ledger", "verify.py")
NOTED = re.compile(r"faro: note: ")


class Hangs(BaseException):
    """No `Exception`, so that no command takes it for one of its own."""


# ---------------------------------------------------------------- what is fuzzed: three small projects
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


def make_ground(name: str, folder: Path) -> Ground:
    """A project's schema, data, model, scored table, policy, certificate and ledger, made by faro's own commands."""
    from faro.certify.columns import read_columns
    from faro.certify.scored import write_scored

    schema, columns = PROJECTS[name](np.random.default_rng([14, len(name)]))
    plain, ledgered = folder / name, folder / f"{name}-ledger"
    plain.mkdir(parents=True)
    (plain / "schema.toml").write_text(mutations.toml(schema))
    (plain / "data.csv").write_bytes(mutations.written(Table.of(columns), ".csv"))
    model = _model(name, schema, plain / "data.csv")
    saved = model.save(plain / "model")
    scored = write_scored(
        model, plain / "data.csv", plain / "scored.csv", twins=[TWINS[name]] * bool(TWINS[name]),
        files=[saved, saved.with_suffix(".safetensors")],
    )  # fmt: skip
    cells = read_columns(plain / "scored.csv")
    del cells["part"], scored
    ground = Ground(name, schema, Table.of(columns), Table.of(dict(cells)), plain, ledgered)
    _put_scored(plain, ground.scored, ".csv", describe="fresh", ground=ground)
    asked = policy_of(random.Random(0), ground, form=2) | {"delta": "0.1", "estimand": "row", "min_group": 5}
    asked["claim"] = [{"name": "c0", "constraint": "demographic_parity", "attribute": ATTRIBUTE[name], "bound": 0.99,
                       "groups": asked["attributes"][ATTRIBUTE[name]]["levels"], "method": "unit-ratio",
                       "cap": 6}]  # fmt: skip
    (plain / "faro.toml").write_text(mutations.toml(asked))
    shutil.copytree(plain, ledgered)
    asked |= {"ledger": "ledger.jsonl", "escrow": "escrow", "passes": 3}
    (ledgered / "faro.toml").write_text(mutations.toml(asked))
    for where, words in (
        (plain, ["certify", "scored.csv", "--policy", "faro.toml", "--out", "cert.json"]),
        (ledgered, ["ledger", "init", "scored.csv", "--policy", "faro.toml"]),
        (ledgered, ["gate", "scored.csv", "--policy", "faro.toml"]),
    ):
        ran = run(where, [word if word[0] == "-" or "." not in word else str(where / word) for word in words])
        if ran.code not in DONE:
            raise RuntimeError(f"the ground of {name} is not good: {ran.err}")
    return ground


def _model(name: str, schema: dict[str, Any], table: Path) -> Any:
    """A linear model with fixed weights: what it says is of no interest, so nothing is trained."""
    import jax

    from faro.data import Dataset, Schema
    from faro.data.seen import Seen
    from faro.models import Linear
    from faro.registry import make_constraint
    from faro.store.model import TrainedModel
    from faro.store.spec import to_record

    data = Dataset.from_table(table, Schema.from_dict(schema))
    coding = data.fit_coding()
    constraint = make_constraint(data.attributes, "demographic_parity", ATTRIBUTE[name], bound=0.2)
    shapes = jax.eval_shape(Linear().init, jax.random.key(0), data.choices(coding))
    rng = np.random.default_rng(3)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    about = {
        "seed": 0,
        "unit_rule": data.unit_rule,
        "digest": data.digest,
        "constraint": constraint.name(),
        "notes": [],
    }
    return TrainedModel(
        Linear(), params, coding, data.schema, about, seen=Seen(np.array(["nobody"])),
        specification=to_record(constraint)
    )  # fmt: skip


# ---------------------------------------------------------------- policies
def policy_of(rng: random.Random, ground: Ground, form: int = 0) -> dict[str, Any]:
    """A policy that can be read, of either format, with claims of any kind that suits the project."""
    name, form = ground.name, form or rng.choice([1, 2, 2])
    levels = {spec["name"]: spec for spec in ground.schema["attributes"]}
    values: dict[str, Any] = {
        "schema": f"faro-policy/{form}", "delta": rng.choice([0.05, "0.1", 0.5]), "estimand": rng.choice(["row",
        "row", "unit"]),
        "min_group": rng.choice([1, 5, 5, 1000]), "outside": OUTSIDE[name], "threshold": rng.choice([0, 0, 0, "0.5"]),
        "cap": 10, "assumptions": [*ASSUMPTIONS, "no-ledger"],
    }  # fmt: skip
    if form == 1:
        values["nonce"] = "n"
    else:
        values |= {"units": UNIT[name], "threshold": 0}
        values["assumptions"] += ["undescribed-table", "weights-ignored", "same-items"]
    values["attributes"] = {
        attribute: {"levels": spec["levels"], "chooser": spec.get("chooser", False)} for attribute,
        spec in levels.items()
    }  # fmt: skip
    values["claim"] = [_claim(rng, ground, number, form) for number in range(rng.choice([1, 1, 2]))]
    return values


def _claim(rng: random.Random, ground: Ground, number: int, form: int) -> dict[str, Any]:
    attribute, twin = ATTRIBUTE[ground.name], TWINS[ground.name]
    levels = {spec["name"]: spec["levels"] for spec in ground.schema["attributes"]}
    kinds: list[dict[str, Any]] = [
        {"constraint": "demographic_parity", "method": rng.choice(["exact2", "clopper-pearson", "unit-ratio",
        "block-pair"])},
        {"constraint": rng.choice(["equalized_odds", "equal_opportunity", "predictive_equality"]),
         "method": rng.choice(["exact2", "unit-ratio", "block-pair"])},
        {"constraint": "threshold_parity", "method": "dkw", "thresholds": "all"},
        {"constraint": "threshold_parity", "method": rng.choice(["exact2", "unit-ratio"]), "thresholds": [0, "0.5"]},
        {"constraint": "reward_parity", "method": rng.choice(["block-pair", "dkw", "unit-ratio"])},
        {"constraint": rng.choice(["rate_cap", "rate_floor", "group_error"]),
        "method": rng.choice(["clopper-pearson", "unit-ratio"])},
        {"constraint": "demographic_parity", "method": "clopper-pearson",
         **rng.choice([{"ball": "tv", "radius": "0.01"}, {"ball": "kl", "radius": "0.001"}, {"ball": "cvar",
         "radius": "0.9"},
                       {"ball": "chi2", "radius": "0.01"}, {"ball": "lr", "radius": "1.1"}, {"ball": "label-noise",
                       "radius": "0.01"}])},
    ]  # fmt: skip
    if twin:
        moved = rng.choice(["counterfactual_parity", "counterfactual_flip", "counterfactual_oscillation"])
        kinds.append({"constraint": moved, "method": "unit-ratio", "attribute": twin, "groups": levels[twin]})
    claim = {"name": f"c{number}", "bound": rng.choice([0.05, "0.9", 0.99])}
    claim |= {"attribute": attribute, "groups": levels[attribute]} | rng.choice(kinds)
    others = [name for name in levels if name != claim["attribute"]]
    if others and rng.randrange(3) == 0:
        claim |= {"within": others[0], "strata": levels[others[0]]}
    if others and rng.randrange(3) == 0:
        claim["of"] = [others[0], levels[others[0]][0]]
    if form == 2 and claim["method"] == "unit-ratio" and rng.randrange(3) == 0:
        claim |= {"per": rng.choice([*ground.schema.get("shared", []), "day"]), "cap": rng.choice([9, 60, 200])}
    return claim


# ---------------------------------------------------------------- running
@dataclasses.dataclass
class Ran:
    """A command that ended: what it said, and which rules it broke."""

    words: list[str]
    code: int
    out: str
    err: str
    faults: list[str]
    seconds: float

    @property
    def command(self) -> str:
        """For counting: the command, and what it does."""
        if self.words[0] not in COMMANDS:
            return "(no command)"
        return " ".join(self.words[:2] if self.words[0] in ("data", "ledger") else self.words[:1])


def run(folder: Path, words: list[str], tool: str = "faro", written: str | None = None) -> Ran:
    """`faro WORDS` in this process, or `verify.py WORDS`; `written` is the output that it may leave."""
    from faro import verify
    from faro.cli import main

    before, started = _files(folder), time.perf_counter()
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _limited(),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("default")
        for quiet in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning, ImportWarning):
            warnings.simplefilter("ignore", quiet)
        try:
            code = main(words) if tool == "faro" else verify.main(words)
        except SystemExit as end:  # argparse in verify.py
            code = int(end.code or 0)
        except Hangs:
            code = -1
        except BaseException as error:
            code = -2
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
    ran = Ran([*([] if tool == "faro" else ["verify.py"]), *words], code, out.getvalue(), err.getvalue(), [], 0.0)
    ran.seconds = time.perf_counter() - started
    ran.faults = [
        *(f"warning: {each.message}"[:200] for each in warned),
        *_said(ran),
        *_left(folder, before, ran, written),
    ]
    return ran


def _said(ran: Ran) -> list[str]:
    """Which rules of codes and lines were broken."""
    if ran.code == -1:
        return [f"hangs: longer than {SECONDS} s"]
    faults = [] if ran.code in CODES else [f"exit code {ran.code}"]
    if "Traceback" in ran.err or "Traceback" in ran.out:
        faults.append("traceback")
    lines = [line for line in ran.err.split("\n") if line]
    if ran.words[0] == "verify.py" and lines and lines[0].startswith("usage:"):
        return faults
    if odd := [line for line in lines if not SAID.match(line)]:
        faults.append(f"stderr: {odd[0][:200]}")
    reasons = [line for line in lines if not NOTED.match(line)]
    if ran.code not in DONE and len(reasons) != 1:
        faults.append(f"{len(reasons)} reasons for code {ran.code}")
    if ran.code == 0 and reasons:
        faults.append(f"code 0, and yet {reasons[0][:200]}")
    return faults


def _files(folder: Path) -> dict[str, bytes]:
    """Digest of every file."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest() for path in paths}


def _left(folder: Path, before: dict[str, bytes], ran: Ran, written: str | None) -> list[str]:
    """Which rules of files were broken."""
    after = _files(folder)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    faults = [f"left over: {name}" for name in changed if Path(name).name.startswith(".") or ".part" in name]
    if ran.code not in DONE and written in changed:
        faults.append(f"code {ran.code}, and yet wrote {written}")
    return faults


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def ends(*_: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ends)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------- cases
@dataclasses.dataclass
class Case:
    """A fuzzed project in a folder of its own, and the commands that were run on it."""

    ground: Ground
    rng: random.Random
    folder: Path
    ordinal: int  # among the cases of its kind: every mutation has its turn
    ran: list[Ran] = dataclasses.field(default_factory=list)
    about: list[str] = dataclasses.field(default_factory=list)

    def faro(self, *words: str, tool: str = "faro", written: str | None = None) -> Ran:
        """Run a command; words with a dot that name no option are files of the case."""
        found = [str(self.folder / word[1:]) if word.startswith("@") else word for word in words]
        if written is not None:
            found += ["--out", str(self.folder / written)]
        ran = run(self.folder, found, tool, written)
        self.ran.append(ran)
        return ran

    def mutated(self, table: Table, most: int = 2) -> Table:
        """The table after the mutation whose turn it is, and perhaps others."""
        chosen = [mutations.TABLES[self.ordinal % len(mutations.TABLES)]]
        chosen += [self.rng.choice(mutations.TABLES) for _ in range(self.rng.randrange(most))]
        for mutate in chosen:
            if table.columns:
                table = mutate(self.rng, table)
                self.about.append(mutate.__name__)
        return table

    def write(self, name: str, content: bytes) -> None:
        """A file, in every fourth case broken."""
        if self.rng.randrange(4) == 0:
            content = mutations.broken(self.rng, content)
            self.about.append(f"broken {name}")
        (self.folder / name).write_bytes(content)

    def judge(self, table: str, *more: str) -> None:
        """certify, and verify what it wrote; the two must agree."""
        made = self.faro("certify", f"@{table}", "--policy", "@faro.toml", *more, written="made.json")
        if made.code not in DONE or not (self.folder / "made.json").exists():
            if made.code in DONE:
                made.faults.append("no certificate was written")
            return
        checked = self.faro("verify", "@made.json", f"@{self._plain(table)}", "--policy", "@faro.toml", *more)
        if checked.code != made.code and not _tuned(checked, made):
            checked.faults.append(f"certify ended with {made.code}, verify with {checked.code}")

    def _plain(self, table: str) -> str:
        """The table as a CSV file, since the checker reads no Parquet and no gzip."""
        from faro.certify.columns import read_columns, write_columns
        from faro.certify.description import read_description, write_description

        if table.endswith((".csv", ".jsonl")):
            return table
        write_columns(read_columns(self.folder / table), self.folder / "plain.csv")
        if (found := read_description(self.folder / table)) is not None:
            write_description(self.folder / "plain.csv", found)
        return "plain.csv"


def _tuned(checked: Ran, made: Ran) -> bool:
    """Whether the checker says the same verdict, and that it is of tuning data."""
    same = any(word in checked.err for word, code in VERDICTS.items() if code == made.code)
    return checked.code == 6 and "tuning data" in checked.err and (same or "no attempt" in checked.err)


def _put_scored(folder: Path, table: Table, container: str, describe: str, ground: Ground) -> str:
    """A scored table with the description of the ground's: `fresh`, of this table; `stale`, as it was; or none."""
    from faro.certify import description
    from faro.certify.columns import read_columns

    name = f"scored{container}"
    said = json.loads((ground.folder / "scored.csv-metadata.json").read_text())
    place = folder / name
    place.write_bytes(mutations.written(table, container))
    beside = description.place(place)
    beside.unlink(missing_ok=True)
    if describe == "none":
        return name
    if describe == "fresh":
        with contextlib.suppress(Exception):  # what that is, commands will say
            said["table_sha256"] = description.table_digest(read_columns(place))
    said = sealed_description(said)
    if container == ".parquet":
        import pyarrow.parquet as pq

        with contextlib.suppress(Exception):
            content = pq.read_table(place)
            pq.write_table(content.replace_schema_metadata({b"faro": json.dumps(said).encode()}), place)
    else:
        beside.write_text(json.dumps(said))
    return name


def sealed_description(said: dict[str, Any]) -> dict[str, Any]:
    """With the seal of what it says now."""
    body = {key: value for key, value in said.items() if key != "sha256"}
    return body | {"sha256": _digest(body)}


def _digest(value: Any) -> str:
    try:
        return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    except (RecursionError, TypeError, ValueError):
        return "0" * 64


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
    name = _put_scored(case.folder, table, container, describe, case.ground)
    if case.rng.randrange(5) == 0:
        (case.folder / name).write_bytes(mutations.broken(case.rng, (case.folder / name).read_bytes()))
    if case.rng.randrange(2):
        asked = policy_of(case.rng, case.ground)
        (case.folder / "faro.toml").write_text(mutations.toml(asked))
    case.judge(name)


def fuzz_gated(case: Case) -> None:
    """A scored table before a ledger: a new one, and one that was made for the good table."""
    table = case.mutated(case.ground.scored)
    name = _put_scored(case.folder, table, case.rng.choice([".csv", ".jsonl", ".parquet"]), "fresh", case.ground)
    case.faro("gate", f"@{name}", "--policy", "@faro.toml", written="passed.json")
    for path in [*case.folder.glob("ledger.jsonl*"), *case.folder.glob("faro-audit-*.txt")]:
        path.unlink()
    if case.faro("ledger", "init", f"@{name}", "--policy", "@faro.toml").code == 0:
        case.faro("gate", f"@{name}", "--policy", "@faro.toml", written="passed.json")
        shown = case.faro("certify", f"@{name}", "--policy", "@faro.toml", "--disclose", written="shown.json")
        if shown.code in DONE:
            checked = case.faro("verify", "@shown.json", f"@{case._plain(name)}", "--policy", "@faro.toml")
            if checked.code != shown.code and not _tuned(checked, shown):
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
        "\n".join([head, *(_digest([head.split(" ")[1], f"{c}{i:03}"]) for c in "pr" for i in range(9))]).encode(),
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
    name = _put_scored(case.folder, table, ".csv", "fresh", case.ground)
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
            entry["sha256"] = previous = _digest(entry)
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
        found["sha256"] = _digest(body)
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


# ---------------------------------------------------------------- the benchmark
_grounds: dict[str, Ground] = {}


def quickly() -> None:
    """Programs run once or twice: their time is compiling."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)


def _begin(grounds: dict[str, Ground]) -> None:
    quickly()
    _grounds.update(grounds)


def _one(task: tuple[int, str]) -> dict[str, Any]:
    number, out = task
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        try:
            case = run_case(number, _grounds, Path(folder, "case"))
        except Exception as error:  # no fault of faro's, but a case that was not run
            name, why = list(KINDS)[number % len(KINDS)], f"the fuzzer failed: {type(error).__name__}: {error}"
            faults = [{"command": "fuzz", "faults": [why[:300]], "stderr": ""}]
            return {"case": number, "kind": name, "project": "", "commands": [], "faults": faults, "seconds": 0.0}
        line = record(number, case) | {"seconds": round(time.perf_counter() - started, 3)}
        if line["faults"]:
            shutil.copytree(case.folder, Path(out, "faults", f"{number:05}"), dirs_exist_ok=True)
    return line


def table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Commands against codes: how many times each ended so."""
    counted = collections.Counter((command, code) for line in lines for command, code, _ in line["commands"])
    codes = sorted({code for _, code in counted})
    names = sorted({command for command, _ in counted})
    return pd.DataFrame({code: [counted[name, code] for name in names] for code in codes}, index=names)


def main() -> None:
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--case", type=int, help="only this one, again")
    options = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options.out.mkdir(parents=True, exist_ok=True)
    place = options.out / "cases.jsonl"
    found = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    done = {line["case"]: line for line in found}
    lines = list(done.values())
    wanted = [number for number in range(options.n) if number not in done]
    if options.case is not None:
        wanted = [options.case]
    with tempfile.TemporaryDirectory() as folder:
        quickly()
        grounds = {name: make_ground(name, Path(folder)) for name in PROJECTS}
        method = multiprocessing.get_context("spawn")
        with method.Pool(min(options.jobs, max(1, len(wanted))), _begin, (grounds,)) as pool, place.open("a") as file:
            for line in pool.imap_unordered(_one, [(number, str(options.out)) for number in wanted]):
                lines.append(line)
                if options.case is None:
                    print(json.dumps(line), file=file, flush=True)
                for fault in line["faults"]:
                    print(
                        line["case"],
                        line["kind"],
                        line["project"],
                        fault["command"],
                        *fault["faults"],
                        sep=" | ",
                        flush=True,
                    )
    shown = lines if options.case is None else lines[-1:]
    print(table(shown).to_string())
    broken = [line for line in shown if line["faults"]]
    seconds = sum(line["seconds"] for line in shown) / max(1, len(shown))
    print(f"{len(shown)} cases, {seconds:.3f} s each; {len(broken)} with faults: {options.out / 'faults'}")
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
