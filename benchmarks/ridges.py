"""What choosing the ridge is worth: dev nll of the unconstrained model with the ridge fixed, and chosen by the data.

Beside them a cross-validated logit of scikit-learn, given the same rows (train and selection), features and coding,
with folds by unit and an intercept that is not punished, scored on the same dev people. It is for two alternatives: of
more it learns from pairs of the chosen one and every other. Besides data sets by name there are tables that scikit-
learn brings or that are made here, some of them with more than one feature for ten of the rows that are fitted. Each
line: means over seeds; the difference of nll and of accuracy to the logit, with a 95 % interval over units (a unit's
differences are averaged over the seeds that have it in dev); the bar; and d / n.
"""

import argparse
import warnings
from collections.abc import Callable

import jax
import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GroupKFold

import faro
from faro import models
from faro.data import Dataset
from faro.data.views import View
from faro.store.model import TrainedModel

FOLDS = 5
WIDE, BARS = 0.1, (0.005, 0.01)  # nats, of tables with fewer features for a row, and with more
NAMED = ("demo", "immigration", "compas", "swissmetro", "adult")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[*NAMED, *TABLES], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, about its next release
    heads = [f"{'data':>12}", *(f"{head:>7}" for head in ("fixed", "chosen", "logit"))]
    intervals = ("fixed - logit, nll", "chosen - logit, nll", "chosen - logit, accuracy")
    print(*heads, *(f"{head:>26}" for head in intervals), "  bar   d/n  weight decay")
    for name in options.data:
        line(name, TABLES[name]() if name in TABLES else faro.load(name), options.seeds)


def line(name: str, data: Dataset, seeds: int) -> None:
    """One table's line."""
    chosen = unconstrained(data, seeds, {})
    products = {"interactions": 1.0} if "cross" in chosen[0].params else {}
    fixed = unconstrained(data, seeds, {"weight_decay": 1e-4} | products)
    rows = pd.concat([of_seed(data, {"fixed": fixed[seed], "chosen": chosen[seed]}, seed) for seed in range(seeds)])
    wide = rows["d/n"].iloc[0]
    means = [f"{rows[kind].groupby(rows['seed']).mean().mean():7.4f}" for kind in ("fixed", "chosen", "logit")]
    pairs = (("fixed", "logit"), ("chosen", "logit"), ("chosen right", "logit right"))
    differences = [interval(rows[one] - rows[other], rows["unit"]) for one, other in pairs]
    bar = BARS[int(wide > WIDE)]
    kept = "  nan" if np.isnan(differences[1][2]) else ("  met" if differences[1][2] <= bar else "  NOT")
    decays = sorted(float(model.about["ridge"]["weight_decay"]) for model in chosen)
    texts = [f"{mean:+.4f} ({low:+.4f} {high:+.4f})".rjust(26) for mean, low, high in differences]
    print(f"{name:>12}", *means, *texts, kept, f"{wide:.3f}", f" {decays[0]:.2g} to {decays[-1]:.2g}", flush=True)


def unconstrained(data: Dataset, seeds: int, ridge: dict[str, float]) -> list[TrainedModel]:
    """The unconstrained model of every seed."""
    return faro.frontier(data, bounds=[1.0], seeds=seeds, settings={"steps": 2} | ridge).models[:seeds]


def interval(differences: pd.Series, units: pd.Series) -> tuple[float, float, float]:
    """Mean over units, and the ends of a 95 % interval."""
    own = differences.groupby(units).mean()
    half = 1.96 * own.std() / np.sqrt(len(own))
    return own.mean(), own.mean() - half, own.mean() + half


def of_seed(data: Dataset, named: dict[str, TrainedModel], seed: int) -> pd.DataFrame:
    """Loss of every dev choice under linear models of a seed and under the logit, and whether they are right."""
    view = View.of(data, seed)
    parts = {"fit": np.concatenate([view.rows["train"], view.rows["selection"]]), "dev": view.rows["dev"]}
    coded = {}
    with jax.enable_x64(True):
        for part, rows in parts.items():
            coding = next(iter(named.values())).coding
            coded[part] = models.Linear().prepare(data.choices(coding, rows, dtype=np.float64))
        rewards = {
            kind: np.concatenate(
                models.reward_pieces(model.model, model.params, data.choices(model.coding, parts["dev"]))
            ).T
            for kind, model in named.items()
        }
    choices = coded["dev"]
    labels, there = np.asarray(choices.chosen), np.asarray(choices.available)
    logits = {kind: np.where(there, own, -np.inf) for kind, own in rewards.items()}
    logits["logit"] = by_folds(data, coded, parts["fit"])
    table = {"seed": seed, "unit": data.units[parts["dev"]], "d/n": choices.items.shape[-1] / len(parts["fit"])}
    for kind, own in logits.items():
        table[kind] = -np.sum(np.where(labels > 0, labels * log_softmax(own), 0), 1) / labels.sum(1)
        table[f"{kind} right"] = labels[np.arange(len(own)), own.argmax(1)] if not np.isnan(own).all() else np.nan
    return pd.DataFrame(table)


def log_softmax(rewards: np.ndarray) -> np.ndarray:
    return rewards - np.logaddexp.reduce(rewards, 1, keepdims=True)


def by_folds(data: Dataset, coded: dict, rows: np.ndarray) -> np.ndarray:
    """Rewards `[n, K]` of dev choices by the cross-validated logit: of the difference of two alternatives, or of accept
    or reject; of more than two, of the chosen one and every other as pairs (NaN where votes are split)."""
    chosen, there = np.asarray(coded["fit"].chosen), np.asarray(coded["fit"].available)
    fit, dev = (np.asarray(coded[part].items) for part in ("fit", "dev"))
    hard = bool(np.isin(chosen, (0, 1)).all())
    if data.k > 2 and not hard:
        return np.full((len(dev), data.k), np.nan)
    place = np.repeat(np.arange(len(fit)), data.k - 1)
    if data.k > 2:
        best = chosen.argmax(1)
        other = (best[:, None] + np.arange(1, data.k)).ravel() % data.k
        features, labels, real = fit[place, best[place]] - fit[place, other], np.ones(len(place)), there[place, other]
    else:
        features = fit[:, 0] - fit[:, 1] if fit.shape[1] == 2 else fit[:, 0]
        labels, real = chosen[:, 0], np.ones(len(fit), bool)
    if fit.shape[1] > 1:  # which of two comes first says nothing, and may always be the chosen one
        turned = np.random.default_rng(0).random(len(features)) < 0.5
        features, labels = np.where(turned[:, None], -features, features), np.where(turned, 1 - labels, labels)
    weight = data.weight[rows][place]
    # A split vote is both answers, each with its share.
    shares = np.concatenate([labels[real], 1 - labels[real]]).astype(float)
    kept = shares > 0
    twice = np.tile(np.flatnonzero(real), 2)[kept]
    answers = np.repeat([1, 0], real.sum())[kept]
    folds = GroupKFold(FOLDS).split(features[twice], groups=data.units[rows][place][twice])
    fitted = LogisticRegressionCV(
        Cs=10, cv=list(folds), scoring="neg_log_loss", fit_intercept=fit.shape[1] == 1, max_iter=1000
    ).fit(features[twice], answers, sample_weight=weight[twice] * shares[kept])
    if dev.shape[1] == data.k:
        return np.where(np.asarray(coded["dev"].available), dev @ fitted.coef_[0], -np.inf)
    log_odds = fitted.decision_function(dev[:, 0])
    return np.stack([log_odds, np.zeros_like(log_odds)], 1)


# Tables of one row for a unit -----------------------------------------------------------------------------------------


def accepted(features: np.ndarray, label: np.ndarray) -> Dataset:
    """Accept or reject; the group is that of a coin."""
    names = [f"x{i}" for i in range(features.shape[1])]
    frame = pd.DataFrame(features, columns=names).assign(
        row=[f"r{i}" for i in range(len(features))],
        accepted=label.astype(int),
        group=np.where(np.random.default_rng(0).random(len(features)) < 0.5, "a", "b"),
    )
    attributes = [{"name": "group", "levels": ["a", "b"]}]
    schema = {"unit": "row", "label": "accepted", "format": "accept", "numeric": names, "attributes": attributes}
    return faro.load(frame, faro.Schema.from_dict(schema))


def made(n: int, d: int, signals: int, seed: int) -> Dataset:
    """Normal features, of which so many count."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    taste = np.where(np.arange(d) < signals, rng.normal(size=d) / np.sqrt(signals), 0)
    return accepted(x, x @ taste * 1.5 + rng.logistic(size=n) > 0)


def of_sklearn(load: Callable, label: Callable) -> Callable[[], Dataset]:
    def table() -> Dataset:
        x, y = load(return_X_y=True)
        return accepted(x, label(y))

    return table


TABLES: dict[str, Callable[[], Dataset]] = {
    "cancer": of_sklearn(datasets.load_breast_cancer, lambda y: y == 1),
    "diabetes": of_sklearn(datasets.load_diabetes, lambda y: y > np.median(y)),
    "digits": of_sklearn(datasets.load_digits, lambda y: y % 2 == 1),
    "wine": of_sklearn(datasets.load_wine, lambda y: y == 1),
    "embedding": lambda: made(2000, 384, 384, 1),
    "sparse": lambda: made(800, 200, 10, 2),
}


if __name__ == "__main__":
    main()
