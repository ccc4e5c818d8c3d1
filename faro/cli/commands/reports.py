"""`faro report`, `faro card`: pictures and pages of a finished run, and the model card of one of its points."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError
from .. import flags, outputs

LISTED = 10  # coefficients on the terminal


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
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
        "--rule", metavar="RULE", help=f"read gaps and agreement on dev people by it, and write no report: {flags.RULE}"
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
