"""All outputs of an outcome at once: the files that were asked for, and what GitHub Actions wants."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TextIO, TypeVar

from ...errors import UsageError, beside
from ...files import write_text
from ._github import SUMMARY_BYTES, github_annotations, markdown
from ._junit import junit_xml
from ._outcome import Outcome
from ._page import certificate_page
from ._sarif import sarif

Made = TypeVar("Made")
WRITERS: dict[str, Callable[[Outcome], str]] = {
    "junit_xml": junit_xml,
    "sarif": sarif,
    "markdown": markdown,
    "html": certificate_page,
}


def write_outputs(
    outcome: Outcome,
    files: Mapping[str, str | os.PathLike[str] | None],
    environ: Mapping[str, str] = os.environ,
    stream: TextIO | None = None,
    level: str = "error",
) -> list[Path]:
    """Write `files` (keys junit_xml, sarif, markdown, html; None: not asked for) and return their paths. One that
    cannot be made is left out with a note.

    With `GITHUB_STEP_SUMMARY` set the Markdown is appended to that file, within its 1 MiB; with `GITHUB_ACTIONS` set
    annotations of this `level` go to `stream` (stderr by default, so that stdout stays data).
    """
    written = []
    for kind, path in files.items():
        if kind not in WRITERS:
            raise UsageError(f"files: expected {', '.join(WRITERS)}, got {kind!r}")
        if path is not None:
            text = _made(kind, partial(WRITERS[kind], outcome))
            if text is not None:
                write_text(Path(path), text)
                written.append(Path(path))
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        before = Path(summary).stat().st_size if Path(summary).exists() else 0
        text = _made("summary", partial(markdown, outcome, max(0, SUMMARY_BYTES - before)))
        with open(summary, "a", encoding="utf-8", newline="\n") as file:
            file.write(text or "")
    if environ.get("GITHUB_ACTIONS") == "true":
        for line in _made("annotations", partial(github_annotations, outcome, level)) or []:
            print(line, file=stream or sys.stderr)
    return written


def _made(what: str, make: Callable[[], Made]) -> Made | None:
    """None and a note where it cannot be made: the answer that it shows was given, and stands."""
    return beside(make, lambda why: print(f"faro: note: no {what}: {why}", file=sys.stderr))
