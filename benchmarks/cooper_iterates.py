"""The same iterates as cooper 1.0 (PyTorch): same optimiser, same dual update, on a convex quadratic program, in x64.

Minimise x.P x / 2 + q.x with 8 variables, 4 inequalities and 2 equalities. For every pair of players: the largest
difference of parameters and of multipliers over all steps, and how long a step takes in cooper as a multiple of faro
(the median of alternating runs, compiling apart). On a problem this small that is overhead, and no claim about others.

nuPI starts from a smoothed violation of zero, `nuPIInitType.ZEROS`. cooper's default, SGD, is documented to start from
the first violation, as faro does, but version 1.0.1 forgets it again after the first step, so its iterates differ.
Needs `pip install 'faro-fairness[bench]'`.
"""

import argparse
import itertools
import time

import cooper
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from cooper.optim import nuPI, nuPIInitType

from faro.lagrangian import Lagrangian, NuPIState, ascent, nupi, optimistic, problem

N, INEQUALITIES, EQUALITIES = 8, 4, 2
FORMULATION = {"Lagrangian": 0.0, "augmented": 1.0}  # the penalty
PRIMAL = {
    "sgd": (optax.sgd(0.02), lambda x: torch.optim.SGD(x, lr=0.02)),
    "adam": (optax.adam(0.01), lambda x: torch.optim.Adam(x, lr=0.01)),
}


def zeros(x: list, **settings: float) -> nuPI:
    """cooper's nuPI, starting from a smoothed violation of zero."""
    return nuPI(x, lr=0.05, Ki=1.0, init_type=nuPIInitType.ZEROS, maximize=True, **settings)


DUAL = {
    "ascent": (ascent(0.05), lambda x: torch.optim.SGD(x, lr=0.05, maximize=True)),
    "nuPI": (nupi(0.05, 0.5), lambda x: zeros(x, Kp=10.0)),
    "nuPI, smoothed": (nupi(0.05, 0.5, 0.9), lambda x: zeros(x, Kp=10.0, ema_nu=0.9)),
    "optimistic": (optimistic(0.05), lambda x: zeros(x, Kp=1.0)),
}


def quadratic(seed: int) -> tuple[np.ndarray, ...]:
    """P, q, and the rows of A x <= b and C x = d; x = 1 satisfies them all, and half of A holds with equality."""
    rng = np.random.default_rng(seed)
    half, a, c = rng.normal(size=(N, N)), rng.normal(size=(INEQUALITIES, N)), rng.normal(size=(EQUALITIES, N))
    slack = np.where(np.arange(INEQUALITIES) % 2, 0.0, rng.uniform(0, 1, INEQUALITIES))
    return half @ half.T / N + np.eye(N), 3 * rng.normal(size=N), a, a.sum(1) + slack, c, c.sum(1)


class Quadratic(cooper.ConstrainedMinimizationProblem):
    """The program as cooper wants it."""

    def __init__(self, data: tuple[np.ndarray, ...], x: torch.Tensor, penalty: float) -> None:
        super().__init__()
        self.data, self.x = [torch.tensor(part) for part in data], x
        kinds = {"below": (cooper.ConstraintType.INEQUALITY, INEQUALITIES)}
        kinds["equal"] = (cooper.ConstraintType.EQUALITY, EQUALITIES)
        for name, (kind, rows) in kinds.items():
            multiplier = cooper.multipliers.DenseMultiplier(num_constraints=rows, dtype=torch.float64)
            if penalty:
                coefficient = cooper.penalty_coefficients.DensePenaltyCoefficient(torch.full((rows,), penalty).double())
                constraint = cooper.Constraint(kind, cooper.formulations.AugmentedLagrangian, multiplier, coefficient)
            else:
                constraint = cooper.Constraint(kind, cooper.formulations.Lagrangian, multiplier)
            setattr(self, name, constraint)

    def compute_cmp_state(self) -> cooper.CMPState:
        p, q, a, b, c, d = self.data
        observed = {
            self.below: cooper.ConstraintState(violation=a @ self.x - b),
            self.equal: cooper.ConstraintState(violation=c @ self.x - d),
        }
        return cooper.CMPState(loss=self.x @ p @ self.x / 2 + q @ self.x, observed_constraints=observed)


def of_cooper(data, penalty, primal, dual, steps: int) -> tuple[np.ndarray, float]:
    """Parameters and multipliers after each step, `[steps, N + m]`; seconds."""
    x = torch.nn.Parameter(torch.zeros(N, dtype=torch.float64))
    game = Quadratic(data, x, penalty)
    optimizer = cooper.optim.SimultaneousOptimizer(game, primal([x]), dual(list(game.dual_parameters())))
    multipliers = [constraint.multiplier.weight for constraint in (game.below, game.equal)]
    path, begin = [], time.perf_counter()
    for _ in range(steps):
        optimizer.roll()
        path.append(torch.cat([x.detach(), *(weight.detach() for weight in multipliers)]))
    return torch.stack(path).numpy(), time.perf_counter() - begin


def of_faro(data, penalty, primal, dual, steps: int):
    """The same as a compiled function."""
    p, q, a, b, c, d = map(jnp.asarray, data)
    evaluate = problem(lambda x: x @ p @ x / 2 + q @ x, lambda x: a @ x - b, lambda x: c @ x - d)
    game = Lagrangian(evaluate, primal, dual, penalty)

    def step(state, _):
        state, _ = game.step(state)
        return state, jnp.concatenate([state.params, state.multipliers])

    start = game.init(jnp.zeros(N), INEQUALITIES + EQUALITIES)
    if isinstance(start.dual, NuPIState):
        start = start._replace(dual=NuPIState(start.dual.mean, jnp.ones((), bool)))
    run = jax.jit(lambda start: jax.lax.scan(step, start, length=steps)[1])
    run(start).block_until_ready()

    def timed():
        begin = time.perf_counter()
        path = np.asarray(run(start))
        return path, time.perf_counter() - begin

    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    torch.set_num_threads(1)
    data = quadratic(options.seed)
    print("| formulation | primal | dual | parameters differ by | multipliers differ by | cooper / faro time |")
    print("|---|---|---|---|---|---|")
    for names in itertools.product(FORMULATION, PRIMAL, DUAL):
        penalty, primal, dual = FORMULATION[names[0]], PRIMAL[names[1]], DUAL[names[2]]
        run = of_faro(data, penalty, primal[0], dual[0], options.steps)
        ratios = []
        for _ in range(options.repeats):
            theirs, their_seconds = of_cooper(data, penalty, primal[1], dual[1], options.steps)
            ours, our_seconds = run()
            ratios.append(their_seconds / our_seconds)
        off = np.abs(theirs - ours).max(0)
        figures = f"{off[:N].max():.0e} | {off[N:].max():.0e} | {np.median(ratios):.0f}"
        print(f"| {' | '.join(names)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
