"""How often each bound is wrong when it is hardest to be right: the truth lies exactly at what is claimed.

For every bound and setting, `draws` samples are drawn with a true gap (rate, distance) equal to the bound that is asked
for, and it is counted how often the bound is certified all the same: at most delta of them may be. A row fails if the
99 % Clopper-Pearson lower limit of that share exceeds delta. Controls are methods known to be invalid: they must fail,
or the harness could not see a fault. With 2,500 draws a share of .07 at delta .05 is seen with probability .97.

`make coverage` writes docs/coverage.md.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy import special, stats

from faro.certify import committed_order, ledger
from faro.certify.bounds import betting, dkw, shift, two_binomials
from faro.certify.bounds.binomial import clopper_pearson_lower, clopper_pearson_upper
from faro.certify.bounds.two_binomials import Counts

DELTA = 0.05


@dataclass(frozen=True)
class Study:
    """One row of the table: `wrong(rng, draws)` says for every draw whether a false claim was certified."""

    method: str
    setting: str
    wrong: Callable[[np.random.Generator, int], np.ndarray]
    control: bool = False  # known to be invalid: must be seen to fail


def limit(wrong: int, draws: int) -> float:
    """99 % lower limit of the share of wrong draws."""
    return float(clopper_pearson_lower(wrong, draws, 0.01))


# Counts of independent units ------------------------------------------------------------------------------------------


def decided(decide: Callable[[int, int], bool], k_a: np.ndarray, k_b: np.ndarray) -> np.ndarray:
    """`decide` for every pair of counts `[draws]`, asked once per different pair."""
    pairs, back = np.unique(np.stack([k_a, k_b], 1), axis=0, return_inverse=True)
    return np.array([decide(int(a), int(b)) for a, b in pairs], bool)[back.ravel()]


def passes_exact2(k_a, k_b, n_a: int, n_b: int, bound: Decimal, level: float = DELTA) -> np.ndarray:
    return decided(lambda a, b: two_binomials.rejects(Counts(a, n_a), Counts(b, n_b), bound, level), k_a, k_b)


def passes_clopper_pearson(k_a, k_b, n_a: int, n_b: int, bound: Decimal, level: float = DELTA) -> np.ndarray:
    high = np.array([float(clopper_pearson_upper(k, n_a, level / 2)) for k in range(k_a.min(), k_a.max() + 1)])
    low = np.array([float(clopper_pearson_lower(k, n_b, level / 2)) for k in range(k_b.min(), k_b.max() + 1)])
    return high[k_a - k_a.min()] - low[k_b - k_b.min()] <= float(bound)


def passes_wald(k_a, k_b, n_a: int, n_b: int, bound: Decimal, level: float = DELTA) -> np.ndarray:
    a, b = k_a / n_a, k_b / n_b
    spread = np.sqrt(a * (1 - a) / n_a + b * (1 - b) / n_b)
    return a - b + stats.norm.ppf(1 - level) * spread <= float(bound)


def passes_t_test(k_a, k_b, n_a: int, n_b: int, bound: Decimal, level: float = DELTA) -> np.ndarray:
    a, b = k_a / n_a, k_b / n_b
    terms = [rate * (1 - rate) / (n - 1) for rate, n in ((a, n_a), (b, n_b))]
    total = np.maximum(terms[0] + terms[1], 1e-300)
    freedom = np.maximum(total**2 / np.maximum(terms[0] ** 2 / (n_a - 1) + terms[1] ** 2 / (n_b - 1), 1e-300), 1)
    return a - b + stats.t.ppf(1 - level, freedom) * np.sqrt(total) <= float(bound)


def gate(passes, rates, sizes):
    """False passes of a gate over all ordered pairs of groups: the bound is the true largest gap."""
    bound = max(map(Decimal, map(str, rates))) - min(map(Decimal, map(str, rates)))
    pairs = sorted(
        ((a, b) for a in range(len(rates)) for b in range(len(rates)) if a != b),
        key=lambda pair: rates[pair[1]] - rates[pair[0]],
    )

    def wrong(rng, draws):
        counts = [rng.binomial(n, p, draws) for n, p in zip(sizes, rates, strict=True)]
        passing = np.ones(draws, bool)
        for a, b in pairs:
            left = np.flatnonzero(passing)
            if len(left):
                passing[left] = passes(counts[a][left], counts[b][left], sizes[a], sizes[b], bound)
        return passing

    return wrong


def refuted(rates, sizes):
    """False REFUTED: some exact2 lower bound, at delta / (K (K - 1)), beyond the true largest gap."""
    groups = range(len(rates))
    bound = max(map(Decimal, map(str, rates))) - min(map(Decimal, map(str, rates)))
    level = DELTA / (len(rates) * (len(rates) - 1))

    def wrong(rng, draws):
        counts = [rng.binomial(n, p, draws) for n, p in zip(sizes, rates, strict=True)]
        found = np.zeros(draws, bool)
        for a in groups:
            for b in groups:
                if a != b:  # a over b by more than the bound: b over a is shown to be below minus the bound
                    found |= passes_exact2(counts[b], counts[a], sizes[b], sizes[a], -bound, level)
        return found

    return wrong


# Units that give several rows -----------------------------------------------------------------------------------------


def clustered(rng, draws, units, rate, icc, cap, sizes=None):
    """Totals and masses `[draws, units]`: beta-binomial decisions of correlation `icc` within a unit."""
    masses = np.full((draws, units), cap) if sizes is None else rng.integers(0, cap + 1, (draws, units))
    base = np.full(cap + 1, rate) if sizes is None else np.clip(rate * (0.5 + np.arange(cap + 1) / cap), 0.01, 0.99)
    strength = (1 - icc) / icc
    mean = base[masses]
    totals = rng.binomial(masses, rng.beta(mean * strength, (1 - mean) * strength))
    return totals.astype(float), masses.astype(float), base


def ratio_upper(totals, masses, cap, level, steps=22):
    """betting.upper for every draw at once, to 2**-22; a bound of 1 where nothing is proved."""
    placed = betting.bets(totals, masses, cap, level)
    low, high = np.zeros(len(totals)), np.ones(len(totals))
    for _ in range(steps):
        m = (low + high) / 2
        shown = betting.log_capital(totals, masses, cap, m[:, None], placed) >= np.log(1 / level)
        low, high = np.where(shown, low, m), np.where(shown, m, high)
    return high


def ratio_rate(units, rate, icc, cap):
    """One rate, dependent on the unit's size: the claim is that it is below what it is."""

    def wrong(rng, draws):
        totals, masses, base = clustered(rng, draws, units, rate, icc, cap, sizes="informative")
        truth = float((np.arange(cap + 1) * base).sum() / np.arange(cap + 1).sum())
        return betting.rejects(totals, masses, cap, truth, DELTA)

    return wrong


def nine_rows(method, units=250, rates=(0.5, 0.45), icc=0.67, rows=9):
    """Two groups of people with nine rows each; the bound is the true gap."""
    bound = Decimal(str(rates[0])) - Decimal(str(rates[1]))

    def wrong(rng, draws):
        (a, masses, _), (b, _, _) = (clustered(rng, draws, units, rate, icc, rows) for rate in rates)
        if method == "raw":
            return passes_exact2(a.sum(1).astype(int), b.sum(1).astype(int), units * rows, units * rows, bound)
        if method == "thinning":  # which row is kept does not depend on its decision
            kept = [rng.binomial(1, totals / rows).sum(1) for totals in (a, b)]
            return passes_exact2(kept[0], kept[1], units, units, bound)
        high = ratio_upper(a, masses, rows, DELTA / 2)
        low = 1 - ratio_upper(masses - b, masses, rows, DELTA / 2)
        return high - low <= float(bound)

    return wrong


def mixed_pairs(method, pairs=1000, rate=0.525):
    """Pairs of responses, one of each group, one of them chosen: a's decision is 1 - b's."""
    bound = Decimal(str(rate)) * 2 - 1

    def wrong(rng, draws):
        a = rng.binomial(1, rate, (draws, pairs)).astype(float)
        if method == "raw":
            k = a.sum(1).astype(int)
            return passes_exact2(k, pairs - k, pairs, pairs, bound)
        if method == "thinning":
            first = rng.random((draws, pairs)) < 0.5
            n_a, k_a, k_b = first.sum(1), (a * first).sum(1).astype(int), ((1 - a) * ~first).sum(1).astype(int)
            return np.array(
                [
                    two_binomials.rejects(Counts(int(x), int(n)), Counts(int(y), int(pairs - n)), bound, DELTA)
                    for x, y, n in zip(k_a, k_b, n_a, strict=True)
                ]
            )
        ones = np.ones_like(a)
        return ratio_upper(a, ones, 1, DELTA / 2) - 1 + ratio_upper(a, ones, 1, DELTA / 2) <= float(bound)

    return wrong


def signed_counterfactual(units=300, rows=4, rates=(0.55, 0.5)):
    """One sample: S = sum (1 + d_l - d_l')/2, decisions of both levels correlated within a row."""
    gap = Decimal(str(rates[0])) - Decimal(str(rates[1]))

    def wrong(rng, draws):
        masses = rng.integers(1, rows + 1, (draws, units))
        uniform = rng.random((draws, units, rows))
        live = np.arange(rows) < masses[..., None]
        signed = (1 + (uniform < rates[0]).astype(float) - (uniform < rates[1])) / 2
        return betting.rejects((signed * live).sum(-1), masses.astype(float), rows, (1 + float(gap)) / 2, DELTA)

    return wrong


# Scores ---------------------------------------------------------------------------------------------------------------


def block_pair(a, b, n_a, n_b):
    """Scores of two beta laws; the claim is that the difference of means is below what it is."""
    truth = a[0] / sum(a) - b[0] / sum(b)

    def wrong(rng, draws):
        blocks = min(n_a, n_b)
        means = [
            rng.beta(*law, (draws, n // blocks * blocks)).reshape(draws, blocks, -1).mean(-1)
            for law, n in ((a, n_a), (b, n_b))
        ]
        return betting.rejects((1 + means[0] - means[1]) / 2, np.ones((draws, blocks)), 1, (1 + truth) / 2, DELTA)

    return wrong


def served(method, units=250, prompts=4, draws_of=8, kept=4, rates=(0.5, 0.45), icc=0.67):
    """Best of `kept` of `draws_of` draws for every prompt; prompts of a unit share how often answers are of the kind,
    and rewards say nothing of it, so that a group's mean probability is its rate. The bound is the true gap."""
    rank = np.arange(1, draws_of + 1)
    weights = special.comb(rank - 1, kept - 1) / special.comb(draws_of, kept)
    truth, strength = rates[0] - rates[1], (1 - icc) / icc

    def wrong(rng, draws):
        values = []
        for rate in rates:
            often = rng.beta(rate * strength, (1 - rate) * strength, (draws, units))[..., None, None]
            values.append((rng.random((draws, units, prompts, draws_of)) < often) @ weights)
        if method == "unit-ratio":
            masses = np.full((draws, units), float(prompts))
            high = ratio_upper(values[0].sum(-1), masses, prompts, DELTA / 2)
            low = 1 - ratio_upper(masses - values[1].sum(-1), masses, prompts, DELTA / 2)
            return high - low <= truth
        a, b = (own.mean(-1) if method == "block-pair" else own.reshape(draws, -1) for own in values)
        return betting.rejects((1 + a - b) / 2, np.ones(a.shape), 1, (1 + truth) / 2, DELTA)

    return wrong


def exchanged(pairs: str, people=80, minority=0.1, apart=0.6, choices=8):
    """People of two kinds, who are served differently in a share of the choices: another kind in a person's place
    changes so many. The bound is the mean over independent people. "disjoint": people two by two; "all": every two of
    them, as if independent."""
    truth = 2 * minority * (1 - minority) * apart

    def wrong(rng, draws):
        kind = rng.random((draws, people)) < minority
        if pairs == "disjoint":
            first, second = np.arange(0, people, 2), np.arange(1, people, 2)
        else:
            first, second = np.triu_indices(people, 1)
        differ = kind[:, first] != kind[:, second]
        values = differ * rng.binomial(choices, apart, differ.shape) / choices
        return betting.rejects(values, np.ones(values.shape), 1, truth, DELTA)

    return wrong


def t_test_scores(n=50):
    """Rare large scores (1 with probability .01, else 0): the control for means."""
    return gate(passes_t_test, (0.01, 0.0), (n, n))


def all_thresholds(n_a, n_b, shift_mass=0.05):
    """Five atoms; mass moves from the last to the first, so the distance is reached at four of them."""
    p_b = np.full(5, 0.2)
    p_a = p_b + np.array([shift_mass, 0, 0, 0, -shift_mass])
    radius = float(dkw.radius(n_a, n_b, DELTA))

    def wrong(rng, draws):
        below = [np.cumsum(rng.multinomial(n, p, draws), 1) / n for n, p in ((n_a, p_a), (n_b, p_b))]
        return np.maximum((below[0] - below[1]).max(1), 0) + radius < shift_mass

    return wrong


def both_deviations(n_a, n_b):
    """The event on which `dkw` rests: both one-sided deviations of continuous laws together exceed the radius."""
    radius = float(dkw.radius(n_a, n_b, DELTA))

    def wrong(rng, draws):
        above, below = np.sort(rng.random((draws, n_a)), 1), np.sort(rng.random((draws, n_b)), 1)
        most = (above - np.arange(n_a) / n_a).max(1)  # sup of F - Fhat, at least 0
        least = (np.arange(1, n_b + 1) / n_b - below).max(1)  # sup of Fhat - F
        return np.maximum(most, 0) + np.maximum(least, 0) > radius

    return wrong


def score_means_by_deviation(n=500):
    """dkw of scores: one deviation of each distribution function bounds the difference of means."""
    a, b = (2, 3), (2, 4)
    excess = float(dkw.mean_excess(n, DELTA / 2))

    def wrong(rng, draws):
        means = [rng.beta(*law, (draws, n)).mean(1) for law in (a, b)]
        return means[0] - means[1] + 2 * excess < 2 / 5 - 2 / 6

    return wrong


# Shift with sampling --------------------------------------------------------------------------------------------------


def shifted_rates(name, radius, n=1000, rates=(0.3, 0.25)):
    """The worst gap in balls around the true rates is claimed to be below what it is; sampling error is in the ends."""
    ball = shift.BALLS[name]

    def worst(p):
        return float(shift.worst(ball, shift.two_point(p), radius).value)

    truth = worst(rates[0]) + worst(1 - rates[1]) - 1

    def wrong(rng, draws):
        k = [rng.binomial(n, p, draws) for p in rates]
        ups = {int(x): worst(clopper_pearson_upper(int(x), n, DELTA / 2)) for x in np.unique(k[0])}
        downs = {int(x): worst(1 - clopper_pearson_lower(int(x), n, DELTA / 2)) for x in np.unique(k[1])}
        return np.array([ups[int(x)] + downs[int(y)] - 1 < truth - 2e-8 for x, y in zip(*k, strict=True)])

    return wrong


def committed_order_study(n=60):
    """The real hash order instead of the order of drawing, on one rate."""
    orders = [committed_order.committed([f"person {i}" for i in range(n)], f"nonce {j}") for j in range(20)]

    def wrong(rng, draws):
        values = rng.binomial(1, 0.2, (draws, n)).astype(float)
        values = np.stack([row[orders[i % 20]] for i, row in enumerate(values)])
        return betting.rejects(values, np.ones_like(values), 1, 0.2, DELTA)

    return wrong


def scorer_knows_names(method: str, public: bool, attempts=8, n=250, rows=5, rates=(0.5, 0.45), icc=0.3):
    """A scorer with a true gap of the bound that knows every name, the policy, and the order that a nonce in it would
    give: it is fair where that order looks. "public": the gate uses this order (format 1). Else each attempt has the
    order of a seed and of its scores, the bound is at least what all rows show, and a ledger gives the level."""
    bound = Decimal(str(rates[0])) - Decimal(str(rates[1]))
    keys = ["nonce", *(committed_order.order_key(f"seed {j}", f"scores {j}") for j in range(20))]
    names = [[(f"{g}{i}", f"{g}{i}-{t}", "") for i in range(n) for t in range(rows)] for g in "ab"]
    units = [[f"{g}{i}" for i in range(n)] for g in "ab"]
    kept = [
        np.stack([committed_order.thinned(each, key) % rows for key in keys]) for each in names
    ]  # [keys, n] of each group
    ranked = [np.stack([committed_order.committed(each, key) for key in keys]) for each in units]

    def shown(rng, draws, accepted, group, used):
        """Decisions on kept rows `[draws, n]`, where the row that the nonce would keep got what the scorer wants."""
        wanted = np.where(accepted == rows, 1, 0) if group == 0 else np.where(accepted == 0, 0, 1)
        rest = rng.random(accepted.shape) < (accepted - wanted) / (rows - 1)
        return np.where(kept[group][used] == kept[group][0], wanted, rest)

    def ends(accepted, group, used, level):
        """The upper end of a's rate, 1 - the lower end of b's, of units arranged for the nonce's order."""
        arranged = np.sort(accepted, 1) if group == 0 else -np.sort(-accepted, 1)
        by_name = np.empty_like(arranged)
        by_name[:, ranked[group][0]] = arranged  # what the nonce's order meets first is fair
        totals = np.take_along_axis(by_name, ranked[group][used], 1)
        return ratio_upper(totals if group == 0 else rows - totals, np.full_like(totals, rows), rows, level / 2)

    def wrong(rng, draws):
        strength = (1 - icc) / icc
        accepted = [
            rng.binomial(rows, rng.beta(rate * strength, (1 - rate) * strength, (draws, n))).astype(float)
            for rate in rates
        ]
        counted = (accepted[0].sum(1) - accepted[1].sum(1)) / (n * rows)
        passed = np.zeros(draws, bool)
        for j in range(1 if public else attempts):
            used = np.zeros(draws, int) if public else rng.integers(1, len(keys), draws)
            level = DELTA if public else float(ledger.share(Fraction(DELTA), j + 1, 1))
            if method == "thinned":
                k_a, k_b = (shown(rng, draws, own, g, used).sum(1).astype(int) for g, own in enumerate(accepted))
                passes = passes_exact2(k_a, k_b, n, n, bound, level)
            else:
                passes = sum(ends(own, g, used, level) for g, own in enumerate(accepted)) - 1 <= float(bound)
            passed |= passes & (public | (counted <= float(bound)))
        return passed

    return wrong


def shared_prompts(per: str, units=400, prompts=12, spread=0.35, gap=0.26, bound=0.25):
    """Raters who see two of few prompts, whose gaps differ: the claim is about new prompts, and false. "raters": units
    are raters, as if that showed it; "prompts": units are prompts."""

    def wrong(rng, draws):
        gaps = rng.normal(gap, spread, (draws, prompts)).clip(-1, 1)
        found = np.zeros(draws, bool)
        for d in range(draws):
            prompt = np.argsort(rng.random((units, prompts)), 1)[:, :2].ravel()
            first = rng.random(2 * units) < 0.5
            won = rng.random(2 * units) < 0.5 + gaps[d, prompt] / 2 * np.where(first, 1, -1)
            unit = np.repeat(np.arange(units), 2) if per == "raters" else prompt
            n, cap = (units, 2) if per == "raters" else (prompts, 2 * units)
            high = []
            for mine, decided in ((first, won), (~first, ~won)):
                totals = np.bincount(unit[mine], decided[mine], n)
                masses = np.bincount(unit[mine], minlength=n).astype(float)
                some = masses > 0
                high.append(ratio_upper(totals[None, some], masses[None, some], cap, DELTA / 2)[0])
            found[d] = sum(high) - 1 <= bound
        return found

    return wrong


def projects(gate: str, attempts=20, n=1000, rates=(0.35, 0.3)):
    """Whole projects: a model whose true gap is the bound is submitted up to 20 times, tuned in between on other data,
    so that every attempt counts anew among the gate's people. "ledger": at the ledger's share of delta."""
    bound = Decimal(str(rates[0])) - Decimal(str(rates[1]))

    def wrong(rng, draws):
        k_a, k_b = (rng.binomial(n, rate, (draws, attempts)) for rate in rates)
        gaps = (k_a - k_b) / n
        if gate == "counted":
            return (gaps <= float(bound)).any(1)
        likely = gaps < float(bound) - 1.2 * np.sqrt(sum(rate * (1 - rate) / n for rate in rates))  # no other passes
        passed = np.zeros(draws, bool)
        for j in range(attempts):
            some = likely[:, j] & ~passed
            level = float(ledger.share(Fraction(DELTA), j + 1, 1)) if gate == "ledger" else DELTA
            if some.any():
                passed[some] = passes_exact2(k_a[some, j], k_b[some, j], n, n, bound, level)
        return passed

    return wrong


def studies() -> list[Study]:
    """Every row of the table, in order."""
    found = []
    for n in (50, 200, 1000, 5000, 50000):
        for rates in ((0.5, 0.45), (0.3, 0.25), (0.05, 0.0), (0.02, 0.01)):
            found.append(Study("exact2", f"rates {rates}, n {n}", gate(passes_exact2, rates, (n, n))))
    for sizes in ((50000, 500), (500, 50000), (5000, 50), (50, 5000)):
        found.append(Study("exact2", f"rates (0.15, 0.1), n {sizes}", gate(passes_exact2, (0.15, 0.1), sizes)))
    for rates in ((0.3, 0.25, 0.3, 0.25), (0.5, 0.45, 0.475, 0.475), (0.3,) + (0.25,) * 7, (0.5,) + (0.45,) * 7):
        for n in (200, 1000, 5000):
            setting = f"{len(rates)} groups, rates {rates[:2]}..., n {n}"
            found.append(Study("exact2", setting, gate(passes_exact2, rates, (n,) * len(rates))))
    for rates, n in (((0.5, 0.45), 200), ((0.5, 0.45), 5000), ((0.05, 0.0), 1000), ((0.02, 0.01), 1000)):
        found.append(Study("clopper-pearson", f"rates {rates}, n {n}", gate(passes_clopper_pearson, rates, (n, n))))
    for rates, n in (((0.5, 0.45), 200), ((0.5, 0.45), 5000), ((0.05, 0.03), 1000), ((0.3, 0.25, 0.3, 0.25), 1000)):
        setting = f"{len(rates)} groups, rates {rates[:2]}, n {n}"
        found.append(Study("exact2, false REFUTED", setting, refuted(rates, (n,) * len(rates))))
    for units, rate, icc, cap in ((60, 0.5, 0.67, 9), (250, 0.5, 0.67, 9), (250, 0.1, 0.3, 10), (1000, 0.1, 0.3, 10),
                                  (1000, 0.5, 0.05, 10)):  # fmt: skip
        setting = f"{units} units of 0-{cap} rows, rate {rate}, correlation {icc}"
        found.append(Study("unit-ratio", setting, ratio_rate(units, rate, icc, cap)))
    for method in ("unit-ratio", "thinning", "raw"):
        name = {"raw": "exact2 on raw rows", "thinning": "exact2, thinned"}.get(method, method)
        found.append(Study(name, "250 people of 9 rows per group", nine_rows(method), method == "raw"))
        found.append(Study(name, "1000 pairs of both groups", mixed_pairs(method), method == "raw"))
    found.append(Study("unit-ratio", "signed counterfactual, 300 units", signed_counterfactual()))
    found.append(Study("unit-ratio", "60 units in the order of hashes", committed_order_study()))
    for n_a, n_b in ((50, 50), (200, 200), (1000, 1000), (5000, 5000), (5000, 500)):
        setting = f"scores beta(8, 8), beta(8, 9), n {n_a}, {n_b}"
        found.append(Study("block-pair", setting, block_pair((8, 8), (8, 9), n_a, n_b)))
    rare = block_pair((0.3, 2.7), (0.2, 2.8), 200, 200)
    found.append(Study("block-pair", "scores beta(.3, 2.7), beta(.2, 2.8), n 200", rare))
    for n_a, n_b in ((50, 50), (200, 200), (1000, 1000), (5000, 200)):
        found.append(Study("dkw", f"all thresholds, five atoms, n {n_a}, {n_b}", all_thresholds(n_a, n_b)))
    for n_a, n_b in ((50, 50), (1000, 1000), (2000, 100)):
        found.append(Study("dkw", f"both deviations beyond the radius, n {n_a}, {n_b}", both_deviations(n_a, n_b)))
    found.append(Study("dkw", "means of scores, n 500", score_means_by_deviation()))
    for name, radius in (("kl", 0.01), ("chi2", 0.05), ("tv", 0.02), ("lr", 1.2), ("cvar", 0.9)):
        found.append(Study(f"{name} ball", f"radius {radius}, rates (0.3, 0.25), n 1000", shifted_rates(name, radius)))
    for method in ("thinned", "unit-ratio"):
        name = "exact2, thinned" if method == "thinned" else method
        found.append(Study(name, "a scorer that knows names, 8 attempts", scorer_knows_names(method, public=False)))
        found.append(Study(name, "a scorer that knows names and nonce", scorer_knows_names(method, public=True), True))
    for per in ("prompts", "raters"):
        setting = f"new prompts by {per}, 12 prompts that differ"
        found.append(Study("unit-ratio", setting, shared_prompts(per), per == "raters"))
    for method in ("unit-ratio", "block-pair", "prompts as units"):
        setting = "best of 4 of 8 draws, 4 prompts a unit, icc 0.67"
        found.append(Study(method, setting, served(method), method == "prompts as units"))
    for pairs in ("disjoint", "all"):
        name = "unit-ratio" if pairs == "disjoint" else "every two as units"
        found.append(Study(name, "person exchange, 80 people of two kinds", exchanged(pairs), pairs == "all"))
    twenty = "projects of 20 attempts, rates (0.35, 0.3), n 1000"
    found.append(Study("exact2 with a ledger", twenty, projects("ledger")))
    found.append(Study("exact2 without a ledger", twenty, projects("none"), True))
    found.append(Study("the gap that was counted", twenty, projects("counted"), True))
    for n in (50, 200):
        found.append(Study("Wald", f"rates (0.01, 0), n {n}", gate(passes_wald, (0.01, 0.0), (n, n)), True))
        found.append(Study("t-test", f"rates (0.01, 0), n {n}", gate(passes_t_test, (0.01, 0.0), (n, n)), True))
    return found


def run(study: Study, draws: int, seed: int = 0) -> tuple[float, float, bool]:
    """Share of wrong draws, its 99 % lower limit, and whether the row is as it should be."""
    parts, done = 0, 0
    rng = np.random.default_rng(seed)
    while done < draws:  # in parts, so that memory stays small
        part = min(500, draws - done)
        parts += int(np.count_nonzero(study.wrong(rng, part)))
        done += part
    low = limit(parts, draws)
    return parts / draws, low, (low > DELTA) == study.control


def power(draws: int = 200, seed: int = 0) -> list[tuple[str, int, float, float]]:
    """Mean exact2 bound and mean Wald bound (which is not valid), level .05, equal sizes."""
    rng, found = np.random.default_rng(seed), []
    for rates in ((0.5, 0.45), (0.05, 0.03)):
        for n in (1000, 5000, 50000):
            bounds = []
            for _ in range(draws):
                a, b = (Counts(int(rng.binomial(n, p)), n) for p in rates)
                variance = sum(g.k / n * (1 - g.k / n) / n for g in (a, b))
                wald = (a.k - b.k) / n + stats.norm.ppf(1 - DELTA) * np.sqrt(variance)
                bounds.append((float(two_binomials.upper(a, b, DELTA)), wald))
            exact, wald = np.mean(bounds, 0)
            found.append((str(rates), n, float(exact), float(wald)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000, help="samples per row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    begin = time.process_time()
    lines = [
        "# Coverage of the bounds",
        "",
        "This page answers: how often is a bound wrong when the truth lies exactly at what is claimed? Written by",
        f"`make coverage` ({options.draws} draws a row, seed {options.seed}). What the bounds are and why they hold:",
        "[statistics.md](statistics.md).",
        "",
        f"At most {DELTA} of the draws may be wrong. A row is in order if the 99 % lower limit of its share is not",
        "above that; a control is a method known to be invalid, and is in order if its limit is above.",
        "",
        "| method | setting | wrong | 99 % lower limit | |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    print("\n".join(lines[9:]), flush=True)
    failed = 0
    for study in studies():
        share, low, good = run(study, options.draws, options.seed)
        failed += not good
        verdict = ("control: seen to fail" if study.control else "") if good else "**NOT IN ORDER**"
        lines.append(f"| {study.method} | {study.setting} | {share:.4f} | {low:.4f} | {verdict} |")
        print(lines[-1], flush=True)
    tail = [
        "",
        "Power: mean upper bound of exact2 and of Wald, which is not valid, over 200 draws at level 0.05.",
        "",
        "| rates | n per group | exact2 | Wald | ratio |",
        "|---|---|---|---|---|",
        *(
            f"| {rates} | {n} | {exact:.4f} | {wald:.4f} | {exact / wald:.3f} |"
            for rates, n, exact, wald in power(seed=options.seed)
        ),
        "",
        f"{failed} rows are not in order. It took {time.process_time() - begin:.0f} s of one core.",
    ]
    print("\n".join(tail))
    if options.out:
        options.out.write_text("\n".join(lines + tail) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
