"""The scikit-learn classifier: its contract, its agreement with logistic regression and `faro.train`, its gap as
fairlearn sees it, groups in every form that people have them in, and its place inside other estimators."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from fairlearn.metrics import MetricFrame, demographic_parity_difference, selection_rate, true_positive_rate
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import DemographicParity, ExponentiatedGradient
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import faro
from faro import ChoiceClassifier
from faro.data import Dataset
from faro.data.specs import AttributeSpec
from faro.errors import DataError, UsageError
from faro.integrations._groups import columns, crossed
from faro.training import Settings
from faro.training.ridge import UNCHOSEN

QUICK = Settings(steps=120)
SAME = Settings(steps=120, weight_decay=UNCHOSEN)  # as estimators have it


@pytest.mark.slow
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
    x, y, _ = people(400)
    weight = np.random.default_rng(1).uniform(size=len(y))
    ours = ChoiceClassifier(settings={"weight_decay": 0.0}).fit(x, y, weight)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(x, y, weight)
    assert np.abs(ours.decision_function(x) - theirs.decision_function(x)).max() < 1e-5


@pytest.mark.slow
def test_the_gap_is_within_the_bound_as_fairlearn_measures_it():
    x, y, group = people(400)
    free = ChoiceClassifier(settings=QUICK).fit(x, y).predict(x)
    bound = ChoiceClassifier(bound=0.05, settings=QUICK).fit(x, y, sensitive_features=group)
    assert bound.status_ == "FEASIBLE"
    gap = demographic_parity_difference(y, bound.predict(x), sensitive_features=group)
    assert gap <= 0.05
    assert abs(gap - bound.gap_[0]) < 1e-6
    assert demographic_parity_difference(y, free, sensitive_features=group) > 0.15
    assert (bound.predict(x) == y).mean() > (free == y).mean() - 0.1


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
    x, y, group = people(400)
    sqp = Settings(steps=120, primal="sqp")
    fitted = ChoiceClassifier(bound=0.05, settings=sqp).fit(x, y, sensitive_features=group)
    assert fitted.status_ == "FEASIBLE" and fitted.gap_[0] <= 0.05
    with pytest.raises(UsageError, match="primal = sqp: expected a linear model"):
        ChoiceClassifier(model="mlp:4", settings=sqp).fit(x, y, sensitive_features=group)


# Agreement with faro.train --------------------------------------------------------------------------------------------


class Whole(Dataset):
    """A table all of which is every part."""

    def rows(self, part_names, seed=0):
        return np.arange(self.n)


@pytest.mark.slow
@pytest.mark.parametrize("bound", [np.inf, 0.05])
def test_it_is_the_model_that_faro_trains_on_the_same_arrays(bound):
    x, y, group = people(400)
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    table = frame.assign(y=y, group=group)
    spec = AttributeSpec(name="group", levels=("a", "b"))
    schema = faro.Schema(unit="row", format="accept", label="y", numeric=("a", "b", "c"), attributes=(spec,))
    trained = faro.train(
        Whole.from_table(table, schema), "demographic_parity", attribute="group", bound=bound, settings=SAME
    )
    own = ChoiceClassifier(bound=bound, settings=QUICK)
    own.fit(frame, y, sensitive_features=None if bound == np.inf else table["group"])
    rewards = trained.score(table)["reward"].to_numpy()
    assert np.abs(rewards - own.decision_function(frame)).max() < 2e-5 * np.abs(rewards).max()
    assert own.status_ == trained.about["status"]
    assert bound == np.inf or own.gap_[0] == pytest.approx(trained.about["figures"]["train_gap"], abs=1e-12)


# Weights, labels, groups ----------------------------------------------------------------------------------------------


def test_weights_count_in_the_loss_and_in_every_rate():
    x, y, group = people(400)
    weight = np.random.default_rng(1).integers(0, 3, 400)
    own = ChoiceClassifier(bound=0.03, settings=QUICK).fit(x, y, weight, sensitive_features=group)
    params = {"sample_weight": weight}
    seen = MetricFrame(
        metrics=selection_rate, y_true=y, y_pred=own.predict(x), sensitive_features=group, sample_params=params
    )
    assert own.status_ == "FEASIBLE" and seen.difference() <= 0.03
    assert seen.difference() == pytest.approx(own.gap_[0], abs=1e-9)
    assert demographic_parity_difference(y, own.predict(x), sensitive_features=group) != pytest.approx(own.gap_[0])
    again = [np.repeat(part, weight, 0) for part in (x, y, group)]
    repeated = ChoiceClassifier(bound=0.03, settings=QUICK).fit(*again[:2], sensitive_features=again[2])
    assert repeated.gap_[0] == pytest.approx(own.gap_[0], abs=0.01)
    with pytest.raises(ValueError, match="only one class"):
        own.fit(x, y, y, sensitive_features=group)


@pytest.mark.slow
def test_the_accepted_class_is_asked_for():
    x, y, group = people(400)
    options = {"constraint": "equal_opportunity", "bound": 0.02, "settings": QUICK}
    first = ChoiceClassifier(**options, pos_label="no").fit(x, np.where(y, "no", "yes"), sensitive_features=group)
    last = ChoiceClassifier(**options).fit(x, y, sensitive_features=group)
    assert list(first.classes_) == ["no", "yes"]
    assert np.array_equal(first.decision_function(x), -last.decision_function(x))
    assert np.array_equal(first.predict(x) == "no", last.predict(x) == 1)
    assert np.allclose(first.predict_proba(x), last.predict_proba(x)[:, ::-1])
    rates = MetricFrame(metrics=true_positive_rate, y_true=y, y_pred=last.predict(x), sensitive_features=group)
    assert rates.difference() == pytest.approx(last.gap_[0], abs=1e-9) and last.gap_[0] <= 0.02
    with pytest.raises(ValueError, match="pos_label: expected one of the classes"):
        ChoiceClassifier(pos_label=2).fit(x, y)


def test_groups_in_every_form_are_the_same_groups():
    _, _, group = people(400)
    other = np.random.default_rng(2).choice(["p", "q&r"], 400)
    both = pd.DataFrame({"group": group, "other": other})
    twice = pd.concat([both["group"], both["other"].rename("group")], axis=1)
    pairs = list(zip(group, other, strict=True))
    forms = [both, twice, both.to_numpy(), pairs, pd.Series(pairs), (group, list(other)), {"a": group, "b": other}]
    found = [crossed(columns(form, 400)) for form in forms]
    assert {own.levels for own in found} == {("a & p", "a & q&&r", "b & p", "b & q&&r")}
    expected = 2 * (group == "b") + (other == "q&r")
    assert all(np.array_equal(own.code, expected) for own in found)
    for labels in ((group == "b").astype(float), (group == "b").astype(int).astype(str), (group == "b").astype(int)):
        assert crossed(columns(labels, 400)).levels == ("0", "1")
    assert crossed(columns(pd.Categorical(group, ["c", "b", "a"]), 400)).levels == ("a", "b")
    assert crossed(columns(group == "b", 400)).levels == ("False", "True")


@pytest.mark.slow
def test_crossed_groups_named_in_a_frame_are_no_features():
    x, y, group = people(400)
    other = np.random.default_rng(2).choice(["p", "q"], 400)
    frame = pd.DataFrame(x, columns=["u", "v", "w"])
    data = frame.assign(group=group, other=other)
    own = ChoiceClassifier(bound=0.15, settings=QUICK).fit(data, y, sensitive_features=["group", "other"])
    assert own.status_ == "FEASIBLE" and own.groups_ == ("a & p", "a & q", "b & p", "b & q")
    seen = MetricFrame(
        metrics=selection_rate, y_true=y, y_pred=own.predict(data), sensitive_features=data[["group", "other"]]
    )
    assert seen.difference() == pytest.approx(own.gap_[0], abs=1e-9)
    assert own.n_features_in_ == 3 and list(own.feature_names_in_) == ["u", "v", "w"]
    assert np.array_equal(own.predict(frame), own.predict(data))
    own.set_params(bound=0.05).fit(data[["u", "v", "w", "group"]], y, sensitive_features="group")
    assert own.gap_[0] <= 0.05 and own.group_columns_ == ["group"]


def test_indices_that_disagree_are_refused():
    x, y, group = people(400)
    data = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=y, group=group)
    train, _ = train_test_split(data, random_state=0)
    features, own = train[["a", "b", "c"]], ChoiceClassifier(bound=1.0, settings=QUICK)
    own.fit(features, train["y"], sensitive_features=train["group"])
    own.fit(features, train["y"].to_numpy(), sensitive_features=train["group"].to_numpy())
    for wrong in ({"y": train["y"].sort_index()}, {"sensitive_features": train["group"].reset_index(drop=True)}):
        with pytest.raises(DataError, match=rf"{next(iter(wrong))}: its index is not that of X \(row 0: .*to_numpy"):
            own.fit(**{"X": features, "y": train["y"], "sensitive_features": train["group"]} | wrong)
    with pytest.raises(DataError, match="sensitive_features: its index is not that of y"):
        own.fit(features.to_numpy(), train["y"], sensitive_features=train["group"][::-1])
    shuffled = data.sample(frac=1, random_state=0)
    with pytest.raises(DataError, match="y: its index"):
        own.fit(shuffled[["a", "b", "c"]], data["y"])


def test_what_cannot_be_is_said_clearly():
    x, y, group = people(200)
    frame = pd.DataFrame(x, columns=["a", "b", "c"])

    def fit(given=group, on=x, **options):
        return ChoiceClassifier(**options).fit(on, y, sensitive_features=given)

    for constraint in ("counterfactual_flip", "demographic_parity+counterfactual_parity"):
        with pytest.raises(UsageError, match="got one of twins"):
            fit(constraint=constraint)
    with pytest.raises(UsageError, match="expected a name such as"):
        fit(constraint=faro)
    with pytest.raises(UsageError, match="bound: expected a number"):
        fit(bound="0.1")
    with pytest.raises(UsageError, match="unknown setting"):
        fit(settings={"stesp": 3})
    with pytest.raises(UsageError, match="'sex' names a column, and X is no data frame"):
        fit("sex")
    with pytest.raises(DataError, match="expected one column 'sex' in X, whose columns are: a, b, c"):
        fit("sex", frame)
    with pytest.raises(DataError, match=r"missing values \(row 1\)"):
        fit(["a", None] * 100)
    with pytest.raises(DataError, match=r"tuples of one length, got lengths \[1, 2\]"):
        fit([("a",), ("a", "b")] * 100)
    with pytest.raises(DataError, match="expected 200 rows, got 2; several columns go side by side"):
        fit([list(group), list(group)])


def test_a_constraint_without_groups_holds_without_groups():
    x, y, _ = people(400)
    own = ChoiceClassifier("rate_cap", bound=0.2, settings=QUICK).fit(x, y)
    assert own.status_ == "FEASIBLE" and own.gap_[0] <= 0.2
    assert own.predict(x).mean() == pytest.approx(own.gap_[0], abs=1e-9)
    assert ChoiceClassifier("demographic_parity", settings=QUICK).fit(x, y).gap_ is None


# Inside other estimators ----------------------------------------------------------------------------------------------


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_it_is_tuned_in_a_pipeline(routing):
    x, y, group = people(400)
    own = ChoiceClassifier(settings=QUICK).set_fit_request(sensitive_features=True, sample_weight=False)
    search = GridSearchCV(make_pipeline(StandardScaler(), own), {"choiceclassifier__bound": [0.02, 0.2]}, cv=2)
    search.fit(x, y, sensitive_features=group)
    best = search.best_estimator_[-1]
    assert search.best_params_ == {"choiceclassifier__bound": 0.2} and best.gap_[0] <= 0.2
    gap = demographic_parity_difference(y, search.predict(x), sensitive_features=group)
    assert gap == pytest.approx(best.gap_[0], abs=1e-9)


def test_it_is_bagged_and_calibrated(routing):
    x, y, group = people(400)
    own = ChoiceClassifier(bound=0.1, settings=QUICK)
    own.set_fit_request(sensitive_features=True, sample_weight=True)
    bagged = BaggingClassifier(own, n_estimators=2, random_state=0).fit(x, y, sensitive_features=group)
    assert all(one.gap_[0] <= 0.1 for one in bagged.estimators_) and bagged.score(x, y) > 0.6
    calibrated = CalibratedClassifierCV(own, cv=2).fit(x, y, sensitive_features=group)
    assert calibrated.score(x, y) > 0.6
    assert all(part.estimator.gap_[0] <= 0.1 for part in calibrated.calibrated_classifiers_)


@pytest.mark.filterwarnings("ignore::pandas.errors.PandasChangeWarning")
def test_fairlearn_wraps_it_also_where_rows_keep_their_labels():
    x, y, group = people(400)
    data = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=y, group=group)
    train, _ = train_test_split(data, random_state=0)
    features = train[["a", "b", "c"]]
    own = ChoiceClassifier(settings=QUICK)
    reduced = ExponentiatedGradient(own, DemographicParity(difference_bound=0.05), max_iter=3)
    reduced.fit(features, train["y"], sensitive_features=train["group"])
    assert isinstance(reduced.predictors_.iloc[0], ChoiceClassifier)
    post = ThresholdOptimizer(estimator=own, predict_method="decision_function")
    post.fit(features, train["y"], sensitive_features=train["group"])
    picked = post.predict(features, sensitive_features=train["group"], random_state=0)
    assert demographic_parity_difference(train["y"], picked, sensitive_features=train["group"]) < 0.15
