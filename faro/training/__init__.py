"""Training one trial of a sweep: the two-player game on choices, and which of its iterates is returned.

settings       `Settings`: names, defaults, which values can be, when each has an effect
bounds         which bounds may be asked for, and which status a model has against them
notes          what a user should know of the data before any number
doubts         what gives reason to doubt what training came to
ridge          how strongly parameters are punished, and what folds say of it
unconstrained  the optimum without constraints, from which every bound begins
trainer        `Trainer`: what the game, exact paths and streams have in common
game           `Game`: the two players, from the optimum to the end
returned       which iterate, or mixture of iterates, is returned
figures        loss, ties and statistics of a model on choices, by which candidates are compared
streaming      the same on shards of data larger than the device
"""

from typing import TYPE_CHECKING

from .._moved import old_name
from .game import Best as Best
from .game import Data as Data
from .game import EvaluationRecord as EvaluationRecord
from .game import Game as Game
from .game import Prepared as Prepared
from .game import Step as Step
from .game import Tally as Tally
from .game import TrainState as TrainState
from .settings import Settings as Settings

if not TYPE_CHECKING:  # a checker of types knows the new names alone

    def __getattr__(name: str):
        return old_name(__name__, name, {"Look": EvaluationRecord, "Member": TrainState})
