"""What becomes of a reward's fairness when the reward is used: bounds with their conditions, and what is measured.

bounds    inequalities and an identity from rewards to policies
measured  gaps of a model under one rule after another, with intervals, beside the bounds; which beta and n keep a
          bound
read      a finished run by another rule than that of its training
"""

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
