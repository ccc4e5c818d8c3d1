"""The scikit-learn estimator: its contract, its agreement with logistic regression, its gap as fairlearn sees it."""

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from faro import ChoiceClassifier
from faro.errors import DataError, UsageError
from faro.training import Settings

QUICK = Settings(steps=120)


@parametrize_with_checks([ChoiceClassifier(settings=QUICK)])
def test_sklearn_contract(estimator, check):
    check(estimator)


def people(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 3)) + np.outer(group, [0.9, 0, 0])
    y = (x @ [1.2, -0.8, 0.4] + rng.logistic(size=n) > 0.3).astype(int)
    return x, y, np.array(["a", "b"])[group]


def test_without_groups_it_is_logistic_regression():
    x, y, _ = people()
    ours = ChoiceClassifier(settings=Settings(weight_decay=0.0)).fit(x, y).decision_function(x)
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(x, y).decision_function(x)
    assert np.abs(ours - theirs).max() < 2e-3


def test_the_gap_is_within_the_bound_as_fairlearn_measures_it():
    x, y, group = people()
    free = ChoiceClassifier().fit(x, y).predict(x)
    bound = ChoiceClassifier(bound=0.05).fit(x, y, sensitive_features=group)
    assert bound.status_ == "FEASIBLE"
    gap = demographic_parity_difference(y, bound.predict(x), sensitive_features=group)
    assert gap <= 0.05
    assert abs(gap - bound.gap_[0]) < 1e-6
    assert demographic_parity_difference(y, free, sensitive_features=group) > 0.15
    assert (bound.predict(x) == y).mean() > (free == y).mean() - 0.08


def test_bad_input_is_explained():
    x, y, group = people(200)
    with pytest.raises(UsageError, match="bound"):
        ChoiceClassifier(bound=-0.1).fit(x, y, sensitive_features=group)
    with pytest.raises(UsageError, match="unknown constraint"):
        ChoiceClassifier(constraint="parity").fit(x, y, sensitive_features=group)
    with pytest.raises(DataError, match="two groups"):
        ChoiceClassifier().fit(x, y, sensitive_features=["a"] * 200)
    with pytest.raises(ValueError, match="inconsistent"):
        ChoiceClassifier().fit(x, y, sensitive_features=group[:-1])


def test_second_order_steps_where_they_are_asked_for_and_suit():
    rng = np.random.default_rng(0)
    x, group = rng.normal(size=(400, 3)), rng.integers(0, 2, 400)
    x[:, 0] += group
    y = (x[:, 0] + rng.normal(size=400) > 0).astype(int)
    sqp = Settings(steps=40, primal="sqp")
    fitted = ChoiceClassifier(bound=0.05, settings=sqp).fit(x, y, sensitive_features=group)
    assert fitted.status_ == "FEASIBLE" and fitted.gap_[0] <= 0.05
    with pytest.raises(UsageError, match="primal = sqp: expected a linear model"):
        ChoiceClassifier(model="mlp:4", settings=sqp).fit(x, y, sensitive_features=group)
