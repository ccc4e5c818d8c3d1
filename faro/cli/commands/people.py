"""`faro disagree`: what a table says of people who disagree. What it means: docs/people.md."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import outputs

if TYPE_CHECKING:
    from ...people.words import Section

WIDE = 80


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parser of this command; `command(name, run, text, examples)` makes one."""
    disagree = command(
        "disagree",
        _disagree,
        "Say how much people disagree, in what, and how far one answer for everybody can go; no model is trained.",
        "  faro disagree pluriharms\n  faro disagree votes.csv --schema schema.toml --out out/disagree",
    )
    disagree.add_argument("data", metavar="DATA", help="a known data set, or a table: CSV, Parquet, JSONL")
    disagree.add_argument("--schema", metavar="FILE", help="what is in the columns of a table (TOML)")
    disagree.add_argument(
        "--item", metavar="COLUMN", help="column that says which choices are of one item (default: equal content)"
    )
    disagree.add_argument("--out", metavar="DIR", help="write disagreement.json and disagreement.html there")
    outputs.add_plain(disagree)


def _disagree(options: argparse.Namespace) -> int:
    from ...files import write_json
    from ...people.disagree import disagree
    from ...people.words import head, sections

    record = disagree(options.data, options.schema, options.item)
    if options.out is not None:
        from ...report import write_disagreement

        write_json(Path(options.out, "disagreement.json"), record)
        write_disagreement(record, options.out)
    if options.json:
        print(json.dumps(record))
    else:
        print(textwrap.fill(head(record), WIDE))
        for section in sections(record):
            _show(section)
        print()
        for verdict in record["verdicts"]:
            print(textwrap.fill(f"{verdict[:1].upper()}{verdict[1:]}.", WIDE))
    outputs.noted(options, record["notes"])
    return 0


# On the terminal ------------------------------------------------------------------------------------------------------


def _show(section: Section) -> None:
    """A section: its table in columns as wide as their cells, then what is said."""
    print(f"\n{section.title}")
    table = [section.columns, *section.rows] if section.rows else []
    others = [max(len(cell) for cell in column) for column in list(zip(*table, strict=True))[1:]] if table else []
    first = WIDE - sum(others) - 2 * len(others) - 2
    for what, *cells in table:
        lines = textwrap.wrap(what, first, subsequent_indent="  ", drop_whitespace=False) or [""]
        for line in lines[:-1]:
            print(f"  {line}")
        numbers = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, others, strict=True))
        if any((what, *cells)):
            print(f"  {lines[-1]:<{first}}{numbers}".rstrip())
    for sentence in section.said:
        _said(sentence)


def _said(sentence: str) -> None:
    print(textwrap.fill(sentence, WIDE, initial_indent="  ", subsequent_indent="  "))
