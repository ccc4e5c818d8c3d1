"""The certified envelope on real data: points, widest gap and seconds, and how far a planted worse head is above it.

Linear models with their default constraint, the train part of seed 0. *Loss - bound* is the widest difference between
the achieved loss of a sampled point and the lower bound there; *between* the widest sandwich anywhere between points.
*Planted* is the optimum at half the range shrunk by a fifth: its certified gap, beside its true one. *Below* counts
random heads, each at its own slack, whose loss is below the envelope. Ends with 1 if a data set misses the bar of 1e-4
at a point or between, or if any head is below.
"""

import argparse
import os
import sys
import time

import jax
import numpy as np

import faro
from faro import exact
from faro.data import NAMES
from faro.data.views import View
from faro.exact import of_run
from faro.exact.of_run import WIDTH
from faro.registry import make_constraint
from faro.training.ridge import UNCHOSEN

SETS = ("demo", "immigration", "swissmetro", "adult", "compas")
HEADS = 200


def problem(name: str, seed: int = 0) -> tuple[exact.Head, exact.Rows]:
    """Of a data set with its default constraint, as `faro envelope` poses it."""
    data = faro.load(name)
    asked = {key: data.defaults[key] for key in ("constraint", "attribute", "of", "within") if data.defaults.get(key)}
    constraint, view = make_constraint(data.attributes, **asked), View.of(data, seed)
    with jax.enable_x64(True):
        choices = data.choices(view.coding, view.rows["train"], **constraint.needs(), dtype=np.float64)
    head = exact.Head.of(choices, UNCHOSEN)
    return head, exact.rows_of(constraint, head)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=NAMES)
    parser.add_argument("--width", type=float, default=WIDTH)
    options = parser.parse_args()
    print(f"width {options.width:g} nats, ridge {UNCHOSEN:g}; CPUs {os.cpu_count()}, ", end="")
    print(f"load average {os.getloadavg()[0]:.1f}; seconds of the solves, with compilation")
    head_line = "data set        n   K    d   m points  loss - bound  between   planted (true)      below  seconds"
    print(head_line, flush=True)
    missed = False
    for name in options.sets:
        head, rows = problem(name)
        began = time.perf_counter()
        envelope = of_run.sample(head, rows, options.width)
        seconds = time.perf_counter() - began
        apart = max(point.loss - float(envelope.lower(point.bound)) for point in envelope.points)
        between = envelope.widest()[1]
        high = envelope.points[-1]
        good = exact.solve(head, rows, high.bound / 2, start=high.w)
        bad = 0.8 * good.w
        planted = head.loss(bad) - float(envelope.lower(good.bound))
        below = beaten(head, rows, envelope)
        n, k = head.choices.shape
        print(
            f"{name:<12} {n:>5} {k:>3} {head.d:>4} {len(rows.labels):>3} {len(envelope.points):>6}  {apart:>12.1e} "
            f"{between:>8.1e}  {planted:>8.5f} ({head.loss(bad) - good.loss:.5f})  {below:>3}/{HEADS} {seconds:>8.1f}",
            flush=True,
        )
        missed |= apart > WIDTH or between > max(WIDTH, options.width) or below > 0
    return int(missed)


def beaten(head: exact.Head, rows: exact.Rows, envelope: exact.Envelope) -> int:
    """How many random heads around the optima are below the envelope at their own slack."""
    rng, count = np.random.default_rng(0), 0
    for _ in range(HEADS):
        near = envelope.points[rng.integers(len(envelope.points))].w
        w = rng.choice([0.5, 0.9, 1.0]) * near + rng.choice([1e-4, 1e-2, 1.0]) * rng.normal(size=head.d)
        count += head.loss(w) < float(envelope.lower(rows.slack(w)))
    return count


if __name__ == "__main__":
    sys.exit(main())
