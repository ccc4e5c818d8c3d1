"""`faro score`: what a saved model says of a table, row by row, or level by level of a column."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import UsageError
from .. import flags, outputs

if TYPE_CHECKING:
    from ...store.model import TrainedModel

SETS = ("candidates", "log_ref", "reference", "decoding")


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
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
    score.add_argument("--rule", metavar="RULE", help=flags.RULE + "; default: that of training")
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


def _of_sets(sub: argparse.ArgumentParser) -> None:
    """What the sets of candidates are, where the model's schema does not say."""
    sub.add_argument("--candidates", choices=("enumerated", "sampled"), help="what a set is: all answers, or draws")
    sub.add_argument("--log-ref", metavar="COLUMN", help="log-probability of each under the reference (enumerated)")
    sub.add_argument("--reference", metavar="TEXT", help="which policy that is, in words")
    sub.add_argument("--decoding", metavar="TEXT", help="how it was drawn from, in words")


def _score(options: argparse.Namespace) -> int:
    from ...data.table import kind_to_write
    from ...runtime import locks

    if options.by is not None:
        return _scored_by(options)
    if not options.out:
        return _scored(options)
    kind_to_write(options.out, options.data)
    with locks.alone(options.out):
        return _scored(options)


def _scored(options: argparse.Namespace) -> int:
    from ... import data
    from ...certify.scored import in_part, write_scored
    from ...data.candidates import check_sets
    from ...registry import import_constraints, known
    from ...runtime import programs
    from ...store.model import load_model
    from ...store.saved import model_files

    programs.keep_programs()
    import_constraints(options.plugin)
    if options.part is not None:
        known("part", options.part, data.PARTS)
    model = _declared(options, load_model(options.model))
    read = model.read(flags.source(options.data))
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
    absent = [spec.name for spec in model.schema.attributes if spec.name not in read.attributes]
    notes += [f"no column of {name!r}: left out, and no audit of its groups is of this table" for name in absent]
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
    figures = scored_by(model, flags.source(options.data), options.by, options.part, rule)
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
