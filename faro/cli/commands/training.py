"""Commands around models: data, mix, train, frontier, score, settings, constraints, models, losses, report, card."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError, UsageError, beside
from ...files import parse_toml
from .. import outputs

if TYPE_CHECKING:
    from ...store.model import TrainedModel

SETTINGS = ("solver", "temperature", "weight_decay", "interactions", "rule", "candidates")  # that have a flag

SHARED_ARGUMENTS = (
    "data",
    "schema",
    "pairs",
    "encoder",
    "constraint",
    "attribute",
    "of",
    "within",
    "model",
    "loss",
    *SETTINGS,
    "mesh",
    "out",
)

# what a configuration file may give, where that is not text alone
VALUE_TYPES: dict[str, tuple[type, ...]] = {
    "of": (str, list),
    "schema": (str, dict),
    "settings": (dict,),
    "temperature": (int, float),
    "weight_decay": (int, float),
    "interactions": (int, float),
    "bound": (int, float),
    "bounds": (int, float, str, list),
    "seed": (int,),
    "seeds": (int, str, list),
    "memory": (int, str),
    "data": (str, list),
    "shards": (int,),
}
TYPE_WORDS = {int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}

ENCODER = "what reads texts that no schema is about (default: minilm)"
PAIRS = "features of answers to prompts: answer (default), together, both or products"
RULE = "argmax, softmax(temperature=T), kl_tilted(beta=B) or best_of(n=N): how rewards become decisions"
SETS = ("candidates", "log_ref", "reference", "decoding")
LISTED = 10  # coefficients on the terminal


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
    data = command(
        "data",
        _data,
        "List the known data sets, describe one, or fetch it from its source.",
        "  faro data list\n  faro data describe immigration\n  faro data fetch compas",
    )
    data.add_argument("action", choices=("list", "describe", "fetch"))
    data.add_argument("name", nargs="?", help="a data set (see: faro data list) or, with --schema, a file")
    data.add_argument("--schema", metavar="FILE", help="schema (TOML) of a table of your own")
    data.add_argument("--pairs", metavar="FORM", help=PAIRS)
    data.add_argument("--encoder", metavar="NAME|FOLDER", help=ENCODER)
    outputs.add_plain(data, outputs.NO_PROGRESS)

    mix = command(
        "mix",
        _mix,
        "Write several files of the same columns as one table, with the columns source and weight.",
        "  faro mix helpful.jsonl harmless.jsonl=0.5 --out both.jsonl\n  faro frontier --data both.jsonl",
    )
    mix.add_argument("files", nargs="+", metavar="FILE[=WEIGHT]", help="tables, each with the weight of its rows (1)")
    mix.add_argument("--out", required=True, metavar="FILE", help="the table: CSV, Parquet or JSONL by extension")
    outputs.add_plain(mix, outputs.NO_PROGRESS)

    one = command(
        "train",
        _train,
        "Train one model under one bound.",
        "  faro train --data demo --bound 0.05 --out out/model\n"
        "  faro train --data adult --constraint equalized_odds --attribute sex --bound 0.03 --out out/adult\n"
        "  faro train --stream --data people/ --schema people.toml --attribute sex --out out/people",
    )
    _asked(one, several=True)
    one.add_argument("--drop-people", action="store_true", help="save without codes and parameters of known people")
    one.add_argument("--stream", action="store_true", help="data in shards, one after another: more than memory holds")
    one.add_argument("--shards", type=int, metavar="N", help="stream one table in N shards (several files: one each)")
    one.add_argument("--bound", type=float, help="largest gap on the train part, in [0, 1]; inf: none (default 0.05)")
    one.add_argument("--seed", type=int, help="split, initialisation and minibatches (default 0)")
    outputs.add_threads(one)
    outputs.add_plain(one, outputs.NO_PROGRESS)

    many = command(
        "frontier",
        _frontier,
        "Train a model for every bound and seed; write table, pictures, report and models.",
        "  faro frontier --data demo --out out/demo\n"
        "  faro frontier --data swissmetro --attribute gender --of mode=Swissmetro --bounds 0.005:0.1:10 --seeds 5\n"
        "  faro frontier --data people.csv --schema people.toml --attribute sex --constraint equal_opportunity",
    )
    _asked(many)
    many.add_argument(
        "--bounds",
        metavar="LO:HI:N",
        help="N bounds spaced geometrically from LO to HI, or a list 0.01,0.05, or just N "
        "(default 20 from 0.01, or a tenth of the unconstrained gap, to that gap)",
    )
    many.add_argument("--seeds", metavar="N", help="how many seeds, or a list 0,3,7 (default 3)")
    many.add_argument(
        "--baselines",
        action="store_true",
        help="also thresholds per group, reweighting, penalties and group DRO, on the same plot; baselines.csv",
    )
    many.add_argument(
        "--memory", metavar="SIZE", help="what members may take on each device, about, as 2GB: fewer at a time, or one"
    )
    many.add_argument("--drop-people", action="store_true", help="save without codes and parameters of known people")
    many.add_argument("--overwrite", action="store_true", help="replace another finished run in --out")
    outputs.add_threads(many)
    outputs.add_plain(many, outputs.NO_PROGRESS)

    score = command(
        "score",
        _score,
        "Score a table with a saved model: unit, choice, alternative, attributes, label, reward, decision.",
        "  faro score out/demo/models/bound00-seed0.json demo --out scored.csv\n"
        "  faro score out/model.json new_people.csv --part train\n"
        "  faro score out/model.json benchmark.jsonl --by subset\n"
        "  faro score out/model.json draws.jsonl --rule 'best_of(n=16)' --candidates sampled --out served.csv",
    )
    score.add_argument("model", help="a saved model (its .json or .safetensors)")
    score.add_argument("data", help="a data set's name, or a table that has the columns of the model's schema")
    score.add_argument("--expected", action="store_true", help="decisions of a randomised model as means over its draw")
    score.add_argument(
        "--by", metavar="COLUMN", help="instead of rows: accuracy, ties, margin, nll, ece of each level of a column"
    )
    score.add_argument("--rule", metavar="RULE", help=RULE + "; default: that of training")
    _of_sets(score)
    score.add_argument("--part", help="only units that the model's seed puts in train, dual, selection, dev or gate")
    score.add_argument("--twins", action="append", default=[], metavar="NAME", help="add rewards of twins (repeatable)")
    score.add_argument(
        "--plugin", action="append", default=[], metavar="NAME",
        help="import the model, or its constraint, whose cells the table is to hold: package.module:Name (repeatable)",
    )  # fmt: skip
    score.add_argument(
        "--out", metavar="FILE", help="write CSV, Parquet or JSONL by extension (default: CSV on stdout)"
    )
    outputs.add_threads(score)
    outputs.add_plain(score, outputs.NO_PROGRESS)

    constraints = command(
        "constraints",
        _constraints,
        "List the constraints that are installed, or hold one against the contract that all of them keep.",
        "  faro constraints list\n  faro constraints check mypkg.mine:WaitingTime\n"
        "  faro constraints check mypkg.mine:WaitingTime --data people.csv --schema people.toml --attribute sex",
    )
    constraints.add_argument("action", choices=("list", "check"))
    constraints.add_argument("name", nargs="?", help="a constraint's name, or package.module:Name")
    constraints.add_argument(
        "--data", metavar="NAME|FILE", help="check on choices of these data, with their columns (default: generated)"
    )
    constraints.add_argument("--schema", metavar="FILE", help="schema (TOML) of a table of your own")
    _measured(constraints)
    outputs.add_plain(constraints, outputs.NO_PROGRESS)

    settings = command(
        "settings",
        _settings,
        "List the settings of training by group: default, when each has an effect, what it means.",
        "  faro settings list\n  faro train --data demo --set steps=300 --set batching.batch=256",
    )
    settings.add_argument("action", choices=("list",))
    outputs.add_plain(settings, outputs.NO_PROGRESS)

    for kind, kinds in (("model", "models"), ("loss", "losses"), ("advantage", "advantages")):
        listed = command(
            kinds,
            functools.partial(_list, kind),
            f"List the {kinds} that are installed, by the names that --{kind} takes.",
            f"  faro {kinds} list",
        )
        listed.add_argument("action", choices=("list",))
        outputs.add_plain(listed, outputs.NO_PROGRESS)

    report = command(
        "report",
        _report,
        "Draw the pictures and write the report of a finished run again, or compare two runs on one page.",
        "  faro report out/demo\n  faro report out/demo out/other --out compare.html\n"
        "  faro report out/demo --rule 'best_of(n=16)' --candidates enumerated",
    )
    report.add_argument("folder", help="the --out folder of faro frontier")
    report.add_argument("other", nargs="?", help="another run on the same data: compare the two")
    report.add_argument("--out", metavar="FILE", help="the page that compares (default: compare.html in the first)")
    report.add_argument(
        "--rule", metavar="RULE", help=f"read gaps and agreement on dev people by it, and write no report: {RULE}"
    )
    report.add_argument(
        "--candidates", choices=("enumerated", "sampled"), help="what a set is, where no schema says it"
    )
    report.add_argument("--data", metavar="NAME|FILE", help="with --rule: data of the run, if it is your table")
    report.add_argument("--title", metavar="TEXT", help='over page and pictures, also later ones ("": as by default)')
    outputs.add_plain(report, outputs.NO_PROGRESS)

    card = command(
        "card",
        _card,
        "Write the model card (Markdown, front matter as on the Hugging Face Hub) of one point of a run.",
        "  faro card out/demo\n  faro card out/demo --bound 0.05 --seed 1 --out MODEL_CARD.md",
    )
    card.add_argument("folder", help="the --out folder of faro frontier")
    card.add_argument(
        "--bound",
        type=float,
        help="the point at this bound, or at the loosest below it (default: that of the headline)",
    )
    card.add_argument("--seed", type=int, help="the model of this seed (default: the first that is FEASIBLE)")
    card.add_argument("--out", metavar="FILE", help="where to write (default: MODEL_CARD.md in the folder)")
    outputs.add_plain(card, outputs.NO_PROGRESS)


def _asked(sub: argparse.ArgumentParser, several: bool = False) -> None:
    what = "a known data set, or a CSV, Parquet or JSONL file (default demo)"
    if several:
        what += "; with --stream also a folder of such files, or several"
        sub.add_argument("--data", metavar="NAME|FILE", nargs="+", help=what)
    else:
        sub.add_argument("--data", metavar="NAME|FILE", help=what)
    sub.add_argument("--schema", metavar="FILE", help="schema (TOML) of a table of your own")
    sub.add_argument("--pairs", metavar="FORM", help=PAIRS)
    sub.add_argument("--encoder", metavar="NAME|FOLDER", help=ENCODER)
    sub.add_argument(
        "--constraint", metavar="NAME", help="for example demographic_parity; joined by +: several at once"
    )
    _measured(sub)
    sub.add_argument("--model", metavar="NAME", help="linear (default), mlp, mlp:64,32, or any of faro models list")
    sub.add_argument(
        "--loss", metavar="NAME", help="logit (default), or any of faro losses list, as smoothed(share=.2)"
    )
    sub.add_argument("--solver", metavar="NAME", help="game (default), or exact: linear models, parity and the like")
    sub.add_argument("--rule", metavar="RULE", help=RULE + "; the bound is about these")
    sub.add_argument(
        "--candidates", choices=("enumerated", "sampled"), help="what a set is, where the schema does not say it"
    )
    sub.add_argument("--temperature", type=float, metavar="T", help="of the soft decisions used for gradients, > 0")
    sub.add_argument(
        "--weight-decay", type=float, metavar="MU", help="how much parameters are punished (default: the data say so)"
    )
    sub.add_argument(
        "--interactions", type=float, metavar="TIMES",
        help="as much that products of features and context are punished, inf: none (default: the data say so)",
    )  # fmt: skip
    sub.add_argument("--mesh", metavar="AXES", help="how several devices share the work, as data=4,sweep=2")
    sub.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a setting, as steps=300 or batching.batch=256 (repeatable; see: faro settings list)",
    )  # fmt: skip
    sub.add_argument("--config", metavar="FILE", help="TOML with the same names as the flags, and [settings], [schema]")
    sub.add_argument("--out", metavar="PATH", help="where to write")


def _of_sets(sub: argparse.ArgumentParser) -> None:
    """What the sets of candidates are, where the model's schema does not say."""
    sub.add_argument("--candidates", choices=("enumerated", "sampled"), help="what a set is: all answers, or draws")
    sub.add_argument("--log-ref", metavar="COLUMN", help="log-probability of each under the reference (enumerated)")
    sub.add_argument("--reference", metavar="TEXT", help="which policy that is, in words")
    sub.add_argument("--decoding", metavar="TEXT", help="how it was drawn from, in words")


def _measured(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--attribute", metavar="NAME", help="the attribute whose groups are compared")
    sub.add_argument(
        "--of", metavar="ATTR=LEVEL", help="count only alternatives of this kind (for a chooser's attribute)"
    )
    sub.add_argument("--within", metavar="NAME", help="compare only inside each level of this attribute")


# From flags and the configuration file to arguments -----------------------------------------------------------------


def _configured(options: argparse.Namespace, command_names: tuple[str, ...]) -> dict[str, Any]:
    """The arguments of `faro.api` that flags and the configuration file give; flags win."""
    from ...data import Schema
    from ...registry import known
    from ...training.settings import Settings, assigned, flat

    names = (*SHARED_ARGUMENTS, *command_names)
    grid = ("bound", "seed", "bounds", "seeds")  # one file serves both commands; each reads its own
    values: dict[str, Any] = {}
    if options.config:
        try:
            values = parse_toml(Path(options.config).read_bytes())
        except OSError as error:
            raise UsageError(f"{options.config}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise UsageError(f"{options.config}: {error}") from None
        for name in values:
            known(f"name in {options.config}", name, [*SHARED_ARGUMENTS, *grid, "shards", "settings"])
        for name, value in values.items():
            kinds = VALUE_TYPES.get(name, (str,))
            if not isinstance(value, kinds) or isinstance(value, bool):
                expected = " or ".join(dict.fromkeys(TYPE_WORDS[kind] for kind in kinds))
                raise UsageError(f"{options.config}: {name}: expected {expected}, got {value!r}")
    settings, changed = flat(values.pop("settings", {})), assigned(options.set)
    for name in SETTINGS:
        if name in changed and getattr(options, name) is not None:
            flag = name.replace("_", "-")
            raise UsageError(f"setting {name!r} is given twice, by --{flag} and by --set; leave one out")
    values = {name: value for name, value in values.items() if name in names}
    values |= {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    settings |= {name: values.pop(name) for name in SETTINGS if name in values} | changed
    values.setdefault("data", "demo")
    if isinstance(values.get("schema"), dict):
        values["schema"] = Schema.from_dict(values["schema"], Path(options.config).parent)
    values["settings"] = Settings.of(settings)
    return values


def _bounds(text: Any) -> list[float] | int:
    """ "LO:HI:N", "a,b,c", "N", a number or a list -> bounds, or how many."""
    import numpy as np

    if isinstance(text, int):
        return text
    text = ",".join(map(str, text)) if isinstance(text, list) else str(text)
    try:
        if ":" in text:
            low, high, count = text.split(":")
            first, last, n = float(low), float(high), int(count)
            if n < 1 or not 0 < first <= last < float("inf"):
                raise UsageError(f"--bounds LO:HI:N expects 0 < LO <= HI and N >= 1, got {text}")
            return [float(f"{bound:.6g}") for bound in np.geomspace(first, last, n)]
        if text.isdecimal() and int(text) > 0:
            return int(text)
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"--bounds expects LO:HI:N, a list of numbers or a count, got {text!r}") from None


def _count(shards: int) -> int:
    if shards < 1:
        raise UsageError(f"--shards expects a whole number above 0, got {shards}")
    return shards


def _seeds(text: Any) -> list[int] | int:
    if isinstance(text, int):
        return text
    text = ",".join(map(str, text)) if isinstance(text, list) else str(text)
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds expects a count or a list of whole numbers, got {text!r}") from None
    if min(values) < 0 or values == [0]:
        raise UsageError(f"--seeds expects at least one seed and none negative, got {text!r}")
    return values if len(values) > 1 else values[0]


# The commands -------------------------------------------------------------------------------------------------------


def _data(options: argparse.Namespace) -> int:
    from ... import data
    from ..terminal import show_description, show_listing

    if options.action == "list":
        if options.name:
            raise UsageError(f"faro data list takes no name, got {options.name!r}; see: faro data describe")
        listing = data.listing()
        print(json.dumps(listing, indent=1)) if options.json else show_listing(listing)
        return 0
    if not options.name:
        raise UsageError(f"faro data {options.action} needs the name of a data set (see: faro data list)")
    if options.action == "fetch":
        place = data.fetch(options.name)
        print(json.dumps({"path": str(place)}) if options.json else place)
        return 0
    described = data.describe(data.load(options.name, options.schema, pairs=options.pairs, encoder=options.encoder))
    print(json.dumps(described, indent=1)) if options.json else show_description(described)
    return 0


def _mix(options: argparse.Namespace) -> int:
    from ...data import mixed, write_table
    from ...data.table import kind_to_write

    kind_to_write(options.out)
    files: dict[str, float] = {}
    for given in options.files:
        path, equals, weight = given.rpartition("=")
        weighed = bool(equals) and not Path(given).exists()
        try:
            path, times = (path, float(weight)) if weighed else (given, 1.0)
        except ValueError:
            raise UsageError(f"mix: expected FILE=WEIGHT with a number, got {given!r}") from None
        if path in files:  # which a dictionary would forget
            raise UsageError(f"mix: {path} is given twice; give it once, with its weight")
        files[path] = times
    table = mixed(files)
    write_table(table, options.out)
    counts = {str(source): int(count) for source, count in table.groupby("source", sort=False).size().items()}
    words = ", ".join(f"{source} {count:,}" for source, count in counts.items())
    print(json.dumps({"out": options.out, "rows": counts}) if options.json else f"{words} rows -> {options.out}")
    return 0


def _read(options: argparse.Namespace, arguments: dict[str, Any]) -> None:
    """Read the data that arguments name, and embed their texts, which has a progress bar of its own."""
    from ... import api

    if isinstance(arguments["data"], str):
        asked = {option: arguments.pop(option, None) for option in ("pairs", "encoder")}
        data = api.load(arguments["data"], arguments.pop("schema", None), **asked)
        with outputs.progress(options, "embedding", "texts") as progress:
            arguments["data"] = data.embed(progress)


def _train(options: argparse.Namespace) -> int:
    from ... import api
    from ...runtime import devices
    from ...store.model import base_of
    from ..terminal import show_model

    arguments = _configured(options, ("bound", "seed", "shards"))
    data, shards = arguments["data"], arguments.pop("shards", None)
    arguments["data"] = data[0] if isinstance(data, list) and len(data) == 1 else data
    arguments["stream"] = options.stream if shards is None else _count(shards)
    devices.join()
    out = arguments.pop("out", None)
    if not arguments["stream"]:
        _read(options, arguments)
    if options.drop_people and not (arguments["stream"] or arguments["data"].schema.unit_index):
        raise UsageError("--drop-people: the schema has no unit_index, so no model knows anybody by name; leave it out")
    with contextlib.nullcontext() if out is None else devices.alone(base_of(out)):
        with outputs.progress(options, "training") as progress:
            model = api.train(**arguments, progress=progress)
        model = model.without_people() if options.drop_people else model
        outputs.noted(options, model.about["notes"])
        path = str(model.save(out)) if out is not None and devices.first() else None
    about = {**model.about, "model": path}
    print(json.dumps(about, indent=1)) if options.json else show_model(about)
    return {"FEASIBLE": 0, "INFEASIBLE": 3, "DIVERGED": 70}[model.about["status"]]


def _frontier(options: argparse.Namespace) -> int:
    from ... import api, report
    from ...runtime import devices, programs
    from ..terminal import show_frontier

    arguments = _configured(options, ("bounds", "seeds", "memory"))
    devices.join()
    programs.keep_programs()
    arguments["out"] = arguments.get("out") or f"out/{Path(str(arguments['data'])).stem}"
    arguments["bounds"] = _bounds(arguments.get("bounds", 20))
    arguments["seeds"] = _seeds(arguments.get("seeds", 3))
    _read(options, arguments)
    with outputs.progress(options, "training") as progress:
        run = api.frontier(
            **arguments,
            baselines=options.baselines,
            drop_people=options.drop_people,
            overwrite=options.overwrite,
            command=options.command,
            progress=progress,
        )
    outputs.noted(options, [*run.manifest.get("notes", []), *_execution(run.manifest)])
    if options.json:
        summary = {"out": str(arguments["out"]), "manifest": run.manifest}
        print(json.dumps(summary | {"members": json.loads(run.table.to_json(orient="records"))}, indent=1))
    else:
        beside(
            lambda: show_frontier(report.read_run(arguments["out"]), reused=run.reused),
            lambda why: print(f"faro: note: {arguments['out']} is whole but cannot be shown: {why}", file=sys.stderr),
        )
    return _outcome(run.table)


def _execution(manifest: dict[str, Any]) -> list[str]:
    """How trials were played, where that is not all at once."""
    execution = manifest.get("execution", "")
    return [f"execution: {execution}"] if execution.startswith("sequential") else []


def _outcome(table: Any) -> int:
    """3 if no trial under a bound is FEASIBLE, 70 if all DIVERGED."""
    bounded = table["bound"] < float("inf")
    status = table.loc[bounded if bounded.any() else ~bounded, "status"]
    if (status == "DIVERGED").all():
        return 70
    return 0 if (status == "FEASIBLE").any() else 3


def _score(options: argparse.Namespace) -> int:
    from ...data.table import kind_to_write
    from ...runtime import locks

    if options.by is not None:
        return _scored_by(options)
    if not options.out:
        return _scored(options)
    kind_to_write(options.out)
    with locks.alone(options.out):
        return _scored(options)


def _scored(options: argparse.Namespace) -> int:
    from ... import data
    from ...certify.scored import in_part, write_scored
    from ...data.candidates import check_sets
    from ...registry import import_constraints, known
    from ...runtime import programs
    from ...store.model import load_model, model_files

    programs.keep_programs()
    import_constraints(options.plugin)
    if options.part is not None:
        known("part", options.part, data.PARTS)
    model = _declared(options, load_model(options.model))
    read = model.read(_source(options))
    missing: list[str] = []
    if options.out:
        scored = write_scored(
            model, read, options.out, part=options.part, twins=options.twins, expected=options.expected,
            files=model_files(options.model), note=missing.append, rule=options.rule,
        )  # fmt: skip
    else:
        rule = model.rule_named(options.rule)
        missing += check_sets(read, rule)
        scored = model.score(read, options.twins, expected=options.expected, rule=rule)
        scored = scored if options.part is None else in_part(scored, read, options.part)
    unseen = read.unseen(model.coding).items()
    notes = [f"{count} entries of {name!r} have a level the model never saw; coded as zeros" for name, count in unseen]
    outputs.noted(options, [*model.about.get("notes", []), *notes, *missing])
    if options.out:
        print(
            json.dumps({"rows": len(scored), "out": options.out})
            if options.json
            else f"{len(scored)} rows -> {options.out}"
        )
    elif options.json:
        print(scored.to_json(orient="records", lines=True), end="")
    else:
        scored.to_csv(sys.stdout, index=False)
    return 0


def _scored_by(options: argparse.Namespace) -> int:
    from constraints import Argmax, rule_text

    from ...evaluate.bias import FORMULAS
    from ...evaluate.subsets import scored_by
    from ...runtime import programs
    from ...store.model import load_model
    from ..terminal import show_subsets

    for name in ("out", "twins", "expected"):
        if getattr(options, name):
            raise UsageError(f"--by gives figures and no rows; leave out --{name}")
    programs.keep_programs()
    model = _declared(options, load_model(options.model))
    rule = model.rule_named(options.rule)
    figures = scored_by(model, _source(options), options.by, options.part, rule)
    formulas = [f"{name} = {formula}" for name, formula in FORMULAS.items() if name in figures]
    if not isinstance(rule, Argmax):
        formulas.append(f"accuracy and flips are means of the probability under {rule_text(rule)}; ece is of rewards")
    outputs.noted(options, [*model.about.get("notes", []), *formulas])
    if options.json:
        print(figures.to_json(orient="records", indent=1))
    else:
        show_subsets(figures)
    return 0


def _declared(options: argparse.Namespace, model: TrainedModel) -> TrainedModel:
    """The model with its sets declared as the options say."""
    said = {name: getattr(options, name) for name in SETS if getattr(options, name)}
    return dataclasses.replace(model, schema=model.schema.replace(**said)) if said else model


def _source(options: argparse.Namespace) -> Any:
    """The table that is to be scored, by its name or its path."""
    from ... import data

    if options.data in data.NAMES:
        return data.load(options.data)
    if not Path(options.data).exists():
        raise DataError(f"no data set and no file {options.data!r}; data sets: {', '.join(data.NAMES)}")
    return options.data


def _list(kind: str, options: argparse.Namespace) -> int:
    """What is installed of a kind: "constraint", "model", "loss" or "advantage"."""
    import inspect

    from ... import registry
    from ..terminal import show_installed

    installed = [
        {
            "name": name,
            "from": point.dist.name if point.dist else "",
            "what": (inspect.getdoc(registry.find(kind, name)) or "").split("\n\n")[0].replace("\n", " "),
        }
        for name, point in registry.declared(kind).items()
    ]
    print(json.dumps(installed, indent=1)) if options.json else show_installed(kind, installed)
    return 0


def _settings(options: argparse.Namespace) -> int:
    from ...training.settings import listing
    from ..terminal import show_settings

    print(json.dumps(listing(), indent=1)) if options.json else show_settings(listing())
    return 0


def _constraints(options: argparse.Namespace) -> int:
    from constraints import testing

    from ... import api, registry
    from ...certify import plugins
    from ..terminal import show_clauses

    if options.action == "list":
        return _list("constraint", options)
    if not options.name:
        raise UsageError("faro constraints check needs a name (see: faro constraints list) or package.module:Name")
    given = {name: getattr(options, name) for name in ("schema", "attribute", "of", "within")}
    choices, where = None, "generated choices"
    if options.data:
        made, choices, where = api.tried_on(options.data, options.name, **given)
    elif any(given.values()):
        name = next(name for name, value in given.items() if value)
        raise UsageError(f"--{name} goes with --data; without data the check makes its own choices")
    else:
        attributes = {attribute.name: attribute for attribute in (testing.GROUP, testing.KIND, testing.COMMUNITY)}
        made = registry.make_constraint(attributes, options.name, testing.GROUP.name, unless=("attribute",))
    results = testing.try_clauses(made, choices)
    kept = not any(results.values())
    notes = list(filter(None, [testing.reads_coding(made, choices)])) if kept else []
    tried = testing.with_columns(made, testing.example_choices()) if choices is None else choices
    rests = plugins.certifiable_as(made, tried) if kept else []
    if options.json:
        checked = {"name": made.name(), "labels": made.labels(), "on": where, "clauses": results, "notes": notes}
        print(json.dumps(checked | {"certificate": dict(rests)}, indent=1))
    else:
        show_clauses(made.name(), where, results, rests)
        outputs.noted(options, notes)
    return 1 if any(results.values()) else 0


def _report(options: argparse.Namespace) -> int:
    from ... import report
    from ...runtime import locks
    from ...store.run import entitle
    from ..terminal import show_frontier

    if options.rule is not None:
        return _read_by(options)
    if options.candidates or options.data:
        raise UsageError("--candidates and --data go with --rule, which reads the models of a run again")
    run = report.read_run(options.folder)
    if options.other is not None:
        if options.title is not None:
            raise UsageError("--title is for the report of one run; leave it out where two are compared")
        other = report.read_run(options.other)
        outputs.noted(options, report.differences(run, other)[1])
        page = str(report.write_comparison(run, other, options.out or Path(options.folder, "compare.html")))
        print(json.dumps({"written": [page]}) if options.json else page)
        return 0
    if options.out:
        raise UsageError("--out is for comparing two runs; the report of one goes into its folder")
    outputs.noted(options, run.notes)
    with locks.alone(options.folder, folder=True):
        if options.title is not None:
            entitle(options.folder, options.title)
            run = report.read_run(options.folder)
        written = [str(path) for path in report.write_shown(run, options.folder)]
    print(json.dumps({"written": written})) if options.json else show_frontier(run)
    return 0


def _read_by(options: argparse.Namespace) -> int:
    from constraints import rule_text

    from ...exact.of_run import read_data
    from ...runtime import programs
    from ...store.frontier import Frontier
    from ...transfer import read
    from ..terminal import show_read

    if options.other or options.out or options.title is not None:
        raise UsageError("--rule prints what one run's models reach by it; leave out the other run, --out and --title")
    programs.keep_programs()
    run = Frontier.load(options.folder)
    model = run.models[0]
    if options.candidates:
        model = dataclasses.replace(model, schema=model.schema.replace(candidates=options.candidates))
    rule = model.rule_named(options.rule)
    found = read(run, read_data(run, Path(options.folder), options.data), rule)
    own = model.about.get("rule", "argmax")
    notes = [f"trained for decisions by {own}"] if own != rule_text(rule) else []
    outputs.noted(options, [*notes, "numbers on development data are for tuning; they are not a certificate"])
    print(found.to_json(orient="records")) if options.json else show_read(found, rule_text(rule))
    return 0


def _card(options: argparse.Namespace) -> int:
    from ... import report
    from ..terminal import show_coefficients

    run = report.read_run(options.folder)
    outputs.noted(options, run.notes)
    row = report.point(run, options.bound, options.seed)
    path = str(report.write_card(run, row, options.out or Path(options.folder, "MODEL_CARD.md")))
    if options.json:
        print(json.dumps({"written": [path]}))
        return 0
    if not options.quiet:
        show_coefficients(run.coefficients(row, LISTED))
    print(path)
    return 0
