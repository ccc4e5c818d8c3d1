"""A scikit-learn ranker of pairs: which of two alternatives is chosen, from the features of both, `fit(X, y, ...)`.

A row is a pair, so whatever splits rows (cross-validation, bagging) splits pairs. Underneath is faro's own model of
choices: a reward for every alternative, and the higher one is chosen. Needs the extra `sklearn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_array, check_is_fitted, validate_data

from constraints import Attribute, Choices

from ..api import make_model
from ..errors import DataError, UsageError
from ._estimator import FairEstimator
from ._groups import GROUP, Groups, check_indices, check_rows, columns, crossed, named, taken
from ._training import Standard, choice_of_two, said

SIDE, SIDES = "side", ("first", "second")


class Layout(NamedTuple):
    """Which columns of X are features of the first side, the same of the second, and of the rater."""

    first: list[int]
    second: list[int]
    rater: list[int]


class PairRanker(FairEstimator):
    """Ranker of pairs whose gap between groups is at most `bound` on the training sample: Bradley-Terry, constrained.

        P(second chosen) = 1 / (1 + exp(reward(first) - reward(second)))

    constraint: a name of `faro constraints list`, such as "demographic_parity" (groups win at one rate) or
        "equal_opportunity" (joined by + for several); those of twins need more than a table of features has
    bound: largest gap of rates, in [0, 1]
    of: "side=first" or "side=second": only that side counts; needed where groups are the raters' and rates of being
        chosen are compared; None: both sides
    sides: names of the two sides, as ("left", "right"): features are the columns left_x and right_x (or x_left and
        x_right) of a frame, other columns are features of the rater; None: the two halves of the columns
    first_label: the label of y that says the first side was chosen; None: its name in `sides`, or the one that sorts
        first
    model: "linear", "mlp", "mlp:64,32" or a `faro.models.Model`
    settings: a `faro.training.Settings` that plays the game and returns its best candidate, a dictionary of those that
        differ from the defaults, or None
    random_state: whole number or `numpy.random.RandomState`: seeds the initial parameters and minibatches; None: chance

    Groups are only needed by `fit`; without them the fit is unconstrained, unless the constraint needs none. Of the
    raters' groups demographic parity is refused without `of`: every rater picks one of two, whatever the model.

    Fitted: `classes_`, `n_features_in_`, `status_` (FEASIBLE, INFEASIBLE or DIVERGED on the training sample), `gap_`
    (its hard gaps, one per constraint; None if unconstrained), `notes_`, `groups_`, `group_columns_` (columns of X that
    are groups and no features), `params_`.
    """

    def __init__(
        self,
        constraint="demographic_parity",
        bound=0.05,
        of=None,
        sides=None,
        first_label=None,
        model="linear",
        settings=None,
        random_state=0,
    ):
        self.constraint = constraint
        self.bound = bound
        self.of = of
        self.sides = sides
        self.first_label = first_label
        self.model = model
        self.settings = settings
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None, *, sensitive_features=None):
        """Fit under the constraint; returns itself, and warns (`ConvergenceWarning`) unless it is FEASIBLE.

        X: features of both sides, `[n, 2 d]`, `[n, 2, d]` or a data frame
        y: `[n]` which side was chosen, two labels; None: the first in every row (0 = first, 1 = second)
        sample_weight: `[n]` >= 0, in the loss and in every rate; None: 1
        sensitive_features: groups of the alternatives, `[n, 2]`, one column a side, or of the rater, `[n]`; tuples, and
            `[n, 2, a]`, are crossed; a frame whose columns are named as those of X, by sides or not; or the name of
            such columns of X ("dialect" for left_dialect and right_dialect), or a list of names, which are then no
            features; None: unconstrained

        `ValueError` for other than two labels or an odd number of columns, `DataError` for missing or single groups and
        for pandas indices that disagree.
        """
        if self.sides is not None and (len(self.sides) != 2 or len(set(self.sides)) < 2 or isinstance(self.sides, str)):
            raise UsageError(f"sides: expected the names of two sides, as ('left', 'right'), got {self.sides!r}")
        parts = self._parts(X, sensitive_features)
        check_indices(X, y, [column for part in parts for column in part], sample_weight)
        if y is None:
            X = validate_data(self, self._plain(X), dtype=np.float64)
        else:
            X, y = validate_data(self, self._plain(X), y, dtype=np.float64)
        weight = self._weighed(sample_weight, X)
        first = self._labels(y, len(X))
        self._layout = self._layout_of(X)
        attributes = {SIDE: Attribute(SIDE, SIDES)}
        codes = {SIDE: np.tile([0, 1], (len(X), 1)), GROUP: np.zeros((len(X), 2), int)}
        if parts:
            found = self._grouped(parts, len(X))
            attributes[GROUP] = Attribute(GROUP, found.levels, chooser=all(len(part) == 1 for part in parts))
            codes[GROUP], self.groups_ = found.code.reshape(2, -1).T, found.levels
            if len(found.levels) < 2:
                raise DataError(f"{GROUP}: expected two groups or more, got only {found.levels[0]!r}")
        constraint, constrained = self._made(attributes, self.of)
        items, rater = self._features(X)
        self._standard = Standard.of(np.concatenate([items[:, 0], items[:, 1]]), np.tile(weight, 2))
        self._rater_standard = Standard.of(rater, weight)
        choices = self._choices(items, rater, first, weight)
        named_columns = {name: self._column(X, name) for name in constraint.columns()}
        choices = choices.replace(
            attributes={name: code.astype(np.int32) for name, code in codes.items()}, columns=named_columns
        )
        self._train(choices, constraint, constrained)
        return self

    def decision_function(self, X):
        """Log-odds `[n]` of `classes_[1]`: the difference of the two rewards.

        X: features of both sides, as `fit` takes them
        """
        scores = self._said(X)[1]
        odds = scores[:, 1] - scores[:, 0]
        return odds if self._first == self.classes_[0] else -odds

    def rewards(self, X):
        """Rewards `[n, 2]` of the first and the second side.

        X: features of both sides, as `fit` takes them
        """
        return self._said(X)[0]

    def reward(self, X):
        """Rewards `[m]` of single alternatives, by which they are ranked: the higher, the better.

        X: features `[m, d]` of one side, those of the rater behind them; or a frame with the columns of a side, named
            without it
        """
        check_is_fitted(self)
        names = self._names()
        if names is not None and isinstance(X, pd.DataFrame):
            lacking = [name for name in names if name not in X.columns]
            if lacking:
                raise DataError(f"X: expected the columns {', '.join(names)}, without {', '.join(lacking)}")
            X = X[names]
        X = check_array(X, dtype=np.float64)
        d, c = len(self._layout.first), len(self._layout.rater)
        if X.shape[1] != d + c:
            raise ValueError(f"X: expected {d + c} features of an alternative (and its rater), got {X.shape[1]}")
        pairs = np.repeat(X[:, None, :d], 2, 1)  # with itself, so that one program serves
        return self._said_of(pairs, X[:, d:])[0][:, 0]

    def _said(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Rewards and scores `[n, 2]` of pairs."""
        check_is_fitted(self)
        X = validate_data(self, self._plain(X), dtype=np.float64, reset=False)
        return self._said_of(*self._features(X))

    def _said_of(self, items: np.ndarray, rater: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.zeros(len(items))
        return said(make_model(self.model), self.params_, self._choices(items, rater, nothing, nothing + 1))

    # Sides ------------------------------------------------------------------------------------------------------------

    def _plain(self, X: Any) -> Any:
        """`[n, 2, d]` as `[n, 2 d]`; a frame without the columns that are groups."""
        if isinstance(X, pd.DataFrame):
            return X.drop(columns=self.group_columns_, errors="ignore")
        if (np.ndim(X) if isinstance(X, list | tuple) else getattr(X, "ndim", 2)) == 3:
            X = np.asarray(X)
            if X.shape[1] != 2:
                raise ValueError(f"X: expected [n, 2, d], features of two sides, got shape {X.shape}")
            return X.reshape(len(X), -1)
        return X

    def _layout_of(self, X: np.ndarray) -> Layout:
        d = X.shape[1] // 2
        if self.sides is None:
            if X.shape[1] % 2:
                raise ValueError(
                    f"X: expected the features of one side and as many of the other, got {X.shape[1]} feature(s); name "
                    "the sides if there are others"
                )
            return Layout(list(range(d)), list(range(d, 2 * d)), [])
        known = list(getattr(self, "feature_names_in_", ()))
        if not known:
            raise UsageError(f"sides: {self.sides!r} are names of columns, and X has none; pass a data frame")
        bases, rater = _apart(known, self.sides)
        if not bases:
            raise DataError(f"X: no column of the sides {self.sides[0]} and {self.sides[1]}, as {self.sides[0]}_x")
        first, second = ([known.index(_column_of(known, base, side)) for base in bases] for side in self.sides)
        return Layout(first, second, [known.index(name) for name in rater])

    def _names(self) -> list[str] | None:
        """Names of the columns of a single alternative and its rater; None where sides have none."""
        if self.sides is None:
            return None
        names = self.feature_names_in_
        side = [_base(names[at], self.sides[0]) for at in self._layout.first]
        return [*side, *(names[at] for at in self._layout.rater)]

    def _features(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of both sides `[n, 2, d]`, and of the rater `[n, c]`."""
        return np.stack([X[:, self._layout.first], X[:, self._layout.second]], 1), X[:, self._layout.rater]

    def _column(self, X: np.ndarray, name: str) -> np.ndarray:
        """A column of X as it is, which the constraint reads: of both sides, or the rater's."""
        known, sides = list(getattr(self, "feature_names_in_", ())), self.sides or ()
        both = [_column_of(known, name, side) for side in sides]
        there = both if both and all(both) else [name]
        if there[0] not in known:
            raise DataError(f"X: no column {name!r}, which the constraint reads (known: {', '.join(known) or 'none'})")
        return X[:, [known.index(there[0]), known.index(there[-1])]]

    # Labels and groups ------------------------------------------------------------------------------------------------

    def _labels(self, y: Any, n: int) -> np.ndarray:
        """Whether the first side was chosen, `[n]` of 0 and 1; sets `classes_` and which of them is the first's."""
        if y is None:
            self.classes_, self._first = np.array([0, 1]), 0
            if self.first_label is not None:
                raise UsageError(f"first_label: {self.first_label!r} is a label of y, and there is no y")
            return np.ones(n, int)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        called = self.sides is not None and set(self.classes_.tolist()) <= set(self.sides)
        if called:
            self.classes_ = np.unique(list(self.sides))
        if len(self.classes_) > 2:
            raise ValueError(f"Only binary classification is supported. The target has {len(self.classes_)} classes.")
        if len(self.classes_) < 2:
            raise ValueError(
                f"y: expected labels of two classes, got one class, {self.classes_[0]!r}; leave y out where the first "
                "side is the chosen one in every row"
            )
        own = self.first_label
        self._first = own if own is not None else self.sides[0] if called else self.classes_[0]
        if self._first not in self.classes_:
            raise ValueError(f"first_label: expected one of the labels {self.classes_.tolist()}, got {own!r}")
        return (y == self._first).astype(int)

    def _parts(self, X: Any, given: Any) -> list[tuple[Any, ...]]:
        """What groups are made of: of the alternatives a pair of columns, of the rater one; sets `group_columns_`."""
        self.group_columns_: list[str] = []
        if given is None:
            return []
        n = _num_samples(X)
        names = named(X, given)
        if names:
            parts = [_of_name(X, name, self.sides or ()) for name in names]
            self.group_columns_ = [column.name for part in parts for column in part]
            return parts
        if isinstance(given, pd.DataFrame) and self.sides is not None:
            bases, rater = _apart(list(given.columns), self.sides)
            return [_of_name(given, name, self.sides) for name in (*bases, *rater)]
        if isinstance(given, np.ndarray) and given.ndim == 3:
            if given.shape[1] != 2:
                raise UsageError(f"{GROUP}: expected [n, 2, a], of two sides, got shape {given.shape}")
            return [(given[:, 0, at], given[:, 1, at]) for at in range(given.shape[2])]
        own = columns(given, n)
        if isinstance(given, Sequence) and len(own) == 1 and all(isinstance(row, tuple | list) for row in given):
            sides = {len(row) for row in given}
            own = [[row[at] for row in given] for at in range(2)] if sides == {2} else own
        if len(own) > 2:
            raise UsageError(
                f"{GROUP}: expected one column, of the rater, or two, of the first and second side, got {len(own)}; "
                "cross others as tuples, or name `sides` and pass a frame"
            )
        return [tuple(own)]

    def _grouped(self, parts: list[tuple[Any, ...]], n: int) -> Groups:
        """Groups of the first side's rows and then of the second's, `[2 n]`."""
        for part in parts:
            check_rows(n, part)
        return crossed([pd.concat([pd.Series(part[0]), pd.Series(part[-1])], ignore_index=True) for part in parts])

    def _choices(self, items: np.ndarray, rater: np.ndarray, first: np.ndarray, weight: np.ndarray) -> Choices:
        n, d = len(items), items.shape[-1]
        coded = self._standard(items.reshape(-1, d)).reshape(n, 2, d)
        context = self._rater_standard(rater) if rater.shape[1] else None
        return choice_of_two(coded, first, weight, context=context)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = False
        return tags


def _apart(names: Sequence[str], sides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that both sides have, without the side, and names that are of no side; `DataError` for one of one side."""
    first, second = ([base for name in names if (base := _base(name, side))] for side in sides)
    alone = sorted(set(first) ^ set(second))
    if alone:
        raise DataError(
            f"X: expected every feature of both sides, {' and '.join(sides)}; of one alone: {', '.join(alone)}"
        )
    return first, [name for name in names if not any(_base(name, side) for side in sides)]


def _base(name: str, side: str) -> str:
    """The feature of a side's column, "x" of "left_x" or "x_left"; "" if it is not of that side."""
    if name.startswith(f"{side}_"):
        return name.removeprefix(f"{side}_")
    return name.removesuffix(f"_{side}") if name.endswith(f"_{side}") else ""


def _column_of(names: Sequence[str], base: str, side: str) -> str:
    """The column of a feature of a side; "" if there is none."""
    return next((name for name in names if _base(name, side) == base), "")


def _of_name(frame: pd.DataFrame, name: str, sides: Sequence[str]) -> tuple[Any, ...]:
    """The columns of both sides of this name, or the rater's."""
    both = [_column_of(frame.columns, name, side) for side in sides]
    return tuple(taken(frame, column) for column in (both if both and all(both) else [name]))
