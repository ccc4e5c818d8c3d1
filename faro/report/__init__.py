"""Read the folder of a finished sweep, draw its frontier, and report it as one self-contained page; compare two; write
the model card of a point.

A report reads plain records and imports neither jax nor cvxpy: `read_run` is the only way in.

    _run          `Run`, `read_run`: what a finished sweep left in its folder
    _ending       how the training of a trial ended
    _others       how sure the points are, and what other methods reach
    _envelope     the certified envelope of a run
    _calibration  what rewards are worth as probabilities
    _series       what a picture shows, before anything draws it
    _plots        pictures
    _tables       tables of a page
    _records      what the script of a page is given
    _commands     what to type for a point of a run
    _page         report.html
    _compare      two runs on one page
    _card         the model card of a point
    _people       the page of people who disagree
    _methods      the page of methods side by side
    _transfer     gaps of policies beside what rewards say of them
    _shown        all that shows a run, at once
    _markdown     any text as Markdown that does nothing else
    certificate   what a certificate or a gate says, for people and for CI
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from typing import TYPE_CHECKING, Any

from ._calibration import calibration_cells as calibration_cells
from ._card import point as point
from ._card import write_card as write_card
from ._compare import differences as differences
from ._compare import write_comparison as write_comparison
from ._ending import MEANINGS as MEANINGS
from ._ending import ending as ending
from ._envelope import rounded_up as rounded_up
from ._methods import write_methods as write_methods
from ._others import at_once as at_once
from ._others import verdicts as verdicts
from ._page import write_report as write_report
from ._people import write_disagreement as write_disagreement
from ._run import Run as Run
from ._run import borrowed as borrowed
from ._run import headline as headline
from ._run import read_run as read_run
from ._run import ridge_of as ridge_of
from ._run import ridge_text as ridge_text
from ._run import spread_text as spread_text
from ._run import summary_table as summary_table
from ._run import tightened as tightened
from ._shown import write_shown as write_shown

if TYPE_CHECKING:
    from ._plots import draw_frontier as draw_frontier
    from ._plots import draw_traces as draw_traces
    from ._plots import write_pictures as write_pictures

PICTURES = ("draw_frontier", "draw_traces", "write_pictures")  # imported on first use: matplotlib takes long


def ahead() -> None:
    """Begin to import what draws pictures, on another thread, while something else computes."""

    def load() -> None:
        with contextlib.suppress(ImportError):  # whoever draws is told
            importlib.import_module(f"{__name__}._plots")

    threading.Thread(target=load).start()


def __getattr__(name: str) -> Any:
    if name in PICTURES:
        from . import _plots

        return getattr(_plots, name)
    raise AttributeError(f"module 'faro.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *PICTURES})
