"""Linear heads solved exactly, with a proof of how much better any other head could be.

    head      the problem: features, choices, ridge              Head
    rows      which inequalities A w <= b(bound) hold             Rows, rows_of, Affine
    newton    the optimum and its multipliers                     solve, path, priced
    dual      (w, multipliers) -> loss, lower bound, gap          certify, Point, SCOPE
    envelope  one certified sandwich of the whole frontier        frontier, Envelope
    of_run    the envelope of a finished run                      of_run.sample
    solver    cvxpy as a guesser
    stored    the files that a stranger proves it from            record, table
    mixture   the best randomised choice among stored models      mix, Mixture, Unattainable

A solver only guesses here. Every claim is recomputed from the dual point, so that a failed or wrong solver can widen a
gap and never narrow it.
"""

from typing import TYPE_CHECKING

from .._moved import old_name
from . import dual as dual
from .dual import SCOPE as SCOPE
from .dual import Point as Point
from .dual import certify as certify
from .envelope import Envelope as Envelope
from .envelope import frontier as frontier
from .head import Head as Head
from .mixture import Mixture as Mixture
from .mixture import Unattainable as Unattainable
from .mixture import mix as mix
from .newton import path as path
from .newton import priced as priced
from .newton import solve as solve
from .rows import Affine as Affine
from .rows import Rows as Rows
from .rows import linear as linear
from .rows import multipliers_of_linear as multipliers_of_linear
from .rows import rows_of as rows_of
from .stored import PlacedModel as PlacedModel
from .stored import record as record
from .stored import table as table

if not TYPE_CHECKING:  # a checker of types knows the new names alone

    def __getattr__(name: str):
        return old_name(__name__, name, {"Member": PlacedModel, "own_prices": multipliers_of_linear})
