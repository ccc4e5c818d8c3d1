"""All that shows a finished run, at once."""

from __future__ import annotations

import os
from pathlib import Path

from ._page import write_report
from ._plots import write_pictures
from ._run import Run


def write_shown(run: Run, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the pictures and report.html into the folder and return their paths."""
    return [*write_pictures(run, folder), write_report(run, folder)]
