"""`faro disagree`, `faro types`, `faro ask`, `faro pebs`, `faro compare`: what a table says of people who disagree,
which of their answers are preferences, a few questions to a new one, calibration of each rater, methods side by side.
What it means: docs/people.md, docs/personal.md, docs/compare.md."""

from __future__ import annotations

import argparse
import functools
import json
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError, UsageError
from .. import flags, outputs

if TYPE_CHECKING:
    from ...data import Dataset
    from ...people.ask import Interview
    from ...people.words import Section

WIDE = 80
SHOWN = 12  # pairs on the terminal


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

    types = command(
        "types",
        _types,
        "Say which answers are preferences, of people who were asked again in several frames; write weights of rows.",
        "  faro types replies.csv --schema schema.toml --frame wording --out weighted.csv",
    )
    types.add_argument("data", metavar="DATA", help="a known data set, or a table: CSV, Parquet, JSONL")
    types.add_argument("--schema", metavar="FILE", help="what is in the columns of a table (TOML)")
    types.add_argument("--frame", metavar="COLUMN", required=True, help="column of the wording, order or context")
    types.add_argument(
        "--item", metavar="COLUMN", help="column that says which replies are of one item (default: equal content)"
    )
    types.add_argument("--column", metavar="NAME", default="genuine", help="of the weights in --out (default genuine)")
    types.add_argument("--out", metavar="FILE", help="write the table with the weight of every row (CSV, Parquet)")
    outputs.add_plain(types)

    ask = command(
        "ask",
        _ask,
        "Ask a new person about a few pairs, those that tell most, and say what the person would choose of all.",
        "  faro ask out/model.json pairs.csv\n  faro ask out/model.json pairs.csv --answers answers.csv -k 5",
    )
    ask.add_argument("model", help="a model with a law of people's weights: mixed_logit, pref, person_constants")
    ask.add_argument("items", metavar="ITEMS", help="a table of pairs, as the model's schema reads them, or a data set")
    ask.add_argument("-k", type=int, default=10, metavar="N", help="how many questions (default 10)")
    ask.add_argument("--by", metavar="NAME", default="d_optimal", help="d_optimal (default), pref, bald, or random")
    ask.add_argument(
        "--answers", metavar="FILE", help="a table of choice and answer (1, 2 or =) in place of a dialogue"
    )
    ask.add_argument("--level", type=float, default=0.9, metavar="P", help="of the intervals (default 0.9)")
    ask.add_argument("--seed", type=int, default=0, metavar="N", help="of the order, with --by random (default 0)")
    ask.add_argument("--out", metavar="FILE", help="write probability and interval of every pair (CSV, Parquet)")
    outputs.add_plain(ask)

    pebs = command(
        "pebs",
        _pebs,
        "Say what a slope and an intercept of each rater make of a model's rewards, on a table that also has ratings.",
        "  faro pebs out/model.json ratings.csv --rating stars --out lines.csv",
    )
    pebs.add_argument("model", help="a trained model, of any kind")
    pebs.add_argument("data", metavar="TABLE", help="a table as the model's schema reads it, or a data set")
    pebs.add_argument("--rating", metavar="COLUMN", required=True, help="its column of ratings, a number a row")
    pebs.add_argument("--out", metavar="FILE", help="write slope and intercept of each dev rater (CSV, Parquet)")
    outputs.add_plain(pebs)

    compare = command(
        "compare",
        _compare,
        "Say which method is worth it on a table of people: aggregate and personal models, paired splits, intervals.",
        "  faro compare demo-people\n"
        "  faro compare swissmetro --models aggregate,person_constants,mixed_logit --out out/compare\n"
        "  faro compare demo-people --constraint welfare_floor --attribute community --bound 0.02",
    )
    compare.add_argument("data", metavar="DATA", help="a known data set, or a table: CSV, Parquet, JSONL")
    compare.add_argument("--schema", metavar="FILE", help="what is in the columns of a table (TOML)")
    compare.add_argument(
        "--models",
        metavar="A,B",
        help="methods, beside the aggregate (default: person_constants,mixed_logit); all: every one",
    )
    compare.add_argument("--constraint", metavar="NAME", help="train every method under it as well (default: none)")
    compare.add_argument("--attribute", metavar="NAME", help="declared attribute of the constraint")
    compare.add_argument("--of", metavar="ATTRIBUTE=LEVEL", help="kind of alternative that the constraint counts")
    compare.add_argument("--within", metavar="ATTRIBUTE", help="inside each level of which groups are compared")
    compare.add_argument("--bound", type=float, default=0.05, help="of the constraint (default 0.05)")
    compare.add_argument("--seeds", type=int, default=5, metavar="N", help="splits by person (default 5)")
    compare.add_argument(
        "-k", "--support", type=int, default=10, metavar="N", help="choices of a person that methods read (default 10)"
    )
    compare.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a setting of training, as steps=300 (repeatable)",
    )  # fmt: skip
    compare.add_argument(
        "--out", metavar="DIR", help="write comparison.json, comparison.html and runs there; stopped, the same goes on"
    )
    compare.add_argument("--overwrite", action="store_true", help="replace other runs in --out")
    outputs.add_threads(compare)
    outputs.add_plain(compare, outputs.NO_PROGRESS)


def _compare(options: argparse.Namespace) -> int:
    from ...compare.compare import compare
    from ...compare.words import head, sections, verdict
    from ...data import load
    from ...files import write_json
    from ...registry import make_constraint, split
    from ...training.settings import Settings, assigned

    data, constraint = load(options.data, options.schema), None
    if options.seeds < 1 or options.support < 0:
        raise UsageError("expected --seeds of at least 1, and --support of at least 0")
    if options.constraint is not None:
        where = {"attribute": options.attribute, "of": options.of, "within": options.within}
        constraint = make_constraint(data.attributes, options.constraint, **where, bound=options.bound)
    record = compare(
        data,
        None if options.models is None else split(options.models, ","),
        constraint=constraint,
        seeds=options.seeds,
        support=options.support,
        settings=Settings.of(assigned(options.set)),
        folder=options.out,
        overwrite=options.overwrite,
        source=options.data,
        progress=lambda line: None if options.quiet else print(f"faro: {line}", file=sys.stderr),
    )
    if options.out is not None:
        from ...report import write_methods

        write_json(Path(options.out, "comparison.json"), record)
        write_methods(record, options.out)
    code = told(options, record, head(record), sections(record), [verdict(record)])
    if record["certify"] and not options.json:
        print("\nTo certify it for new people, whom nobody has looked at, once:")
        print("\n".join(f"  {line}" for line in record["certify"]))
    return code


def _disagree(options: argparse.Namespace) -> int:
    from ...files import write_json
    from ...people.disagree import disagree
    from ...people.words import head, sections

    record = disagree(options.data, options.schema, options.item)
    if options.out is not None:
        from ...report import write_disagreement

        write_json(Path(options.out, "disagreement.json"), record)
        write_disagreement(record, options.out)
    return told(options, record, head(record), sections(record), record["verdicts"])


def _types(options: argparse.Namespace) -> int:
    from ...data import load
    from ...data.table import kind_to_write, write_table
    from ...people import consistency

    if options.out:
        kind_to_write(options.out, options.data, options.schema)
    data = load(options.data, options.schema)
    if options.out and options.column in data.frame.columns:
        raise UsageError(f"--column {options.column}: the table has one of this name; choose another")
    record, weights = consistency.types(data, options.frame, options.item)
    if options.out:
        write_table(data.frame.assign(**{options.column: weights}), options.out)
    if options.json:
        print(json.dumps(record))
        return 0
    counts = f"{record['replies']:,} replies, {record['answers']:,} answers of {record['people']:,} people"
    print(f"{record['data']}: {counts} on {record['items']:,} items in {len(record['frames'])} frames")
    print("  " + ", ".join(f"{name.replace('_', '-')} {share:.3f}" for name, share in record["shares"].items()))
    print(
        f"  a reply slips with {record['lapse']:.3f}; {record['once']:,} answers were asked for once, and say nothing"
    )
    for name, kept in record["kept"].items():
        print(f"  kept by {name}: " + ", ".join(f"{level} {share:.3f}" for level, share in kept.items()))
    ends = record["coverage"]
    print(f"  kept of the item with least {ends['least']:.3f}, a tenth {ends['tenth']:.3f}, half {ends['median']:.3f}")
    flips = record["flips"]
    print(f"  {flips['flipped']} of {flips['items']} majorities turn by weight ({flips['share']:.3f})")
    outputs.noted(options, record["notes"])
    return 0


def _ask(options: argparse.Namespace) -> int:
    import pandas as pd

    from ...data.table import kind_to_write, write_table
    from ...people import ask
    from ...store.model import load_model

    if options.out:
        kind_to_write(options.out, options.items, options.answers)
    model = load_model(options.model)
    items = model.read(flags.source(options.items), labels=False)
    interview = ask.Interview.of(model, items, options.k, options.by, options.seed)
    answer: Callable[[int], str | None]
    if options.answers is not None:
        answer = ask.given(_answers(options.answers), interview.names)
    elif sys.stdin.isatty():
        answer = functools.partial(_asked, items, interview)
    else:
        raise UsageError("ask: expected a terminal to ask on, or --answers FILE")
    found = ask.hold(interview, answer, options.level)
    if options.out:
        write_table(pd.DataFrame(found["pairs"]), options.out)
    if options.json:
        print(json.dumps(found))
        return 0
    print(f"{len(found['asked'])} answers, by {options.by}; intervals at level {options.level:g}")
    surest = sorted(found["pairs"], key=lambda pair: -abs(pair["probability"] - 0.5))[:SHOWN]
    print(f"  {'choice':<24}{'first chosen':>14}{'interval':>18}")
    for pair in surest:
        ends = f"{pair['low']:.3f} to {pair['high']:.3f}"
        print(f"  {pair['choice'][:22]:<24}{pair['probability']:>14.3f}{ends:>18}")
    if len(surest) < len(found["pairs"]):
        print(f"  the {len(surest)} surest of {len(found['pairs'])}; all of them with --out FILE or --json")
    return 0


def _pebs(options: argparse.Namespace) -> int:
    import pandas as pd

    from ...data.table import kind_to_write, write_table
    from ...people import ratings
    from ...store.model import load_model

    if options.out:
        kind_to_write(options.out, options.data)
    model = load_model(options.model)
    table = model.read(flags.source(options.data))
    found = ratings.measured(ratings.read(model, table, options.rating))
    if options.out:
        write_table(pd.DataFrame(found["lines"]), options.out)
    if options.json:
        print(json.dumps(found))
        return 0
    raters, counts, law = found["raters"], found["ratings"], found["law"]
    print(f"law of {raters['train']} train raters; {counts['measured']} other ratings of {raters['dev']} dev raters")
    print(f"  {'':<12}{'rmse':>9}{'hurt':>7}  (share of raters with a larger error than by the pooled line)")
    for name, error in found["rmse"].items():
        hurt = "" if name == "pooled" else f"{found['hurt'][name]:.2f}"
        print(f"  {name:<12}{error:>9.3f}{hurt:>7}")
    print(f"  {'ratings read':<14}{'raters':>7}{'pooled':>9}{'own line':>10}{'pebs':>9}")
    for line in found["rmse_by_ratings"]:
        errors = f"{line['pooled']:>9.3f}{line['own line']:>10.3f}{line['pebs']:>9.3f}"
        print(f"  {line['ratings']:<14}{line['raters']:>7}{errors}")
    spread = law["slope_variance"] ** 0.5, law["intercept_variance"] ** 0.5, law["noise"] ** 0.5
    print("deviation of slopes {:.3g}, of intercepts {:.3g}, of a single rating {:.3g}".format(*spread))
    if found["turned"]:
        print(f"{found['turned']} dev raters have a slope against the others': calibration turns their order of items")
    return 0


def _answers(path: str) -> dict[str, str]:
    """Name of the choice -> answer, of a table."""
    from ...data import read_table

    table = read_table(path)
    for name in ("choice", "answer"):
        if name not in table.columns:
            raise DataError(f"{path}: expected the columns choice and answer, got no {name}")
    return dict(zip(table["choice"].astype(str), table["answer"].astype(str), strict=True))


def _asked(items: Dataset, interview: Interview, place: int) -> str | None:
    """What is said on the terminal of the pair at this place, whose cells are shown side by side; None: enough."""
    print(f"\n{len(interview.asked) + 1} of {interview.count}: choice {interview.names[place]}")
    rows = [items.frame.iloc[row] if row >= 0 else None for row in items.parsed.source[place]]
    names = [str(name) or "neither" for name in items.alternatives[place]]
    print(f"  {'':<24}{'1: ' + names[0][:24]:<28}{'2: ' + names[1][:24]}")
    schema = items.schema
    apart = {schema.label, schema.unit, schema.alternative, *schema.choice}
    for column in items.frame.columns:
        if column not in apart:
            first, second = ("" if row is None else str(row[column])[:26] for row in rows)
            print(f"  {str(column)[:22]:<24}{first:<28}{second}")
    while (said := input("1, 2, = (neither more), q (enough): ").strip()) not in ("1", "2", "=", "q"):
        pass
    return None if said == "q" else said


# On the terminal ------------------------------------------------------------------------------------------------------


def told(
    options: argparse.Namespace, record: dict[str, Any], head: str, sections: Iterable[Section], verdicts: Iterable[str]
) -> int:
    """A record as JSON, or in words, and its notes; the exit code."""
    if options.json:
        print(json.dumps(record))
    else:
        print(textwrap.fill(head, WIDE))
        for section in sections:
            _show(section)
        print()
        for verdict in verdicts:
            print(textwrap.fill(f"{verdict[:1].upper()}{verdict[1:]}.", WIDE))
    outputs.noted(options, record["notes"])
    return 0


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
        said(sentence)


def said(sentence: str, indent: str = "  ") -> None:
    """Print a sentence in lines of 80 columns."""
    print(textwrap.fill(sentence, WIDE, initial_indent=indent, subsequent_indent="  "))
