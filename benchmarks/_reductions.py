"""A script as people write it: fairlearn's reductions for several bounds and seeds, from a CSV file to a table.

`python benchmarks/_reductions.py {eg,grid} TABLE.csv SPLITS.json OUT.csv`; it imports nothing of faro, so that its
whole process can be held beside faro's. SPLITS.json says label, group, features and bounds, and of every seed the
rows of train and dev. GridSearch takes no bound: its best model within a bound on train answers it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from fairlearn.reductions import DemographicParity, ExponentiatedGradient, GridSearch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

RIDGE = 1e-4  # faro's default weight decay


def gap(accepted, group):
    rates = [accepted[group == level].mean() for level in np.unique(group)]
    return max(rates) - min(rates)


def main(method: str, table: str, splits: str, out: str) -> None:
    asked, frame = json.loads(Path(splits).read_text()), pd.read_csv(table, keep_default_na=False)
    rows = []
    for seed, parts in asked["seeds"].items():
        train, dev = (frame.iloc[parts[name]] for name in ("train", "dev"))
        coding = make_column_transformer(
            (StandardScaler(), asked["numeric"]), (OneHotEncoder(drop="first"), asked["categorical"])
        )
        x, new = np.asarray(coding.fit_transform(train)), np.asarray(coding.transform(dev))
        y, group = train[asked["label"]].to_numpy(), train[asked["group"]].to_numpy()
        base = LogisticRegression(C=1 / (RIDGE * len(y)), max_iter=1000)
        share = pd.Series(group).value_counts(normalize=True).max()  # of two groups the farther one is the smaller
        if method == "eg":
            models = []
            for bound in asked["bounds"]:
                learner = ExponentiatedGradient(base, DemographicParity(difference_bound=bound * share))
                learner.fit(x, y, sensitive_features=group)
                models.append((bound, learner._pmf_predict(x)[:, 1], learner._pmf_predict(new)[:, 1]))
        else:
            learner = GridSearch(base, DemographicParity(), grid_size=len(asked["bounds"]))
            learner.fit(x, y, sensitive_features=group)
            found = [(own.predict(x), own.predict(new)) for own in learner.predictors_]
            models = []
            for bound in asked["bounds"]:
                order = sorted(found, key=lambda own: (gap(own[0], group) > bound, -np.mean(own[0] == y)))
                models.append((bound, *order[0]))
        for bound, accepted, accepted_new in models:
            right = np.where(dev[asked["label"]] == 1, accepted_new, 1 - accepted_new).mean()
            new_gap = gap(accepted_new, dev[asked["group"]].to_numpy())
            rows.append({"bound": bound, "seed": seed, "train_gap": gap(accepted, group), "dev_gap": new_gap,
                         "dev_accuracy": right})  # fmt: skip
    pd.DataFrame(rows).to_csv(out, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
