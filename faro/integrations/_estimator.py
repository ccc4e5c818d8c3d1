"""What the estimators share: parameters that are checked in `fit`, groups, weights, and a choice of two to train on."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from constraints import Attribute, Choices, Constraint

from ..api import make_model
from ..errors import UsageError
from ..registry import make_constraint
from ..training import Settings
from ..training.bounds import check_bounds
from ._groups import GROUP
from ._training import train


class FairEstimator(ClassifierMixin, BaseEstimator):
    """Two classes, decided by rewards under a constraint. A subclass says what is a choice and what its rewards say."""

    constraint: Any
    bound: Any
    model: Any
    settings: Any
    random_state: Any
    classes_: np.ndarray
    group_columns_: list[str]

    def decision_function(self, X):
        """Log-odds `[n]` of `classes_[1]`.

        X: as `fit` takes it
        """
        raise NotImplementedError

    def predict_proba(self, X):
        """Probabilities `[n, 2]`, in the order of `classes_`.

        X: as `fit` takes it
        """
        second = expit(self.decision_function(X))
        return np.stack([1 - second, second], 1)

    def predict(self, X):
        """`classes_[1]` where the decision function is positive, else `classes_[0]`; deterministic, without the groups.

        X: as `fit` takes it
        """
        positive = self.decision_function(X) > 0
        return self.classes_[positive.astype(int)]

    def _train(self, choices: Choices, constraint: Constraint, constrained: bool) -> None:
        """Fit the parameters, and say what came of them."""
        values = Settings() if self.settings is None else self.settings
        settings = Settings.of(values) if isinstance(values, Mapping) else values
        if not isinstance(settings, Settings):
            raise UsageError(f"settings: expected faro.training.Settings or a dictionary, got {settings!r}")
        if (settings.solver, settings.solution) != ("game", "best"):
            raise UsageError("settings: estimators play the game and return its best candidate; use faro.train")
        whole = isinstance(self.random_state, numbers.Integral)
        seed = self.random_state if whole else check_random_state(self.random_state).randint(2**31 - 1)
        found = train(make_model(self.model), constraint, constrained, choices, settings, int(seed))
        self.params_, self.status_, self.gap_, self.notes_ = found

    def _made(self, attributes: Mapping[str, Attribute], of: str | None = None) -> tuple[Constraint, bool]:
        """The constraint on these attributes, and whether it constrains: without groups only one that needs none."""
        if not isinstance(self.constraint, str):
            raise UsageError(
                f"constraint: expected a name such as demographic_parity, got {self.constraint!r}; give objects to "
                "faro.train"
            )
        if isinstance(self.bound, bool) or not isinstance(self.bound, numbers.Real):
            raise UsageError(f"bound: expected a number, got {self.bound!r}")
        options: dict[str, Any] = {"of": of, "unless": ("attribute",), "bound": check_bounds([float(self.bound)])[0]}
        if GROUP in attributes:
            return self._possible(make_constraint(attributes, self.constraint, GROUP, **options)), True
        try:
            return self._possible(make_constraint(attributes, self.constraint, **options)), True
        except UsageError:  # it needs groups
            everyone = {**attributes, GROUP: Attribute(GROUP, ("everyone",))}
            return self._possible(make_constraint(everyone, self.constraint, GROUP, **options)), False

    def _possible(self, constraint: Constraint) -> Constraint:
        """The constraint; `UsageError` for one that reads what X has not."""
        if constraint.twins():
            raise UsageError(
                f"constraint {self.constraint!r}: expected one that X, y and groups can carry, got one of twins (the "
                "same person with another level), which X has not; use faro.train with a schema that declares twins"
            )
        return constraint

    def _weighed(self, sample_weight: Any, X: np.ndarray) -> np.ndarray:
        """Weights `[n]` in units of their mean."""
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        return weight / weight.mean()

    def _without_groups(self, X: Any) -> Any:
        """X without the columns that `fit` was told are groups."""
        check_is_fitted(self, "group_columns_")
        return X.drop(columns=self.group_columns_, errors="ignore") if isinstance(X, pd.DataFrame) else X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
