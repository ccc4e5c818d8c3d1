"""A scored table of people with an aggregate beside the model, and a policy with every claim of theirs."""

from __future__ import annotations

import itertools
import json

import numpy as np

from faro.certify.columns import write_columns
from faro.certify.description import Description, Levels, Units, table_digest, write_description

AGGREGATE = "a" * 64
POLICY = """schema = "faro-policy/2"
delta = 0.05
estimand = "row"
outside = "{outside}"
threshold = 0
units = "person"
min_group = 5
assumptions = ["iid-units", "group-labels-correct", "train-overlap-unchecked", "no-ledger", "aggregate linear at {sha}"]

[attributes.sex]
levels = ["F", "M"]
chooser = true
"""
KINDS = {
    "welfare_floor": 'against = "linear"\nattribute = "sex"',
    "welfare_tail": 'against = "linear"\ncutoff = -0.1',
    "accuracy_parity": 'attribute = "sex"',
    "accuracy_ratio": 'attribute = "sex"',
}


def people(count=60, better=0.2, outside="none", seed=0, largest=6):
    """Columns of a table: pairs (or accept and reject) of people of 1 to `largest` choices; the model's rewards are
    nearer to what people chose than the aggregate's by `better`."""
    rng, columns = np.random.default_rng(seed), {}
    rows = 1 if outside == "all" else 2
    for person in range(count):
        for choice in range(int(rng.integers(1, largest + 1))):
            chosen, noise, other = int(rng.integers(0, 2)), rng.normal(size=2), rng.normal(size=2)
            sides = np.eye(2)[chosen]
            model, aggregate = noise + (1 + better) * sides, other + sides
            if outside == "all":
                model, aggregate = model[:1] - model[1], aggregate[:1] - aggregate[1]
            label = sides[:rows] if rng.random() < 0.9 else np.full(rows, 0.5)
            for row in range(rows):
                cells = {
                    "unit": f"u{person}", "choice": f"u{person}c{choice}", "alternative": str(row),
                    "sex": "FM"[person % 2], "label": repr(float(label[row])), "reward": repr(float(model[row])),
                    "weight": "1.0", "part": "gate", "reward:linear": repr(float(aggregate[row])),
                }  # fmt: skip
                for name, cell in cells.items():
                    columns.setdefault(name, []).append(cell)
    return columns


def described(columns, outside="none", **changes):
    """What the table says of itself."""
    said = {
        "table_sha256": table_digest(columns), "outside": outside, "units": Units("column", "person", 2),
        "attributes": {"sex": Levels(("F", "M"), True)}, "weights": "column", "aggregates": {"linear": AGGREGATE},
    }  # fmt: skip
    return Description(**said | changes)


def claims(bound=0.3, kinds=KINDS, welfares=("decision", "brier", "log")):
    """The claims of a policy, as TOML."""
    texts = []
    for kind, welfare in itertools.product(kinds, welfares):
        texts.append(
            f'\n[[claim]]\nname = "{kind} {welfare}"\nconstraint = "{kind}"\nbound = {bound}\nmethod = "unit-ratio"\n'
            f'welfare = "{welfare}"\n{KINDS[kind]}\n'
        )
    return "".join(texts)


def store(folder, columns, outside="none", asked=None, **changes):
    """Write table, description and policy; their places."""
    table, policy = folder / "people.csv", folder / "faro.toml"
    write_columns(columns, table)
    write_description(table, described(columns, outside, **changes))
    policy.write_text(POLICY.format(outside=outside, sha=AGGREGATE) + (claims() if asked is None else asked))
    return table, policy


def write(certificate, place):
    """A certificate as a file."""
    place.write_text(json.dumps(certificate))
    return place
