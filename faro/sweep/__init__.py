"""The frontier: bounds x seeds in one compiled program, then every member judged again from its saved parameters."""

from .execution import CACHE as CACHE
from .execution import Sweep as Sweep
from .execution import stack as stack
from .run import Progress as Progress
from .run import frontier as frontier
from .run import train as train
