"""A gate: a policy with a ledger, the people it is about, and the command on tables of their scores."""

from __future__ import annotations

import json

import numpy as np

from faro.cli import main
from tests.builders.claims import accepted, claim
from tests.oracles import verify_by_hand as hand

FAIR = hand.applicants(1600, {"A": 0.5, "B": 0.5}, seed=1)


class Gate:
    """`faro gate` in a folder, on rows: (exit code, stdout, stderr). The ledger is made at the start.

    faro    another command under the same policy
    """

    def __init__(self, folder, capsys):
        rules = accepted(
            claim(bound=0.2), ledger="ledger.jsonl", escrow="escrow", min_group=50, passes=1,
            assumptions=["iid-units", "group-labels-correct", "train-overlap-unchecked"],
        )  # fmt: skip
        self.folder, self.capsys = folder, capsys
        self.notes: set[str] = set()
        (folder / "faro.toml").write_text(hand.toml(rules))
        hand.write_csv(folder / "first.csv", FAIR)
        assert self.faro("ledger", "init", folder / "first.csv")[0] == 0

    def faro(self, *words):
        code = main([*map(str, words), "--policy", str(self.folder / "faro.toml")])
        shown = self.capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    def __call__(self, rows, *words):
        hand.write_csv(self.folder / "audit.csv", rows)
        code, out, err = self.faro("gate", self.folder / "audit.csv", *words)
        lines, told = err.splitlines(keepends=True), ("faro: note: assumed: ", "faro: note: foreign table")
        if code in (0, 1, 3):
            self.notes.add("".join(line for line in lines if line.startswith(told)))
        assert len(self.notes) <= 1  # what is noted of a foreign table is the same whatever the scores
        return code, out, "".join(line for line in lines if not line.startswith(told))


def no_ledger(folder):
    """Away with the ledger, all that lies beside it, and the lists of its people."""
    for path in (*folder.glob("ledger.jsonl*"), *folder.glob("faro-audit-*.txt")):
        path.unlink()


def unfair(seed=0):
    """The same people, scored unfairly."""
    rng = np.random.default_rng(seed)
    return [row | {"reward": float(rng.normal() + (row["g"] == "A"))} for row in FAIR]


def entries(folder):
    """The kinds of the entries in the ledger."""
    return [json.loads(line)["kind"] for line in (folder / "ledger.jsonl").read_text().splitlines()]
