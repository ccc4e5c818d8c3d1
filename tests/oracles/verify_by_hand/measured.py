"""What a claim measures of a table, member by member."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

from .canonical import H
from .tables import ANOTHER, EXCHANGE, PAIR


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


def decided(rows, rules):
    """The rows with a column `decision`."""
    measured = Measured(rows, rules, {"constraint": "rate_cap"})
    others = [measured.by_choice[row["choice"]] for row in rows]
    return [row | {"decision": measured.z(row, near, "")} for row, near in zip(rows, others, strict=True)]


def untwinned(rows, rules):
    """Attribute -> choices that claims of twins ask about, and those of them in which a row has no twin."""
    claims, found = [c for c in rules["claim"] if c["constraint"].startswith("counterfactual")], {}
    for name in sorted({c["attribute"] for c in claims}):
        own = [c for c in claims if c["attribute"] == name]
        filled = [
            row | {f"reward:{name}={level}": row["reward"] for level in rules["attributes"][name]["levels"]}
            for row in rows
        ]
        counted, asked = (
            {(m["choice"], m["alternative"]) for c in own for block in Measured(table, rules, c).blocks.values()
             for m in block}
            for table in (rows, filled)
        )  # fmt: skip
        if asked != counted:
            found[name] = {"choices": len({c for c, _ in asked}), "missing": len({c for c, _ in asked - counted})}
    return found
