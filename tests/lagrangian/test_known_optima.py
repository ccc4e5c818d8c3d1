"""The optimiser's word on problems with known optima, and that the benchmark would notice a false one."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

from benchmarks.known_optima import RULES, UNITS, cases, judged, plain, solved, solver
from faro.lagrangian import Status, _solve

ALL = {case.name: case for case in cases()}
OPEN = "starts where a violation is stationary", "no multipliers: a cusp", "a feasible disc that is a point"
NAMED = [case for case in ALL.values() if not case.unbounded and case.name not in OPEN]
HARD = {
    "small objective": ALL["quadratic, one row binds; f 1e-9"],
    "small rows": ALL["an equality twice; rows 1e-9"],
    "unbounded": ALL["unbounded: logarithm"],
    "stationary": ALL["starts where a violation is stationary"],
}


def test_there_are_fifty_and_each_is_listed_once():
    assert len([case for case in NAMED if ";" not in case.name]) >= 50
    assert len(ALL) == len(cases())


@pytest.mark.parametrize("case", [case for case in NAMED if case.point and ";" not in case.name], ids=lambda c: c.name)
def test_known_optima_are_those_of_an_independent_solver(case):
    """SLSQP from next to the known point finds nothing better than the known objective, and the point is feasible."""
    point = np.array([*case.point, *[0.0] * (3 - len(case.point))])
    assert judged(case, Status.CONVERGED, point).error < 1e-9
    assert judged(case, Status.CONVERGED, point).violation < 1e-9
    rows = [
        {"type": "eq" if equal else "ineq", "fun": lambda x, row=row: -plain(row, x)}
        for row, equal in zip(case.rows, case.equality, strict=True)
    ]
    found = minimize(lambda x: plain(case.objective, x), point, method="SLSQP", constraints=rows)
    if judged(case, Status.CONVERGED, found.x).violation < 1e-7:
        assert found.fun >= min(case.optima) - 1e-5 * max(1, abs(min(case.optima)))


@pytest.mark.slow
def test_no_word_is_false_in_double_precision(x64):
    run = solver()
    chosen = [case for case in NAMED if case.name.endswith(("f 1e-9", "rows 1e9")) or ";" not in case.name]
    outcomes = {case.name: solved(run, case, "float64") for case in [*chosen, *HARD.values()]}
    assert not [name for name, outcome in outcomes.items() if outcome.false]
    assert not [case.name for case in chosen if outcomes[case.name].word != "right"]
    assert len(UNITS) == 8 and len(chosen) > 70


@pytest.mark.slow
def test_no_word_is_false_in_single_precision():
    run = solver()
    chosen = [case for case in NAMED if case.name.endswith(("f 1e-9", "rows 1e9"))]
    outcomes = [solved(run, case, "float32") for case in chosen]
    assert [outcome.word for outcome in outcomes] == ["right"] * len(chosen)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "status", "names"),
    [
        ("residuals", Status.CONVERGED, ["small objective", "unbounded"]),
        ("stalled", Status.INFEASIBLE, ["stationary"]),
    ],
)
def test_without_the_closer_look_words_are_false(rule, status, names, monkeypatch, x64):
    for name, control in RULES[rule].items():
        monkeypatch.setattr(_solve, name, control)
    run = solver()
    for name in names:
        outcome = solved(run, HARD[name], "float64")
        assert outcome.false and outcome.status == status, name
    jax.clear_caches()
