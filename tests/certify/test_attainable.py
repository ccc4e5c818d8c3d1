"""Whether any scores could be certified: against all tables of small groups, and against searches for a lucky one.

The rule that was wrong, "if every decision were the same", is the control that must fail.
"""

from __future__ import annotations

import functools
import itertools
import time
from decimal import Decimal as D

import numpy as np
import pytest

from faro.certify import certificate
from faro.certify.attainable import some_scores
from faro.certify.bounds import betting, dkw, shift, two_binomials
from faro.certify.bounds.binomial import clopper_pearson_lower, clopper_pearson_upper
from faro.certify.bounds.shift import BALLS, two_point, worst
from faro.certify.bounds.two_binomials import Counts
from faro.certify.policy import Claim, read_policy
from tests.builders.claims import accepted, claim
from tests.oracles import verify_by_hand as hand


def asked(method, bound, sizes, level, constraint="demographic_parity", masses=None, **given):
    groups = tuple(f"g{i}" for i in range(len(sizes)))
    wanted = Claim("it", constraint, D(bound), method, "g", groups, **given)
    blocks = [block.name for block in wanted.blocks]
    units = {(block, group): n for block in blocks for group, n in zip(groups, sizes, strict=True)}
    weights = {(blocks[0], group): own for group, own in zip(groups, masses or [], strict=bool(masses))}
    return some_scores(wanted, level, units, weights)


@functools.cache
def within(method, x, y, bound, level, ball=None, radius=None):
    """Whether these counts show that the rate of x is at most `bound` above that of y."""
    if method == "exact2":
        return two_binomials.rejects(x, y, bound, level)
    ends = clopper_pearson_upper(x.k, x.n, level / 2), 1 - clopper_pearson_lower(y.k, y.n, level / 2)
    if ball:
        ends = [worst(BALLS[ball], two_point(end), radius).value for end in ends]
    return sum(ends) - 1 <= bound


def all_tables(sizes):
    for counts in itertools.product(*(range(n + 1) for n in sizes)):
        yield [Counts(k, n) for k, n in zip(counts, sizes, strict=True)]


SETTINGS = [(groups, level) for groups in (2, 3) for level in (0.4, 0.05, 0.003)]


@pytest.mark.parametrize("method", ["exact2", "clopper-pearson"])
def test_too_few_people_is_said_if_and_only_if_no_table_is_certified(method):
    rng = np.random.default_rng(3)
    answers, same = [], []
    for groups, level in SETTINGS * 4:
        sizes = tuple(int(n) for n in rng.integers(1, 32 if groups == 2 else 9, groups))
        least = -np.log(level) / min(sizes)  # about where the answer turns
        bound = D(f"{min(0.95, least * rng.uniform(0.4, 1.2)):.3f}")
        show = functools.partial(within, method, bound=bound, level=level)
        passing = [t for t in all_tables(sizes) if all(show(x, y) for x, y in itertools.permutations(t, 2))]
        assert asked(method, bound, sizes, level) == bool(passing)
        answers.append(bool(passing))
        same.append(any(all(c.k == 0 for c in table) for table in passing))
    assert 6 <= sum(answers) <= len(answers) - 6
    assert method == "exact2" or same != answers  # control: with the same decision for all, too many are turned away


def test_the_case_that_was_turned_away_is_certified():
    few, nobody, many = Counts(0, 40), Counts(0, 4000), Counts(190, 4000)
    show = functools.partial(within, "exact2", level=0.05)
    assert show(few, many, D("0.06")) and show(many, few, D("0.06"))
    assert two_binomials.upper(few, nobody, 0.05) == D("0.094528")
    for sizes in ([40, 4000], [4000, 40]):
        assert asked("exact2", "0.0845", sizes, 0.05) and asked("exact2", "0.06", sizes, 0.05)
    assert not asked("exact2", "0.05", [20, 4000], 0.05)


@pytest.mark.parametrize("ball", ["tv", "kl"])
def test_a_shift_is_added_to_the_ends(ball):
    for bound in ("0.2", "0.35", "0.6"):
        show = functools.partial(within, "clopper-pearson", bound=D(bound), level=0.05, ball=ball, radius=D("0.02"))
        passing = any(show(x, y) and show(y, x) for x, y in all_tables((6, 12)))
        assert asked("clopper-pearson", bound, [6, 12], 0.05, ball=ball, radius=D("0.02")) == passing
    assert passing


def test_a_cap_is_easiest_where_nobody_is_counted():
    for n in (10, 50, 59, 100):
        assert asked("clopper-pearson", "0.05", [n], 0.05, "rate_cap") == (n >= 59)  # .95^n <= .05


def lucky(rng, n):
    """Totals of units as shares of their masses: constant, few, in waves, or long runs of 0 and then of 1."""
    kind = rng.integers(5)
    if kind == 0:
        return np.full(n, rng.choice([0, 0.01, 0.5, rng.random()]))
    if kind == 1:
        return (rng.random(n) < rng.choice([0.01, 0.1, 0.5])).astype(float)
    if kind == 2:
        return rng.random(n) * rng.random()
    return np.roll((np.arange(n) >= rng.integers(n + 1)).astype(float), rng.integers(n)) * (kind == 3 or rng.random())


@pytest.mark.parametrize(("constraint", "most"), [("rate_cap", 60), ("counterfactual_parity", 15)])
def test_no_order_of_units_wins_a_bet_that_was_said_to_be_lost(constraint, most):
    rng = np.random.default_rng(5)
    denied = granted = 0
    for _ in range(100):
        n, level, cap = int(rng.integers(1, most)), rng.choice([0.05, 0.3]), rng.choice([1, 3])
        masses = rng.uniform(0.2, 1, n) * cap
        bound = D(f"{rng.uniform(0.01, 0.6):.3f}")
        rate = bound if constraint == "rate_cap" else (1 + bound) / 2
        if asked("unit-ratio", bound, [n], level, constraint, [masses / cap]):
            granted += betting.upper(np.zeros(n), masses, cap, level, rate) <= rate
            continue
        denied += 1
        for _ in range(20):
            assert betting.upper(lucky(rng, n) * masses, masses, cap, level, rate) > rate
    assert min(denied, granted) > 10


def test_no_order_of_block_pairs_wins_what_was_said_to_be_lost():
    rng, denied = np.random.default_rng(6), 0
    for n in range(1, 25):
        for bound in map(D, ("0.05", "0.3")):
            if asked("block-pair", bound, [n, 2 * n], 0.05):
                continue
            denied += 1
            for _ in range(50):
                values = lucky(rng, n)
                found = [2 * betting.mean_upper(each, 0.05) - 1 for each in (values, 1 - values)]
                assert max(found) > bound
    assert denied >= 5


def test_pairs_of_separate_ends_are_never_turned_away():
    """Lucky orders exist: 0 until one gambler has won, 1 until the other has, 0 again."""
    assert asked("unit-ratio", "0.01", [8, 8], 0.05, masses=[np.ones(8), np.ones(8)])
    run, honest = np.r_[np.zeros(30), np.ones(500), np.zeros(470)], np.tile([0, 1], 500)
    narrow, wide = (betting.mean_upper(x, 0.025) + betting.mean_upper(1 - x, 0.025) - 1 for x in (run, honest))
    assert narrow < D("0.01") < wide


def test_means_within_a_bound_from_their_laws():
    rng, told = np.random.default_rng(7), []
    z = np.r_[0, np.linspace(0, 1, 200)]
    for _ in range(40):
        sizes, level = [int(n) for n in 10 ** rng.uniform(1, 4, 2)], 0.05
        widths = [float(dkw.mean_excess(n, level / 2)) for n in sizes]
        (high, low), (above, below) = (
            [np.minimum(1, np.ceil(z * 256) / 256 + e), np.maximum(0, 1 - np.ceil((1 - z) * 256) / 256 - e)]
            for e in widths
        )
        least = np.maximum(high[:, None] - below, above - low[:, None]).min()
        for share in (0.5, 0.9, 0.99):
            told.append(not asked("dkw", f"{min(least * share, 0.999):.6f}", sizes, level, "reward_parity"))
        assert least > 0.99 or asked("dkw", f"{least + 1e-6:.6f}", sizes, level, "reward_parity")
    assert sum(told) > len(told) / 2
    law = shift.histogram([0.3], 0.1)  # what was tried above is what a law gives
    assert law.mean(lambda z: z) == pytest.approx(np.ceil(0.3 * 256) / 256 + 0.1)


def test_all_thresholds_are_easiest_where_all_laws_are_equal():
    for n, m in ((100, 3000), (400, 400), (5000, 20000)):
        least = dkw.upper(np.zeros(n), np.zeros(m), 0.05)
        assert asked("dkw", least, [n, m], 0.05, "threshold_parity")
        assert not asked("dkw", least - D("1e-9"), [n, m], 0.05, "threshold_parity")


@pytest.mark.parametrize("method", ["exact2", "clopper-pearson"])
@pytest.mark.parametrize("level", [0.05, 0.0003])
def test_large_groups_are_answered_at_once(method, level):
    for sizes in ([25_000] * 4, [30, 30_000, 30_000, 40_000], [2_000, 30_000, 30_000, 38_000]):
        for bound in ("0.05", "0.01"):
            start = time.process_time()
            asked(method, bound, sizes, level)
            assert time.process_time() - start < 1  # 0.2 s, but for machines that are busy


@pytest.mark.parametrize(("many", "bound", "verdict"), [(190, "0.06", "CERTIFIED"), (0, "0.05", "INCONCLUSIVE")])
def test_the_few_beside_the_many_are_asked_for_what_some_scores_can_show(many, bound, verdict, tmp_path):
    """As a gate asks, without scores, and as a certificate answers for the scores of this table."""
    (tmp_path / "faro.toml").write_text(hand.toml(accepted(claim(bound=bound), min_group=1)))
    few = 40 if many else 20
    sizes = {"A": (few, 0), "B": (4000, many)}
    rows = [
        {"unit": f"{g}{i}", "choice": f"{g}{i}", "reward": 1.0 if i < k else -1.0, "g": g, "label": 0.0}
        for g, (n, k) in sizes.items()
        for i in range(n)
    ]
    hand.write_csv(tmp_path / "audit.csv", rows)
    case = certificate.prepare(tmp_path / "audit.csv", read_policy(tmp_path / "faro.toml"))
    said = f"it: whatever the scores, so few people cannot show {bound} at the share of delta left"
    assert case.hopeless(0.05) == ([] if many else [said])
    assert certificate.make(case).verdict.value == verdict
