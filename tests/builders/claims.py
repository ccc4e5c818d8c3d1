"""Claims of every kind, and the policies and people that they are made about.

Each list has every constraint, method and ball once; `CASES` are all of them as policies with the rows they fit.
"""

from __future__ import annotations

from tests.oracles import verify_by_hand as hand

APPLICANTS = hand.applicants(240, {"A": 0.3, "B": 0.32}, label=lambda rng, i: float(rng.random() < 0.5))
CHOOSERS = hand.choosers(90)
BOTH = {"g": {"levels": ["A", "B"]}, "s": {"levels": ["x", "y"]}}
CHOOSER = {"g": {"levels": ["A", "B"], "chooser": True}, "s": {"levels": ["x", "y"]}}


def claim(constraint="demographic_parity", method="exact2", bound=0.25, **fields):
    """A claim of a policy, as its TOML holds it: about the attribute g, whose levels are A and B."""
    return {"name": "it", "constraint": constraint, "attribute": "g", "bound": bound, "method": method, **fields}


def accepted(*claims, **changes):
    """A policy for the applicants."""
    return hand.policy(*(claims or (claim(),)), outside="all", cap=1, **changes)


ONE_ROW = [
    *(claim(method=method) for method in ("exact2", "clopper-pearson", "unit-ratio", "block-pair")),
    *(claim("threshold_parity", method, thresholds=["0", 0.5])
      for method in ("exact2", "clopper-pearson", "block-pair")),
    claim("threshold_parity", "dkw", thresholds="all"),
    *(claim("equalized_odds", method) for method in ("exact2", "clopper-pearson", "unit-ratio", "block-pair")),
    claim("equal_opportunity"), claim("predictive_equality"),
    *(claim("reward_parity", method, scale=2) for method in ("unit-ratio", "block-pair", "dkw")),
    claim("reward_parity", "block-pair", score="clip", low=-1, high=0.75),
    claim("rate_cap", "clopper-pearson", bound=0.4), claim("rate_floor", "unit-ratio"),
    claim("group_error", "clopper-pearson", bound=0.9),
    {k: x for k, x in claim("rate_cap", "clopper-pearson", bound=0.2).items() if k != "attribute"},
]  # fmt: skip
SEVERAL_ROWS = [
    ("row", claim(method="unit-ratio")), ("row", claim("equalized_odds", "unit-ratio", within="s")),
    ("row", claim("demographic_parity", "unit-ratio", of=["s", "y"])),
    ("row", claim("demographic_parity", "unit-ratio", within="s", strata=["y"])),
    ("row", claim("counterfactual_parity", "unit-ratio")), ("unit", claim("counterfactual_parity", "unit-ratio")),
    ("row", claim("counterfactual_parity", "unit-ratio", bound=0.01)),
    ("unit", claim("counterfactual_flip", "unit-ratio")), ("row", claim("counterfactual_flip", "unit-ratio")),
    ("row", claim("counterfactual_oscillation", "unit-ratio", scale=0.9)),
    ("unit", claim("counterfactual_oscillation", "unit-ratio", scale=0.2, tail=True)),
    ("unit", claim("demographic_parity", "exact2")), ("unit", claim("equalized_odds", "clopper-pearson")),
    ("unit", claim("demographic_parity", "block-pair", within="s")), ("unit", claim("reward_parity", "unit-ratio")),
    ("unit", claim("threshold_parity", "dkw", thresholds="all")), ("unit", claim("group_error", "clopper-pearson")),
]  # fmt: skip
SHIFTS = [
    *(claim(method="clopper-pearson", ball=ball, radius=radius, bound=0.35) for ball, radius in
      (("tv", 0.01), ("label-noise", "0.02"), ("kl", 0.001), ("chi2", 0.001), ("lr", 1.1), ("cvar", 0.95))),
    claim("reward_parity", "dkw", ball="kl", radius=0.001, bound=0.4),
    claim("reward_parity", "dkw", ball="chi2", radius=0.001, bound=0.4),
    claim("reward_parity", "dkw", ball="tv", radius=0.01),
    claim("reward_parity", "dkw", ball="lr", radius=1.2, bound=0.4),
    claim("reward_parity", "unit-ratio", ball="cvar", radius=0.9), claim(method="unit-ratio", ball="tv", radius=0),
    claim("rate_cap", "clopper-pearson", ball="kl", radius=0.01, bound=0.6),
    claim("threshold_parity", "dkw", thresholds=[0, "0.4"], ball="w1", radius=0.01, bound=0.6),
]  # fmt: skip
CASES = (
    [(accepted(wanted), APPLICANTS) for wanted in ONE_ROW + SHIFTS]
    + [(hand.policy(wanted, estimand=kind, attributes=BOTH, cap=9), CHOOSERS) for kind, wanted in SEVERAL_ROWS]
    + [(hand.policy(claim(name, "unit-ratio"), estimand="unit", attributes=CHOOSER, outside="column"),
        [row | {"g": "AB"[int(row["choice"].split("-")[0][1:]) % 2], "outside": i} for i in (0, 1)
         for row in CHOOSERS if int(row["choice"][-1]) % 2 == i])
       for name in ("counterfactual_parity", "counterfactual_flip", "demographic_parity")]
)  # fmt: skip


def names(entry):
    """What tells a claim of these lists from its neighbours, as the id of a test."""
    wanted = entry[1] if isinstance(entry, tuple) else entry
    return "-".join(str(x) for k, x in wanted.items() if k in ("constraint", "method", "ball", "within"))
