"""The `faro` command: flags to one call of a function, results on stdout, everything else on stderr.

    commands  the commands, by what they are about
    flags     flags that several commands take
    terminal  tables for people
    verdicts  what a certificate says there
    outputs   what a command gives beside its answer: notes, and files for people and CI

Exit codes: 0 done, 1 refuted, 2 wrong usage, 3 no model is FEASIBLE (or inconclusive), 4 a certificate does not check,
5 bad data, 6 the audit is not independent, 7 no valid dual, 70 internal error or every model DIVERGED, 130 interrupted.
"""

from __future__ import annotations

import argparse
import functools
import io
import os
import shlex
import sys
import traceback
from typing import Any

from ..errors import FaroError
from ..files import NO_ROOM
from ..runtime import threads
from .commands import (
    auditing,
    calibrating,
    certifying,
    choosing,
    data,
    envelopes,
    listing,
    neighbours,
    people,
    policies,
    reports,
    scoring,
    serving,
    text,
    training,
    transfer,
    verifying,
)

TRAINING_CODES = "exit codes: 0 done, 2 wrong usage, 3 no model FEASIBLE, 5 bad data, 70 internal error or all DIVERGED"
CERTIFICATE_CODES = (
    "exit codes: 0 certified (or done), 1 refuted or no pass, 2 wrong usage, 3 inconclusive, 4 does not check,\n"
    "5 bad data, 6 audit not independent, 7 no valid dual, 70 internal error; only 0 passes"
)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. Never shows a traceback for a mistake of the user."""
    argv = sys.argv[1:] if argv is None else argv
    unread = 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of groups that the terminal's encoding lacks
    try:
        options = _parser().parse_args(argv)
        options.command, unread = "faro " + shlex.join(argv), options.unread
        if getattr(options, "threads", None) is not None:  # before jax and numpy are there
            threads.limit(options.threads)
        code = options.run(options) or 0
        sys.stdout.flush()  # here, where a reader that is gone has a code
        return code
    except SystemExit as end:  # argparse: 0 after --help, 2 after a usage error
        return int(end.code or 0)
    except FaroError as error:
        print(f"faro: {_one_line(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("faro: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `faro data | head` is well; an answer of the gate that nobody read is no pass
        _give_up_stdout()
        if unread:
            print("faro: stdout was closed before the answer was read: no answer", file=sys.stderr)
        return unread
    except OSError as error:
        print(f"faro: {_one_line(_told(error))}", file=sys.stderr)
        _give_up_stdout()
        return 5
    except Exception:
        traceback.print_exc()
        print("faro: internal error; please report the lines above with the command", file=sys.stderr)
        return 70


def _one_line(error: object) -> str:
    """Without line breaks: what a table or a policy names may begin no line of its own in a log that a CI reads."""
    return " ".join(str(error).split())


def _told(error: OSError) -> str:
    """What the system said, about which file, and what to do if there is no room."""
    message = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
    return f"{message}; make room there, then give the same command again" if error.errno in NO_ROOM else message


def _give_up_stdout() -> None:
    """What cannot be written any more goes nowhere, so that the interpreter ends with the code it was told."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """Says what is wrong on one line, and where the help is."""

    def parse_known_args(self, args=None, namespace=None):  # here, and not in `parse_args`: named by its own command
        options, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unknown option or argument {shlex.join(extra)}")
        return options, extra

    def error(self, message):
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="faro",
        description="Train choice models under fairness constraints and see what each level of fairness costs.",
        epilog=f"start with:  faro frontier --data demo --out out/demo\n{TRAINING_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, run: Any, text: str, example: str, codes: str = TRAINING_CODES, unread: int = 0
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"examples:\n{example}\n{codes}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(run=run, unread=unread)
        return sub

    data.add(command)
    training.add(command)
    scoring.add(command)
    reports.add(command)
    listing.add(command)
    text.add(command)
    people.add(command)
    policies.add(command)
    choosing.add(command)
    calibrating.add(command)
    neighbours.add(command)
    transfer.add(command)
    serving.add(command)
    of_certificates = functools.partial(command, codes=CERTIFICATE_CODES, unread=70)
    for group in (certifying, verifying, auditing, envelopes):
        group.add(of_certificates)
    return parser


class _Version(argparse.Action):
    """Asks for the version only when it is wanted: reading metadata takes time."""

    def __call__(self, parser, *rest, **named):
        from importlib.metadata import version

        print(f"faro {version('faro-fairness')}")
        parser.exit()
