"""`faro data`, `faro mix`: the tables that there are, and several as one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError
from .. import flags, outputs


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
    data.add_argument("--pairs", metavar="FORM", help=flags.PAIRS)
    data.add_argument("--encoder", metavar="NAME|FOLDER", help=flags.ENCODER)
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
    kind_to_write(options.out, *files)
    table = mixed(files)
    write_table(table, options.out)
    counts = {str(source): int(count) for source, count in table.groupby("source", sort=False).size().items()}
    words = ", ".join(f"{source} {count:,}" for source, count in counts.items())
    print(json.dumps({"out": options.out, "rows": counts}) if options.json else f"{words} rows -> {options.out}")
    return 0
