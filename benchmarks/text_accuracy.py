"""How well texts foretell choices of new units: the default model on sets of text, beside length, a constant, a logit.

The unconstrained linear model on the encoder's vectors, with the ridge that the data choose, and a cross-validated
logit of scikit-learn on the same rows and vectors (`python -m benchmarks ridges` has its settings), both on the same
dev units. Accuracies are means over seeds and 95 % intervals over them; differences have 95 % intervals over units (a
unit's are averaged over the seeds that have it in dev). Bars: the mean difference of nll is at most .005, its upper end
at most .01.

`python -m benchmarks text_accuracy -- --out out/text_accuracy` goes on where it was stopped, a line for each set.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pandas as pd

import faro
from faro.evaluate.subsets import scored_by

from . import _lines, ridges
from .text_fairness import interval

SETS = {"polarized-issues": "topic", "hh-harmless": "chosen_answer_length", "pandalm": "votes", "bbq": "category"}
BARS = (0.005, 0.01)  # nats, of the mean and of its upper end
FIGURES = ("accuracy", "length", "constant", "nll")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(SETS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("out/text_accuracy"))
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, about its next release
    path = options.out / "sets.jsonl"
    finished = _lines.finished(path, lambda record: (record["set"], record["seeds"]))
    rows = []
    for name in options.data:
        if (name, options.seeds) not in finished:
            _lines.add(path, finished.setdefault((name, options.seeds), line(name, options.seeds)))
        rows.append(finished[name, options.seeds])
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(f"\n| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    print("\n".join(f"| {' | '.join(map(str, row.values()))} |" for row in rows))


def line(name: str, seeds: int) -> dict[str, str | int]:
    """A set's figures."""
    data = faro.load(name)
    models = ridges.unconstrained(data, seeds, {})
    of_seeds = pd.DataFrame([scored_by(model, data, SETS[name], "dev").iloc[-1] for model in models])
    rows = pd.concat([ridges.of_seed(data, {"chosen": models[seed]}, seed) for seed in range(seeds)])
    mean, low, high = ridges.interval(rows["chosen"] - rows["logit"], rows["unit"])
    right = ridges.interval(rows["chosen right"] - rows["logit right"], rows["unit"])
    return {
        "set": name, "seeds": seeds, "choices": data.n, "units": len(set(data.units)),
        **{figure: interval(of_seeds[figure]) for figure in FIGURES},
        "nll - logit's": f"{mean:+.4f} ({low:+.4f} to {high:+.4f})",
        "bar": "met" if mean <= BARS[0] and high <= BARS[1] else "NOT MET",
        "accuracy - logit's": f"{right[0]:+.4f} ({right[1]:+.4f} to {right[2]:+.4f})",
    }  # fmt: skip


if __name__ == "__main__":
    main()
