"""Training one trial of a sweep: the two-player game on choices, and which of its iterates is returned.

settings       `Settings`: names, defaults, which values can be, when each has an effect
bounds         which bounds may be asked for, and which status a model has against them
notes          what a user should know of the data before any number
doubts         what gives reason to doubt what training came to
ridge          how strongly parameters are punished, and what folds say of it
unconstrained  the optimum without constraints, from which every bound begins
trainer        `Trainer`: what the game, exact paths and streams have in common
game           `Game`: one trial, from the optimum to the end
trial          what a trial is given, and its state between evaluations
problem        `Problem`: what is minimised under what, and how much of the choices is worked on at once
sums           sums over choices, and what choices must bring for them
players        `Players`: the steps of both players between two evaluations
primal         which primal player suits: Adam or second-order steps
scales         what a unit of each multiplier is
candidates     what an evaluation records, and which evaluated iterate would be returned
returned       which iterate, or mixture of iterates, is returned
figures        loss, ties and statistics of a model on choices, by which candidates are compared
streaming      the same on shards of data larger than the device
"""

from typing import TYPE_CHECKING

from .._moved import old_name
from .candidates import Best as Best
from .candidates import EvaluationRecord as EvaluationRecord
from .game import Game as Game
from .players import Step as Step
from .settings import Settings as Settings
from .sums import Prepared as Prepared
from .sums import Tally as Tally
from .trial import Data as Data
from .trial import TrainState as TrainState

if not TYPE_CHECKING:  # a checker of types knows the new names alone

    def __getattr__(name: str):
        return old_name(__name__, name, {"Look": EvaluationRecord, "Member": TrainState})
