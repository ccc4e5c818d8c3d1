"""A command that answers about a table under a policy and writes every file it can beside its answer."""

from __future__ import annotations

from faro import cli
from tests.builders.claims import accepted, claim
from tests.oracles import verify_by_hand as hand

KINDS = ("html", "junit-xml", "sarif", "markdown")
PEOPLE = hand.applicants(1000, {"A": 0.5, "B": 0.5}, seed=1)


class Command:
    """faro certify or faro gate on a table under a policy with this bound: (exit code, kind -> text of the file).

    shown    what the last call said, as capsys gives it
    """

    def __init__(self, folder, capsys, monkeypatch):
        self.folder, self.capsys, self.monkeypatch = folder, capsys, monkeypatch
        for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
            monkeypatch.delenv(name, raising=False)

    def __call__(self, command, *words, bound=0.2, rows=PEOPLE, **changes):
        (self.folder / "faro.toml").write_text(hand.toml(accepted(claim(bound=bound), **changes)))
        hand.write_csv(self.folder / "audit.csv", rows)
        self.monkeypatch.chdir(self.folder)
        if changes.get("ledger") and not (self.folder / changes["ledger"]).exists():
            assert cli.main(["ledger", "init", "audit.csv", "--policy", "faro.toml", "--quiet"]) == 0
        files = [word for kind in KINDS for word in (f"--{kind}", f"out.{kind}")]
        code = cli.main([command, "audit.csv", "--policy", "faro.toml", *files, *words])
        self.shown = self.capsys.readouterr()
        return code, {kind: (self.folder / f"out.{kind}").read_text() for kind in KINDS}
