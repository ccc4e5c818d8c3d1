"""Confidence bounds on rates and on distances of distributions."""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.special import bdtr
from scipy.stats import beta, binom


def cp_upper(k, n, level):
    return 1.0 if k >= n else float(beta.ppf(1 - level, k + 1, n - k))


def betting_log(S, N, c, m, level):
    n = len(S)
    rate = ((0.5 + np.cumsum(S)) / (1 + np.cumsum(N)))[:-1]
    rate = np.concatenate([[0.5], rate])
    spread = np.concatenate([[0], np.cumsum(((S - rate * N) / c) ** 2)[:-1]])
    v = (0.25 + spread) / np.arange(1, n + 1)
    bet = np.minimum(np.sqrt(2 * np.log(1 / level) / (n * v)), 0.75 / (1 - m))
    return np.max(np.cumsum(np.log1p(-bet * (S - m * N) / c)))


def betting_upper(S, N, c, level):
    low, high = 0.0, 1.0
    for _ in range(45 if len(S) else 0):
        m = (low + high) / 2
        low, high = (low, m) if betting_log(S, N, c, m, level) >= math.log(1 / level) else (m, high)
    return high


def pair_blocks(a, b):
    n = min(len(a), len(b))
    means = [np.asarray(v)[: len(v) // n * n].reshape(n, -1).mean(1) for v in (a, b)]
    return (1 + means[0] - means[1]) / 2


def exact2_rejects(k_a, n_a, k_b, n_b, gap, level):
    if k_a / n_a - k_b / n_b >= gap:
        return False
    g = level / 20
    high, low = cp_upper(k_a, n_a, g / 2), 1 - cp_upper(n_b - k_b, n_b, g / 2)
    if high - low < gap:
        return True
    edges = np.linspace(low, high - gap, 101)[:, None]
    x = np.arange(n_b + 1)
    y = (k_a * n_b - k_b * n_a + x * n_a) // n_b
    inside = np.where(y < 0, 0.0, bdtr(np.clip(y, 0, n_a).astype(float), n_a, np.clip(edges[:-1] + gap, 0, 1)))
    worst = (binom.pmf(x, n_b, np.clip(edges[1:], 0, 1)) * inside).sum(1).max()
    return worst <= level - g


@functools.cache
def exact2_upper(k_a, n_a, k_b, n_b, level):
    return bisect(lambda u: exact2_rejects(k_a, n_a, k_b, n_b, u, level), -1.0, 1.0, 24)


def bisect(rejects, low, high, steps=40):
    for _ in range(steps):
        m = (low + high) / 2
        low, high = (low, m) if rejects(m) else (m, high)
    return high


def massart(n, x):
    value = np.exp(-2 * n * np.maximum(x, 0) ** 2)
    return np.where((x > 0) & (value <= 0.5), value, 1.0)


@functools.cache
def dkw_radius(n_a, n_b, level):
    n_a, n_b = sorted((n_a, n_b))

    def tail(r):
        g = r * np.arange(2001) / 2000
        a = massart(n_a, g)
        return a[-1] + ((a[:-1] - a[1:]) * np.append(massart(n_b, (r - g[1:])[:-1]), 1.0)).sum()

    return bisect(lambda r: tail(r) <= level, 0.0, 8 / math.sqrt(n_a))


def cdf_gap(a, b):
    values = np.union1d(a, b)
    f = [np.searchsorted(np.sort(v), values, "right") / len(v) for v in (a, b)]
    return max(0.0, float(np.max(f[1] - f[0])))
