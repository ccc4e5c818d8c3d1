"""The certified envelope: below every head that satisfies the rows, whatever its dual points."""

import numpy as np
import pytest

import constraints as ct
from constraints.testing import GROUP, example_choices
from faro import exact
from faro.errors import UsageError

PAIRS = ct.Attribute("g", ("a", "b"))


def two_groups(n=200, k=2, d=3, seed=0):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, (n, k))
    items = rng.normal(size=(n, k, d)) + 0.8 * group[..., None] * np.eye(d)[0]
    chosen = (items @ np.linspace(2, -1, d) + rng.gumbel(size=(n, k))).argmax(1)
    return ct.make_choices(items, chosen, attributes={"g": group})


@pytest.fixture(scope="module")
def solved():
    """name -> (head, rows, envelope over bounds that bind)."""
    made = {}
    cases = {
        "pairs": (two_groups(), ct.demographic_parity(PAIRS), 1e-3),
        "awkward": (example_choices(n=60, k=3, seed=2), ct.equalized_odds(GROUP), 1e-2),
    }
    for name, (choices, constraint, ridge) in cases.items():
        head = exact.Head.of(choices, ridge)
        rows = exact.rows_of(constraint, head)
        worst = rows.violation(exact.solve(head, rows, 1e3).w, 0)
        made[name] = head, rows, exact.frontier(head, rows, 0.05 * worst, worst)
    return made


def by_hand(head, rows, alpha, nu):
    """(constant, price) of the bound, by the formula in extended precision, for any distributions alpha [n, K]."""
    label, weight = (np.asarray(value, np.longdouble) for value in (head.choices.chosen, head.choices.weight))
    p, x = weight / weight.sum(), head.features.astype(np.longdouble)
    entropy = -np.sum(alpha * np.log(np.where(alpha > 0, alpha, 1)), 1) * label.sum(1)
    v = np.einsum("n,nk,nkd->d", p, label.sum(1, keepdims=True) * alpha - label, x)
    return p @ entropy - np.sum((v + rows.matrix.T @ nu) ** 2) / (2 * head.ridge) - nu @ rows.base, nu @ rows.slope


def softmax(head, w):
    utility = np.where(np.asarray(head.choices.available), head.features.astype(np.longdouble) @ w, -np.inf)
    power = np.exp(utility - utility.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pairs", "awkward"])
def test_below_the_loss_of_every_head_that_satisfies_the_rows(name, solved):
    head, rows, envelope = solved[name]
    rng = np.random.default_rng(0)
    assert (rows.limits(1e-9) >= 0).all() or name == "awkward"
    inside = envelope.points[0].w  # satisfies the tightest bound of all
    close = 0
    for _ in range(1000):
        w = inside + rng.choice([1e-3, 0.1, 1.0]) * rng.normal(size=head.d)
        bound = max(rows.violation(w, 0), envelope.points[0].bound)
        assert rows.violation(w, bound) <= 1e-15
        room = head.loss(w) - envelope.lower(bound)
        assert room >= 0
        close += room < 0.01
    assert close > 50, "the bound should be put to the test"


@pytest.mark.parametrize("name", ["pairs", "awkward"])
def test_the_sandwich_holds_at_bounds_that_were_not_solved(name, solved):
    head, rows, envelope = solved[name]
    low, high = envelope.points[0].bound, envelope.points[-1].bound
    bounds = np.random.default_rng(0).uniform(low, high, 8)
    for point in exact.path(head, rows, bounds):
        assert envelope.lower(point.bound) <= point.loss
        assert point.lower() <= envelope.upper(point.bound)
        assert envelope.upper(point.bound) - envelope.lower(point.bound) <= 1e-3
    for point in envelope.points:
        assert point.gap <= 1e-8
        assert envelope.lower(point.bound) <= point.loss
    at, width = envelope.widest()
    assert low <= at <= high
    assert width <= 1e-3
    grid = np.linspace(low, high, 200)
    assert np.max(envelope.upper(grid) - envelope.lower(grid)) <= width + 1e-12
    assert np.isinf(envelope.upper(low / 2))
    assert envelope.lower(2 * high) <= envelope.upper(2 * high) <= envelope.points[-1].loss


def test_more_bounds_where_the_sandwich_is_wide(solved):
    head, rows, fine = solved["pairs"]
    low, high = fine.points[0].bound, fine.points[-1].bound
    coarse = exact.frontier(head, rows, low, high, width=1e-2)
    assert len(coarse.points) < len(fine.points) < 40
    assert coarse.widest()[1] <= 1e-2
    cut = exact.frontier(head, rows, low, high, width=1e-9, most=4)
    assert len(cut.points) == 4
    assert cut.widest()[1] > 1e-9


@pytest.mark.parametrize("name", ["pairs", "awkward"])
def test_any_dual_point_is_a_bound_and_a_worse_one_only_weaker(name, solved):
    head, rows, envelope = solved[name]
    rng = np.random.default_rng(1)
    point = envelope.points[len(envelope.points) // 2]
    constant, price = by_hand(head, rows, softmax(head, point.w), point.multipliers)
    np.testing.assert_allclose([point.constant, point.price], [constant, price], atol=1e-11)
    for other in envelope.points:
        assert other.constant <= by_hand(head, rows, softmax(head, other.w), other.multipliers)[0]  # rounded downwards
    available = np.asarray(head.choices.available)
    for size in (1e-4, 1e-2, 1.0):
        nu = np.abs(point.multipliers + size * rng.normal(size=point.multipliers.shape))
        w = point.w + size * rng.normal(size=head.d)
        mixed = (1 - size) * softmax(head, point.w) + size * softmax(head, rng.normal(size=head.d))
        noise = rng.random(available.shape) * available
        for alpha in (softmax(head, w), mixed, noise / noise.sum(1, keepdims=True)):
            constant, price = by_hand(head, rows, alpha, nu)
            for other in envelope.points:  # valid at every bound
                assert constant - price * other.bound <= other.loss
            assert constant - price * point.bound <= point.lower() + 1e-9
        worse = exact.certify(head, rows, point.bound, w, nu)
        assert worse.lower() <= point.lower() + 1e-9
        np.testing.assert_allclose([worse.constant, worse.price], by_hand(head, rows, softmax(head, w), nu), atol=1e-9)


def test_a_planted_worse_head_shows_its_gap(solved):
    head, rows, envelope = solved["pairs"]
    good = envelope.points[3]
    bad = exact.certify(head, rows, good.bound, 0.8 * good.w, good.multipliers)
    assert bad.violation == 0
    assert bad.gap >= bad.loss - good.loss > 1e-3
    over = exact.certify(head, rows, good.bound, 1.2 * good.w, good.multipliers)
    assert np.isinf(over.gap)


def test_a_primal_dual_run_carries_its_own_gap():
    """Plain descent and ascent on the affine rows, certified by its last iterate and its averaged multipliers."""
    head = exact.Head.of(two_groups(), 0.05)
    rows = exact.rows_of(ct.demographic_parity(PAIRS), head)
    best = exact.solve(head, rows, 0.05)
    w, nu, total, seen = np.zeros(head.d), np.zeros(len(rows.matrix)), np.zeros(len(rows.matrix)), []
    for step in range(1, 401):
        w = w - 0.5 * (head.moments(w, False).gradient + head.ridge * w + rows.matrix.T @ nu)
        nu = np.maximum(nu + 0.5 * (rows.matrix @ w - rows.limits(best.bound)), 0)
        total += nu
        if step in (40, 400):
            inside = w * min(1, best.bound / rows.violation(w, 0))
            seen.append(exact.certify(head, rows, best.bound, inside, total / step))
    early, late = seen
    for point in seen:
        assert point.gap >= point.loss - best.loss >= -1e-9
        assert point.lower() <= best.loss
    assert late.gap < early.gap
    assert late.gap < 1e-2


@pytest.mark.parametrize(
    ("w", "nu", "says"),
    [
        ([0.0] * 3, [0.0, -1.0], ">= 0"), ([0.0] * 2, [0.0] * 2, r"w \[3\]"), ([0.0] * 3, [0.0], "multipliers"),
        ([0.0, 0.0, np.nan], [0.0] * 2, "finite"), ([0.0] * 3, [0.0, np.inf], "finite"),
    ],
)  # fmt: skip
def test_dual_points_that_are_none_are_refused(w, nu, says, solved):
    head, rows, _ = solved["pairs"]
    with pytest.raises(UsageError, match=says):
        exact.certify(head, rows, 0.1, w, nu)
