"""The frontier: bounds x seeds by compiled programs, then every member judged again from its saved parameters."""

from .batched import CACHE as CACHE
from .batched import Batched as Batched
from .batched import Batched as Sweep  # noqa: F401  the name of one release before
from .execution import Progress as Progress
from .execution import stack as stack
from .run import frontier as frontier
from .run import train as train
from .sequential import Sequential as Sequential
