"""The conditional logit of what people were shown, where a model says what that adds to its rewards."""

from __future__ import annotations

from constraints.alternatives import pieces

from .. import metrics
from ..errors import UsageError
from ..models.position import SHOWN
from .base import Loss


class Shown(Loss):
    """The conditional logit of rewards with the effect of the place at which each answer was shown, in nats:

        -sum_k chosen_k log softmax(reward + tower[place])_k        (`faro.models.PositionTower`)

    Source: Zhao et al. RecSys 2019.
    """

    def per_choice(self, seen, choices):
        if SHOWN not in seen.extra:
            raise UsageError("loss shown: the model does not know where answers were shown; take position_tower(...)")
        return metrics.log_losses(pieces(seen.extra[SHOWN]), choices)
