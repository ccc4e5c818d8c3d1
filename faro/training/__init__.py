"""Training one member of a sweep: the two-player game on choices, and which of its iterates is returned."""

from .game import Best as Best
from .game import Data as Data
from .game import Game as Game
from .game import Look as Look
from .game import Member as Member
from .game import Prepared as Prepared
from .game import Step as Step
from .game import Tally as Tally
from .settings import Settings as Settings
