"""`faro transfer`: what becomes of a model's gap when its reward is used, by tilted policies and best-of-n. What it
means: docs/transfer.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import UsageError
from .. import outputs


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parser of this command; `command(name, run, text, examples)` makes one."""
    transfer = command(
        "transfer",
        _transfer,
        "Measure a model's gap under tilted policies and best-of-n, beside what is known of it from rewards alone.",
        "  faro transfer out/model.json --candidates enumerated\n"
        "  faro transfer out/demo --candidates enumerated --bound 0.05 --out out/demo/transfer",
    )
    transfer.add_argument("model", metavar="RUN|MODEL", help="a saved model, or the folder of a frontier run")
    transfer.add_argument("--data", metavar="NAME|FILE", help="its data, if they are not a known data set")
    transfer.add_argument("--part", default="dev", help="of the split (default dev)")
    transfer.add_argument("--bound", type=float, help="to be kept; of a run also whose model (default: training's)")
    transfer.add_argument("--betas", metavar="LIST", help="as 2,1,0.5 (default: 47 from 4 to 0.02)")
    transfer.add_argument("--most", type=int, default=256, metavar="N", help="largest n of best-of-n (default 256)")
    transfer.add_argument("--candidates", choices=("enumerated", "sampled"), help="what a set is, if no schema says it")
    transfer.add_argument("--out", metavar="DIR", help="write transfer.csv and transfer.png there")
    outputs.add_plain(transfer)


def _transfer(options: argparse.Namespace) -> int:
    from ...api import load_model
    from ...certify.frontier import read_data
    from ...data import NAMES, PARTS, load
    from ...registry import known
    from ...transfer import measured

    known("part", options.part, PARTS)
    if options.most < 1:
        raise UsageError(f"--most: expected a whole number >= 1, got {options.most}")
    place = Path(options.model)
    folder = place.is_dir()
    model = load_model(place / _point(place, options.bound) if folder else place)
    if options.candidates:
        model = dataclasses.replace(model, schema=model.schema.replace(candidates=options.candidates))
    if not model.candidates:
        raise UsageError("say what the sets are: --candidates enumerated (all answers there are) or sampled (draws)")
    if folder:
        data = read_data(place, model, options.data)
    else:
        source = options.data or model.about["data"]
        if source not in NAMES and not Path(source).exists():
            raise UsageError(f"the model's data are {source!r}, no known data set: give the table with --data")
        data = model.read(load(source) if source in NAMES else source)
    betas = measured.BETAS if options.betas is None else _numbers(options.betas)
    found = measured.measure(
        model, data, part=options.part, betas=betas, largest_n=options.most, bound=options.bound
    )  # fmt: skip
    if options.out:
        _write(found, Path(options.out))
    outputs.noted(options, [*found.notes])
    if options.json:
        pieces = {axis: [tuple(map(_finite, piece)) for piece in found.pieces[axis]] for axis in found.pieces}
        record = {axis: {"kept": pieces[axis], "end": _finite(found.end(axis))} for axis in pieces}
        rows = json.loads(found.table.to_json(orient="records"))
        print(json.dumps({"reference": found.reference, "bound": found.bound, **record, "rows": rows}, indent=1))
    else:
        _show(found)
    return 0


def _point(folder: Path, bound: float | None) -> str:
    from ... import report

    run = report.read_run(folder)
    return str(run.trials["model"].iloc[report.point(run, bound)])


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(sorted((float(part) for part in text.split(",")), reverse=True))
    except ValueError:
        raise UsageError(f"--betas: expected numbers as 2,1,0.5, got {text!r}") from None


def _show(found: Any) -> None:
    print(f"the reference itself: gap {found.reference:.4f}")
    shown = found.table.copy()
    for name in ("tanh", "wasserstein", "twins"):
        shown[name] = ["" if x != x else "says nothing" if x >= 1 else f"{x:.4f}" for x in shown[name]]
    columns = [name for name in ("tanh", "wasserstein", "twins") if shown[name].any()]
    shown["95 %"] = [f"{low:.4f} to {high:.4f}" for low, high in zip(shown["low"], shown["high"], strict=True)]
    every = shown[["rule", "gap", "95 %", "kl", *columns]]
    print(every.to_string(index=False, float_format="{:.4f}".format, na_rep=""))
    for axis, symbol in (("beta", "beta"), ("n", "n")):
        runs = ", ".join(_piece(a, b) for a, b in found.pieces[axis]) or "none"
        end = found.end(axis)
        reached = "the reference itself is beyond it" if end is None else f"kept from the reference to {_value(end)}"
        print(f"gap within {found.bound:g}, {symbol}: {runs}; {reached}")


def _finite(value: float | None) -> float | str | None:
    """As JSON has it."""
    return "reference" if value == float("inf") else value


def _value(value: float) -> str:
    return "the reference" if value == float("inf") else f"{value:.4g}"


def _piece(first: float, last: float) -> str:
    return _value(first) if first == last else f"{_value(first)} to {_value(last)}"


def _write(found: Any, folder: Path) -> None:
    from ...data import write_table
    from ...report import _transfer as pictures

    folder.mkdir(parents=True, exist_ok=True)
    write_table(found.table, folder / "transfer.csv")
    pictures.write_transfer(found.table, found.reference, found.bound, folder)
