"""Policies as dicts and as TOML."""

from __future__ import annotations

import json


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
    values["assumptions"] += ["undescribed-table", "weights-ignored", "same-items", "twins-missing"]
    values |= {"schema": "faro-policy/2", "outside": "all", "threshold": 0, "units": "person"}
    return values | changes | {"claim": list(claims)}


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
