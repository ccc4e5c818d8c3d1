"""Which vectors stand for an answer to a prompt: loss of the unconstrained linear model with each of `--pairs`.

Two sets choose by their selection parts, another shows on dev people what the choice is worth. Faro's own unconstrained
model has seen selection, so here every model is fitted on train alone, by Newton's method in float64, with the ridge
that faro's folds choose on train. The default is the form of least mean selection nll of both choosing sets, if an
interval over units says that it is below that of the answer alone on both; else it is the answer alone.

A finished seed is a line of --lines; run it again to go on.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import faro
from benchmarks import _lines
from benchmarks.ridges import interval
from faro import models
from faro.data import Dataset
from faro.data.pair_features import FORMS
from faro.training import ridge

CHOOSE, SHOW = ("polarized-issues", "pandalm"), ("hh-harmless",)
STEPS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choose", nargs="*", default=CHOOSE, metavar="NAME", help="sets whose selection parts choose")
    parser.add_argument("--show", nargs="*", default=SHOW, metavar="NAME", help="sets that choose nothing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lines", type=Path, default=Path("out/pair_features.jsonl"), metavar="FILE")
    options = parser.parse_args()
    done = _lines.finished(options.lines, key)
    for name in (*options.choose, *options.show):
        for form in FORMS:
            wanted = [seed for seed in range(options.seeds) if (name, form, seed) not in done]
            data = faro.load(name, pairs=form).embed() if wanted else None
            for seed in wanted:
                record = {"set": name, "form": form, "seed": seed, **of_seed(data, seed)}
                _lines.add(options.lines, record)
                done[key(record)] = record
    records = [record for record in done.values() if record["seed"] < options.seeds]
    print(f"{'set':>18} {'features':>9} {'part':>10} {'n':>6} {'nll':>7} {'accuracy':>8}   nll - that of answer alone")
    differences = {
        (name, form): line(records, name, form, "selection" if name in options.choose else "dev")
        for name in (*options.choose, *options.show)
        for form in FORMS
    }
    print(f"default: {default(differences, options.choose)}")


def key(record: dict) -> tuple[str, str, int]:
    return record["set"], record["form"], record["seed"]


def of_seed(data: Dataset, seed: int) -> dict:
    """Loss and accuracy of every unit of selection and dev, of a model fitted on train."""
    rows = {part: data.rows(part, seed) for part in ("train", "selection", "dev")}
    coding = data.fit_coding(rows["train"])
    with jax.enable_x64(True):
        coded = {part: data.choices(coding, own, dtype=np.float64) for part, own in rows.items()}
        decay = by_folds(coded["train"], data.units[rows["train"]])
    weight = fitted(*differences_of(coded["train"]), decay)
    found = {"decay": decay}
    for part in ("selection", "dev"):
        apart, share, _ = differences_of(coded[part])
        ahead = apart @ weight
        table = pd.DataFrame({"unit": data.units[rows[part]], "nll": np.logaddexp(0, ahead) - share * ahead})
        table["right"] = np.where(ahead > 0, share, 1 - share)
        means, counts = table.groupby("unit").mean(), table.groupby("unit").size()
        found[part] = {"units": means.index.tolist(), "n": counts.tolist()}
        found[part] |= {name: means[name].round(6).tolist() for name in means}
    return found


def by_folds(choices, units: np.ndarray) -> float:
    """The ridge that faro's folds choose on these choices."""
    folds = ridge.fold_rows(units, np.asarray(choices.items).shape[-1]).ravel()
    sample = choices.take(np.maximum(folds, 0))
    sample = sample.replace(weight=np.where(folds >= 0, np.asarray(sample.weight), 0))
    scale = len(units) / np.count_nonzero(folds >= 0)
    return float(ridge.chosen(models.Linear(), sample, ridge.PATH, (1.0,), scale).decay)


def differences_of(choices) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first less second `[n, d]`, share that chose the first `[n]`, weight `[n]` of sum 1) of pairs."""
    items = np.asarray(choices.items)
    weight = np.asarray(choices.weight)
    return items[:, 0] - items[:, 1], np.asarray(choices.chosen)[:, 0], weight / weight.sum()


def fitted(apart: np.ndarray, share: np.ndarray, weight: np.ndarray, decay: float) -> np.ndarray:
    """The optimum `[d]` of the mean loss with a ridge, by damped Newton steps."""

    def loss(w: np.ndarray) -> float:
        ahead = apart @ w
        return float(weight @ (np.logaddexp(0, ahead) - share * ahead) + decay / 2 * w @ w)

    w = np.zeros(apart.shape[1])
    for _ in range(STEPS):
        odds = 1 / (1 + np.exp(-apart @ w))
        slope = apart.T @ (weight * (odds - share)) + decay * w
        curvature = (apart * (weight * odds * (1 - odds))[:, None]).T @ apart + decay * np.eye(len(w))
        move, length = np.linalg.solve(curvature, slope), 1.0
        while loss(w - length * move) > loss(w) and length > 1e-3:
            length /= 2
        w -= length * move
        if slope @ move < 1e-10:
            break
    return w


def line(records: list[dict], name: str, form: str, part: str) -> tuple[float, float, float]:
    """Print a form on a part of a set; its nll less that of the answer alone, with a 95 % interval over units."""
    own, alone = (table(records, name, which, part) for which in (form, FORMS[0]))
    apart = interval(own["nll"] - alone["nll"], own.index.get_level_values("unit").to_series(index=own.index))
    means = own.groupby("seed").apply(lambda seed: np.average(seed[["nll", "right"]], axis=0, weights=seed["n"]))
    nll, right = np.mean(means.tolist(), 0)
    count = int(own["n"].groupby("seed").sum().mean())
    said = "" if form == FORMS[0] else f"{apart[0]:+.4f} ({apart[1]:+.4f} {apart[2]:+.4f})"
    print(f"{name:>18} {form:>9} {part:>10} {count:6d} {nll:7.4f} {right:8.4f}   {said}", flush=True)
    return apart


def table(records: list[dict], name: str, form: str, part: str) -> pd.DataFrame:
    """Loss and accuracy of every unit, by seed and unit."""
    tables = [
        pd.DataFrame(record[part]).rename(columns={"units": "unit"}).assign(seed=record["seed"])
        for record in records
        if (record["set"], record["form"]) == (name, form)
    ]
    return pd.concat(tables).set_index(["seed", "unit"]).sort_index()


def default(differences: dict[tuple[str, str], tuple[float, float, float]], choose: list[str]) -> str:
    """The form that the choosing sets ask for."""
    better = [form for form in FORMS[1:] if choose and all(differences[name, form][2] < 0 for name in choose)]
    return min(better, key=lambda form: np.mean([differences[name, form][0] for name in choose]), default=FORMS[0])


if __name__ == "__main__":
    main()
