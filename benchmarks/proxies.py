"""What each proxy and row form reaches: hard train gap and accuracy against the bound that was asked.

For every data set: centred rows with the temperature of the soft decisions held or annealed, then the other row forms
at the default. The share of FEASIBLE members, how much of the bound the train gap fills (1 = all of it, above 1 =
violated), train loss and dev accuracy; means over bounds and seeds, with the smallest and largest mean over seeds.
"""

import argparse

import numpy as np
import pandas as pd

import constraints as ct
import faro
from faro import sweep
from faro.training.settings import CHOICES, Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["immigration", "compas", "adult"])
    parser.add_argument("--bounds", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--primal", choices=CHOICES["primal"], help="default: what suits the data set")
    options = parser.parse_args()
    usual = Settings().filled(options.primal or "sqp")
    default = (usual.temperature_start, usual.temperature)
    held = [("centred", (t, t)) for t in (1.0, 0.2, 0.05)]
    annealed = [("centred", (1.0, end)) for end in (0.7, 0.2, 0.1, 0.05, 0.02, 0.01)]
    forms = [(form, default) for form in ("anchored", "pairwise")]
    print(f"{'data':>12} {'form':>9} {'temperature':>12} {'feasible':>8} {'filled':>6} {'loss':>24} {'accuracy':>24}")
    for name in options.data:
        data = faro.load(name)
        attribute = data.attributes[data.defaults["attribute"]]
        for form, (start, end) in held + annealed + forms:
            run = sweep.frontier(
                data,
                ct.demographic_parity(attribute, form=form),
                bounds=options.bounds,
                seeds=options.seeds,
                settings=Settings(primal=options.primal, temperature_start=start, temperature=end),
            )
            members = run.table[np.isfinite(run.table["bound"])]
            print(
                f"{name:>12} {form:>9} {f'{start:g} to {end:g}':>12} {(members['status'] == 'FEASIBLE').mean():>8.2f} "
                f"{(members['train_gap'] / members['bound']).mean():>6.3f} "
                f"{spread(members, 'train_nll')} {spread(members, 'dev_accuracy')}",
                flush=True,
            )


def spread(members: pd.DataFrame, figure: str) -> str:
    """Mean over bounds and seeds, and the smallest and largest mean over bounds of a seed."""
    means = members.groupby("seed")[figure].mean()
    return f"{means.mean():.4f} ({means.min():.4f}-{means.max():.4f})".rjust(24)


if __name__ == "__main__":
    main()
