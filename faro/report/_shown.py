"""All that shows a finished run, at once."""

from __future__ import annotations

import os
from pathlib import Path

from ._others import panels
from ._page import write_report
from ._run import Run


def write_shown(run: Run, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the pictures and report.html into the folder and return their paths."""
    from ._plots import write_pictures

    shown = panels(run)
    return [*write_pictures(run, folder, shown[-1]), write_report(run, folder, shown)]
