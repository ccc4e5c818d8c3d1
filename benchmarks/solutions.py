"""What a game returns, side by side: its best candidate, its last iterate, all of them, or a mixture.

And whose data the dual player looks at: train, or a part of its own.

Every line of a data set and dual player is of the same games, demographic parity, judged as `faro frontier` judges. The
bounds are the default grid's. Means over bounds and seeds, with the smallest and largest mean over seeds:

    feasible    share whose (expected) gap is within the bound, on the part that the dual player looks at
    loss        train loss, in nats
    filled      that gap over the bound: 1 = all of it, above 1 = over it
    dev         accuracy and gap on people who chose nothing
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import constraints as ct
import faro
from faro import models, sweep
from faro.data.views import BOUNDED_PART, View
from faro.evaluate.trials import Evaluator
from faro.runtime import devices
from faro.sweep.grid import default_bounds
from faro.training import Data, Game, primal
from faro.training.returned import choose
from faro.training.settings import CHOICES, Settings, assigned


def play(data, constraint, views, count, settings):
    """Constraints of the grid, `Best` and `EvaluationRecord` of all trials, the unconstrained first, as in a sweep."""

    def parts(view, dtype):
        names = [name for name in Data._fields if name in view.rows]
        return Data(*(data.choices(view.coding, view.rows[name], dtype=dtype) for name in names))

    own = sweep.stack([parts(view, np.float32) for view in views])
    with jax.enable_x64(True):
        exactly = [parts(view, np.float64) for view in views]
    settings = primal.suited(models.Linear(), settings, constraint, parts(views[0], np.float32))
    program = sweep.Batched.of(Game(models.Linear(), settings), devices.mesh(count))
    best, looks, states = program.start(jnp.asarray([view.seed for view in views]), constraint, jnp.zeros(count), own)
    grid = [constraint.at(bound) for bound in default_bounds(float(np.mean(best.gap)), count)]
    lanes = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf, float) for leaf in leaves]), *grid)
    seen = []
    for _ in range(program.chunks):
        states, look = program.advance(states, lanes, own)
        seen.append(look)
    look = jax.tree.map(lambda *leaves: np.concatenate(leaves, 2), *seen)
    first = jax.tree.map(lambda leaf: np.asarray(leaf)[:, None], (jax.tree.map(np.asarray, best), looks))
    rest = (states.best, look._replace(params=None))
    best, trace = jax.tree.map(lambda a, b: np.concatenate([a, np.asarray(b)], 1), first, rest)
    return grid, best, trace._replace(params=look.params), exactly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["immigration", "compas", "adult"])
    parser.add_argument("--dual-data", nargs="+", default=list(CHOICES["dual_data"]), choices=CHOICES["dual_data"])
    parser.add_argument("--bounds", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings other than the defaults")
    options = parser.parse_args()
    changed = assigned(options.set)
    print(f"{options.bounds} bounds x {options.seeds} seeds")
    print("| data | dual player's data | solution | feasible | loss | filled | dev accuracy | dev gap |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.data:
        data = faro.load(name)
        constraint = ct.demographic_parity(data.attributes[data.defaults["attribute"]])
        for dual_data in options.dual_data:
            settings = Settings.of({**changed, "dual_data": dual_data, "solution": "mixture"})
            views = [View.of(data, seed, dual_data) for seed in range(options.seeds)]
            grid, best, trace, exactly = play(data, constraint, views, options.bounds, settings)
            for solution in CHOICES["solution"]:
                settings = Settings.of({**changed, "dual_data": dual_data, "solution": solution})
                chosen = choose(models.Linear(), grid, settings, exactly, best, trace.params)
                everyone = [constraint.at(np.inf), *grid]
                evaluator = Evaluator(data, constraint, models.Linear(), settings, views)
                run = evaluator.frontier(everyone, best, chosen, trace)
                table = run.table[np.isfinite(run.table["bound"])]
                part = BOUNDED_PART[dual_data]
                table = table.assign(filled=table[f"{part}_gap"] / table["bound"], ok=table["status"] == "FEASIBLE")
                columns = ["train_nll", "filled", "dev_accuracy", "dev_gap"]
                seeds = table.groupby("seed")[columns].mean()
                spread = [f"{seeds[c].mean():.4f} ({seeds[c].min():.4f}-{seeds[c].max():.4f})" for c in columns]
                print(
                    f"| {name} | {dual_data} | {solution} | {table['ok'].mean():.2f} | " + " | ".join(spread) + " |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
