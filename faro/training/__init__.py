"""Training one member of a sweep: the two-player game on choices, and which of its iterates is returned.

settings       `Settings`: names, defaults, which values can be, when each has an effect
bounds         which bounds may be asked for, and which status a model has against them
notes          what a user should know of the data before any number
unconstrained  the optimum without constraints, from which every bound begins
trainer        `Trainer`: what the game, exact paths and streams have in common
game           `Game`: the two players, from the optimum to the end
returned       which iterate, or mixture of iterates, is returned
figures        loss, ties and statistics of a model on choices, by which candidates are compared
streaming      the same on shards of data larger than the device
"""

from .game import Best as Best
from .game import Data as Data
from .game import Game as Game
from .game import Look as Look
from .game import Member as Member
from .game import Prepared as Prepared
from .game import Step as Step
from .game import Tally as Tally
from .settings import Settings as Settings
