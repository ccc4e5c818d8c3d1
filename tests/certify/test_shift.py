"""Shift: a dual point is an upper bound whoever chose it; solvers and brute force attain it; nothing exceeds it."""

from __future__ import annotations

import itertools
from decimal import Decimal

import numpy as np
import pytest

from faro.certify.bounds import shift, shift_primal
from faro.certify.bounds.shift import BALLS, Law, two_point, worst
from faro.errors import NoProofError, UsageError

RADII = {
    "tv": (0, 0.01, 0.3, 1),
    "label-noise": (0.05,),
    "kl": (0, 0.01, 0.3, 2),
    "chi2": (0, 0.01, 0.5, 30),
    "lr": (1, 1.2, 5),
    "cvar": (1, 0.9, 0.2, 0.01),
}
CASES = [(name, radius) for name, radii in RADII.items() for radius in radii]


def random_law(rng, m, holes=False):
    p = rng.dirichlet(np.full(m, 0.4))
    if holes:
        p[rng.random(m) < 0.4] = 0
        p[0] += 1e-3
        p /= p.sum()
    return Law(rng.random(m), p)


# lambda is at least 0.001, so very large balls are not attained: the bound stays above the largest value
@pytest.mark.parametrize(("name", "radius"), [case for case in CASES if case not in (("kl", 2), ("chi2", 30))])
def test_a_solver_attains_the_dual_and_never_exceeds_it(name, radius):
    rng = np.random.default_rng(0)
    for law in (random_law(rng, 5), random_law(rng, 257, holes=True), two_point(0.07)):
        bound = worst(BALLS[name], law, radius)
        found = shift_primal.attained(name, law, radius)
        assert found is not None
        assert 0 <= float(bound.value) - found.value <= shift_primal.MEAN_TOLERANCE
        z, p = law.values, law.weights
        if name in ("tv", "label-noise"):
            z, p = np.append(z, 1.0), np.append(p, 0.0)
        assert found.q.sum() == pytest.approx(1) and (found.q >= 0).all() and z @ found.q == pytest.approx(found.value)
        if name not in ("lr", "cvar"):
            assert shift_primal.distance(name, found.q, p) <= radius + 1e-9
        elif name == "lr":
            assert (found.q <= radius * p + 1e-9).all() and (found.q >= p / radius - 1e-9).all()
        else:
            assert (found.q <= p / radius + 1e-9).all()


@pytest.mark.parametrize("name", ["tv", "kl", "chi2", "lr", "cvar"])
def test_no_law_of_a_grid_in_the_ball_exceeds_the_bound(name):
    """Brute force over all laws on three cells."""
    rng, radius = np.random.default_rng(1), {"tv": 0.2, "kl": 0.1, "chi2": 0.3, "lr": 1.5, "cvar": 0.6}[name]
    steps = 120
    grid = np.array([(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]) / steps
    for _ in range(5):
        z = np.append(rng.random(2), 1.0)
        p = rng.dirichlet(np.ones(3))
        ratio = grid / p
        inside = {
            "tv": np.abs(grid - p).sum(1) / 2 <= radius,
            "kl": (grid * np.log(np.maximum(ratio, 1e-300))).sum(1) <= radius,
            "chi2": (p * (ratio - 1) ** 2).sum(1) <= radius,
            "lr": (ratio <= radius).all(1) & (ratio >= 1 / radius).all(1),
            "cvar": (ratio <= 1 / radius).all(1),
        }[name]
        bound = float(worst(BALLS[name], Law(z, p), radius).value)
        best = (grid[inside] @ z).max()
        assert best <= bound + 1e-12
        assert bound <= best + 0.05  # and it is not far away


@pytest.mark.parametrize("name", sorted(RADII))
def test_any_dual_point_is_an_upper_bound(name):
    rng = np.random.default_rng(2)
    law, ball = random_law(rng, 12), BALLS[name]
    for radius in RADII[name]:
        least = float(worst(ball, law, radius).value)
        for _ in range(50):
            eta = rng.uniform(0, 1) if ball.names == ("eta",) else rng.normal()
            point = {"eta": eta, "lambda": np.exp(rng.normal())}
            assert ball.dual(law, radius, *(point[key] for key in ball.names)) >= least - 2e-9


@pytest.mark.parametrize("name", ["tv", "kl", "chi2", "lr", "cvar"])
def test_no_shift_is_the_mean_and_more_shift_is_worse(name):
    rng = np.random.default_rng(3)
    for law in (random_law(rng, 9), two_point(0.3), two_point(0.0), two_point(1.0)):
        radii = sorted(RADII[name], reverse=name == "cvar")
        values = [worst(BALLS[name], law, radius).value for radius in radii]
        assert float(values[0]) == pytest.approx(law.values @ law.weights, abs=1e-6)
        assert values == sorted(values) and values[-1] <= 1


def test_closed_forms_of_a_rate():
    p = 0.3
    law = two_point(p)
    assert float(worst(BALLS["tv"], law, 0.2).value) == pytest.approx(0.5, abs=1e-8)
    assert float(worst(BALLS["chi2"], law, 0.05).value) == pytest.approx(p + np.sqrt(0.05 * p * (1 - p)), abs=1e-8)
    assert float(worst(BALLS["lr"], law, 1.5).value) == pytest.approx(min(1.5 * p, 1 - (1 - p) / 1.5), abs=1e-8)
    assert float(worst(BALLS["cvar"], law, 0.5).value) == pytest.approx(0.6, abs=1e-8)
    q = float(worst(BALLS["kl"], law, 0.05).value)
    assert q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p)) == pytest.approx(0.05, abs=1e-7)


def test_the_worst_law_with_a_mean_has_two_points():
    """Sampling error enters through an upper bound on the mean: any law with that or a smaller mean is covered."""
    rng = np.random.default_rng(4)
    for name, radii in RADII.items():
        law = random_law(rng, 30)
        mean = law.values @ law.weights
        for radius in radii:
            assert worst(BALLS[name], law, radius).value <= worst(BALLS[name], two_point(mean), radius).value + Decimal(
                "2e-9"
            )
            assert (
                worst(BALLS[name], two_point(mean), radius).value
                <= worst(BALLS[name], two_point(min(1, mean + 0.02)), radius).value
            )


def test_a_histogram_is_outside_and_near():
    z = np.random.default_rng(5).random(5000)
    exact = Law(np.sort(z), np.full(5000, 1 / 5000))
    for name, radii in RADII.items():
        for radius in radii:
            outer, inner = (float(worst(BALLS[name], law, radius).value) for law in (shift.histogram(z), exact))
            assert inner - 1e-8 <= outer <= inner + 1 / 256 + 1e-6
    with pytest.raises(ValueError, match="0, 1"):
        shift.histogram([0.5, 1.5])


def test_sampling_excess_moves_mass_to_the_best_value():
    z = np.random.default_rng(6).random(800)
    for name, radii in RADII.items():
        for radius in radii:
            plain, wide = (worst(BALLS[name], shift.histogram(z, x), radius) for x in (0.0, 0.04))
            assert plain.value <= wide.value
    order = np.sort(np.ceil(z * 256) / 256)  # without a shift: the lowest 4 % become 1, at most
    moved = np.append(order[32:], np.ones(32)).mean()
    nothing = float(worst(BALLS["tv"], shift.histogram(z, 0.04), 0).value)
    assert moved - 1e-9 <= nothing <= np.mean(order) + 0.04 + 1e-8


@pytest.mark.parametrize("below", [False, True])
def test_transport_to_a_threshold(below, capfd):
    rng = np.random.default_rng(7)
    reward = np.round(rng.normal(size=300), 2)
    for radius in (0, 0.003, 0.05, 0.5, 10):
        law = shift.distances(reward, 0.6, below=below)
        bound = float(worst(BALLS["w1"], law, radius).value)
        away = np.sort(np.maximum((reward - 0.6) * (1 if below else -1), 0))  # greedy knapsack on the rows themselves
        budget, mass = radius * len(reward), 0.0
        for distance in away:
            share = 1.0 if distance <= budget else budget / distance
            mass, budget = mass + share, budget - share * distance
        assert bound == pytest.approx(mass / len(reward), abs=2e-6)
        found = shift_primal.attained("w1", law, radius)
        assert found is not None and 0 <= bound - found.value <= shift_primal.MEAN_TOLERANCE
    assert capfd.readouterr() == ("", "")  # no solver's banner


def test_a_difference_adds_both_sides():
    ball = BALLS["tv"]
    value = shift.worst_difference(ball, two_point(0.3), two_point(1 - 0.25), 0.02)
    assert float(value) == pytest.approx(0.05 + 2 * 0.02, abs=1e-8)


def test_breakdown_radius():
    def gap(name):
        return lambda radius: shift.worst_difference(BALLS[name], two_point(0.3), two_point(0.75), radius)

    found = shift.breakdown(BALLS["tv"], gap("tv"), Decimal("0.11"))
    assert found is not None and float(found) == pytest.approx(0.03, abs=2e-6)
    for name in ("kl", "chi2", "lr", "cvar"):
        radius = shift.breakdown(BALLS[name], gap(name), Decimal("0.11"))
        assert radius is not None and gap(name)(radius) <= Decimal("0.11")
        further = radius * Decimal("1.01") if name != "cvar" else radius * Decimal("0.99")
        if name == "lr":
            further = 1 + (radius - 1) * Decimal("1.01")
        assert gap(name)(further) > Decimal("0.11")
        assert shift.breakdown(BALLS[name], gap(name), Decimal("0.04")) is None


@pytest.mark.parametrize(
    ("name", "radius"), [("tv", -0.1), ("tv", 1.1), ("lr", 0.9), ("cvar", 1.1), ("kl", -1), ("kl", float("nan"))]
)
def test_impossible_radii_are_refused(name, radius):
    with pytest.raises(UsageError, match="radius"):
        worst(BALLS[name], two_point(0.3), radius)


def test_without_a_finite_dual_nothing_is_claimed():
    class Broken(shift.TV):
        def best(self, law, radius):
            return (float("nan"),)

    with pytest.raises(NoProofError, match="nothing can be claimed"):
        worst(Broken(), two_point(0.3), 0.1)
    assert worst(Broken(), two_point(0.3), 0.1, point=(0.0,)).value == worst(BALLS["tv"], two_point(0.3), 0.1).value


def test_a_solver_that_lies_is_not_believed(monkeypatch):
    """Whatever the status: a poor law is not accepted, and one outside the ball is moved into it."""
    law = random_law(np.random.default_rng(8), 6)
    honest = shift_primal.attained("kl", law, 0.1)

    def lying(self, solver=None, **_):
        for variable in self.variables():
            variable.value = np.eye(6)[np.argmax(law.values)]

    monkeypatch.setattr(shift_primal.cp.Problem, "solve", lying)
    assert honest is not None and shift_primal.attained("kl", law, 0.1) is None
    moved = shift_primal.inside("kl", np.eye(6)[np.argmax(law.values)], law.weights, 0.1)
    assert shift_primal.distance("kl", moved, law.weights) <= 0.1 + 1e-12 and law.values @ moved <= honest.value + 1e-6


def test_the_next_solver_is_asked(monkeypatch):
    asked, real = [], shift_primal.cp.Problem.solve

    def first_fails(self, solver=None, **keywords):
        asked.append(solver)
        if len(asked) == 1:
            raise shift_primal.cp.SolverError("planted")
        return real(self, solver=solver, **keywords)

    monkeypatch.setattr(shift_primal.cp.Problem, "solve", first_fails)
    found = shift_primal.attained("cvar", random_law(np.random.default_rng(9), 6), 0.5)
    assert found is not None and found.solver == asked[1] != asked[0]


def test_label_noise_covers_every_relabelling():
    """Groups a and b with decisions; at most a share of each recorded and each true group is wrong."""
    rng, noise = np.random.default_rng(10), 0.1
    truth = rng.random(400) < 0.5
    decision = rng.random(400) < np.where(truth, 0.6, 0.4)
    worst_seen = 0.0
    for flip_a, flip_b in itertools.product((0, 1), repeat=2):
        recorded = truth.copy()
        wrong = int(noise * min(truth.sum(), (~truth).sum())) // 2
        recorded[np.flatnonzero(truth & (decision == flip_a))[:wrong]] = False
        recorded[np.flatnonzero(~truth & (decision == flip_b))[:wrong]] = True
        shares = ((truth & ~recorded).sum() / truth.sum(), (~truth & recorded).sum() / recorded.sum())
        assert max(shares) <= noise
        bound = worst(BALLS["label-noise"], two_point(decision[recorded].mean()), noise).value
        assert decision[truth].mean() <= float(bound)
        worst_seen = max(worst_seen, decision[truth].mean() - decision[recorded].mean())
    assert worst_seen > 0.01  # relabelling did move the rate
