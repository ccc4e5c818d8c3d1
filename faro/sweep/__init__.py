"""The frontier: bounds x seeds by compiled programs, then every trial evaluated again from its saved parameters.

suited      a model on the data that it is trained on
run         `frontier` and `train`: a run from its data to its folder, resumed where it was killed
grid        the bounds
seed_data   what each seed trains on, in memory or in shards
noted       what is said of a run beside its figures
aggregates  models that a constraint measures against, fitted before
ridges      the ridge of every seed, where the data choose it
tighten     bounds that are held tighter than they are asked, by standard errors of group sizes
execution   how trials share memory: what they take, and which execution a sweep gets
batched     all trials at once
sequential  one trial after another, from disk
exact_path  trials of exact paths, without a game
"""

from ..training.trainer import Progress as Progress
from .batched import Batched as Batched
from .batched import Batched as Sweep  # noqa: F401  the name of one release before
from .execution import stack as stack
from .run import frontier as frontier
from .run import train as train
from .sequential import Sequential as Sequential
from .suited import suited as suited
