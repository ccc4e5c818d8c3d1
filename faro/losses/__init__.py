"""What training minimises: a loss of every choice, and an objective that makes one number of them.

    base       Loss: the loss of every choice, and its name
    logit      Logit, the conditional logit; Smoothed and Noisy, where labels are not to be trusted
    brier      Brier: the squared distance of probabilities and shares
    shown      Shown: the conditional logit of what people were shown, place and all
    pairwise   Pairwise: the chosen alternative against each of the others
    objective  Objective; Mean, PeopleMean, Reweighted, WorstGroup, CVaR, Penalised
    distilled  Distilled: margins of models that were fitted to one group each
    mgda       MGDA: the shortest mixture of the groups' gradients
    groups     who is in which group, for objectives that know groups

A loss of your own is a subclass of `Loss` with one method; a package declares it by an entry point of the group
`faro.losses`, and it is known by name then. Numbers of losses and objectives are leaves: a grid over them is `vmap`.
"""

from .base import Loss as Loss
from .brier import Brier as Brier
from .distilled import Distilled as Distilled
from .logit import Logit as Logit
from .logit import Noisy as Noisy
from .logit import Smoothed as Smoothed
from .mgda import MGDA as MGDA
from .objective import CVaR as CVaR
from .objective import Mean as Mean
from .objective import Objective as Objective
from .objective import Penalised as Penalised
from .objective import PeopleMean as PeopleMean
from .objective import Reweighted as Reweighted
from .objective import Sight as Sight
from .objective import WorstGroup as WorstGroup
from .pairwise import Pairwise as Pairwise
from .shown import Shown as Shown
