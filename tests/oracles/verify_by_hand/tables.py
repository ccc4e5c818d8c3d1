"""Audit tables: their files, digests, descriptions and counts of what people share."""

from __future__ import annotations

import csv
import hashlib

import numpy as np

from .canonical import H

EXCHANGE = "person_exchange"
PAIR, ANOTHER = "pair of people", "reward:another person"
MEANT = ("unit", "choice", "alternative", "weight", "label", "outside", "reward", "decision", "part", "content", PAIR)


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
    absent = [name for name in twins if any(lacking(row, name, rules) for row in rows)]
    absent = absent if rules["schema"] != "faro-policy/1" else []
    for row in rows:
        texts = [row["unit"], row["choice"], row.get("alternative", ""), repr(float(row.get("weight", 1.0)))]
        texts += [repr(float(row["label"])) if events else ""]
        texts += [repr(float(row["outside"])) if rules.get("outside") == "column" else ""]
        texts += [row["content"] if rules.get("equal_content") == "refuse" else ""]
        texts += [row[name] for name in [*sorted(rules["attributes"]), *per, *[PAIR] * exchanged]]
        texts += [name if lacking(row, name, rules) else "" for name in absent]
        frame.append(H(texts))
        texts.append(repr(row["reward"] + 0.0))
        for name in sorted([*twins, *["another person"] * exchanged]):
            levels = rules["attributes"].get(name, {"levels": []})["levels"]
            values = [row[f"reward:{name}={level}"] for level in levels] if name in twins else [row[ANOTHER]]
            texts += ["" if v is None else repr(v + 0.0) for v in values]
        full.append(H(texts))
    return [hashlib.sha256("".join(sorted(found)).encode()).hexdigest() for found in (full, frame)]


def lacking(row, name, rules):
    """Whether a row has a level of an attribute, and not at every level a twin."""
    levels = rules["attributes"][name]["levels"]
    return bool(row[name]) and any(row[f"reward:{name}={level}"] is None for level in levels)


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
