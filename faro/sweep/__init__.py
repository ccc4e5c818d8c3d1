"""The frontier: bounds x seeds in one compiled program, then every member judged again from its saved parameters.

run         `frontier` and `train`: a run from its data to its folder, resumed where it was killed
grid        the bounds
execution   programs, and how trials share the devices
exact_path  trials of exact paths, without a game
"""

from .execution import CACHE as CACHE
from .execution import Sweep as Sweep
from .execution import stack as stack
from .run import Progress as Progress
from .run import frontier as frontier
from .run import train as train
