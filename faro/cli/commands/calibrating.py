"""`faro calibrate`: what rewards are worth as probabilities, in all and in each group. What it means:
docs/calibration.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError, beside
from ...registry import import_constraints
from .. import flags, outputs

if TYPE_CHECKING:
    from ...store.frontier import Frontier


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parser of this command; `command(name, run, text, examples)` makes one."""
    calibrate = command(
        "calibrate",
        _calibrate,
        "Say of a frontier what its models rank, what their rewards are worth as probabilities, and what parity there\n"
        "is, as trained and calibrated; of one model, save it calibrated.",
        "  faro calibrate out/demo\n"
        "  faro calibrate out/demo/models/bound03-seed0.json --data demo --out out/calibrated.json\n"
        "  faro calibrate out/model.json --data table.csv --by-group --attribute sex --out out/calibrated.json",
    )
    calibrate.add_argument("source", metavar="RUN|MODEL", help="the --out folder of faro frontier, or a saved model")
    calibrate.add_argument("--attribute", metavar="NAME", help="whose groups (default: that of the run's constraint)")
    calibrate.add_argument("--data", metavar="NAME|FILE", help="what it was trained on; of a run, if it is your table")
    calibrate.add_argument("--by-group", action="store_true", help="of a model: a slope and a constant of each group")
    calibrate.add_argument(
        "--spo", type=int, metavar="M", help="of a model: rewards as chances to be preferred to M alternatives of train"
    )
    calibrate.add_argument("--out", metavar="FILE", help="of a model: where the calibrated one is saved")
    flags.add_plugin(calibrate, "import the run's constraint")
    outputs.add_plain(calibrate)


def _calibrate(options: argparse.Namespace) -> int:
    import_constraints(options.plugin)
    if Path(options.source).is_dir():
        if options.out or options.by_group or options.spo is not None:
            raise UsageError("--out, --by-group and --spo are of one model; of a run all calibrations are measured")
        return _measured(options)
    if not options.data or not options.out:
        raise UsageError("of a model: expected --data, what it was trained on, and --out, where to save it")
    return _saved(options) if options.spo is None else _preferred(options)


def _measured(options: argparse.Namespace) -> int:
    from ... import report
    from ...evaluate import calibration
    from ...exact.of_run import read_data
    from ...runtime import locks
    from ...store import run as store
    from ...store.frontier import Frontier
    from ..terminal import show_calibration

    folder = Path(options.source)
    with locks.alone(folder, folder=True):
        run = Frontier.load(folder)
        data = read_data(run, folder, options.data)
        figures, curves = calibration.of_run(run, data, options.attribute or _attribute(run))
        store.write_table(folder, "calibration", figures)
        store.write_table(folder, "reliability", curves)
        beside(
            lambda: report.write_shown(report.read_run(folder), folder),
            lambda why: print(f"faro: note: no pictures and no report: {why}", file=sys.stderr),
        )
    if options.json:
        print(figures.to_json(orient="records"))
        return 0
    show_calibration(report.read_run(folder))
    return 0


def _attribute(run: Frontier) -> str:
    """The attribute of the run's constraint, or the schema's where that has one alone."""
    from ...certify.plugins import attributes_of

    record = run.manifest["constraint"].get("record")
    known = dict.fromkeys(attribute.name for attribute in attributes_of(record))
    known = known or dict.fromkeys(spec.name for spec in run.models[0].schema.attributes)
    if len(known) != 1:
        raise UsageError(f"--attribute: expected one of {', '.join(known) or 'none'}")
    return next(iter(known))


def _preferred(options: argparse.Namespace) -> int:
    import numpy as np

    from ...people import spo
    from ...store.model import load_model
    from ...store.saved import save_made
    from .people import said

    if options.by_group or options.attribute:
        raise UsageError("--spo is one scale for everybody; leave out --by-group and --attribute")
    model = load_model(options.source)
    table = model.read(flags.source(options.data))
    own = spo.fit(model, table, options.spo)
    before, after = (np.nan_to_num(of.rewards(table), nan=-np.inf).argmax(1) for of in (model, own))
    changed = int((before != after).sum())
    place = save_made(own, options.source, options.out)
    if options.json:
        print(json.dumps({"model": str(place), "references": options.spo, "changed": changed}))
        return 0
    said(f"{place}: rewards in [0, 1], chances to be preferred to {options.spo} alternatives of train", "")
    print(f"  {changed or 'no'} decision{'s' * (changed > 1)} by argmax change{'s' * (changed < 2)}; ", end="")
    print("as log-odds of choices they say too little")
    if changed or str(own.about.get("rule", "argmax")).startswith(("softmax", "kl_tilted")):
        outputs.noted(options, ["decisions change with it: measure and certify its gap again"])
    return 0


def _saved(options: argparse.Namespace) -> int:
    from ...evaluate import calibration
    from ...models import Calibrated
    from ...store.model import load_model
    from ...store.saved import save_made

    model = load_model(options.source)
    table = model.read(flags.source(options.data))
    if options.by_group and not options.attribute and len(model.schema.attributes) != 1:
        names = ", ".join(spec.name for spec in model.schema.attributes)
        raise UsageError(f"--by-group: expected --attribute, one of {names or 'none'}")
    named = options.attribute or next(iter(model.attributes(table)), None)
    own = calibration.calibrated(model, table, named if options.by_group else None)
    assert isinstance(own.model, Calibrated)
    by, place = own.model.by, save_made(own, options.source, options.out)
    record: dict[str, Any] = {"model": str(place), "calibration": own.about["calibration"]}
    if by is None:
        record["temperature"] = 1 / float(own.params["slope"][0])
    else:
        levels = (*by.levels, "of no group")
        record["groups"] = {
            level: {"slope": float(slope), "constant": float(constant)}
            for level, slope, constant in zip(levels, own.params["slope"], own.params["constant"], strict=True)
        }
    if options.json:
        print(json.dumps(record))
        return 0
    print(f"{place}: calibrated on the selection part of seed {own.about.get('seed', 0)}")
    if "temperature" in record:
        print(f"  temperature {record['temperature']:.4g}: no decision by argmax changes")
    for level, scale in record.get("groups", {}).items():
        print(f"  {level[:40]:<42} slope {scale['slope']:7.3f}   constant {scale['constant']:+7.3f}")
    rule, outside = str(own.about.get("rule", "argmax")), bool((table.parsed.outside & table.parsed.available).any())
    if (by is not None and (not by.chooser or outside)) or rule.startswith(("softmax", "kl_tilted")):
        outputs.noted(options, ["decisions change with it: measure and certify its gap again"])
    return 0
