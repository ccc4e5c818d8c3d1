"""`faro agreement`: whose views the decisions of a scored table echo. What it means: docs/agreement.md."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ...errors import UsageError
from .. import outputs


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
    agreement = command(
        "agreement",
        _agreement,
        "Say how much of what people are served agrees with the view that they stated, in the mean and in the tail.",
        "  faro agreement personal.csv --agrees agrees=yes --against aggregate.csv\n"
        "  faro agreement personal.csv --agrees agrees=yes --true true=yes --viewpoint side --n 1,4,16",
    )
    agreement.add_argument("table", metavar="TABLE", help="a scored table, or one with unit, choice, decision")
    agreement.add_argument(
        "--agrees", metavar="COLUMN[=LEVEL]", required=True, help="of candidates: whether it agrees with the view"
    )
    agreement.add_argument("--against", metavar="TABLE", help="the same candidates as an aggregate decides them")
    agreement.add_argument("--right", metavar="COLUMN[=LEVEL]", help="of choices: whether the stated view is right")
    agreement.add_argument("--true", metavar="COLUMN[=LEVEL]", help="of candidates: whether it is true")
    agreement.add_argument(
        "--viewpoint", metavar="COLUMN", help="of candidates: for entropies of what people are served"
    )
    agreement.add_argument("--taste", metavar="COLUMN", help="of people: a known taste for agreement, a number")
    agreement.add_argument("--n", metavar="LIST", help="as 1,4,16: also the best of n of the candidates, by reward")
    agreement.add_argument("--out", metavar="FILE", help="write agreement of every person (CSV, Parquet)")
    outputs.add_plain(agreement)


def _agreement(options: argparse.Namespace) -> int:
    import pandas as pd

    from ...data.decided import read_decided
    from ...data.table import kind_to_write, write_table
    from ...transfer import words
    from ...transfer.agreement import agreement, by_person
    from ...transfer.views import Asked, read_served, read_views
    from .people import told

    if options.out:
        kind_to_write(options.out)
    kept_of = _whole(options.n)
    table = read_decided(options.table)
    named = {name: getattr(options, name) or "" for name in ("right", "true", "viewpoint", "taste")}
    views, kept = read_views(table, Asked(options.agrees, **named))
    served, against, rule = read_served(table, kept), None, _rule(options.table)
    if options.against:
        other = _rule(options.against)
        if rule and other and rule != other:
            raise UsageError(
                f"{options.table} is decided by {rule}, {options.against} by {other}; score both by one rule"
            )
        against = read_served(read_decided(options.against), kept, table)
    record: dict[str, Any] = {"data": options.table, "against": options.against, "rule": rule}
    record |= agreement(views, served, against, kept_of)
    left = len(kept) - int(kept.sum())
    record["notes"] = [f"{left:,} choices without a stated view are left out"] if left else []
    if options.out:
        names = pd.unique(table.units[kept])
        write_table(pd.DataFrame({"unit": names, **by_person(views, served, against)}), options.out)
    return told(options, record, words.head(record), words.sections(record), [words.verdict(record)])


def _rule(table: str) -> str | None:
    """The rule that decided a scored table; None where nothing says it."""
    from ...certify.description import read_description

    described = read_description(table)
    return described.rule if described else None


def _whole(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"--n: expected whole numbers as 1,4,16, got {text!r}") from None
