"""The conditional logit of what people chose by, where a model says that it is not what is to be served."""

from __future__ import annotations

from constraints.alternatives import pieces

from .. import metrics
from ..errors import UsageError
from ..models.base import SHOWN
from .base import Loss


class Shown(Loss):
    """The conditional logit of the scores by which people chose, in nats:

        -sum_k chosen_k log softmax(shown)_k

    shown is the reward and what the place of an answer added (`faro.models.PositionTower`), or the reward of the
    objective for which people chose (`faro.models.MMoE`). Source: Zhao et al. RecSys 2019.
    """

    def per_choice(self, seen, choices):
        if SHOWN not in seen.extra:
            raise UsageError(
                "loss shown: the model has nothing but rewards, by which people chose then; take position_tower or mmoe"
            )
        return metrics.log_losses(pieces(seen.extra[SHOWN]), choices)
