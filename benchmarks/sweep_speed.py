"""How much cheaper a member of a sweep is than a model trained alone: seconds per member as a ratio, in one run.

The same data, settings and number of steps; compilation and the unconstrained start are timed apart. Prints one row
per size of the sweep: seconds per call of the compiled program, per member, and the ratio to a sweep of one.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import faro
from faro import models
from faro.data.views import View
from faro.registry import make_constraint
from faro.runtime import devices
from faro.sweep import Batched, stack
from faro.training import Data, Game, Settings, primal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--bounds", type=int, nargs="+", default=[1, 5, 20, 60])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    data = faro.load(options.data)
    constraint = make_constraint(data.attributes, **{k: data.defaults[k] for k in ("constraint", "attribute", "of")})
    view = View.of(data, 0)
    mesh = devices.mesh(1)  # all devices on the data axis
    parts = Data(*(data.choices(view.coding, view.rows[part]) for part in ("train", "selection")))
    own = devices.place(stack([parts], mesh.shape["data"]), devices.on(mesh, None, "data"))
    sweep = Batched.of(Game(models.Linear(), primal.suited(models.Linear(), Settings(), constraint, parts)), mesh)
    print(
        f"{data.name}: {own.train.weight.shape[1]:,} choices, {sweep.chunk} evaluations a call, {jax.default_backend()}"
    )
    print(
        f"{'members':>8} {'compile s':>10} {'call s (min median max)':>26} {'s per member':>13} {'ratio to alone':>15}"
    )
    alone = None
    for count in options.bounds:
        members = jax.vmap(constraint.at)(jnp.asarray(np.geomspace(0.01, 0.3, count), jnp.float32))
        *_, states = sweep.start(jnp.asarray([0]), constraint, jnp.zeros(count), own)
        began = time.perf_counter()
        jax.block_until_ready(sweep.advance(states, members, own))
        compiled = time.perf_counter() - began
        times = []
        for _ in range(options.repeats):
            began = time.perf_counter()
            jax.block_until_ready(sweep.advance(states, members, own))
            times.append(time.perf_counter() - began)
        middle = statistics.median(times)
        alone = alone or middle / count
        ratio = middle / count / alone
        spread = f"{min(times):.3f} {middle:.3f} {max(times):.3f}"
        print(f"{count:>8} {compiled - middle:>10.2f} {spread:>26} {middle / count:>13.4f} {ratio:>15.2f}")


if __name__ == "__main__":
    main()
