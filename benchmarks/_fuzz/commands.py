"""A command that is run and watched: what it said, and which rules it broke."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CODES = frozenset(range(8))
DONE = (0, 1, 3)  # codes of a command that may have written something
VERDICTS = {"CERTIFIED": 0, "REFUTED": 1, "INCONCLUSIVE": 3}
SECONDS = 60  # a command that takes longer hangs
SAID = re.compile(r"faro[a-z ]*: |refused \([0-7]\): ")
COMMANDS = ("data", "score", "policy", "certify", "gate", "verify", "ledger", "verify.py")
NOTED = re.compile(r"faro: note: ")


class Hangs(BaseException):
    """No `Exception`, so that no command takes it for one of its own."""


@dataclasses.dataclass
class Ran:
    """A command that ended: what it said, and which rules it broke."""

    words: list[str]
    code: int
    out: str
    err: str
    faults: list[str]
    seconds: float

    @property
    def command(self) -> str:
        """For counting: the command, and what it does."""
        if self.words[0] not in COMMANDS:
            return "(no command)"
        return " ".join(self.words[:2] if self.words[0] in ("data", "ledger") else self.words[:1])


def run(folder: Path, words: list[str], tool: str = "faro", written: str | None = None) -> Ran:
    """`faro WORDS` in this process, or `verify.py WORDS`; `written` is the output that it may leave."""
    from faro import verify
    from faro.cli import main

    before, started = _files(folder), time.perf_counter()
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _limited(),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("default")
        for quiet in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning, ImportWarning):
            warnings.simplefilter("ignore", quiet)
        try:
            code = main(words) if tool == "faro" else verify.main(words)
        except SystemExit as end:  # argparse in verify.py
            code = int(end.code or 0)
        except Hangs:
            code = -1
        except BaseException as error:
            code = -2
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
    ran = Ran([*([] if tool == "faro" else ["verify.py"]), *words], code, out.getvalue(), err.getvalue(), [], 0.0)
    ran.seconds = time.perf_counter() - started
    ran.faults = [
        *(f"warning: {each.message}"[:200] for each in warned),
        *_said(ran),
        *_left(folder, before, ran, written),
    ]
    return ran


def _said(ran: Ran) -> list[str]:
    """Which rules of codes and lines were broken."""
    if ran.code == -1:
        return [f"hangs: longer than {SECONDS} s"]
    faults = [] if ran.code in CODES else [f"exit code {ran.code}"]
    if "Traceback" in ran.err or "Traceback" in ran.out:
        faults.append("traceback")
    lines = [line for line in ran.err.split("\n") if line]
    if ran.words[0] == "verify.py" and lines and lines[0].startswith("usage:"):
        return faults
    if odd := [line for line in lines if not SAID.match(line)]:
        faults.append(f"stderr: {odd[0][:200]}")
    reasons = [line for line in lines if not NOTED.match(line)]
    if ran.code not in DONE and len(reasons) != 1:
        faults.append(f"{len(reasons)} reasons for code {ran.code}")
    if ran.code == 0 and reasons:
        faults.append(f"code 0, and yet {reasons[0][:200]}")
    return faults


def _files(folder: Path) -> dict[str, bytes]:
    """Digest of every file."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest() for path in paths}


def _left(folder: Path, before: dict[str, bytes], ran: Ran, written: str | None) -> list[str]:
    """Which rules of files were broken."""
    after = _files(folder)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    faults = [f"left over: {name}" for name in changed if Path(name).name.startswith(".") or ".part" in name]
    if ran.code not in DONE and written in changed:
        faults.append(f"code {ran.code}, and yet wrote {written}")
    return faults


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def ends(*_: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ends)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
