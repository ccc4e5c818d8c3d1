"""The scikit-learn ranker of pairs: the part of the contract that fits pairs, agreement with `faro.train` and with
logistic regression on differences, gaps as fairlearn and pandas count them, groups of alternatives and of raters."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from fairlearn.metrics import MetricFrame, selection_rate
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import estimator_checks_generator

import faro
from faro import PairRanker
from faro.data import Dataset
from faro.data.specs import AttributeSpec
from faro.errors import DataError, UsageError
from faro.training import Settings
from faro.training.ridge import UNCHOSEN

QUICK = Settings(steps=120)
SAME = Settings(steps=120, weight_decay=UNCHOSEN, interactions=1.0)  # as estimators have it
SIDES = ("left", "right")
ODD = {  # checks on an odd number of columns, which is refused
    "check_fit_score_takes_y",
    "check_dont_overwrite_parameters",
    "check_estimators_dtypes",
    "check_sample_weights_list",
    "check_pipeline_consistency",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_supervised_y_2d",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_dict_unchanged",
    "check_fit2d_predict1d",
}


def checks(odd):
    found = estimator_checks_generator(PairRanker(settings=QUICK))
    named = [(one, check, check.func.__name__) for one, check in found]
    return [pytest.param(one, check, id=name) for one, check, name in named if (name in ODD) == odd]


@pytest.mark.parametrize(("ranker", "check"), checks(odd=False))
def test_sklearn_contract(ranker, check):
    check(ranker)


@pytest.mark.parametrize(("ranker", "check"), checks(odd=True))
def test_an_odd_number_of_columns_is_refused(ranker, check):
    with pytest.raises(ValueError, match=r"as many of the other, got [0-9]*[13579] feature"):
        check(ranker)


def pairs(n=400, seed=0):
    """Features of both sides, which was chosen (0 or 1), dialect of each side, gender of the rater."""
    rng = np.random.default_rng(seed)
    dialect, gender = rng.integers(0, 2, (n, 2)), rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2, 3))
    x[..., 0] -= 0.9 * dialect
    reward = x @ [1.2, -0.8, 0.4]
    y = (reward[:, 1] - reward[:, 0] + rng.logistic(size=n) * (1 + gender) > 0).astype(int)
    return x, y, np.array(["A", "B"])[dialect], np.array(["f", "m"])[gender]


def framed(x, **more):
    columns = [f"{side}_{name}" for side in SIDES for name in ("a", "b", "c")]
    return pd.DataFrame(x.reshape(len(x), 6), columns=columns).assign(**more)


def sides_of(own, x):
    """Whether each side was picked, `[n, 2]`."""
    return np.eye(2, dtype=int)[own.predict(x)]


def test_without_groups_it_is_logistic_regression_on_differences():
    x, y, *_ = pairs()
    ours = PairRanker(settings={"weight_decay": 0.0}).fit(x, y)
    apart = x[:, 1] - x[:, 0]
    theirs = LogisticRegression(C=np.inf, tol=1e-10, fit_intercept=False, solver="newton-cholesky").fit(apart, y)
    assert np.abs(ours.decision_function(x) - theirs.decision_function(apart)).max() < 1e-5
    flat = clone(ours).fit(x.reshape(len(x), -1), y)
    assert np.array_equal(flat.decision_function(x.reshape(len(x), -1)), ours.decision_function(x))
    assert np.allclose(ours.decision_function(x[:, ::-1]), -ours.decision_function(x))
    assert np.allclose(ours.reward(x[:, 0]), ours.rewards(x)[:, 0])
    chosen_first = np.where((y == 0)[:, None, None], x, x[:, ::-1])
    alone = clone(ours).fit(chosen_first)
    assert np.allclose(alone.decision_function(x), ours.decision_function(x), atol=1e-5)
    assert alone.predict(chosen_first).mean() == pytest.approx(1 - ours.score(x, y))


@pytest.mark.slow
@pytest.mark.parametrize("bound", [np.inf, 0.05])
def test_it_is_the_model_that_faro_trains_on_the_same_arrays(bound):
    x, y, dialect, _ = pairs()
    x[:, 1] *= 3
    age = np.random.default_rng(3).normal(40, 9, len(y))
    table = framed(x, age=age, left_dialect=dialect[:, 0], right_dialect=dialect[:, 1], y=1 - y)
    spec = AttributeSpec(name="dialect", levels=("A", "B"))
    columns = {"numeric": ("a", "b", "c"), "context_numeric": ("age",), "attributes": (spec,)}
    schema = faro.Schema(unit="row", format="wide", label="y", sides=SIDES, **columns)

    class Whole(Dataset):
        def rows(self, part_names, seed=0):
            return np.arange(self.n)

    trained = faro.train(
        Whole.from_table(table, schema), "demographic_parity", attribute="dialect", bound=bound, settings=SAME
    )
    features = table.drop(columns=["y", "left_dialect", "right_dialect"])
    own = PairRanker(bound=bound, sides=SIDES, settings=QUICK)
    if bound == np.inf:
        own.fit(features, np.array(SIDES)[y])
    else:
        own.fit(table.drop(columns="y"), np.array(SIDES)[y], sensitive_features="dialect")
        assert own.gap_[0] == pytest.approx(trained.about["figures"]["train_gap"], abs=1e-12)
    rewards = trained.score(table)["reward"].to_numpy().reshape(-1, 2) @ [-1.0, 1.0]
    assert np.abs(rewards - own.decision_function(features)).max() < 2e-5 * np.abs(rewards).max()
    assert list(own.classes_) == ["left", "right"] and own.status_ == trained.about["status"]


@pytest.mark.slow
def test_gaps_between_alternatives_as_fairlearn_counts_them():
    x, y, dialect, _ = pairs()
    free = PairRanker(settings=QUICK).fit(x, y)
    own = PairRanker(bound=0.03, settings=QUICK).fit(x, y, sensitive_features=dialect)

    def gap(ranker):
        picked, chosen = sides_of(ranker, x).ravel(), np.eye(2, dtype=int)[y].ravel()
        frame = MetricFrame(metrics=selection_rate, y_true=chosen, y_pred=picked, sensitive_features=dialect.ravel())
        return frame.difference()

    assert own.status_ == "FEASIBLE" and own.groups_ == ("A", "B") and gap(free) > 0.2
    assert gap(own) == pytest.approx(own.gap_[0], abs=1e-9) and gap(own) <= 0.03
    assert own.score(x, y) > free.score(x, y) - 0.15


@pytest.mark.slow
def test_gaps_between_raters_as_pandas_counts_them():
    x, y, _, gender = pairs()
    own = PairRanker("equal_opportunity", bound=0.02, settings=QUICK).fit(x, y, sensitive_features=gender)
    right = pd.Series(own.predict(x) == y).groupby(gender).mean()
    assert own.status_ == "FEASIBLE" and abs(right["f"] - right["m"]) == pytest.approx(own.gap_[0], abs=1e-9)
    with pytest.raises(UsageError, match=r"no model can move .* name the kind of alternative with `of`"):
        PairRanker(settings=QUICK).fit(x, y, sensitive_features=gender)
    side = PairRanker(of="side=first", bound=0.02, settings=QUICK).fit(x, y, sensitive_features=gender)
    first = pd.Series(side.predict(x) == 0).groupby(gender).mean()
    assert abs(first["f"] - first["m"]) == pytest.approx(side.gap_[0], abs=1e-9)


def test_groups_in_every_form_are_the_same_groups():
    x, y, dialect, gender = pairs()
    frame = framed(x, left_dialect=dialect[:, 0], dialect_right=dialect[:, 1], gender=gender)
    own = PairRanker(sides=SIDES)
    of_sides = own._parts(frame, "dialect")
    assert own.group_columns_ == ["left_dialect", "dialect_right"]
    forms = [dialect, dialect.tolist(), frame[["left_dialect", "dialect_right"]], list(map(tuple, dialect))]
    found = [own._grouped(parts, len(y)) for parts in (of_sides, *(own._parts(frame, form) for form in forms))]
    assert {one.levels for one in found} == {("A", "B")}
    assert all(np.array_equal(one.code, (dialect.T.ravel() == "B").astype(int)) for one in found)
    crossed = own._grouped(own._parts(frame, ["dialect", "gender"]), len(y))
    assert crossed.levels == ("A & f", "A & m", "B & f", "B & m")
    deep = own._parts(frame, np.stack([dialect, np.stack([gender, gender], 1)], 2))
    assert np.array_equal(own._grouped(deep, len(y)).code, crossed.code)
    (rater,) = own._parts(frame, list(zip(gender, gender, gender, strict=True)))
    assert len(rater) == 1 and own._grouped([rater], len(y)).levels == ("f & f & f", "m & m & m")


def test_labels_say_which_side():
    x, y, *_ = pairs(200)
    own = PairRanker(settings=QUICK).fit(x, y)
    better = PairRanker(first_label=1, settings=QUICK).fit(x, 1 - y)  # 1: the first is better
    assert np.array_equal(better.decision_function(x), -own.decision_function(x))
    assert np.array_equal(better.predict(x), 1 - own.predict(x))
    weighed = PairRanker(settings=QUICK).fit(x, y, np.arange(200) % 3)
    again = PairRanker(settings=QUICK).fit(np.repeat(x, np.arange(200) % 3, 0), np.repeat(y, np.arange(200) % 3))
    assert np.allclose(weighed.decision_function(x), again.decision_function(x), atol=1e-5)
    for wrong, said in ((np.zeros(200, int), "got one class"), (np.arange(200) % 3, "has 3 classes")):
        with pytest.raises(ValueError, match=said):
            own.fit(x, wrong)
    with pytest.raises(ValueError, match="first_label: expected one of the labels"):
        PairRanker(first_label=7).fit(x, y)
    with pytest.raises(UsageError, match="there is no y"):
        PairRanker(first_label=1).fit(x)


def test_what_cannot_be_is_said_clearly():
    x, y, dialect, gender = pairs(200)
    frame = framed(x, gender=gender)
    with pytest.raises(UsageError, match="got one of twins"):
        PairRanker("counterfactual_flip").fit(x, y, sensitive_features=dialect)
    with pytest.raises(ValueError, match="as many of the other, got 5 feature"):
        PairRanker().fit(x.reshape(200, 6)[:, :5], y)
    with pytest.raises(ValueError, match=r"expected \[n, 2, d\]"):
        PairRanker().fit(np.zeros((200, 3, 2)), y)
    with pytest.raises(UsageError, match="names of columns, and X has none"):
        PairRanker(sides=SIDES).fit(x, y)
    with pytest.raises(UsageError, match="sides: expected the names of two sides"):
        PairRanker(sides="lr").fit(x, y)
    with pytest.raises(DataError, match="of one alone: d"):
        PairRanker(sides=SIDES).fit(frame.drop(columns="gender").assign(left_d=1.0), y)
    with pytest.raises(DataError, match="one column 'dialekt' in X"):
        PairRanker(sides=SIDES).fit(frame, y, sensitive_features="dialekt")
    with pytest.raises(UsageError, match="of the first and second side, got 3"):
        PairRanker().fit(x, y, sensitive_features=np.stack([gender] * 3, 1))
    with pytest.raises(DataError, match="sensitive_features: its index is not that of X"):
        PairRanker(sides=SIDES).fit(framed(x), y, sensitive_features=frame["gender"][::-1])


def test_it_is_tuned_and_bagged():
    x, y, dialect, _ = pairs()
    x = x.reshape(len(x), -1)
    with sklearn.config_context(enable_metadata_routing=True):
        own = PairRanker(settings=QUICK).set_fit_request(sensitive_features=True, sample_weight=True)
        search = GridSearchCV(own, {"bound": [0.05, 0.3]}, cv=2).fit(x, y, sensitive_features=dialect)
        bagged = BaggingClassifier(own, n_estimators=2, random_state=0).fit(x, y, sensitive_features=dialect)
    assert search.best_params_ == {"bound": 0.3} and search.best_estimator_.gap_[0] <= 0.3
    assert bagged.score(x, y) > 0.6
