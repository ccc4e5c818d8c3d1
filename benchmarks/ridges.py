"""What choosing the ridge is worth: dev nll of the unconstrained model with the ridge fixed, and chosen by the data.

Beside them a cross-validated logit of scikit-learn, given the same rows (train and selection), features and coding,
with folds by unit and an intercept that is not punished, scored on the same dev people. It is for two alternatives: of
more the column says nan. Means over seeds, and the smallest and largest difference of a seed.
"""

import argparse
import warnings

import jax
import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GroupKFold

import faro
from faro import models
from faro.data import Dataset
from faro.data.views import View
from faro.store.model import TrainedModel

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["demo", "immigration", "compas", "swissmetro", "adult"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, about its next release
    heads = [f"{'data':>12}", *(f"{head:>7}" for head in ("fixed", "chosen", "logit"))]
    print(*heads, *(f"{f'chosen - {other}':>24}" for other in ("fixed", "logit")), " weight decay")
    for name in options.data:
        data, seeds = faro.load(name), range(options.seeds)
        fixed, chosen = (
            faro.frontier(data, bounds=[1.0], seeds=options.seeds, settings={"steps": 2, "ridge": ridge})
            for ridge in ("fixed", "chosen")
        )
        usual, ours = (run.table["dev_nll"].to_numpy()[: options.seeds] for run in (fixed, chosen))
        logit = np.array([by_folds(data, chosen.models[seed], seed) for seed in seeds])
        decays = [f"{model.about['ridge']['weight_decay']:.2g}" for model in chosen.models[: options.seeds]]
        means = [f"{losses.mean():7.4f}" for losses in (usual, ours, logit)]
        print(f"{name:>12}", *means, spread(ours - usual), spread(ours - logit), "", ", ".join(decays), flush=True)


def by_folds(data: Dataset, trained: TrainedModel, seed: int) -> float:
    """Dev nll of the cross-validated logit; NaN for more than two alternatives."""
    if data.k > 2:
        return float("nan")
    view = View.of(data, seed)
    parts = {"fit": np.concatenate([view.rows["train"], view.rows["selection"]]), "dev": view.rows["dev"]}
    features, labels = {}, {}
    for part, rows in parts.items():
        with jax.enable_x64(True):
            choices = models.Linear().prepare(data.choices(trained.coding, rows, dtype=np.float64))
        items = np.asarray(choices.items)
        features[part] = items[:, 0] - items[:, 1] if items.shape[1] == 2 else items[:, 0]
        labels[part] = np.asarray(choices.chosen)[:, 0] > 0.5
    folds = GroupKFold(FOLDS).split(features["fit"], groups=data.units[parts["fit"]])
    fitted = LogisticRegressionCV(
        Cs=10, cv=list(folds), scoring="neg_log_loss", fit_intercept=items.shape[1] == 1, max_iter=1000
    ).fit(features["fit"], labels["fit"], sample_weight=data.weight[parts["fit"]])
    log_odds = fitted.decision_function(features["dev"])
    losses = np.logaddexp(0, np.where(labels["dev"], -log_odds, log_odds))
    return float(np.average(losses, weights=data.weight[parts["dev"]]))


def spread(differences: np.ndarray) -> str:
    """Mean over seeds, and the smallest and largest."""
    return f"{differences.mean():+.4f} ({differences.min():+.4f} {differences.max():+.4f})".rjust(24)


if __name__ == "__main__":
    main()
