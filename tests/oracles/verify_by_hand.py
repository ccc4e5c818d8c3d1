"""A second reading of docs/certificate-format.md: makes tables, policies, ledgers and certificates by hand, for tests.

Written from the specification with numpy and scipy, slow and plain. It shares nothing with faro.verify, which checks
what is made here, nor with faro.certify. Format 1 unless a policy of format 2 or 3, or `form=2`, asks for the other.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import bdtr
from scipy.stats import beta, binom

PAD = 2e-9
EXCHANGE = "person_exchange"
PAIR, ANOTHER = "pair of people", "reward:another person"
MEANT = ("unit", "choice", "alternative", "weight", "label", "outside", "reward", "decision", "part", "content", PAIR)


def C(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def H(value):
    return hashlib.sha256(C(value).encode()).hexdigest()


def seal(cert):
    cert["sha256"] = H({k: v for k, v in cert.items() if k not in ("sha256", "info")})
    return cert


def toml(value):
    """A policy as TOML; attributes and claims are its tables."""

    def item(v):
        return json.dumps(v) if not isinstance(v, list) else "[" + ", ".join(map(item, v)) + "]"

    top = [f"{k} = {item(v)}" for k, v in value.items() if k not in ("attributes", "claim")]
    for name, spec in value.get("attributes", {}).items():
        top += [f"[attributes.{json.dumps(name)}]", *(f"{k} = {item(v)}" for k, v in spec.items())]
    for claim in value["claim"]:
        top += ["[[claim]]", *(f"{k} = {item(v)}" for k, v in claim.items())]
    return "\n".join(top) + "\n"


def policy(*claims, attributes=None, **changes):
    assumptions = ["iid-units", "group-labels-correct", "label-noise-bounded", "twins-as-declared"]
    values = {
        "schema": "faro-policy/1", "delta": 0.05, "estimand": "row", "nonce": "before any score", "min_group": 5,
        "assumptions": [*assumptions, "train-overlap-unchecked", "no-ledger"],
        "attributes": attributes or {"g": {"levels": ["A", "B"]}},
    }  # fmt: skip
    return values | changes | {"claim": list(claims)}


def policy2(*claims, **changes):
    """A policy of format 2, which admits everything."""
    values = policy(*claims)
    del values["nonce"]
    values["assumptions"] = [*values["assumptions"], "undescribed-table", "weights-ignored", "same-items"]
    values |= {"schema": "faro-policy/2", "outside": "all", "threshold": 0, "units": "person"}
    return values | changes | {"claim": list(claims)}


def dec(x, places=10):
    return f"{x:.{places}f}"


# ---------------------------------------------------------------- tables
def write_csv(path, rows):
    names = list(rows[0])
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([[cell(row[name]) for name in names] for row in rows])


def cell(value):
    return "" if value is None else repr(float(value)) if isinstance(value, float | np.floating) else str(value)


def digests(rows, rules):
    claims = [c for c in rules["claim"] if "method" in c]
    events = any(c["constraint"] in ("equalized_odds", "equal_opportunity", "predictive_equality", "group_error")
                 for c in claims)  # fmt: skip
    twins = sorted({c["attribute"] for c in claims if c["constraint"].startswith("counterfactual")})
    frame, full = [], []
    exchanged = any(c["constraint"] == EXCHANGE for c in claims)
    per = sorted({c["per"] for c in claims if "per" in c})
    for row in rows:
        texts = [row["unit"], row["choice"], row.get("alternative", ""), repr(float(row.get("weight", 1.0)))]
        texts += [repr(float(row["label"])) if events else ""]
        texts += [repr(float(row["outside"])) if rules.get("outside") == "column" else ""]
        texts += [row["content"] if rules.get("equal_content") == "refuse" else ""]
        texts += [row[name] for name in [*sorted(rules["attributes"]), *per, *[PAIR] * exchanged]]
        frame.append(H(texts))
        texts.append(repr(row["reward"] + 0.0))
        for name in sorted([*twins, *["another person"] * exchanged]):
            levels = rules["attributes"].get(name, {"levels": []})["levels"]
            values = [row[f"reward:{name}={level}"] for level in levels] if name in twins else [row[ANOTHER]]
            texts += ["" if v is None else repr(v + 0.0) for v in values]
        full.append(H(texts))
    return [hashlib.sha256("".join(sorted(found)).encode()).hexdigest() for found in (full, frame)]


def describe(rows, rules, **changes):
    """The description of a table, sealed."""
    names = sorted(rows[0])
    hashes = sorted(H([cell(row[name]) for name in names]) for row in rows)
    known = {*MEANT, *rules["attributes"], *changes.get("shared", [])}
    others = [
        name for name in names if name not in known and not name.startswith("reward:")
    ]  # attributes nobody asks of
    found = {
        "schema": "faro-scored/1", "table_sha256": hashlib.sha256("".join([H(names), *hashes]).encode()).hexdigest(),
        "outside": rules["outside"], "rule": "argmax", "threshold": str(rules["threshold"]), "estimand": "row",
        "weights": "column" if "weight" in names else "none", "shared": [], "constraint": "",
        "model_sha256": [hashlib.sha256(b"model").hexdigest()],
        "units": {"origin": "column", "column": rules.get("units", "person"), "rule": 2},
        "attributes": {name: {"levels": spec["levels"], "chooser": spec.get("chooser", False)}
                       for name, spec in rules["attributes"].items()}
        | {name: {"levels": sorted({cell(row[name]) for row in rows}), "chooser": False} for name in others},
        "train_units_sha256": None, "data_sha256": None,
    }  # fmt: skip
    return reseal(found | changes)


def reseal(description):
    """With the digest of what it says."""
    return description | {"sha256": H({k: v for k, v in description.items() if k != "sha256"})}


def shared_counts(rows, columns, trained=None):
    """`trained`: what training saw as (salt, lines), or None."""
    found = {}
    for name in columns:
        owners = {}
        for row in rows:
            owners.setdefault(row[name], set()).add(row["unit"])
        seen = trained and sum(H([trained[0], name, value]) in trained[1] for value in owners)
        found[name] = {"values": len(owners), "crossed": sum(len(o) > 1 for o in owners.values()), "trained": seen}
    return found


def decided(rows, rules):
    """The rows with a column `decision`."""
    measured = Measured(rows, rules, {"constraint": "rate_cap"})
    others = [measured.by_choice[row["choice"]] for row in rows]
    return [row | {"decision": measured.z(row, near, "")} for row, near in zip(rows, others, strict=True)]


# ---------------------------------------------------------------- what claims measure
class Measured:
    """Members of every block: dicts unit, choice, alternative, group, mass, z (z: {level: z} for twins)."""

    def __init__(self, rows, rules, claim, nonce=None):
        self.rows, self.rules, self.claim = rows, rules, claim
        self.nonce = rules.get("nonce", "") if nonce is None else nonce
        self.kind = claim["constraint"]
        self.twins = self.kind.startswith("counterfactual")
        self.paired = not self.kind.startswith(("rate_", "group_", "counterfactual_f", "counterfactual_o", EXCHANGE))
        spec = rules["attributes"].get(claim.get("attribute"), {"levels": [""]})
        self.levels = spec["levels"]
        self.groups = claim.get("groups", self.levels)
        self.chooser = spec.get("chooser", False)
        self.everywhere = claim.get("thresholds") == "all"
        by_choice = {}
        for row in rows:
            by_choice.setdefault(row["choice"], []).append(row)
        self.by_choice = by_choice
        self.blocks, self.seen = {}, {}
        events = {"equalized_odds": ["chosen", "rejected"], "equal_opportunity": ["chosen"], "group_error": ["chosen"],
                  "predictive_equality": ["rejected"]}.get(self.kind, [""])  # fmt: skip
        thresholds = [""] if self.everywhere else claim.get("thresholds", [""])
        within = claim.get("within")
        strata = claim.get("strata", rules["attributes"][within]["levels"]) if within else [""]
        for event, threshold, stratum in itertools.product(events, thresholds, strata):
            parts = [event, f"reward>{threshold}" if threshold != "" else "", f"{within}={stratum}" if stratum else ""]
            name = ", ".join(p for p in parts if p)
            self.blocks[name] = [m for row in rows for m in self.member(row, event, threshold, stratum)]
        if rules["estimand"] == "unit":
            for members in self.blocks.values():
                total = {}
                for m in members:
                    total[m["unit"]] = total.get(m["unit"], 0.0) + m["mass"]
                for m in members:
                    m["mass"] /= total[m["unit"]]

    def member(self, row, event, threshold, stratum):
        claim = self.claim
        label = row.get("label", 1.0)
        mass = row.get("weight", 1.0) * {"": 1.0, "chosen": label, "rejected": 1 - label}[event]
        group = row[claim["attribute"]] if "attribute" in claim else ""
        if mass <= 0 or group not in (self.levels if self.twins else self.groups):
            return []
        marked = self.by_choice[row["choice"]] if self.kind == EXCHANGE else [row]
        if "of" in claim and all(r[claim["of"][0]] != claim["of"][1] for r in marked):
            return []
        if stratum and row[claim["within"]] != stratum:
            return []
        others = self.by_choice[row["choice"]]
        if self.kind == EXCHANGE:
            return self.exchanged(row, others)
        if self.twins:
            asked = others if self.chooser else [row]
            if any(r[f"reward:{claim['attribute']}={v}"] is None for r in asked for v in self.levels):
                return []
        base = {k: row.get(k, "") for k in ("unit", "choice", "alternative")}
        if "per" in claim:
            base["unit"] = row[claim["per"]]
        return [base | {"group": group, "mass": mass, "z": self.z(row, others, threshold)}]

    def exchanged(self, row, others):
        """The choice at its first row: how far both laws are apart, of all alternatives and the one outside."""
        if row is not others[0] or row[ANOTHER] is None:
            return []
        laws = []
        for name in ("reward", ANOTHER):
            rewards = [r[name] for r in others]
            law = [self.share(rewards, own, self.outside(row)) for own in rewards]
            laws.append(np.array([*law, 1 - sum(law)]))
        apart = min(1.0, np.abs(laws[0] - laws[1]).sum() / 2)
        base = {"unit": row[PAIR], "choice": row["choice"], "alternative": row.get("alternative", "")}
        return [base | {"group": "", "mass": row.get("weight", 1.0), "z": apart}]

    def outside(self, row):
        given = {"none": False, "all": True}.get(self.rules.get("outside", "none"))
        return bool(float(row["outside"])) if given is None else given

    def share(self, rewards, own, outside):
        rewards = [*rewards, float(self.rules.get("threshold", 0))] if outside else rewards
        return float(own == max(rewards)) / rewards.count(max(rewards)) if own == max(rewards) else 0.0

    def z(self, row, others, threshold):
        claim, kind = self.claim, self.kind
        outside = self.outside(row)
        decision = self.share([r["reward"] for r in others], row["reward"], outside)
        if kind in ("rate_floor", "group_error"):
            return 1 - decision
        if kind == "threshold_parity":
            return row["reward"] if self.everywhere else float(row["reward"] > float(threshold))
        if kind == "reward_parity":
            if claim.get("score", "sigmoid") == "sigmoid":
                return 1 / (1 + math.exp(-row["reward"] / float(claim.get("scale", 1))))
            low, high = float(claim["low"]), float(claim["high"])
            return min(1.0, max(0.0, (row["reward"] - low) / (high - low)))
        if not self.twins:
            return decision
        found = {}
        for level in self.levels:
            name = f"reward:{claim['attribute']}={level}"
            if kind == "counterfactual_oscillation":
                move = abs(row["reward"] - row[name]) / float(claim.get("scale", 1))
                found[level] = float(move > 1) if claim.get("tail") else min(1.0, move)
                continue
            world = [r[name] if self.chooser or r is row else r["reward"] for r in others]
            twin = self.share(world, row[name], outside)
            found[level] = twin if kind == "counterfactual_parity" else abs(twin - decision)
        return found

    def comparisons(self):
        for block in self.blocks:
            if self.paired:
                yield from ((block, a, b) for a in self.groups for b in self.groups if a != b)
            else:
                yield from ((block, a, None) for a in self.groups)

    def rank(self, unit):
        return H([self.nonce, unit])

    def kept(self, block):
        """group -> z of one row per unit, in committed order."""
        if block not in self.seen:
            self.seen[block] = self._kept(block)
        return self.seen[block]

    def _kept(self, block):
        by_unit = {}
        for m in self.blocks[block]:
            by_unit.setdefault(m["unit"], []).append(m)
        found = {g: [] for g in self.groups}
        for unit in sorted(by_unit, key=self.rank):
            one = min(by_unit[unit], key=lambda m: H([self.nonce, m["unit"], m["choice"], m["alternative"]]))
            found[one["group"]].append(one["z"])
        return found

    def units(self, block, group, z=None):
        """(S, N) arrays per unit in committed order."""
        found = {}
        for m in self.blocks[block]:
            if self.twins and self.kind != "counterfactual_parity" and m["group"] == group:
                continue
            if not self.twins and m["group"] != group:
                continue
            value = z(m) if z else m["z"][group] if self.twins else m["z"]
            s, n = found.get(m["unit"], (0.0, 0.0))
            found[m["unit"]] = (s + m["mass"] * value, n + m["mass"])
        order = sorted(found, key=self.rank)
        return np.array([found[u][0] for u in order]), np.array([found[u][1] for u in order])

    # -- what was counted, and what cannot tell groups apart
    def law(self, block, group):
        """(z, mass) of all rows of a cell."""
        found = []
        for m in self.blocks[block]:
            if not self.twins:
                inside, z = m["group"] == group, m["z"]
            else:
                inside, z = self.kind == "counterfactual_parity" or m["group"] != group, m["z"][group]
            if inside:
                found.append((z, m["mass"]))
        return found

    def counted(self, block, high, low=None):
        """The rate of a cell or the difference of two, of all rows; None without rows, or for w1."""
        laws = [np.array(self.law(block, g)).reshape(-1, 2) for g in (high, low) if g is not None]
        if self.claim.get("ball") == "w1" or any(len(law) == 0 for law in laws):
            return None
        if self.everywhere:
            a, b = laws
            grid = np.union1d(a[:, 0], b[:, 0])[:, None]
            below = [(law[:, 1] * (law[:, 0] <= grid)).sum(1) / law[:, 1].sum() for law in (a, b)]
            return max(0.0, float((below[1] - below[0]).max()))
        rates = [float((law[:, 0] * law[:, 1]).sum() / law[:, 1].sum()) for law in laws]
        return rates[0] - (rates[1] if low is not None else 0.0)

    def blind(self):
        if not self.paired:
            return False
        values, choices, tied = set(), set(), set()
        for members in self.blocks.values():
            for m in members:
                z = list(m["z"].values()) if self.twins else [m["z"]]
                values |= set(z)
                choices.add(m["choice"])
                if any(v not in (0, 1) for v in z):
                    tied.add(m["choice"])
        decides = self.kind not in ("threshold_parity", "reward_parity")
        share = Fraction(str(self.rules.get("ties", "0.01")))
        return len(values) <= 1 or (decides and len(tied) > share * len(choices))


# ---------------------------------------------------------------- bounds
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


# ---------------------------------------------------------------- shift
def up(ball, rho, dual, law, x=0.0):
    """Value of a dual point for a law {z: mass}; x is the deviation of means."""
    eta, lam = dual.get("eta", 0.0), dual.get("lambda", 1.0)
    f = {
        "kl": lambda z: math.exp(z / lam),
        "chi2": lambda z: (lambda s: s + s * s / 4 if s >= -2 else -1.0)((z - eta) / lam),
        "lr": lambda z: (z - eta) * (rho if z >= eta else 1 / rho),
    }.get(ball, lambda z: max(0.0, z - eta))
    mean = sum(mass * f(z) for z, mass in law.items()) + x * (f(1.0) - f(0.0))
    return {
        "kl": lambda: lam * rho + lam * math.log(mean), "chi2": lambda: eta + lam * rho + lam * mean,
        "lr": lambda: eta + mean, "cvar": lambda: eta + mean / rho,
    }.get(ball, lambda: rho + eta * (1 - rho) + mean)()  # fmt: skip


def best_dual(ball, rho, law, x=0.0):
    """A good dual point; any point is valid."""
    if ball in ("kl", "chi2"):
        free = {"kl": ("lambda",), "chi2": ("eta", "lambda")}[ball]

        def point(v):
            return dict(zip(free, [*v[:-1], max(0.001, math.exp(min(10.0, v[-1])))], strict=True))

        start = [0.0] * len(free)
        found = minimize(lambda v: up(ball, rho, point(v), law, x), start, method="Nelder-Mead").x
        return {k: dec(v) for k, v in point(found).items()}
    etas = np.linspace(0, 1, 101)
    return {"eta": dec(min(etas, key=lambda eta: up(ball, rho, {"eta": eta}, law, x)))}


def value(ball, rho, dual, law, x=0.0):
    return min(1.0, up(ball, rho, {k: float(v) for k, v in dual.items()}, law, x))


def bins(z):
    """Law of z rounded up to 256 bins; a hair for the rounding of z."""
    found = {}
    for v in np.ceil(np.asarray(z) * 256) / 256:
        found[min(1.0, float(v) + 1e-11)] = found.get(min(1.0, float(v) + 1e-11), 0.0) + 1 / len(z)
    return found


# ---------------------------------------------------------------- certificates
def record(measured, level, comparisons, refute=True, breakdown=True, form=1):
    """The record of a claim about people; in format 2 no bound contradicts what was counted."""
    claim, rules = measured.claim, measured.rules
    method, ball = claim["method"], claim.get("ball")
    cap = 1.0 if rules["estimand"] == "unit" else float(claim.get("cap", rules.get("cap", 0)))

    def counted(block, high, low=None):
        value = measured.counted(block, high, low) if form > 1 else None
        return math.nan if value is None else value  # comparisons with NaN change nothing below

    ends = method in ("clopper-pearson", "unit-ratio") and measured.kind != "counterfactual_parity"
    found = {"ucb": "1", "lcb": None}

    def below(block, group, a):
        if method == "unit-ratio":
            return betting_upper(*measured.units(block, group), cap, a)
        z = measured.kept(block)[group]
        return cp_upper(sum(v > 0 for v in z), len(z), a)

    def above(block, group, a):
        if method == "unit-ratio":
            s, n = measured.units(block, group)
            return 1 - betting_upper(n - s, n, cap, a)
        z = measured.kept(block)[group]
        return 1 - cp_upper(sum(v < 1 for v in z), len(z), a)

    def gap(block, a, b, at):
        if measured.kind == "counterfactual_parity":
            s, n = measured.units(block, a, lambda m: (1 + m["z"][a] - m["z"][b]) / 2)
            return 2 * betting_upper(s, n, cap, at) - 1
        z = measured.kept(block)
        if not z[a] or not z[b]:
            return 1.0
        if method == "exact2":
            return exact2_upper(sum(v > 0 for v in z[a]), len(z[a]), sum(v == 1 for v in z[b]), len(z[b]), at)
        if method == "block-pair":
            x = pair_blocks(z[a], z[b])
            return 2 * betting_upper(x, np.ones(len(x)), 1.0, at) - 1
        return cdf_gap(z[a], z[b]) + dkw_radius(len(z[a]), len(z[b]), at)

    keys = list(measured.comparisons())
    half = level / 2 if measured.paired else level
    if ends:
        pairs = {b: {g: (max(below(b, g, half) + PAD, counted(b, g)), min(above(b, g, half) - PAD, counted(b, g)))
                     for g in measured.groups} for b in measured.blocks}  # fmt: skip
        found["ends"] = {b: {g: [dec(max(0.0, lo)) if measured.paired else "0", dec(min(1.0, hi))]
                             for g, (hi, lo) in v.items()} for b, v in pairs.items()}  # fmt: skip
    sides = ("up", "down") if measured.paired else ("up",)

    def law(block, group, side):
        """(law, deviation) of z or 1 - z."""
        if ends:
            lo, hi = map(float, found["ends"][block][group])
            p = hi if side == "up" else 1 - lo
            return {0.0: 1 - p, 1.0: p}, 0.0
        z = np.asarray(measured.kept(block)[group])
        return bins(z if side == "up" else 1 - z), math.sqrt(math.log(1 / half) / (2 * len(z)))

    def transport(block, group, side, rho, lam):
        t = float(next(t for t in claim["thresholds"] if f"reward>{t}" in block))
        r = np.array([row["reward"] for row in measured.rows if row[claim["attribute"]] == group])
        v = np.where(r > t, 1.0, 1 - lam * (t - r)) if side == "up" else np.where(r <= t, 1.0, 1 - lam * (r - t))
        return lam * rho + np.maximum(v, 0).mean() + math.sqrt(math.log(1 / half) / (2 * len(r)))

    def total(values):
        return max(values[b, a, "up"] + (values[b, low, "down"] - 1 if low else 0) for b, a, low in keys)

    def shift(rho):
        dual, values = {}, {}
        for b in measured.blocks:
            for g in measured.groups:
                for side in sides:
                    if ball == "w1":
                        lam = min(np.geomspace(0.01, 50, 60), key=lambda v: transport(b, g, side, rho, v))
                        point = {"lambda": dec(lam)}
                        values[b, g, side] = min(1.0, transport(b, g, side, rho, float(dec(lam))))
                    else:
                        point = best_dual(ball, rho, *law(b, g, side))
                        values[b, g, side] = value(ball, rho, point, *law(b, g, side))
                    dual.setdefault(b, {}).setdefault(g, {})[side] = point
        return dual, total(values) + PAD

    if ball:
        found["dual"], worst = shift(float(claim["radius"]))
        found["breakdown"] = None
        bound = float(claim["bound"])
        if breakdown and worst <= bound:
            found["breakdown"] = {"radius": str(claim["radius"]), "dual": found["dual"]}
    elif ends:
        hi = {(b, g, "up"): float(found["ends"][b][g][1]) for b in measured.blocks for g in measured.groups}
        lo = {(b, g, "down"): 1 - float(found["ends"][b][g][0]) for b in measured.blocks for g in measured.groups}
        worst = total(hi | lo) + PAD
    elif measured.kind == "reward_parity" and method == "dkw":
        worst = PAD + total({
            (b, g, side): min(1.0, sum(z * m for z, m in law(b, g, side)[0].items()) + law(b, g, side)[1])
            for b in measured.blocks for g in measured.groups for side in sides
        })  # fmt: skip
    else:
        worst = max(gap(*key, level) for key in keys) + PAD
    worst = max([worst, *(seen for key in keys if not math.isnan(seen := counted(*key) + PAD))])
    found["ucb"] = dec(min(1.0, worst), 9)

    if refute and (method != "dkw" or measured.everywhere):
        share = level / comparisons
        best = (-math.inf, None)
        for block, a, b in keys:
            split = None
            if b is None:
                v = min(above(block, a, share) - PAD, counted(block, a))
            elif ends:
                split = min(above(block, a, share / 2) - PAD, counted(block, a))
                v = split - max(below(block, b, share / 2) + 2 * PAD, counted(block, b))
            elif measured.everywhere:
                z = measured.kept(block)
                v = cdf_gap(z[a], z[b]) - dkw_radius(len(z[a]), len(z[b]), share) - PAD
            else:
                v = -gap(block, b, a, share) - PAD
            v = min(v, counted(block, a, b) - PAD)
            if v > best[0]:
                best = (v, {"block": block, "high": a, "low": b, "value": dec(v), "split": split and dec(split)})
        found["lcb"] = best[1] if best[0] > -1 else None
    return found


def size(measured, block, group):
    if measured.claim["method"] == "unit-ratio":
        return len(measured.units(block, group, lambda m: 0.0)[0])
    return len(measured.kept(block)[group])


def certify(
    rules, rows, *, ledger=None, train_units=None, policy_bytes=None, tables=None, form=None, description=None,
    trained=None, **options,
):  # fmt: skip
    """The certificate of a table under a policy (a dict); `ledger`: (attempt, share, entry[, seed])."""
    form = form or int(rules["schema"][-1])
    level = float(Fraction(str(rules["delta"])) if ledger is None else ledger[1])
    claims, verdicts = dict(tables or {}), []
    people = [claim for claim in rules["claim"] if "method" in claim]
    full, frame = digests(rows, rules) if people else ("", "")
    secret = ledger[3] if ledger and form > 1 else rules.get("nonce", "")
    nonce = secret if form == 1 else H([secret, full])
    audited = [Measured(rows, rules, claim, nonce) for claim in people]
    comparisons = sum(len(list(m.comparisons())) for m in audited)
    for m in audited:
        found = claims[m.claim["name"]] = record(m, level, comparisons, form=form, **options)
        bound = Fraction(str(m.claim["bound"]))
        least = min(size(m, b, g) for b in m.blocks for g in m.groups)
        if least < rules["min_group"] or (form > 1 and m.blind()):
            verdicts.append("INCONCLUSIVE")
        elif Fraction(found["ucb"]) <= bound:
            verdicts.append("CERTIFIED")
        else:
            refuted = found["lcb"] and Fraction(found["lcb"]["value"]) > bound
            verdicts.append("REFUTED" if refuted else "INCONCLUSIVE")
    assumed = {
        "iid-units": people, "no-ledger": people and ledger is None,
        "train-overlap-unchecked": people and train_units is None,
        "group-labels-correct": any("attribute" in c and c.get("ball") != "label-noise" for c in people),
        "label-noise-bounded": any(c.get("ball") == "label-noise" for c in people),
        "twins-as-declared": any(m.twins or m.kind == EXCHANGE for m in audited),
    }  # fmt: skip
    data = None
    if people:
        data = {"rows": len(rows), "units": len({r["unit"] for r in rows}), "rows_sha256": full, "frame_sha256": frame}
    if people and form > 1:
        per = {c["per"] for c in people if "per" in c}
        columns = description["shared"] if description else []
        shared = shared_counts(rows, {*columns, *per}, trained if description else None)
        data |= {"description_sha256": description and description["sha256"], "shared": shared}
        weights = {float(row.get("weight", 1)) for row in rows}
        assumed |= {
            "undescribed-table": description is None,
            "weights-ignored": rules["estimand"] == "unit" and len(weights) > 1,
            "same-items": any(shared[name]["crossed"] for name in {*columns} - per),
        }  # fmt: skip
    for name, found in (tables or {}).items():
        bound = next(Fraction(str(c["bound"])) for c in rules["claim"] if c["name"] == name)
        verdicts.append("CERTIFIED" if Fraction(found["ucb"]) <= bound else "INCONCLUSIVE")
    verdict = min(set(verdicts), key=("REFUTED", "INCONCLUSIVE", "CERTIFIED").index)
    return seal({
        "schema": f"faro-certificate/{form}", "model_sha256": "0" * 64, "data": data,
        "policy_sha256": hashlib.sha256(toml(rules).encode() if policy_bytes is None else policy_bytes).hexdigest(),
        "ledger": ledger and dict(zip(("attempt", "delta", "entry", "seed"), map(plain, ledger), strict=False)),
        "train_units_sha256": train_units, "assumptions": sorted(k for k, v in assumed.items() if v),
        "claims": claims, "result": {"verdict": verdict}, "info": {},
    })  # fmt: skip


def plain(x):
    return str(x) if isinstance(x, Fraction) else x


def store(folder: Path, rules, rows, cert, description=None):
    """Write policy, table, description and certificate; returns the arguments of the checker."""
    (folder / "faro.toml").write_text(toml(rules))
    (folder / "cert.json").write_text(json.dumps(cert))
    found = [str(folder / "cert.json")]
    if rows:
        write_csv(folder / "audit.csv", rows)
        found.append(str(folder / "audit.csv"))
        beside = folder / "audit.csv-metadata.json"
        beside.unlink(missing_ok=True)
        if description is not None:
            beside.write_text(json.dumps(description))
    return [*found, "--policy", str(folder / "faro.toml")]


# ---------------------------------------------------------------- independence
def entry(kind, previous, **fields):
    """An entry of a ledger, sealed, behind the one with the digest `previous`."""
    found = {"kind": kind, "previous": previous, **fields}
    return found | {"sha256": H(found)}


def units(salt, names):
    """The text of a list of units that training has seen."""
    return "".join(
        [f"faro-units/1 {salt}\n", *(hashlib.sha256(C([salt, n]).encode()).hexdigest() + "\n" for n in names)]
    )


# ---------------------------------------------------------------- people
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
