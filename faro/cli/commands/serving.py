"""`faro agreement`, `faro jury`, `faro rerank`: whose views the decisions of a scored table echo, what a stated mix of
people decides, lists in proportion to interests. What it means: docs/agreement.md, docs/voting.md."""

from __future__ import annotations

import argparse
import json
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

    jury = command(
        "jury",
        _jury,
        "Decide as a stated mix of people does, from scored tables of each group or rewards of twins.",
        "  faro jury scored.csv --of region --weights north=.6,south=.4 --out jury.csv\n"
        "  faro jury young=young.csv old=old.csv --weights young=.6,old=.4 --out jury.csv",
    )
    jury.add_argument("tables", nargs="+", metavar="TABLE|GROUP=TABLE", help="one with twins, or one of each group")
    jury.add_argument(
        "--weights", required=True, metavar="GROUP=SHARE,...", help="seats of the jury, which add up to 1"
    )
    jury.add_argument(
        "--of", metavar="NAME", help="the attribute of one table's twins; of several, whose levels are shown"
    )
    jury.add_argument("--rule", help="of one table's twins: argmax (default), softmax(temperature=T)")
    jury.add_argument("--out", metavar="FILE", help="write the table as the jury decides it (CSV, Parquet, JSONL)")
    outputs.add_plain(jury)

    rerank = command(
        "rerank",
        _rerank,
        "Make a list of each choice's candidates in proportion to interests, and say what it costs, by strength.",
        "  faro rerank scored.csv --genres side --wanted left=.5,right=.5 --count 10 --strength .5 --out lists.csv\n"
        "  faro rerank draws.csv --genres side --wanted told --across --strength .9",
    )
    rerank.add_argument("table", metavar="TABLE", help="a scored table: every choice is a list, or draws of answers")
    rerank.add_argument("--genres", required=True, metavar="COLUMN|A,B,C", help="a column of genres, or shares of each")
    rerank.add_argument(
        "--wanted", required=True, metavar="GENRE=SHARE,...|NAME",
        help="shares; or told (what the person chose before), people (what all chose), there (what is there)",
    )  # fmt: skip
    rerank.add_argument("--prior", type=float, default=0.1, help="share of everybody's in what was told (default 0.1)")
    rerank.add_argument("--count", type=int, metavar="N", help="length of a choice's list (default 10)")
    rerank.add_argument(
        "--across", action="store_true", help="a list of each person instead: one candidate of every choice"
    )
    rerank.add_argument("--strength", type=float, default=0.5, help="lambda in [0, 1]: 0 ranks by reward (default 0.5)")
    rerank.add_argument("--surrogate", action="store_true", help="the objective of which greedy reaches 1 - 1/e")
    rerank.add_argument("--out", metavar="FILE", help="write the table with places in lists (CSV, Parquet, JSONL)")
    outputs.add_plain(rerank)


def _agreement(options: argparse.Namespace) -> int:
    import pandas as pd

    from ...data.decided import read_decided
    from ...data.table import kind_to_write, write_table
    from ...transfer import words
    from ...transfer.agreement import agreement, by_person
    from ...transfer.views import Asked, read_served, read_views
    from .people import told

    if options.out:
        kind_to_write(options.out, options.table, options.against)
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
    record["notes"] = [f"{left:,} choices without a stated view, or of weight 0, are left out"] if left else []
    if options.out:
        names = pd.unique(table.units[kept])
        write_table(pd.DataFrame({"unit": names, **by_person(views, served, against)}), options.out)
    return told(options, record, words.head(record), words.sections(record), [words.verdict(record)])


def _jury(options: argparse.Namespace) -> int:
    from ...data.decided import read_decided
    from ...data.table import kind_to_write, write_table
    from ...transfer import juries
    from .people import said

    if options.out:
        kind_to_write(options.out, *(text.partition("=")[2] or text for text in options.tables))
    weights, named = _shares("--weights", options.weights), [text.partition("=") for text in options.tables]
    if len(named) == 1 and not named[0][1]:
        if not options.of:
            raise UsageError("jury of one table: expected --of NAME, the attribute whose twins it has")
        first = read_decided(options.tables[0], ())
        decisions = juries.of_twins(first, options.of, options.rule or "argmax")
    else:
        if not all(equals for _, equals, _ in named) or len({group for group, _, _ in named}) < len(named):
            raise UsageError("jury of several tables: expected GROUP=TABLE of each, every group once")
        if options.rule:
            raise UsageError("--rule is of one table's twins; tables of each group hold what their rule decided")
        tables = {group: read_decided(place) for group, _, place in named}
        first, decisions = next(iter(tables.values())), juries.of_tables(tables)
        if options.of:
            first.column(options.of)
    law = juries.mixed(decisions, weights, first.where)
    record = juries.told(first, decisions, weights, law, options.of or "")
    record["rule"] = juries.RULE
    if options.out:
        write_table(juries.seated(first, decisions, law), options.out)
    if options.json:
        print(json.dumps(record | {"out": options.out}))
        return 0
    print(f"{record['choices']:,} choices, decided by a juror who is drawn; shares of decisions")
    labelled = "right" in record["rows"][0]
    print(f"  {'':<32}{'seats':>8}{'as the jury':>14}" + f"{'as people':>14}" * labelled)
    for row in record["rows"]:
        seats = "" if row["seats"] is None else f"{row['seats']:.3f}"
        right = f"{row['right']:>14.3f}" if labelled else ""
        print(f"  {row['who'][:31]:<32}{seats:>8}{row['as_jury']:>14.3f}{right}")
    for level in record["rows"][0].get("of", {}):
        every = ", ".join(f"{row['who']} {row['of'][level]:.3f}" for row in record["rows"])
        said(f"As people of {level}: {every}.")
    if options.out:
        print(f"{len(first.frame)} rows -> {options.out}; its law is that of the rule {juries.RULE}")
    return 0


def _rerank(options: argparse.Namespace) -> int:
    from ...data.decided import read_decided
    from ...data.table import kind_to_write, write_table
    from ...transfer import lists
    from .people import said

    if options.out:
        kind_to_write(options.out, options.table)
    columns = [name.strip() for name in options.genres.split(",")]
    wanted = _shares("--wanted", options.wanted) if "=" in options.wanted else options.wanted
    table = read_decided(options.table, ("reward",))
    genres, shares = lists.read_wanted(table, columns, wanted, options.prior)
    if options.across and options.count is not None:
        raise UsageError("--across takes one candidate of every choice; leave out --count")
    count = None if options.across else 10 if options.count is None else options.count
    made, rows = lists.over_strengths(table, genres, shares, count, options.strength, surrogate=options.surrogate)
    if options.out:
        write_table(lists.written(table, made), options.out)
    short = 0 if count is None else int((table.there.sum(1) < count).sum())
    notes = [f"{short:,} choices have fewer than {count} candidates: their lists have all"] if short else []
    absent = [name for at, name in enumerate(genres.names) if not genres.shares[..., at].any()]
    notes += [f"no candidate is of {', '.join(map(repr, absent))}"] if absent else []
    record: dict[str, Any] = {
        "data": options.table, "lists": len(made.kept), "count": count, "strength": options.strength,
        "objective": "surrogate" if options.surrogate else "divergence",
        "wanted": dict(zip(genres.names, shares.mean(0).tolist(), strict=True)), "rows": rows, "notes": notes,
    }  # fmt: skip
    outputs.noted(options, notes)
    if options.json:
        print(json.dumps(record | {"out": options.out}))
        return 0
    words = ", ".join(f"{name} {share:.3f}" for name, share in record["wanted"].items())
    what = "each person's, one candidate of every choice" if count is None else f"{count}"
    said(f"{record['lists']:,} lists of {what}; wanted: {words}", "")
    print(
        f"  {'strength':<9}{'C_KL':>7}{'tenth above':>13}{'scores':>8}"
        + f"{'chosen':>8}  less that at 0, 95 %" * table.filled("label")
    )
    for row in rows:
        line = f"  {row['strength']:<9g}{row['divergence']:>7.3f}{row['worst_tenth']:>13.3f}{row['scores']:>8.3f}"
        if "right" in row:
            line += f"{row['right']:>8.3f}  {row['cost']:+.3f}"
            line += "" if row["low"] is None else f" ({row['low']:+.3f} to {row['high']:+.3f})"
        print(line + " <-" * (row["strength"] == options.strength))
    print("  scores: of the lists with the largest, mapped to [0, 1] in each choice")
    if table.filled("label"):
        print("  chosen: how much of what was chosen is in the list, and less that at 0")
    if options.out:
        print(f"{len(table.frame)} rows -> {options.out}")
    return 0


def _shares(option: str, text: str) -> dict[str, float]:
    """NAME=SHARE,... as a table of shares."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.rpartition("=")
        if name.strip() in found:
            raise UsageError(f"{option}: {name.strip()!r} stands twice; expected one share of each")
        try:
            found[name.strip()] = float(share)
        except ValueError:
            raise UsageError(f"{option}: expected NAME=SHARE,... as north=.6,south=.4, got {part!r}") from None
    return found


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
