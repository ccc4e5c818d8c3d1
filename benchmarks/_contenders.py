"""Who is compared with faro, and how each is called: one frontier of logistic models on one split.

A contender is a function of its tuning that imports its library and returns `fit(problem, bounds, note) -> models`.
Where a method takes a bound, model i answers bound i, as often as there are bounds; GridSearch and fairret take none,
and return 20 models from which whoever judges picks for each bound. A model says for features and groups which share
is accepted, `[n]`. All minimise the same loss, mean log loss + RIDGE / 2 |w|^2, on the same features; the group is no
feature. The first tuning of each is its documented default, or what its examples use; the others complete a grid of 9.

`run(job)` does the fits of a job, timed where asked, and judges every model by the same few lines of numpy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ATTRIBUTE = {"compas": "race", "adult": "sex"}
NOTIONS = ("demographic_parity", "equalized_odds")
RIDGE = 1e-4  # faro's default weight decay
STEPS = 1000  # of cooper, fairret and the plain loops
POINTS = 20

Accepts = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Part:
    """People of one part of a split: features `[n, d]`, label 0 or 1, group (-1: in none of those compared)."""

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray

    def counted(self) -> Part:
        """Those who have a group."""
        inside = self.group >= 0
        return Part(self.x[inside], self.y[inside], self.group[inside])


@dataclasses.dataclass(frozen=True)
class Problem:
    """One split of a data set, as faro makes it, and the constraint's name."""

    data: object  # faro.data.Dataset
    seed: int
    notion: str
    attribute: str
    parts: dict[str, Part]

    @property
    def train(self) -> Part:
        return self.parts["train"]

    def events(self, part: Part) -> list[np.ndarray]:
        """Weights `[n]`: among whom rates are compared, everybody, or those of each label."""
        own = [part.y == 1, part.y == 0] if self.notion == "equalized_odds" else [np.ones(len(part.y), bool)]
        return [event & (part.group >= 0) for event in own]

    def averages(self, part: Part) -> np.ndarray:
        """`[n, events, G]`: columns whose product with acceptances are the rates of the groups."""
        levels = range(int(part.group.max()) + 1)
        cells = np.stack([[event & (part.group == g) for g in levels] for event in self.events(part)], 0)
        cells = np.moveaxis(cells.astype(np.float64), -1, 0)
        return (cells / np.maximum(cells.sum(0), 1)).astype(np.float32)

    def distance(self, bound: float) -> float:
        """The largest distance of a group's rate from the overall rate that keeps max minus min within the bound.

        With two groups the farther one is the smaller one, at gap x share of the larger; else half the bound.
        """
        part = self.train
        shares = [np.bincount(part.group[event]) / event.sum() for event in self.events(part)]
        return bound * min(share.max() if (share > 0).sum() == 2 else 0.5 for share in shares)


def problem(name: str, notion: str, seed: int) -> Problem:
    """faro's own split and coding of a data set; "synthetic:N,D,GROUPS" is made up."""
    import faro
    from faro.data.views import View

    data = synthetic(*map(int, name.partition(":")[2].split(","))) if name.startswith("synthetic:") else faro.load(name)
    attribute = ATTRIBUTE.get(name, "group")
    view, parts = View.of(data, seed), {}
    for part, rows in view.rows.items():
        choices = data.choices(view.coding, rows)
        inside, at = np.asarray(data.parsed.inside[rows]).argmax(1), np.arange(len(rows))
        x = np.ascontiguousarray(np.asarray(choices.items)[at, inside], np.float32)
        y = np.asarray(choices.chosen)[at, inside].round().astype(int)
        parts[part] = Part(x, y, np.asarray(choices.attributes[attribute])[at, inside])
    return Problem(data, seed, notion, attribute, parts)


def synthetic(n: int, d: int, groups: int):
    """Accept or reject, where features predict the label and some of them the group: the gap is about 0.2."""
    import pandas as pd

    from faro.data import Dataset, Schema

    rng = np.random.default_rng(0)
    group = rng.integers(groups, size=n)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[:, 0] += 0.8 * np.linspace(-1, 1, groups)[group]
    w = np.r_[1.0, rng.normal(size=d - 1) / np.sqrt(d)]
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(d)])
    frame["group"], frame["label"] = np.array([f"g{i}" for i in range(groups)])[group], x @ w + rng.logistic(size=n) > 0
    frame["label"] = frame["label"].astype(int)
    schema = {"format": "accept", "unit": "row", "label": "label", "numeric": [f"x{i}" for i in range(d)]}
    schema |= {"attributes": [{"name": "group", "levels": [f"g{i}" for i in range(groups)]}]}
    return Dataset.from_table(frame, Schema.from_dict(schema), name="synthetic")


def linear(weights: np.ndarray) -> Accepts:
    """The model that accepts where x.w + b > 0; the last weight is b."""
    w = np.asarray(weights, np.float64)
    return lambda x, group: (x @ w[:-1] + w[-1] > 0).astype(float)


def with_one(x: np.ndarray) -> np.ndarray:
    """The features, and a column of ones for the intercept."""
    return np.concatenate([x, np.ones((len(x), 1), x.dtype)], 1)


# faro, and what plain JAX does ----------------------------------------------------------------------------------------


def of_faro(**settings):
    """`faro.frontier(...)` with its defaults, or these settings: the whole call, with the judging of every model."""
    import jax

    import faro

    jax.devices()  # starting the backend is part of importing

    def fit(own: Problem, bounds, note):
        times = {}
        run = faro.frontier(
            own.data,
            own.notion,
            attribute=own.attribute,
            bounds=list(bounds),
            seeds=[own.seed],
            settings=settings,
            progress=lambda done, total: times.setdefault(total - done, time.perf_counter()),
        )
        note["training"] = times[1] - times[max(times)]  # the last step but one is the end of training
        note["statuses"] = run.table["status"].tolist()[1:]
        stored = [model.params for model in run.models]
        return [linear(np.r_[np.ravel(own["item"]), float(own["intercept"])]) for own in stored[1:]]

    return fit


def of_jax(together: bool, primal: float = 0.05, dual: float = 0.01):
    """The game by hand, compiled: all members as one matrix product, or one member after another."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.devices()

    def fit(own: Problem, bounds, note):
        adam, part = optax.adam(primal), own.train
        x, y, averages = (jnp.asarray(leaf) for leaf in (with_one(part.x), part.y, own.averages(part)))

        def distances(accepted, bounds):  # accepted [n, m] -> rows [2 G events, m]
            rates = jnp.einsum("neg,nm->egm", averages, accepted)
            middle = (rates.max(1, keepdims=True) + rates.min(1, keepdims=True)) / 2
            rows = 2 * (rates - middle).reshape(-1, accepted.shape[1])
            return jnp.concatenate([rows, -rows]) - bounds

        def objective(w, multipliers, bounds):
            logits = x @ w
            loss = jnp.mean(jnp.logaddexp(0, logits) - y[:, None] * logits, 0) + RIDGE / 2 * jnp.sum(w[:-1] ** 2, 0)
            pressed = jnp.sum(multipliers * distances(jax.nn.sigmoid(logits), bounds), 0)
            return jnp.sum(loss + pressed), distances((logits > 0).astype(jnp.float32), bounds)

        @jax.jit
        def play(bounds):
            def step(carry, _):
                w, multipliers, moments = carry
                slope, violation = jax.grad(objective, has_aux=True)(w, multipliers, bounds)
                change, moments = adam.update(slope, moments)
                return (w + change, jnp.maximum(multipliers + dual * violation, 0), moments), None

            w = jnp.zeros((x.shape[1], len(bounds)))
            rows = 2 * averages.shape[1] * averages.shape[2]
            return jax.lax.scan(step, (w, jnp.zeros((rows, len(bounds))), adam.init(w)), length=STEPS)[0][0]

        bounds = np.asarray(bounds, np.float32)
        each = [bounds] if together else bounds[:, None]
        return [linear(column) for group in each for column in np.asarray(play(group)).T]

    return fit


# fairlearn ------------------------------------------------------------------------------------------------------------


def _fairlearn(notion: str, part: Part):
    from fairlearn.reductions import DemographicParity, EqualizedOdds
    from sklearn.linear_model import LogisticRegression

    moment = {"demographic_parity": DemographicParity, "equalized_odds": EqualizedOdds}[notion]
    return LogisticRegression(C=1 / (RIDGE * len(part.y)), max_iter=1000), moment


def of_exponentiated_gradient(eps=0.01, eta0=2.0):
    """fairlearn's reduction. `difference_bound` is about distances from the overall rate, and is set so that max minus
    min is within the bound."""
    from fairlearn.reductions import ExponentiatedGradient

    _fairlearn("demographic_parity", Part(np.zeros((1, 1)), np.zeros(1), np.zeros(1)))

    def fit(own: Problem, bounds, note):
        part, made = own.train.counted(), []
        for bound in bounds:
            base, moment = _fairlearn(own.notion, part)
            constraint = moment(difference_bound=own.distance(bound))
            learner = ExponentiatedGradient(base, constraint, eps=eps, eta0=eta0)
            learner.fit(part.x, part.y, sensitive_features=part.group)
            made.append(lambda x, group, learner=learner: learner._pmf_predict(x)[:, 1])
        return made

    return fit


def of_grid_search(grid_limit=2.0, constraint_weight=0.5):
    """fairlearn's grid of 20 Lagrange multipliers; every model of the grid is kept."""
    from fairlearn.reductions import GridSearch

    _fairlearn("demographic_parity", Part(np.zeros((1, 1)), np.zeros(1), np.zeros(1)))

    def fit(own: Problem, bounds, note):
        part = own.train.counted()
        base, moment = _fairlearn(own.notion, part)
        options = {"grid_limit": grid_limit, "constraint_weight": constraint_weight, "grid_size": POINTS}
        learner = GridSearch(base, moment(), **options)
        learner.fit(part.x, part.y, sensitive_features=part.group)
        return [lambda x, group, one=one: one.predict(x).astype(float) for one in learner.predictors_]

    return fit


# torch: cooper and fairret --------------------------------------------------------------------------------------------


def of_cooper(primal=0.05, dual=0.01):
    """The Lagrangian game of cooper: Adam and gradient ascent at the same time, sigmoids as proxies, the last iterate.

    The full batch in every step; multipliers move by the violation of decisions (`strict_violation`). cooper has no
    default rates: with these the plain loop was within 0.02 of every bound on compas and adult, with ten times the dual
    rate up to 0.3 above.
    """
    import cooper
    import torch

    def fit(own: Problem, bounds, note):
        return [linear(play(own, bound)) for bound in bounds]

    def play(own: Problem, bound: float) -> np.ndarray:
        game = lagrangian(own, bound, cooper, torch)
        optimizer = cooper.optim.SimultaneousOptimizer(
            game,
            torch.optim.Adam([game.w], lr=primal),
            torch.optim.SGD(list(game.dual_parameters()), lr=dual, maximize=True),
        )
        for _ in range(STEPS):
            optimizer.roll()
        return game.w.detach().numpy()

    return fit


def lagrangian(own: Problem, bound: float, cooper, torch):
    """The problem as cooper wants it; `w` are its parameters."""
    part = own.train
    x, y = torch.tensor(with_one(part.x)), torch.tensor(part.y, dtype=torch.float32)
    averages = torch.tensor(own.averages(part))
    rows = 2 * averages.shape[1] * averages.shape[2]
    flat = averages.flatten(1).T.contiguous()

    class Game(cooper.ConstrainedMinimizationProblem):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(x.shape[1]))
            multiplier = cooper.multipliers.DenseMultiplier(num_constraints=rows)
            self.parity = cooper.Constraint(
                cooper.ConstraintType.INEQUALITY, cooper.formulations.Lagrangian, multiplier
            )

        def distances(self, accepted):
            rates = (flat @ accepted).reshape(averages.shape[1:])
            middle = (rates.amax(1, keepdim=True) + rates.amin(1, keepdim=True)) / 2
            own = 2 * (rates - middle).flatten()
            return torch.cat([own, -own]) - bound

        def compute_cmp_state(self):
            logits = x @ self.w
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
            loss = loss + RIDGE / 2 * (self.w[:-1] ** 2).sum()
            state = cooper.ConstraintState(
                violation=self.distances(torch.sigmoid(logits)),
                strict_violation=self.distances((logits.detach() > 0).float()),
            )
            return cooper.CMPState(loss=loss, observed_constraints={self.parity: state})

    return Game()


def of_fairret(rate=0.05, penalty="norm1"):
    """A grid of 20 strengths of the norm loss (0.01 to 10, geometric), Adam on the full batch."""
    import torch
    from fairret.loss import LSELoss, NormLoss
    from fairret.statistic import FalsePositiveRate, PositiveRate, TruePositiveRate

    def fit(own: Problem, bounds, note):
        part = own.train.counted()
        x, y = torch.tensor(with_one(part.x)), torch.tensor(part.y, dtype=torch.float32)[:, None]
        levels = int(part.group.max()) + 1
        sensitive = torch.nn.functional.one_hot(torch.tensor(part.group).long(), levels).float()
        parity = own.notion == "demographic_parity"
        statistics = [PositiveRate()] if parity else [TruePositiveRate(), FalsePositiveRate()]
        makers = {"norm1": NormLoss, "norm2": lambda own: NormLoss(own, p=2), "lse": LSELoss}
        terms = [makers[penalty](statistic) for statistic in statistics]
        labels = [] if parity else [y]
        made = []
        for strength in np.geomspace(0.01, 10, POINTS)[:: max(1, POINTS // max(len(bounds), 5))]:
            w = torch.nn.Parameter(torch.zeros(x.shape[1], 1))
            adam = torch.optim.Adam([w], lr=rate)
            for _ in range(STEPS):
                logits = x @ w
                loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
                loss = loss + RIDGE / 2 * (w[:-1] ** 2).sum()
                loss = loss + float(strength) * sum(term(logits, sensitive, *labels) for term in terms)
                adam.zero_grad()
                loss.backward()
                adam.step()
            made.append(linear(w.detach().numpy()[:, 0]))
        return made

    return fit


# OxonFair -------------------------------------------------------------------------------------------------------------


def of_oxonfair(ridge=RIDGE, tol=False):
    """One logistic regression, and a threshold for each group: it needs the group of whoever is decided about."""
    from oxonfair import FairPredictor
    from oxonfair.utils import group_metrics
    from sklearn.linear_model import LogisticRegression

    def fit(own: Problem, bounds, note):
        part = own.train.counted()
        base = LogisticRegression(C=1 / (ridge * len(part.y)), max_iter=1000).fit(part.x, part.y)
        data = {"target": part.y, "data": part.x, "groups": part.group}
        parity = own.notion == "demographic_parity"
        asked = group_metrics.pos_pred_rate.max_diff if parity else group_metrics.equalized_odds_max
        predictor, made = FairPredictor(base, data), []
        for i, bound in enumerate(bounds):
            predictor.fit(group_metrics.accuracy, asked, float(bound), recompute=i == 0, tol=tol)
            offset = predictor.offset.copy()

            def accepts(x, group, offset=offset):
                decided = base.predict(x).astype(float)  # of those without a group: no threshold of their own
                counted, predictor.offset = group >= 0, offset
                own = {"data": x[counted], "groups": group[counted], "target": np.zeros(counted.sum(), int)}
                decided[counted] = np.asarray(predictor.predict(own)).ravel()
                return decided

            made.append(accepts)
        return made

    return fit


# ----------------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Contender:
    """How a method is made, which tunings its grid has (the first of each is the default), and what it does."""

    make: Callable[..., Callable]
    grid: dict[str, tuple] = dataclasses.field(default_factory=dict)
    takes_bounds: bool = True
    in_processing: bool = True
    compiles: bool = False  # then a second call is another thing than the first
    remark: str = ""

    def tunings(self) -> list[dict]:
        """The points of the grid, the default first."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]


CONTENDERS = {
    "faro": Contender(of_faro, in_processing=False, compiles=True),
    "ExponentiatedGradient": Contender(
        of_exponentiated_gradient, {"eps": (0.01, 0.005, 0.05), "eta0": (2.0, 1.0, 4.0)}, remark="randomised"
    ),
    "GridSearch(20)": Contender(
        of_grid_search,
        {"grid_limit": (2.0, 1.0, 4.0), "constraint_weight": (0.5, 0.25, 0.75)},
        takes_bounds=False,
        remark="takes no bound",
    ),
    "cooper": Contender(of_cooper, {"primal": (0.05, 0.01, 0.1), "dual": (0.01, 0.003, 0.1)}),
    "fairret": Contender(
        of_fairret,
        {"rate": (0.05, 0.01, 0.1), "penalty": ("norm1", "norm2", "lse")},
        takes_bounds=False,
        remark="takes no bound",
    ),
    "OxonFair": Contender(
        of_oxonfair,
        {"ridge": (RIDGE, 1e-3, 1e-2), "tol": (False, 0.001, 0.01)},
        in_processing=False,
        remark="uses the group at decision time",
    ),
    "JAX loop, one product": Contender(lambda: of_jax(True), in_processing=False, compiles=True),
    "JAX loop, one by one": Contender(lambda: of_jax(False), in_processing=False, compiles=True),
}


def figures(own: Problem, accepts: Accepts) -> dict[str, float]:
    """Accuracy and gap on every part, in expectation over a randomised model's draws."""
    found = {}
    for name, part in own.parts.items():
        accepted = np.asarray(accepts(part.x, part.group), float)
        rates = np.einsum("neg,n->eg", own.averages(part).astype(float), accepted)
        found[f"{name}_accuracy"] = float(np.mean(np.where(part.y == 1, accepted, 1 - accepted)))
        found[f"{name}_gap"] = float(np.max(rates.max(1) - rates.min(1)))
    if not np.all(np.isfinite(list(found.values()))):
        raise ArithmeticError("figures that are not finite")
    return found


def grid(name: str, notion: str) -> list[float]:
    """The bounds that faro lays by default, from the gap of an unconstrained logistic regression on split 0."""
    from faro.sweep.grid import default_bounds

    own = problem(name, notion, 0)
    base, _ = _fairlearn(notion, own.train)
    base.fit(own.train.x, own.train.y)
    return default_bounds(figures(own, lambda x, group: base.predict(x))["train_gap"], POINTS)


def run(job: dict) -> dict:
    """Do the job {contender, data, notion, fits: [{seed, bounds, tuning}], timed, patience}.

    `fits` of the answer has for each: `points` (figures of every model), `failures` (texts), and if timed `cold` and
    `warm`, seconds of the first and second call (none where nothing is compiled and the first took over `patience`).
    """
    if job["contender"] == "grid":
        return {**job, "grid": grid(job["data"], job["notion"])}
    contender = CONTENDERS[job["contender"]]
    done = []
    for asked in job["fits"]:
        answer: dict = {**asked, "points": [], "failures": []}
        done.append(answer)
        try:
            fit = contender.make(**asked["tuning"])
        except ImportError as error:
            return {**job, "missing": str(error)}
        own, note = problem(job["data"], job["notion"], asked["seed"]), {}
        with quietly():
            try:
                began = time.perf_counter()
                models = fit(own, asked["bounds"], note)
                answer["cold"] = time.perf_counter() - began
                if job.get("timed") and (contender.compiles or answer["cold"] <= job["patience"]):
                    began = time.perf_counter()
                    again: dict = {}
                    fit(own, asked["bounds"], again)
                    note["warm_training"] = again.get("training")
                    answer["warm"] = time.perf_counter() - began
            except Exception:
                answer["failures"] += [traceback.format_exc(limit=-1)] * len(asked["bounds"])
                continue
            for model in models:
                try:
                    answer["points"].append(figures(own, model))
                except Exception:
                    answer["failures"].append(traceback.format_exc(limit=-1))
                    answer["points"].append(None)
        answer |= note
        own = own.parts["dev"]
        answer["constant"] = float(max(own.y.mean(), 1 - own.y.mean()))
    return {**job, "fits": done}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what libraries print and warn of."""
    import io

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """The job in the file named first, its answer into the file named second."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    threads = int(os.environ.get("NPROC", 0))
    if job.get("timed") and threads and hasattr(os, "sched_setaffinity"):  # XLA counts the cores that it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    Path(sys.argv[2]).write_text(json.dumps(run(job)), "utf-8")


if __name__ == "__main__":
    main()
