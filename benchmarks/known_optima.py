"""Constrained problems with known optima, in both precisions: is the word of the optimiser true?

Every problem has 3 variables and 4 rows of one form, so that one compiled program solves all of them:

    value(x) = c + q.x + x'P x / 2 + sum of a exp(b.x) + sum of l log(m + d.x) + w (s.x - r)^4 + v |x - z|

Well-scaled problems are asked again with objective, rows or variables in other units, from 1e-9 to 1e9, and always
judged in the first units. CONVERGED is right if no row is violated by more than 1e-3 and the objective is within 1e-3 *
max(1, |f*|) of that of a known KKT point; INFEASIBLE is right where no point is feasible. `--rule residuals` drops the
closer look before CONVERGED, `--rule stalled` that before INFEASIBLE: controls, which must be caught.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from faro.lagrangian import Evaluation, MultiplierMethod, Status, _solve, solve

N, M, TERMS, NEAR = 3, 4, 2, 1e-3


class Form(NamedTuple):
    """The coefficients of one value, or, stacked, of objective and rows."""

    c: Any
    q: Any  # [N]
    p: Any  # [N, N]
    a: Any  # [TERMS]
    b: Any  # [TERMS, N]
    log: Any  # [TERMS]
    m: Any  # [TERMS]
    d: Any  # [TERMS, N]
    w: Any
    s: Any  # [N]
    r: Any
    v: Any
    z: Any  # [N]


def vector(*entries) -> np.ndarray:
    return np.array([*entries, *[0.0] * (N - len(entries))], float)


def form(c=0.0, q=(), p=(), exp=(), log=(), quartic=(0.0, (), 0.0), norm=(0.0, ())) -> Form:
    """`p` a diagonal or a matrix; `exp` pairs (a, b); `log` triples (l, m, d); `quartic` (w, s, r); `norm` (v, z)."""
    square = np.zeros((N, N))
    given = np.array(p, float)
    if given.ndim == 2:
        square[: len(given), : len(given)] = given
    else:
        square += np.diag(vector(*given))
    exp = [*exp, *[(0.0, ())] * (TERMS - len(exp))]
    log = [*log, *[(0.0, 1.0, ())] * (TERMS - len(log))]
    return Form(
        float(c), vector(*q), square,
        np.array([a for a, _ in exp], float), np.stack([vector(*b) for _, b in exp]),
        np.array([k for k, _, _ in log], float), np.array([m for _, m, _ in log], float),
        np.stack([vector(*d) for _, _, d in log]),
        float(quartic[0]), vector(*quartic[1]), float(quartic[2]), float(norm[0]), vector(*norm[1]),
    )  # fmt: skip


def value(f: Form, x):
    smooth = jnp.sqrt(jnp.sum((x - f.z) ** 2) + 1e-30)
    return (
        f.c + f.q @ x + x @ f.p @ x / 2 + f.a @ jnp.exp(f.b @ x) + f.log @ jnp.log(f.m + f.d @ x)
        + f.w * (f.s @ x - f.r) ** 4 + f.v * smooth
    )  # fmt: skip


class Case(NamedTuple):
    """One problem: forms of objective and rows, which rows are equalities, where to start, and what is true of it.

    `optima` are the objectives of its KKT points; none where nothing is feasible, or f has no minimum (`unbounded`).
    `units` are those of objective, rows and variables: what is solved is units[0] * f(x / units[2]), and so on.
    """

    name: str
    objective: Form
    rows: tuple[Form, ...]
    equality: tuple[bool, ...]
    start: tuple[float, ...]
    optima: tuple[float, ...]
    unbounded: bool = False
    point: tuple[float, ...] | None = None
    units: tuple[float, tuple[float, ...], tuple[float, ...]] = (1.0, (1.0,) * M, (1.0,) * N)

    @property
    def feasible(self) -> bool:
        return bool(self.optima) or self.unbounded


def case(name, objective, at_most=(), equal=(), start=(), optima=(), point=None, unbounded=False) -> Case:
    rows = [*at_most, *equal]
    equality = [False] * len(at_most) + [True] * len(equal)
    idle = M - len(rows)
    return Case(
        name, objective, (*rows, *[form(c=-1)] * idle), (*equality, *[False] * idle), tuple(vector(*start)),
        tuple(float(o) for o in np.atleast_1d(np.array(optima, float))), unbounded, point,
    )  # fmt: skip


def line(*slope, at_most: float) -> Form:
    """slope . x - at_most."""
    return form(c=-at_most, q=slope)


def near(*centre, curve=1.0) -> Form:
    """curve |x - centre|^2 over the first variables."""
    n = len(centre)
    return form(c=curve * np.sum(np.square(centre)), q=-2 * curve * np.array(centre), p=[2 * curve] * n)


E1 = float(np.e)
ROSENBROCK_LIKE = form(c=1, q=(-2.0,), p=(2.0, 2.0), quartic=(10.0, (1.0, -1.0), 0.0))
DISC = form(c=-1, p=(2.0, 2.0))  # x0^2 + x1^2 <= 1
RING = form(c=1, p=(-2.0, -2.0))  # x0^2 + x1^2 >= 1
BOX = [line(1, at_most=1), line(0, 1, at_most=1), line(-1, at_most=0), line(0, -1, at_most=0)]
ROOT = float(np.sqrt(2))

BASE = [
    case("linear program, a corner", form(q=(-1, -2)), BOX, (), (0.5, 0.5), -3, (1, 1)),
    case("linear program, an edge of solutions", form(q=(-1, 0)), BOX, (), (0.2, 0.3), -1),
    case("linear program, degenerate corner", form(q=(-1, -1)),
         [line(1, at_most=1), line(0, 1, at_most=1), line(1, 1, at_most=2)], (), (0, 0), -2, (1, 1)),
    case("linear program, equality", form(q=(1, 2, 3)), [line(-1, at_most=0), line(0, -1, at_most=0),
         line(0, 0, -1, at_most=0)], [line(1, 1, 1, at_most=1)], (0, 0, 1), 1, (1, 0, 0)),
    case("quadratic, one row binds", near(2, -1), [line(1, at_most=1)], (), (0, 0), 1, (1, -1)),
    case("quadratic, none binds", near(0.5, 0.5), [line(1, at_most=1)], (), (-3, 2), 0, (0.5, 0.5)),
    case("quadratic, equality", form(p=(2, 2)), (), [line(1, 1, at_most=2)], (3, 0), 2, (1, 1)),
    case("quadratic, both kinds", near(2, 1), [line(1, at_most=1)], [line(1, 1, at_most=3)], (0, 0), 2, (1, 2)),
    case("quadratic, the start is the optimum", near(0.5, 0.5), [line(1, at_most=1)], (), (0.5, 0.5), 0, (0.5, 0.5)),
    case("quadratic, the start is the bound optimum", near(2, 0), [line(1, at_most=1)], (), (1, 0), 1, (1, 0)),
    case("quadratic, the start is the minimum without rows", near(2), [line(1, at_most=1)], (), (2,), 1, (1,)),
    case("quadratic, far start", near(2, -1), [line(1, at_most=1)], (), (1e4, -1e4), 1, (1, -1)),
    case("quadratic, not separable", form(q=(-4, -4), p=[[2, 1], [1, 4]]), [line(1, 1, at_most=1)], (), (0, 0),
         -3.125, (0.75, 0.25)),
    case("quadratic, singular curvature", form(q=(-2, 0), p=[[2, 2], [2, 2]]), [line(0, 1, at_most=0),
         line(0, -1, at_most=0)], (), (3, 3), -1, (1, 0)),
    case("a row twice", near(2), [line(1, at_most=1)] * 2, (), (0,), 1, (1,)),
    case("an equality twice", form(p=(2, 2)), (), [line(1, 1, at_most=2), line(2, 2, at_most=4)], (3, 0), 2, (1, 1)),
    case("an equality as two inequalities", form(p=(2, 2)), [line(1, 1, at_most=2), line(-1, -1, at_most=-2)], (),
         (3, 0), 2, (1, 1)),
    case("one feasible point", near(3, 3), [line(1, at_most=1), line(-1, at_most=-1), line(0, 1, at_most=2),
         line(0, -1, at_most=-2)], (), (0, 0), 5, (1, 2)),
    case("a feasible interval of 1e-3", near(0), [line(1, at_most=1.001), line(-1, at_most=-1)], (), (5,), 1, (1,)),
    case("a feasible disc that is a point", form(q=(1, 1)), [form(p=(2, 2))], (), (1, 1), 0, (0, 0)),
    case("no multipliers: a cusp", form(q=(1,)), [form(p=(2,))], (), (1,), 0, (0,)),
    case("tangent discs", form(q=(0, 1)), [form(c=0, q=(-2,), p=(2, 2)), form(c=0, q=(2,), p=(2, 2))], (), (0.5, 0.5),
         0, (0, 0)),
    case("a disc", form(q=(1, 1)), [DISC], (), (0.5, 0), -ROOT, (-1 / ROOT, -1 / ROOT)),
    case("on a circle", form(q=(1, 1)), (), [form(c=-2, p=(2, 2))], (0, -1), (-2, 2), (-1, -1)),
    case("outside of a disc", form(p=(2, 4)), [RING], (), (2, 0.5), (1, 2), (1, 0)),
    case("concave between bounds", form(p=(-2,)), [line(1, at_most=2), line(-1, at_most=1)], (), (0.3,), (-4, -1, 0),
         (2,)),
    case("a saddle within a box", form(p=[[0, 1], [1, 0]]), [line(1, at_most=1), line(-1, at_most=1),
         line(0, 1, at_most=1), line(0, -1, at_most=1)], (), (0.5, -0.2), (-1, 0), (1, -1)),
    case("exponential, bound", form(exp=[(1, (1,))]), [line(-1, at_most=-2)], (), (-1,), E1**2, (2,)),
    case("steep exponential", form(exp=[(1, (10,))]), [line(-1, at_most=-2)], (), (-1,), np.exp(20), (2,)),
    case("exponential against a line", form(q=(-E1,), exp=[(1, (1,))]), [line(1, at_most=5)], (), (0,), 0, (1,)),
    case("exponential, starts at its optimum", form(q=(-E1,), exp=[(1, (1,))]), [line(1, at_most=5)], (), (1,), 0,
         (1,)),
    case("sum of exponentials", form(exp=[(1, (1, 0)), (1, (0, 1))]), (), [line(1, 1, at_most=2)], (3, -1), 2 * E1,
         (1, 1)),
    case("geometric program", form(exp=[(1, (1, 1))]), [form(c=-1, exp=[(1, (-1, 0)), (1, (0, -1))])], (), (2, 2), 4,
         (np.log(2), np.log(2))),
    case("exponential row", form(q=(-1,)), [form(c=-E1, exp=[(1, (1,))])], (), (0,), -1, (1,)),
    case("logarithm", form(log=[(-1, 0, (1,)), (-1, 0, (0, 1))]), [line(1, 1, at_most=2)], (), (0.5, 0.3), 0, (1, 1)),
    case("entropy-like", form(q=(1,), log=[(-1, 0, (1,))]), [line(-1, at_most=-2)], (), (3,), 2 - np.log(2), (2,)),
    case("logarithmic row", form(q=(1,)), [form(c=1, log=[(-1, 0, (1,))])], (), (4,), E1, (E1,)),
    case("fourth power", form(quartic=(1, (1, 1), 3)), [line(1, at_most=1), line(0, 1, at_most=1)], (), (0, 0), 1,
         (1, 1)),
    case("fourth power row", form(q=(-1,)), [form(c=-16, quartic=(1, (1,), 0))], (), (0.5,), -2, (2,)),
    case("quartic valley", ROSENBROCK_LIKE, [line(1, at_most=0)], (), (-1, 2), 1, (0, 0)),
    case("norm as objective", form(norm=(1, (3, 4))), [line(1, at_most=0), line(0, 1, at_most=0)], (), (-1, -2), 5,
         (0, 0)),
    case("norm as row", form(q=(-1, -1)), [form(c=-1, norm=(1, ()))], (), (0.1, 0.2), -ROOT, (1 / ROOT, 1 / ROOT)),
    case("nothing to minimise", form(), [line(1, 1, at_most=-1)], (), (1, 1), 0),
    case("solution far away", near(1e4), [line(1, at_most=5e3)], (), (0,), 2.5e7, (5e3,)),
    case("nearly parallel rows", form(p=(2, 2)), [line(-1, at_most=-1), line(1, -0.01, at_most=-1)], (), (0, 0),
         40001, (1, 200)),
    case("starts where a violation is stationary", form(p=(2,)), [form(c=1, p=(-2,))], (), (0,), (1,), (1,)),
    # Nothing is feasible.
    case("infeasible: two rows", near(3), [line(-1, at_most=-1), line(1, at_most=-1)], (), (2,)),
    case("infeasible: two equalities", form(p=(2, 2)), (), [line(1, 1, at_most=2), line(1, 1, at_most=3)], (0, 0)),
    case("infeasible: three rows of a triangle", form(p=(2, 2)), [line(1, 1, at_most=-1), line(-1, at_most=-1),
         line(0, -1, at_most=-1)], (), (0, 0)),
    case("infeasible: a square below zero", form(q=(1,)), [form(c=1, p=(2,))], (), (3,)),
    case("infeasible: from where the row is flat", form(q=(1,)), [form(c=1, p=(2,))], (), (0,)),
    case("infeasible: disc and line", form(q=(1, 0)), [DISC, line(-1, -1, at_most=-3)], (), (0.5, 0)),
    case("infeasible: exponential below zero", form(p=(2,)), [form(c=1, exp=[(1, (1,))])], (), (0,)),
    case("infeasible by 1e-2", near(0), [line(1, at_most=0), line(-1, at_most=-0.01)], (), (1,)),
    # No minimum.
    case("unbounded: a line", form(q=(-1,)), [line(-1, at_most=0)], (), (1,), unbounded=True),
    case("unbounded: concave", form(p=(-2,)), [line(0, 1, at_most=1)], (), (0.5, 0), unbounded=True),
    case("unbounded: logarithm", form(log=[(-1, 1, (1,))]), [line(-1, at_most=0)], (), (0.5,), unbounded=True),
]  # fmt: skip

UNITS = {
    "f 1e9": (1e9, (1,), (1,)),
    "f 1e-9": (1e-9, (1,), (1,)),
    "rows 1e9": (1, (1e9,), (1,)),
    "rows 1e-9": (1, (1e-9,), (1,)),
    "rows 1e-4 1e4": (1, (1e-4, 1e4, 1e-4, 1e4), (1,)),
    "x 1e4": (1, (1,), (1e4,)),
    "x 1e-3 1e3": (1, (1,), (1e-3, 1e3, 1)),
    "all": (1e-5, (1e5, 1e-3, 1e2, 1e-5), (1e-2, 1e2, 1)),
}
SCALED = [
    "linear program, a corner", "linear program, equality", "quadratic, one row binds", "quadratic, none binds",
    "quadratic, equality", "quadratic, the start is the minimum without rows", "an equality twice", "a disc",
    "exponential, bound", "logarithm", "infeasible: two rows", "infeasible: a square below zero",
    "unbounded: a line",
]  # fmt: skip


def cases() -> list[Case]:
    """All problems, those in other units last."""
    named = {case.name: case for case in BASE}
    assert len(named) == len(BASE)
    assert len({(*case.start, case.objective.c, str(case)) for case in BASE}) == len(BASE)
    return BASE + [
        named[name]._replace(
            name=f"{name}; {label}", units=(float(f), tuple(np.resize(rows, M)), tuple(np.resize(x, N)))
        )
        for label, (f, rows, x) in UNITS.items()
        for name in SCALED
    ]


class Data(NamedTuple):
    """A case as arrays: one program for all."""

    objective: Form
    rows: Form
    equality: Any
    units: Any


def data(case: Case, dtype) -> Data:
    rows = jax.tree.map(lambda *leaves: np.stack(leaves), *case.rows)
    arrays = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (case.objective, rows, case.units))
    return Data(
        arrays[0],
        arrays[1],
        jnp.asarray(case.equality),
        (arrays[2][0], jnp.stack(arrays[2][1]), jnp.stack(arrays[2][2])),
    )


def evaluate(own: Data, x) -> Evaluation:
    of_objective, of_rows, of_variables = own.units
    x = x / of_variables
    rows = of_rows * jax.vmap(lambda row: value(row, x))(own.rows)
    return Evaluation(of_objective * value(own.objective, x), rows, rows, None, own.equality)


class Outcome(NamedTuple):
    """What a solve said, and the truth in the first units."""

    status: Status
    error: float  # of the objective, relative to max(1, |f*|); infinity without optimum
    violation: float
    gradients: int
    word: str  # right, false, or "" where the status promises nothing

    @property
    def false(self) -> bool:
        return self.word == "false"


def judged(case: Case, status: Status, x: np.ndarray, gradients: int = 0) -> Outcome:
    """The word of a solve against what is known; computed in double precision with numpy's numbers."""
    x = np.asarray(x, float) / np.array(case.units[2])
    objective, *rows = (plain(f, x) for f in (case.objective, *case.rows))
    missed = max(abs(row) if equal else max(row, 0.0) for row, equal in zip(rows, case.equality, strict=True))
    error = min((abs(objective - f) / max(1, abs(f)) for f in case.optima), default=np.inf)
    true = {Status.CONVERGED: missed <= NEAR and error <= NEAR, Status.INFEASIBLE: not case.feasible}
    word = {True: "right", False: "false"}[true[status]] if status in true else ""
    return Outcome(status, error, missed, gradients, word)


def plain(f: Form, x: np.ndarray) -> float:
    """`value`, in numpy."""
    with np.errstate(all="ignore"):
        return float(
            f.c + f.q @ x + x @ f.p @ x / 2 + f.a @ np.exp(f.b @ x)
            + np.sum(np.where(f.log == 0, 0, f.log * np.log(f.m + f.d @ x)))
            + f.w * (f.s @ x - f.r) ** 4 + f.v * np.linalg.norm(x - f.z)
        )  # fmt: skip


def solver(method=MultiplierMethod):
    """One compiled program for every case of a precision."""
    return jax.jit(lambda own, start: solve(method(lambda x: evaluate(own, x)), start)[:10])


def solved(run, case: Case, dtype) -> Outcome:
    start = jnp.asarray(np.array(case.start) * np.array(case.units[2]), dtype)
    result = run(data(case, dtype), start)
    return judged(case, Status(int(result[2])), result[0], int(result[9]))


RULES = {
    "faro": {},
    "residuals": {"relative": lambda *_: _solve.KKT(*[jnp.zeros(())] * 3)},
    "stalled": {"hopeless": lambda *_: jnp.ones((), bool)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rule", choices=list(RULES), default="faro")
    parser.add_argument("--match", default="", help="only problems whose names contain this")
    options = parser.parse_args()
    for name, control in RULES[options.rule].items():
        setattr(_solve, name, control)
    chosen = [case for case in cases() if options.match in case.name]
    found: dict[str, list[Outcome]] = {}
    for precision in ("float32", "float64"):
        jax.config.update("jax_enable_x64", precision == "float64")
        run = solver()
        found[precision] = [solved(run, case, precision) for case in chosen]
    print("| problem | float32 | error | violation | gradients | float64 | error | violation | gradients |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case, *both in zip(chosen, *found.values(), strict=True):
        cells = (f"{o.status.name} {o.word} | {o.error:.0e} | {o.violation:.0e} | {o.gradients}" for o in both)
        print(f"| {case.name} | {' | '.join(cells)} |")
    print("\n| precision | problems | CONVERGED right | false | INFEASIBLE right | false | LIMIT | DIVERGED |")
    print("|---|---|---|---|---|---|---|---|")
    for precision, outcomes in found.items():
        counts = [
            sum(o.status == status and (not word or o.word == word) for o in outcomes)
            for status, word in (
                *((status, word) for status in (Status.CONVERGED, Status.INFEASIBLE) for word in ("right", "false")),
                (Status.LIMIT, ""),
                (Status.DIVERGED, ""),
            )
        ]
        print(f"| {precision} | {len(outcomes)} | {' | '.join(map(str, counts))} |")
    false = sum(o.false for outcomes in found.values() for o in outcomes)
    print(f"\n{false} false words")
    if (options.rule == "faro") == bool(false):
        sys.exit(1)


if __name__ == "__main__":
    main()
