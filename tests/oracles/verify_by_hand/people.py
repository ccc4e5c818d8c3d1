"""Tables of invented people."""

from __future__ import annotations

import hashlib

import numpy as np

from .tables import ANOTHER, PAIR


def applicants(n, rates, seed=0, **extra):
    """Accept or reject, one row per unit: rewards uniform around 0, positive with the rate of the group."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        group = list(rates)[i % len(rates)]
        positive = rng.random() < rates[group]
        reward = float(rng.uniform(0.05, 2)) if positive else -float(rng.uniform(0.05, 2))
        rows.append({"unit": f"u{i}", "choice": f"c{i}", "reward": round(reward, 6), "g": group,
                     "label": float(rng.random() < 0.5)} | {k: v(rng, i) for k, v in extra.items()})  # fmt: skip
    return rows


def choosers(n, seed=0, per_unit=3, k=3, effect=0.3):
    """Choices among k alternatives by people who answer several times; attribute g, stratum s, twins of g."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        for t in range(1 + int(rng.integers(per_unit))):
            base = np.round(rng.normal(size=k) * 2, 3)
            levels = rng.choice(["A", "B"], size=k)
            won = int(rng.integers(k))
            s = str(rng.choice(["x", "y"]))
            for j in range(k):
                twins = {f"reward:g={v}": float(base[j] + effect * (v == "B")) for v in "AB"}
                if rng.random() < 0.05:
                    twins["reward:g=A"] = None
                rows.append({"unit": f"p{i}", "choice": f"p{i}-{t}", "alternative": f"{j}", "g": str(levels[j]), "s": s,
                             "weight": 1.0, "label": float(j == won),
                             "reward": float(base[j] + effect * (levels[j] == "B"))} | twins)  # fmt: skip
    return rows


def in_pairs(n, seed=0, share=0.4, per_unit=3, k=3):
    """People of a few choices of k, in pairs by the hash of names; partners decide about `share` otherwise."""
    rng = np.random.default_rng(seed)
    names = [f"p{i}" for i in range(n)]

    def lot(name):
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, key=b"faro pair 1").digest(), "big") >> 11

    order = sorted(names, key=lot)
    both = {name: order[at - at % 2 : at - at % 2 + 2] for at, name in enumerate(order)}
    rows = []
    for i, name in enumerate(names):
        for j in range(int(rng.integers(1, per_unit + 1))):
            rewards, kind = rng.normal(size=k), "xy"[int(rng.integers(2))]
            moved = np.roll(rewards, 1) if rng.random() < share else rewards
            for a in range(k):
                row = {"unit": name, "choice": f"{name}c{j}", "alternative": f"a{a}", "g": "AB"[i % 2]}
                row |= {"s": kind if a == 0 else "x", "reward": float(rewards[a])}
                row |= {"weight": float(1 + j), PAIR: " & ".join(sorted(both[name]))}
                rows.append(row | {ANOTHER: float(moved[a]) if len(both[name]) == 2 else None})
    return rows
