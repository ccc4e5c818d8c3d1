"""What each proxy and row form reaches: hard train gap and accuracy against the bound that was asked.

For every data set, row form (centred, anchored, pairwise) and temperature of the soft decisions: the share of FEASIBLE
members, how much of the bound the train gap fills (1 = all of it, above 1 = violated), and dev accuracy; means over
bounds and seeds, with the smallest and largest mean over seeds.
"""

import argparse
import itertools

import numpy as np

import constraints as ct
import faro
from faro import sweep
from faro.training import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["immigration", "compas", "adult"])
    parser.add_argument("--forms", nargs="+", default=["centred", "anchored", "pairwise"])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.5, 0.2])
    parser.add_argument("--bounds", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    print(f"{'data':>12} {'form':>9} {'temperature':>11} {'feasible':>8} {'gap / bound':>11} {'dev accuracy':>22}")
    for name in options.data:
        data = faro.load(name)
        attribute = data.attributes[data.defaults["attribute"]]
        for form, temperature in itertools.product(options.forms, options.temperatures):
            run = sweep.frontier(
                data,
                ct.demographic_parity(attribute, form=form),
                bounds=options.bounds,
                seeds=options.seeds,
                settings=Settings(temperature=temperature),
            )
            members = run.table[np.isfinite(run.table["bound"])]
            accuracy = members.groupby("seed")["dev_accuracy"].mean()
            print(
                f"{name:>12} {form:>9} {temperature:>11g} {(members['status'] == 'FEASIBLE').mean():>8.2f} "
                f"{(members['train_gap'] / members['bound']).mean():>11.3f} "
                f"{accuracy.mean():>8.4f} ({accuracy.min():.4f}-{accuracy.max():.4f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
