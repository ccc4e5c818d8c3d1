"""What becomes of a reward when it is used: bounds with their conditions, what is measured, and whose views it echoes.

bounds    inequalities and an identity from rewards to policies
measured  gaps of a model under one rule after another, with intervals, beside the bounds; which beta and n keep a
          bound
read      a finished run by another rule than that of its training
views     what candidates are to the person: whether they agree with a stated view, and which is true
agreement  how much of what people are served agrees with their view, in the mean and in the tail
exposure  viewpoints that people are served: entropy, how far apart people are
words     what the audit of agreement says in words
juries    what a stated jury decides, from scored tables
lists     calibrated lists of a scored table, and what they cost
"""

from .agreement import agreement as agreement
from .bounds import mean_move as mean_move
from .bounds import reward_gap as reward_gap
from .bounds import reward_gap_by_variance as reward_gap_by_variance
from .bounds import tilt_bound as tilt_bound
from .bounds import twin_oscillation as twin_oscillation
from .bounds import wasserstein_bound as wasserstein_bound
from .measured import Transfer as Transfer
from .measured import kept as kept
from .measured import measure as measure
from .read import read as read
from .views import Served as Served
from .views import Views as Views
