"""Memory of a rate constraint's value and gradient above the data: linear in n, never a one-hot table.

What the compiled program reserves for temporaries and results (XLA's own accounting), for n choices among K
alternatives with C cells: of the proxy's value and gradient, beside the same with a one-hot membership table.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

import constraints as ct


def mebibytes(compiled) -> float:
    sizes = compiled.memory_analysis()
    return (sizes.temp_size_in_bytes + sizes.output_size_in_bytes) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choices", type=int, nargs="+", default=[250_000, 500_000, 1_000_000])
    parser.add_argument("--alternatives", type=int, default=4)
    parser.add_argument("--cells", type=int, default=50)
    options = parser.parse_args()
    k, cells = options.alternatives, options.cells
    attribute = ct.Attribute("group", tuple(f"g{i}" for i in range(cells)))
    constraint = ct.demographic_parity(attribute)
    print(f"K = {k}, {cells} cells; MiB above the data")
    print(f"{'n':>10} {'segment sums':>13} {'bytes per alternative':>22} {'one-hot':>9} {'seconds':>8}")
    for n in options.choices:
        rng = np.random.default_rng(0)
        group = jnp.asarray(rng.integers(0, cells, (n, k)), jnp.int32)
        choices = ct.make_choices(jnp.zeros((n, k, 1)), rng.integers(0, k, n), attributes={"group": group})
        rows = constraint.prepare(choices)
        masses = constraint.masses(rows)
        rewards = jnp.asarray(rng.normal(size=(n, k)), jnp.float32)

        def proxy(rewards, choices, rows, masses):
            outcome = ct.decide(ct.Softmax(temperature=1.0), rewards, choices)
            return constraint.combine(ct.Statistics(constraint.sums(outcome, rows), masses)).max()

        def one_hot(rewards, choices, rows, masses):
            decisions = ct.decide(ct.Softmax(temperature=1.0), rewards, choices).decisions
            table = jax.nn.one_hot(rows.cell[..., 0], cells) * rows.share
            return constraint.combine(ct.Statistics(jnp.einsum("nkc,nk->c", table, decisions), masses)).max()

        used = []
        for function in (proxy, one_hot):
            compiled = jax.jit(jax.value_and_grad(function)).lower(rewards, choices, rows, masses).compile()
            used.append((mebibytes(compiled), compiled))
        jax.block_until_ready(used[0][1](rewards, choices, rows, masses))
        began = time.perf_counter()
        jax.block_until_ready(used[0][1](rewards, choices, rows, masses))
        seconds = time.perf_counter() - began
        print(f"{n:>10,} {used[0][0]:>13.1f} {used[0][0] * 2**20 / n / k:>22.1f} {used[1][0]:>9.1f} {seconds:>8.3f}")


if __name__ == "__main__":
    main()
