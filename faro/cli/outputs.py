"""What a command gives beside its answer: notes on stderr, and files for people and CI (--html, --junit-xml, --sarif,
--markdown, GitHub's summary).

A command fills in what it found; `reported` writes it when the command ends, well or not. What a gate may show is
decided by `faro.report.certificate.Outcome`, not here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FaroError, UsageError, beside

if TYPE_CHECKING:
    from ..certify.certificate import Certificate
    from ..certify.policy import Policy

OUTPUTS = ("html", "junit_xml", "sarif", "markdown")
NO_PROGRESS = "no progress and no notes"
OUTPUT_WORDS = ("a page for people (HTML)", "JUnit XML", "SARIF 2.1.0", "a summary (Markdown)")


def add(sub: argparse.ArgumentParser) -> None:
    """The options."""
    for kind, what in zip(OUTPUTS, OUTPUT_WORDS, strict=True):
        sub.add_argument(f"--{kind.replace('_', '-')}", metavar="FILE", help=f"write {what}")


def add_plain(sub: argparse.ArgumentParser, quiet: str = "no notes") -> None:
    """The options of how a command speaks on the terminal; `quiet` is what --quiet leaves out."""
    sub.add_argument("--json", action="store_true", help="print results as JSON")
    sub.add_argument("--quiet", action="store_true", help=quiet)


def add_threads(sub: argparse.ArgumentParser) -> None:
    """The option of how many threads compute; read before anything is imported that has some."""
    sub.add_argument("--threads", type=int, metavar="N", help="threads of the CPU that compute (default: all cores)")


def noted(options: argparse.Namespace, notes: Iterable[str]) -> None:
    """Print notes on stderr, unless asked to be quiet."""
    if not options.quiet:
        for note in notes:
            print(f"faro: note: {note}", file=sys.stderr)


def note_shared_content(columns: Mapping[str, list[str]], options: argparse.Namespace) -> None:
    """Note that units of a scored table show the same content, which two names of one person would."""
    from ..certify.overlap import sharing_content

    shared = 0 if options.quiet else beside(lambda: sharing_content(columns), lambda why: 0)
    if shared:
        what = f"{shared} units show content that another unit shows too: are they one person under two names? "
        noted(options, [what + 'equal_content = "refuse" in the policy refuses them'])


def wanted(options: argparse.Namespace) -> bool:
    """Whether a file was asked for."""
    return any(getattr(options, kind) for kind in OUTPUTS)


def reported(mode: str, run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """`run`, whose errors go into the files as well. What it leaves in `options.outcome` is what they say otherwise."""

    def command(options: argparse.Namespace) -> int:
        check_places(options)
        options.outcome = {}
        usual = "certificate" if getattr(options, "disclose", False) else mode
        try:
            code = run(options)
        except FaroError as error:
            _refused(options, usual, error.exit_code, str(error))
            raise
        except Exception as error:
            _refused(options, usual, 70, f"internal error: {type(error).__name__}")
            raise
        if options.outcome:
            fields = dict(options.outcome)
            level = "error" if code else "warning"
            _publish(options, fields.pop("mode", usual), fields.pop("code", code), fields, level)
        return code

    return command


def _refused(options: argparse.Namespace, mode: str, code: int, reason: str) -> None:
    """What CI reads of a refusal. A refused disclosure makes no page: there is no certificate to show to people."""
    of_table = {name: options.outcome[name] for name in ("assumed", "statements") if name in options.outcome}
    if getattr(options, "disclose", False):
        options.html = None
    _publish(options, mode, code, {"reason": reason} | of_table)


def check_places(options: argparse.Namespace) -> None:
    """`UsageError` if two outputs are one file, or an output would replace what a command reads: a ledger first of
    all."""
    written = [getattr(options, kind, None) for kind in (*OUTPUTS, "out")]
    written = [os.path.realpath(name) for name in written if name]
    names = ("policy", "ledger", "scored", "certificate", "audit", "train_units", "baseline")
    read = [getattr(options, name, None) for name in names] + list(options.model)
    read += [given.partition("=")[2] for given in options.table] + _ledger_of(options)
    taken = {os.path.realpath(name) for name in read if name}
    for place in written:
        if place in taken or written.count(place) > 1:
            raise UsageError(f"{place}: is read by this command, or written twice; give every output a file of its own")


def _ledger_of(options: argparse.Namespace) -> list[str]:
    """The ledger and its head; nothing where the policy cannot be read, which the command will say."""
    from ..certify.ledger import files
    from ..certify.policy import read_policy

    try:
        return [str(path) for path in files(read_policy(options.policy), options.ledger)]
    except FaroError:
        return [options.ledger, f"{options.ledger}.head"] if options.ledger else []


def described(certificate: Certificate, policy: Policy) -> dict[str, Any]:
    """The parts of an outcome that a certificate has."""
    from ..certify.sample_size import advice

    findings, level = certificate.findings, float(policy.delta)
    units = certificate.record["data"] and certificate.record["data"]["units"]
    hints = {claim.name: advice(claim, findings[claim.name], level, units) for claim in policy.claims}
    return {
        "certificate": certificate.record,
        "verdicts": {name: finding.verdict.value for name, finding in findings.items()},
        "sizes": {name: finding.units for name, finding in findings.items() if finding.units},
        "needed": {name: hint for name, hint in hints.items() if hint},
    }


def _publish(
    options: argparse.Namespace, mode: str, code: int, fields: Mapping[str, Any], level: str = "error"
) -> None:
    from ..report.certificate import Mode, Outcome, write_outputs

    try:
        policy = Path(options.policy).read_bytes().decode()  # as it is: its sha256 is shown
    except (OSError, ValueError):
        policy = ""  # the reason says so
    place = os.path.relpath(options.policy)
    outcome = Outcome(Mode(mode), code, policy, options.policy if place.startswith("..") else place, **fields)
    write_outputs(outcome, {kind: getattr(options, kind) for kind in OUTPUTS}, level=level)


@contextlib.contextmanager
def progress(options: argparse.Namespace, what: str, counted: str = "") -> Iterator[Any]:
    """A progress bar on stderr, on a terminal only; one that says what it counts has a rate, and begins with the
    first of them."""
    if options.quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

    class Rate(ProgressColumn):
        def render(self, task):
            return f"{task.speed:,.0f} {counted}/s" if task.speed else ""

    columns = (TextColumn(what), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    bar = Progress(*columns, *([Rate()] if counted else []), console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)

    def told(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    if not counted:
        bar.start()
    try:
        yield told
    finally:
        bar.stop()
