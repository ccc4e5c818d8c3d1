"""A scikit-learn classifier: binary decisions under a fairness constraint, `fit(X, y, *, sensitive_features=)`.

Accept or reject is a choice of two alternatives, the applicant and the outside option of reward 0, so this is logistic
regression (or a network) trained by the same game as everything else. Needs the extra `sklearn`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, validate_data

from constraints import Attribute, Choices

from ..api import make_model
from ..errors import DataError
from ._estimator import FairEstimator
from ._groups import GROUP, Groups, check_indices, check_rows, columns, crossed, named, taken
from ._training import Standard, choice_of_two, said


class ChoiceClassifier(FairEstimator):
    """Binary classifier whose gap between groups is at most `bound` on the training sample.

    constraint: a name of `faro constraints list`, such as "demographic_parity", "equalized_odds" or "equal_opportunity"
        (joined by + for several); those of twins need more than a table of features has
    bound: largest gap of rates, in [0, 1]
    model: "linear", "mlp", "mlp:64,32" or a `faro.models.Model`
    settings: a `faro.training.Settings` that plays the game and returns its best candidate, a dictionary of those that
        differ from the defaults, or None
    pos_label: the class that is accepted, whose rates are compared; None: the one that sorts last
    random_state: whole number or `numpy.random.RandomState`: seeds the initial parameters and minibatches; None: chance

    Groups are only needed by `fit`; without them the fit is unconstrained, unless the constraint needs none (a
    `rate_cap` on everyone).

    Fitted: `classes_`, `n_features_in_`, `status_` (FEASIBLE, INFEASIBLE or DIVERGED on the training sample), `gap_`
    (its hard gaps, one per constraint; None if unconstrained), `notes_` (on the sample: few or no data of a group, a
    bound that cannot bind or be met), `groups_`, `group_columns_` (columns of X that are groups and no features),
    `params_`.
    """

    def __init__(
        self,
        constraint="demographic_parity",
        bound=0.05,
        model="linear",
        settings=None,
        pos_label=None,
        random_state=0,
    ):
        self.constraint = constraint
        self.bound = bound
        self.model = model
        self.settings = settings
        self.pos_label = pos_label
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, *, sensitive_features=None):
        """Fit under the constraint; returns itself, and warns (`ConvergenceWarning`) unless it is FEASIBLE.

        X: features `[n, d]`, array or data frame
        y: labels `[n]` of two classes
        sample_weight: `[n]` >= 0, in the loss and in every rate; None: 1
        sensitive_features: groups `[n]`; several columns `[n, a]`, or tuples, which are crossed; or the name of a
            column of X, or a list of names, which are then no features; None: unconstrained

        `ValueError` for other than two classes or settings that do not apply, `DataError` for missing or single groups
        and for pandas indices that disagree.
        """
        self.group_columns_ = [] if sensitive_features is None else named(X, sensitive_features)
        groups = [taken(X, name) for name in self.group_columns_]
        if sensitive_features is not None and not groups:
            groups = columns(sensitive_features, _num_samples(X))
        check_indices(X, y, groups, sample_weight)
        X, y = validate_data(self, self._without_groups(X), y, dtype=np.float64)
        weight = self._weighed(sample_weight, X)
        check_classification_targets(y)
        self.classes_, label = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(f"Only binary classification is supported. The target has {len(self.classes_)} classes.")
        if len(np.unique(label[weight > 0])) < 2:
            raise ValueError("This classifier needs 2 classes; the data contain only one class.")
        if self.pos_label is not None and self.pos_label not in self.classes_:
            raise ValueError(f"pos_label: expected one of the classes {self.classes_.tolist()}, got {self.pos_label!r}")
        check_rows(len(X), groups)
        found = crossed(groups) if groups else Groups(("everyone",), np.zeros(len(X), int))
        attributes = {GROUP: Attribute(GROUP, found.levels)} if groups else {}
        if groups:
            self.groups_ = found.levels
            if len(found.levels) < 2:
                raise DataError(f"{GROUP}: expected two groups or more, got only {found.levels[0]!r}")
        constraint, constrained = self._made(attributes)
        self._standard = Standard.of(X, weight)
        choices = self._choices(X, label if self._last_accepted() else 1 - label, weight, found.code)
        read: dict[str, Any] = {name: self._column(X, name) for name in constraint.columns()}
        choices = choices.replace(columns=read)
        self._train(choices, constraint, constrained)
        return self

    def decision_function(self, X):
        """Log-odds `[n]` of `classes_[1]`: the reward of being accepted, or its negative.

        X: features `[n, d]`
        """
        X = validate_data(self, self._without_groups(X), dtype=np.float64, reset=False)
        choices = self._choices(X, np.zeros(len(X), int), np.ones(len(X)))
        _, scores = said(make_model(self.model), self.params_, choices)
        odds = scores[:, 0] - scores[:, 1]
        return odds if self._last_accepted() else -odds

    def _last_accepted(self) -> bool:
        return self.pos_label is None or self.pos_label == self.classes_[1]

    def _column(self, X: np.ndarray, name: str) -> np.ndarray:
        """A column of X as it is, which the constraint reads; the outside option has 0."""
        known = list(getattr(self, "feature_names_in_", ()))
        if name not in known:
            raise DataError(f"X: no column {name!r}, which the constraint reads (known: {', '.join(known) or 'none'})")
        values = X[:, known.index(name)]
        return np.stack([values, np.zeros_like(values)], 1)

    def _choices(self, X: np.ndarray, accepted: np.ndarray, weight: np.ndarray, code: Any = None) -> Choices:
        """Applicant against outside option."""
        outside = np.tile([False, True], (len(X), 1))
        attributes = {} if code is None else {GROUP: np.where(outside, -1, code[:, None]).astype(np.int32)}
        items = self._standard(X)[:, None]
        return choice_of_two(items, accepted, weight, outside=outside, attributes=attributes)
