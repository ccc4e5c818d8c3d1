"""Names of the release before: known for one release, each with a warning that says the new one."""

import numpy as np
import pytest

import faro.exact
import faro.training
from faro.evaluate.bootstrap import Uncertainty
from faro.exact import Mixture
from faro.lagrangian import Evaluation
from faro.training.streaming import Streamed


def test_classes_and_functions():
    for module, old, new in (
        (faro.training, "Member", "TrainState"),
        (faro.training, "Look", "EvaluationRecord"),
        (faro.exact, "Member", "PlacedModel"),
        (faro.exact, "own_prices", "multipliers_of_linear"),
    ):
        with pytest.warns(FutureWarning, match=f"{module.__name__}.{old} is {module.__name__}.{new} now"):
            assert getattr(module, old) is getattr(module, new)
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            module.nothing  # noqa: B018


def test_attributes():
    evaluation = Evaluation(np.zeros(()), np.zeros(2), np.array([-np.inf, 0.5]))
    for thing, old, new in (
        (Uncertainty("trials", "volumes", {}), "members", "trials"),
        (Mixture((0,), (1,), ("multipliers",), 0, 0, 0), "prices", "multipliers"),
        (Streamed({}, "FEASIBLE", {}, "trace"), "looks", "trace"),
    ):
        with pytest.warns(FutureWarning, match=f"{old} is {new} now"):
            assert getattr(thing, old) is getattr(thing, new)
    with pytest.warns(FutureWarning, match="asked is active_violation now"):
        assert evaluation.asked.tolist() == evaluation.active_violation.tolist() == [0, 0.5]
