"""One configuration on every data set: who is FEASIBLE, recomputed from scores, and accuracy beside fairlearn.

For each data set and notion, a sweep by the defaults. Columns:

    feasible    share of the members under a bound that are FEASIBLE                                    bar: >= 0.95
    over        FEASIBLE members whose train gap exceeds the bound when pandas recomputes it from
                `model.score`, which knows no constraint                                                bar: 0
    apart       largest difference between that gap and the one in the table
    chance      share of members whose selection gap exceeds bound + the 95 % quantile of the gap that
                their decisions have at exact parity (groups permuted)                                  bar: <= 0.10
    nan         figures that are not a number                                                           bar: 0

Groups are permuted among units where the attribute is a chooser's, else among alternatives; for equalized odds only
within equal labels; for counterfactual parity the levels are permuted within each alternative. With fairlearn:
ExponentiatedGradient on the same features and split; faro's dev accuracy, interpolated at fairlearn's train gap, minus
fairlearn's (bar: not below -0.01). Randomised models count their expected decisions. Ends with 1 if a bar is missed.
"""

import argparse
import sys
import time
import warnings

import numpy as np
import pandas as pd

import faro
from faro import sweep
from faro.data import Dataset
from faro.data.views import View
from faro.registry import make_constraint
from faro.store.frontier import Frontier
from faro.store.model import TrainedModel
from faro.training.settings import Settings, assigned

TRAIN = ("train", "dual")
PERMUTATIONS = 200
SWISSMETRO = ("mode", "Swissmetro")
CASES = {  # data set -> notion -> (attribute, kind of alternative)
    "demo": {"demographic_parity": ("dialect", None), "equalized_odds": ("dialect", None)},
    "immigration": {
        "demographic_parity": ("CountryOfOrigin", None),
        "equalized_odds": ("CountryOfOrigin", None),
        "counterfactual_parity": ("Gender", None),
    },
    "swissmetro": {
        "demographic_parity": ("gender", SWISSMETRO),
        "equalized_odds": ("gender", SWISSMETRO),
        "counterfactual_parity": ("gender", SWISSMETRO),
    },
    "adult": {"demographic_parity": ("sex", None), "equalized_odds": ("sex", None)},
    "compas": {"demographic_parity": ("race", None), "equalized_odds": ("race", None)},
}  # counterfactual parity: only where the attribute is a feature, so that it can be exchanged
FAIRLEARN = ("adult", "compas")


# Gaps by pandas, from scored tables ------------------------------------------------------------------------------


class Recount:
    """The gap of a saved model from its scored table alone, and how large it is by chance at exact parity."""

    def __init__(self, data: Dataset, notion: str, attribute: str, of: tuple[str, str] | None):
        self.data, self.notion, self.attribute, self.of = data, notion, attribute, of
        spec = data.schema.attribute(attribute)
        self.levels, self.chooser = spec.levels, spec.chooser
        self.twins = self._exchanged(spec.column) if notion == "counterfactual_parity" else {}

    def _exchanged(self, column: str) -> dict:
        """(level, alternative or None) -> the data with the attribute of that alternative, or chooser, set to level."""
        frame, schema = self.data.frame, self.data.schema
        names = [None] if self.chooser else sorted(frame[schema.alternative].unique())
        made = {}
        for level in self.levels:
            for name in names:
                here = np.ones(len(frame), bool) if name is None else (frame[schema.alternative] == name).to_numpy()
                table = frame.assign(**{column: frame[column].mask(here, level)})
                made[level, name] = Dataset.from_table(table, schema)
        return made

    def rows(self, model: TrainedModel) -> pd.DataFrame:
        """The alternatives that count, with `decision`, or a column of decisions per level for exchanged attributes."""
        scored = model.score(self.data, expected=True)
        for level in self.levels if self.twins else ():
            column = pd.Series(np.nan, scored.index)
            for (own, name), twin in self.twins.items():
                if own == level:
                    here = scored["alternative"].astype(str) == str(name) if name is not None else scored.index >= 0
                    column = column.mask(here, model.score(twin, expected=True)["decision"])
            scored[f":={level}"] = column
        counted = scored[self.attribute] != ""
        if self.of is not None:
            counted &= scored[self.of[0]] == self.of[1]
        return scored[counted]

    def gap(self, rows: pd.DataFrame) -> float:
        """max - min of the rates, the larger of the two among chosen and rejected for equalized odds."""
        if self.twins:
            rates = [np.average(rows[f":={level}"], weights=rows["weight"]) for level in self.levels]
            return max(rates) - min(rates)
        return max(_spread(rows[self.attribute].to_numpy(), rows["decision"], weight) for weight in self._events(rows))

    def _events(self, rows: pd.DataFrame) -> list[np.ndarray]:
        weight, label = rows["weight"].to_numpy(), rows["label"].to_numpy()
        return [weight * label, weight * (1 - label)] if self.notion == "equalized_odds" else [weight]

    def by_chance(self, rows: pd.DataFrame, rng: np.random.Generator) -> float:
        """95 % quantile of the gap of these decisions when group (or level) is exchangeable."""
        found = []
        if self.twins:
            table = rows[[f":={level}" for level in self.levels]].to_numpy()
            weight = rows["weight"].to_numpy()
            for _ in range(PERMUTATIONS):
                rates = np.average(rng.permuted(table, axis=1), axis=0, weights=weight)
                found.append(rates.max() - rates.min())
            return float(np.quantile(found, 0.95))
        decision, events = rows["decision"].to_numpy(), self._events(rows)
        keys = rows["unit"] if self.chooser else pd.Series(np.arange(len(rows)), rows.index)
        unit, first = np.unique(keys, return_index=True)
        place = np.searchsorted(unit, keys)
        group = rows[self.attribute].to_numpy()[first]
        label = np.bincount(place, rows["label"]) / np.bincount(place)
        stratum = np.round(10 * label) if self.notion == "equalized_odds" else np.zeros(len(unit))
        order = np.argsort(stratum, kind="stable")  # units of a stratum side by side
        for _ in range(PERMUTATIONS):
            shuffled = np.empty_like(group)
            shuffled[order] = group[np.lexsort((rng.random(len(unit)), stratum))]
            found.append(max(_spread(shuffled[place], decision, weight) for weight in events))
        return float(np.quantile(found, 0.95))


def _spread(group: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> float:
    table = pd.DataFrame({"group": group, "chosen": weight * np.asarray(decision), "weight": weight})
    sums = table.groupby("group")[["chosen", "weight"]].sum()
    rates = (sums["chosen"] / sums["weight"])[sums["weight"] > 0]
    return float(rates.max() - rates.min())


# The sweeps ------------------------------------------------------------------------------------------------------


def measure(name: str, notion: str, options: argparse.Namespace) -> tuple[Frontier, dict]:
    """A sweep by the defaults, and its line of the table."""
    data = faro.load(name)
    attribute, of = CASES[name][notion]
    constraint = make_constraint(data.attributes, notion, attribute, of=of)
    began = time.perf_counter()
    run = sweep.frontier(data, constraint, bounds=options.bounds, seeds=options.seeds, settings=options.settings)
    seconds = time.perf_counter() - began
    recount, rng = Recount(data, notion, attribute, of), np.random.default_rng(0)
    over, apart, chance = 0, 0.0, []
    for row, model in zip(run.table.to_dict("records"), run.models, strict=True):
        if np.isinf(row["bound"]):
            continue
        rows = recount.rows(model)
        gap = recount.gap(rows[rows["part"].isin(TRAIN)])
        apart = max(apart, abs(gap - row["train_gap"]))
        over += row["status"] == "FEASIBLE" and gap > row["bound"]
        selection = rows[rows["part"] == "selection"]
        chance.append(row["selection_gap"] > row["bound"] + recount.by_chance(selection, rng))
    members = run.table[np.isfinite(run.table["bound"])]
    numbers = members.filter(regex="_(accuracy|nll|ece|gap)$")
    line = {
        "members": len(members),
        "feasible": (members["status"] == "FEASIBLE").mean(),
        "over": over,
        "apart": apart,
        "chance": np.mean(chance),
        "nan": int((~np.isfinite(numbers)).sum().sum()),
        "seconds": seconds,
    }
    return run, line


def missed(line: dict) -> bool:
    """Whether a line misses a bar."""
    return line["feasible"] < 0.95 or line["over"] > 0 or line["chance"] > 0.1 or line["nan"] > 0


# Beside fairlearn ------------------------------------------------------------------------------------------------


def beside_fairlearn(name: str, notion: str, run: Frontier, seed: int, bounds: list[float]) -> list[dict]:
    """At each bound: fairlearn's train gap and dev accuracy, in expectation over its draws, and faro's at that gap."""
    from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient
    from sklearn.linear_model import LogisticRegression

    data = faro.load(name)
    attribute, _ = CASES[name][notion]
    view = View.of(data, seed)
    own = run.table[(run.table["seed"] == seed) & (run.table["status"] == "FEASIBLE")].sort_values("train_gap")

    def part(which: str):
        choices, rows = data.choices(view.coding, view.rows[which]), view.rows[which]
        inside = np.asarray(data.parsed.inside[rows]).argmax(1)
        at = np.arange(len(rows))
        code = np.asarray(choices.attributes[attribute])[at, inside]
        return np.asarray(choices.items)[at, inside], np.asarray(choices.chosen)[at, inside].astype(int), code

    x, y, group = part("train")
    counted = group >= 0  # fairlearn has no "excluded from the groups": such people are one more group
    dev_x, dev_y, _ = part("dev")
    moment = {"demographic_parity": DemographicParity, "equalized_odds": EqualizedOdds}[notion]
    ridge = run.manifest["ridge"]["seeds"][str(seed)]["weight_decay"]
    found = []
    for bound in bounds:
        learner = ExponentiatedGradient(
            LogisticRegression(C=1 / (ridge * counted.sum()), max_iter=1000),
            moment(difference_bound=bound),
            eps=bound / 2,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            learner.fit(x[counted], y[counted], sensitive_features=group[counted])
            accepted, dev = (learner._pmf_predict(features)[:, 1] for features in (x[counted], dev_x))
        labels = y[counted]
        events = [labels, 1 - labels] if notion == "equalized_odds" else [np.ones(len(labels))]
        gap = max(_spread(group[counted], accepted, weight.astype(float)) for weight in events)
        theirs = float(np.mean(dev * dev_y + (1 - dev) * (1 - dev_y)))
        ours = float(np.interp(gap, own["train_gap"], own["dev_accuracy"]))
        found.append({"bound": bound, "gap": gap, "theirs": theirs, "difference": ours - theirs})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--notions", nargs="+", default=sorted({own for case in CASES.values() for own in case}))
    parser.add_argument("--bounds", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings other than the defaults")
    parser.add_argument("--fairlearn", type=float, nargs="*", default=[0.02, 0.05, 0.1], metavar="BOUND")
    options = parser.parse_args()
    options.settings = Settings.of(assigned(options.set))
    bad, infeasible, beside = False, [], []
    print(f"{options.bounds} bounds x {options.seeds} seeds")
    print("| data | constraint | trials | feasible | over | apart | chance | nan | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.data:
        for notion in [own for own in CASES[name] if own in options.notions]:
            run, line = measure(name, notion, options)
            bad |= missed(line)
            title = run.table["constraint"].iloc[0]
            counts = f"{line['members']} | {line['feasible']:.2f} | {line['over']} | {line['apart']:.0e}"
            print(
                f"| {name} | {title} | {counts} | {line['chance']:.2f} | {line['nan']} | {line['seconds']:.0f} |",
                flush=True,
            )
            failed = run.table[np.isfinite(run.table["bound"]) & (run.table["status"] != "FEASIBLE")]
            infeasible += [(name, notion, row) for row in failed.to_dict("records")]
            if name in FAIRLEARN and options.fairlearn:
                for seed in range(options.seeds):
                    found = beside_fairlearn(name, notion, run, seed, options.fairlearn)
                    beside += [{"data": name, "notion": notion, "seed": seed, **point} for point in found]
    print("counterfactual parity is not defined on demo, adult and compas: the attribute is no feature of the model")
    for name, notion, row in infeasible:
        reached = f"train gap {row['train_gap']:.4f}, smallest of any evaluation {row['smallest_train_gap']:.4f}"
        print(f"{row['status']}: {name} {notion} bound {row['bound']:g} seed {row['seed']}: {reached}")
    if beside:
        print("\n| data | constraint | fairlearn's bound | its train gap | its dev accuracy | faro - fairlearn |")
        print("|---|---|---|---|---|---|")
        for (name, notion, bound), own in pd.DataFrame(beside).groupby(["data", "notion", "bound"]):
            spread = (
                f"{own['difference'].mean():+.4f} ({own['difference'].min():+.4f} to {own['difference'].max():+.4f})"
            )
            print(
                f"| {name} | {notion} | {bound:g} | {own['gap'].mean():.4f} | {own['theirs'].mean():.4f} | {spread} |"
            )
            bad |= own["difference"].mean() < -0.01
    print("bars:", "MISSED" if bad else "met")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
