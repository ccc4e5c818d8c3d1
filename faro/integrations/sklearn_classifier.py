"""A scikit-learn classifier: binary decisions under a fairness constraint, `fit(X, y, *, sensitive_features=)`.

Accept or reject is a choice of two alternatives, the applicant and the outside option of reward 0, so this is logistic
regression (or a network) trained by the same game as everything else. Needs the extra `sklearn`.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from constraints import Attribute, Choices, Constraint

from .. import models
from ..api import make_model
from ..errors import DataError
from ..registry import make_constraint
from ..training import Best, Data, Game, Settings
from ..training.bounds import check_bounds
from ..training.notes import fit_for
from ..training.settings import Use

GROUP = "sensitive_features"


@functools.partial(jax.jit, static_argnames=("game", "constrained"))
def _fit(key: Any, constraint: Constraint, data: Data, game: Game, constrained: bool) -> Best:
    unconstrained, _ = game.start(key, constraint, data, game.settings.evaluations)
    if not constrained:
        return unconstrained.best
    trial, _ = game.advance(
        game.warm_start(unconstrained, constraint, data), constraint, data, game.settings.evaluations
    )
    return trial.best


class ChoiceClassifier(ClassifierMixin, BaseEstimator):
    """Binary classifier whose gap between groups is at most `bound` on the training sample.

    constraint: "demographic_parity", "equalized_odds" or "equal_opportunity" (joined by + for several)
    bound: largest gap of rates, in [0, 1]
    model: "linear", "mlp", "mlp:64,32" or a `faro.models.Model`
    settings: a `faro.training.Settings` that plays the game and returns its best candidate, or None
    random_state: int, or a `numpy.random.RandomState`: seeds the initial parameters

    Groups are only needed by `fit`; without them the fit is unconstrained.

    Fitted: `classes_`, `n_features_in_`, `status_` (FEASIBLE, INFEASIBLE or DIVERGED on the training sample), `gap_`
    (its hard gaps, one per constraint; None if unconstrained), `notes_` (on the sample: few or no data of a group, a
    bound that cannot bind or be met), `groups_`, `params_`.
    """

    def __init__(self, constraint="demographic_parity", bound=0.05, model="linear", settings=None, random_state=0):
        self.constraint = constraint
        self.bound = bound
        self.model = model
        self.settings = settings
        self.random_state = random_state

    def fit(self, X, y, *, sensitive_features=None):
        """Fit under the constraint; returns itself, and warns (`ConvergenceWarning`) unless it is FEASIBLE.

        X: features `[n, d]`, array or data frame
        y: labels `[n]` of two classes; the one that sorts last is accepted
        sensitive_features: groups `[n]`, or several columns `[n, a]`, which are crossed; None: unconstrained

        `ValueError` for other than two classes or settings that do not apply, `DataError` for missing or single groups.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, label = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(f"Only binary classification is supported. The target has {len(self.classes_)} classes.")
        if len(self.classes_) < 2:
            raise ValueError("This classifier needs 2 classes; the data contain only one class.")
        check_bounds([self.bound])
        settings = self.settings or Settings()
        if (settings.solver, settings.solution) != ("game", "best"):
            raise ValueError("settings: this classifier plays the game and returns its best candidate; use faro.train")
        code = None if sensitive_features is None else self._groups(sensitive_features, len(X))
        self.mean_, self.scale_ = X.mean(0), X.std(0)
        self.scale_ = np.where(self.scale_ > 1e-12 * np.abs(self.mean_), self.scale_, 1.0)
        attribute = Attribute(GROUP, self.groups_ if code is not None else ("everyone",))
        constraint = make_constraint(
            {GROUP: attribute}, self.constraint, GROUP, bound=float(self.bound), unless=("attribute",)
        )
        choices = self._choices(X, label, code, constraint.columns())
        self.notes_: list[str] = []
        if code is not None:
            if len(self.groups_) < 2:
                raise DataError(f"sensitive_features: expected two groups or more, got only {self.groups_[0]!r}")
            self.notes_ = fit_for(constraint, choices, "X").all
        model = make_model(self.model)
        game = Game(model, Game.suited(model, settings, constraint, Data(choices, choices)))
        settings.check_effect(Use(game.settings, choices.shape[0]))
        seed = (
            np.random.RandomState(self.random_state) if not hasattr(self.random_state, "randint") else self.random_state
        )
        key = jax.random.key(int(seed.randint(2**31 - 1)))
        best = _fit(key, constraint, Data(choices, choices), game, code is not None)
        self.params_ = jax.tree.map(np.asarray, best.params)
        self.gap_ = None if code is None else np.asarray(best.gap, float)
        self.status_ = "FEASIBLE" if best.candidate else "INFEASIBLE" if best.finite else "DIVERGED"
        if code is not None and self.status_ != "FEASIBLE":
            reached = f"gap reached {np.max(best.gap):.4g}"
            message = f"{self.status_}: no iterate within bound {self.bound} on the training sample; {reached}"
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def decision_function(self, X):
        """Rewards `[n]`: the log-odds of `classes_[1]`; positive is accepted.

        X: features `[n, d]`
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        choices = self._choices(X, np.zeros(len(X), int), None)
        return np.asarray(_rewards(make_model(self.model), self.params_, choices), float)[: len(X), 0]

    def predict_proba(self, X):
        """Probabilities `[n, 2]`, in the order of `classes_`.

        X: features `[n, d]`
        """
        accepted = 1 / (1 + np.exp(-self.decision_function(X)))
        return np.stack([1 - accepted, accepted], 1)

    def predict(self, X):
        """`classes_[1]` where the reward is positive, else `classes_[0]`; deterministic, without the groups.

        X: features `[n, d]`
        """
        accepted = self.decision_function(X) > 0
        return self.classes_[accepted.astype(int)]

    def _groups(self, sensitive_features: Any, n: int) -> np.ndarray:
        frame = pd.DataFrame(sensitive_features)
        check_consistent_length(frame, np.empty(n))
        if frame.isna().to_numpy().any():
            raise DataError("sensitive_features: missing values; give every row a group")
        first, *others = (frame[column].astype(str) for column in frame)
        code, levels = pd.factorize(first.str.cat(others, sep=", ") if others else first, sort=True)
        self.groups_ = tuple(str(level) for level in levels)
        return code

    def _choices(
        self, X: np.ndarray, label: np.ndarray, code: np.ndarray | None, named: tuple[str, ...] = ()
    ) -> Choices:
        """Applicant against outside option, with the columns of these names as they are; rows and columns are padded so
        that few shapes are ever compiled."""
        n, d = X.shape
        rows, columns = max(64, 1 << (n - 1).bit_length()), -(-d // 8) * 8
        items = np.zeros((rows, 1, columns), np.float32)
        items[:n, 0, :d] = (X - self.mean_) / self.scale_
        chosen, weight = np.tile(np.array([0.0, 1.0], np.float32), (rows, 1)), np.zeros(rows, np.float32)
        chosen[:n, 0], chosen[:n, 1] = label, 1 - label
        weight[:n] = 1
        known, read = list(getattr(self, "feature_names_in_", ())), {}
        for name in named:
            if name not in known:
                raise DataError(
                    f"X: no column {name!r}, which the constraint reads (known: {', '.join(known) or 'none'})"
                )
            read[name] = np.zeros((rows, 2), np.float32)
            read[name][:n, 0] = X[:, known.index(name)]
        group = np.full((rows, 2), -1, np.int32)
        group[:n, 0] = 0 if code is None else code
        return Choices(
            items=jnp.asarray(items),
            available=jnp.ones((rows, 2), bool),
            chosen=jnp.asarray(chosen),
            weight=jnp.asarray(weight),
            unit=jnp.arange(rows),
            outside=jnp.broadcast_to(jnp.array([False, True]), (rows, 2)),
            attributes={GROUP: jnp.asarray(group)},
            columns={name: jnp.asarray(values) for name, values in read.items()},
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


@functools.partial(jax.jit, static_argnames="model")
def _rewards(model: models.Model, params: Any, choices: Choices) -> Any:
    return models.rewards(model, params, choices)
