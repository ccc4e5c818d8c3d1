"""`faro train`, `faro frontier`: one model under one bound, a model for every bound and seed."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import UsageError, beside
from ...files import parse_toml
from .. import flags, outputs

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


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
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


def _asked(sub: argparse.ArgumentParser, several: bool = False) -> None:
    what = "a known data set, or a CSV, Parquet or JSONL file (default demo)"
    if several:
        what += "; with --stream also a folder of such files, or several"
        sub.add_argument("--data", metavar="NAME|FILE", nargs="+", help=what)
    else:
        sub.add_argument("--data", metavar="NAME|FILE", help=what)
    sub.add_argument("--schema", metavar="FILE", help="schema (TOML) of a table of your own")
    sub.add_argument("--pairs", metavar="FORM", help=flags.PAIRS)
    sub.add_argument("--encoder", metavar="NAME|FOLDER", help=flags.ENCODER)
    sub.add_argument(
        "--constraint", metavar="NAME", help="for example demographic_parity; joined by +: several at once"
    )
    flags.add_measured(sub)
    sub.add_argument("--model", metavar="NAME", help="linear (default), mlp, mlp:64,32, or any of faro models list")
    sub.add_argument(
        "--loss", metavar="NAME", help="logit (default), or any of faro losses list, as smoothed(share=.2)"
    )
    sub.add_argument("--solver", metavar="NAME", help="game (default), or exact: linear models, parity and the like")
    sub.add_argument("--rule", metavar="RULE", help=flags.RULE + "; the bound is about these")
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
    from ...store.saved import base_of
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
