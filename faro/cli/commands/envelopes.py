"""faro envelope: which losses no linear model can beat on the sample of a run. What it means: docs/envelope.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from ...errors import beside
from .. import outputs
from ..flags import add_constraint, said_of_constraint


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parser of this command; `command(name, run, text, examples)` makes one."""
    envelope = command(
        "envelope",
        _envelope,
        "Prove of a run with a linear model which losses no such model can beat on its sample, and by how much its own "
        "models could be beaten; draw it into the report.",
        "  faro envelope out/demo\n  faro envelope out/demo --features --width 1e-5",
    )
    envelope.add_argument("folder", metavar="RUN", help="the --out folder of faro frontier")
    envelope.add_argument("--data", metavar="NAME|FILE", help="data of the run, if it is not a known data set")
    envelope.add_argument(
        "--width", type=float, metavar="NATS", help="how far a model that exists may be above it (default 1e-4)"
    )
    envelope.add_argument("--points", type=int, metavar="N", help="at most this many solves a seed (default 200)")
    envelope.add_argument(
        "--member", metavar="FILE", help="of a network, as models/bound03-seed0.json: its last layer, the rest frozen"
    )
    envelope.add_argument("--features", action="store_true", help="write the tables that faro verify proves it from")
    add_constraint(envelope, "of a run that has the constraint's name alone")
    outputs.add_plain(envelope)


def _envelope(options: argparse.Namespace) -> int:
    from ...runtime import locks

    with locks.alone(options.folder, folder=True):
        return _enveloped(options)


def _enveloped(options: argparse.Namespace) -> int:
    from ... import report
    from ...exact import of_run

    asked = said_of_constraint(options)
    limits = {"width": options.width, "most": options.points}
    written = of_run.write_envelopes(
        options.folder, source=options.data, asked=asked, features=options.features, member=options.member,
        **{name: value for name, value in limits.items() if value is not None},
    )  # fmt: skip
    beside(
        lambda: report.write_shown(report.read_run(options.folder), options.folder),
        lambda why: print(f"faro: note: no pictures and no report: {why}", file=sys.stderr),
    )
    if options.json:
        print(json.dumps(written, indent=1))
        return 0
    for envelope in written:
        width = report.rounded_up(envelope["width"])
        print(f"{envelope['envelope']}: {envelope['points']} points, nowhere wider than {width} nats")
        if envelope["members"]:
            gap = report.rounded_up(envelope["largest_gap"])
            print(f"  {envelope['members']} models: none could be beaten by more than {gap} nats")
    wide = [str(envelope["seed"]) for envelope in written if envelope["width"] > (options.width or of_run.WIDTH)]
    if wide and not options.quiet:
        print(f"faro: note: seed {', '.join(wide)}: wider than asked; give more --points", file=sys.stderr)
    return 0
