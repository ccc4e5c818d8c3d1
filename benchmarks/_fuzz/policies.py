"""Random policies that can be read."""

from __future__ import annotations

import random
from typing import Any

from benchmarks._fuzz.projects import ASSUMPTIONS, ATTRIBUTE, OUTSIDE, TWINS, UNIT, Ground


def policy_of(rng: random.Random, ground: Ground, form: int = 0) -> dict[str, Any]:
    """A policy that can be read, of either format, with claims of any kind that suits the project."""
    name, form = ground.name, form or rng.choice([1, 2, 2])
    levels = {spec["name"]: spec for spec in ground.schema["attributes"]}
    values: dict[str, Any] = {
        "schema": f"faro-policy/{form}", "delta": rng.choice([0.05, "0.1", 0.5]), "estimand": rng.choice(["row",
        "row", "unit"]),
        "min_group": rng.choice([1, 5, 5, 1000]), "outside": OUTSIDE[name], "threshold": rng.choice([0, 0, 0, "0.5"]),
        "cap": 10, "assumptions": [*ASSUMPTIONS, "no-ledger"],
    }  # fmt: skip
    if form == 1:
        values["nonce"] = "n"
    else:
        values |= {"units": UNIT[name], "threshold": 0}
        values["assumptions"] += ["undescribed-table", "weights-ignored", "same-items", "twins-missing"]
    values["attributes"] = {
        attribute: {"levels": spec["levels"], "chooser": spec.get("chooser", False)} for attribute,
        spec in levels.items()
    }  # fmt: skip
    values["claim"] = [_claim(rng, ground, number, form) for number in range(rng.choice([1, 1, 2]))]
    return values


def _claim(rng: random.Random, ground: Ground, number: int, form: int) -> dict[str, Any]:
    attribute, twin = ATTRIBUTE[ground.name], TWINS[ground.name]
    levels = {spec["name"]: spec["levels"] for spec in ground.schema["attributes"]}
    kinds: list[dict[str, Any]] = [
        {"constraint": "demographic_parity", "method": rng.choice(["exact2", "clopper-pearson", "unit-ratio",
        "block-pair"])},
        {"constraint": rng.choice(["equalized_odds", "equal_opportunity", "predictive_equality"]),
         "method": rng.choice(["exact2", "unit-ratio", "block-pair"])},
        {"constraint": "threshold_parity", "method": "dkw", "thresholds": "all"},
        {"constraint": "threshold_parity", "method": rng.choice(["exact2", "unit-ratio"]), "thresholds": [0, "0.5"]},
        {"constraint": "reward_parity", "method": rng.choice(["block-pair", "dkw", "unit-ratio"])},
        {"constraint": rng.choice(["rate_cap", "rate_floor", "group_error"]),
        "method": rng.choice(["clopper-pearson", "unit-ratio"])},
        {"constraint": "demographic_parity", "method": "clopper-pearson",
         **rng.choice([{"ball": "tv", "radius": "0.01"}, {"ball": "kl", "radius": "0.001"}, {"ball": "cvar",
         "radius": "0.9"},
                       {"ball": "chi2", "radius": "0.01"}, {"ball": "lr", "radius": "1.1"}, {"ball": "label-noise",
                       "radius": "0.01"}])},
    ]  # fmt: skip
    if twin:
        moved = rng.choice(["counterfactual_parity", "counterfactual_flip", "counterfactual_oscillation"])
        kinds.append({"constraint": moved, "method": "unit-ratio", "attribute": twin, "groups": levels[twin]})
    claim = {"name": f"c{number}", "bound": rng.choice([0.05, "0.9", 0.99])}
    claim |= {"attribute": attribute, "groups": levels[attribute]} | rng.choice(kinds)
    others = [name for name in levels if name != claim["attribute"]]
    if others and rng.randrange(3) == 0:
        claim |= {"within": others[0], "strata": levels[others[0]]}
    if others and rng.randrange(3) == 0:
        claim["of"] = [others[0], levels[others[0]][0]]
    if form == 2 and claim["method"] == "unit-ratio" and rng.randrange(3) == 0:
        claim |= {"per": rng.choice([*ground.schema.get("shared", []), "day"]), "cap": rng.choice([9, 60, 200])}
    return claim
