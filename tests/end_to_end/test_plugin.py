"""A stranger's constraint in a package of its own: installed, listed, checked, swept, certified like a built-in."""

import subprocess
import sys
import zipfile

import pandas as pd
import pytest

from constraints.testing import COMMUNITY, GROUP, KIND
from faro.cli import main
from faro.errors import UsageError
from faro.registry import find_notion, make_constraint, notions
from tests.builders.processes import environment

MINE = '''
import constraints as ct
import jax.numpy as jnp


class Mixed(ct.Parity):
    """Equal rates among choices that hold at least two groups, differing by at most `bound`."""

    who: ct.Grouping = ct.static()

    def groups(self):
        return self.who.groups

    def members(self, choices):
        cell = self.who.cell(choices)
        some = jnp.where(cell < 0, cell.max(1, keepdims=True), cell)
        mixed = (some != some[:, :1]).any(1)
        share = jnp.broadcast_to((choices.weight * mixed)[:, None], cell.shape)
        return ct.Members(cell[..., None], share[..., None])


def mixed(attribute, bound=0.05):
    """|P(chosen | g) - P(chosen | h)| <= bound, among choices that hold at least two groups."""
    return Mixed(bound=bound, who=ct.Grouping(attribute))


class WaitingTime(ct.RateConstraint):
    """Of the waiting that could be avoided, the share that the chosen alternatives cause, at most `bound`."""

    def cells(self):
        return ("everyone",)

    def members(self, choices):
        short = choices.items[..., :1].max(1, keepdims=True) - choices.items[..., :1]
        return ct.Members(0 * short.astype(int), choices.weight[:, None, None] * short)
'''
WHEEL = {
    "mine.py": MINE,
    "stranger-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n",
    "stranger-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "stranger-1.0.dist-info/entry_points.txt": """[faro.constraints]
waiting_time = mine:WaitingTime
mixed = mine:mixed
""",
    "stranger-1.0.dist-info/RECORD": "",
}
ATTRIBUTES = {own.name: own for own in (GROUP, KIND, COMMUNITY)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Run the `faro` command where the stranger's package is installed, and nowhere else."""
    folder = tmp_path_factory.mktemp("stranger")
    wheel = folder / "stranger-1.0-py3-none-any.whl"  # written by hand, so that no build tool is needed
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
    place = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", place, wheel], check=True)

    def run(*words):
        command = [sys.executable, "-m", "faro.cli", *map(str, words)]
        variables = environment(folder / "programs", (place,))  # later commands find what earlier ones compiled
        return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)

    return run


def test_a_strangers_constraint_is_one_of_us(installed, tmp_path):
    listed = installed("constraints", "list")
    assert "waiting_time (from stranger)" in " ".join(listed.stdout.split())
    checked = installed("constraints", "check", "mine:WaitingTime")
    assert checked.returncode == 0 and checked.stdout.count("holds") == 9, checked.stdout
    assert "no certificate: its cells cannot be computed again" in checked.stdout  # it reads features
    (tmp_path / "quick.toml").write_text("bounds = [0.4, 0.6]\nseeds = 1\n[settings]\nsteps = 30\n")
    out = tmp_path / "out"
    swept = installed("frontier", "--constraint", "mixed", "--config", tmp_path / "quick.toml", "--out", out)
    assert swept.returncode in (0, 3), swept.stderr
    assert list(pd.read_csv(out / "frontier.csv")["constraint"].unique()) == ["Mixed"]
    model, policy, place = out / "models" / "bound01-seed0.json", tmp_path / "faro.toml", ["--plugin", "mine:Mixed"]
    drafted = installed("policy", model, *place, "--bound", "0.5", "--out", policy)
    assert drafted.returncode == 0, drafted.stderr
    asked = (
        policy.read_text()
        .replace('ledger = "ledger.jsonl"', "")
        .replace("assumptions = [", 'assumptions = ["no-ledger", ')
    )
    policy.write_text(asked)
    scored = installed("score", model, "demo", "--part", "gate", *place, "--out", tmp_path / "gate.csv")
    assert scored.returncode == 0 and not scored.stderr, scored.stderr
    given = [tmp_path / "gate.csv", "--policy", policy, "--train-units", out / "models" / "seed0.units.txt"]
    certified = installed("certify", *given, "--out", tmp_path / "certificate.json")
    assert certified.returncode == 0, certified.stdout + certified.stderr
    verified = installed("verify", tmp_path / "certificate.json", *given, *place)
    assert verified.returncode == 0 and "computed again: the cells of" in verified.stdout, verified.stderr


def test_built_ins_use_the_same_mechanism():
    assert len(notions()) >= 18
    for name in notions():
        constraint = make_constraint(ATTRIBUTES, name, "group", bound=0.1)
        assert constraint.bounds().shape == (len(constraint.labels()),)


def test_names_options_and_crossing():
    assert make_constraint(ATTRIBUTES, "calibration(bins=3)", "group").bins == 3
    crossed = make_constraint(ATTRIBUTES, "demographic_parity+rate_cap", "group&community", of=("kind", "x"))
    assert "group&community" in crossed.name() and len(crossed.parts()) == 2
    marginal = make_constraint(ATTRIBUTES, "equalized_odds", "group,kind,group&kind")
    assert [part.who.attribute.name for part in marginal.parts()] == ["group", "kind", "group&kind"]
    budget = make_constraint(ATTRIBUTES, "rate_cap", of="kind=x", bound=0.3)
    assert budget.labels() == ("everyone",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"constraint": "calibrashun"}, "did you mean 'calibration'"),
        ({"constraint": "calibration(bin=3)"}, "option of calibration 'bin'"),
        ({"constraint": "calibration(3)"}, "NAME\\(option=value"),
        ({"constraint": "calibration(bins=os)"}, "NAME\\(option=value"),
        ({"constraint": "no.such.module:Thing"}, "cannot be imported"),
        ({"constraint": "constraints:Nothing"}, "cannot be imported"),
        ({"constraint": "constraints:make_choices"}, "takes no attribute"),
        ({"constraint": "builtins:dict"}, "makes a constraints.Constraint"),
        ({"attribute": None}, "needs an attribute"),
        ({"attribute": "group&sex"}, "unknown attribute 'sex'"),
        ({"constraint": "calibration+calibration"}, "twice"),
    ],
)
def test_what_does_not_fit_is_explained(words, message):
    asked = {"constraint": "demographic_parity", "attribute": "group"} | words
    with pytest.raises(UsageError, match=message):
        make_constraint(ATTRIBUTES, **asked)
    with pytest.raises(UsageError, match="cannot be imported"):
        find_notion("nowhere:Thing")


def test_a_broken_constraint_is_shown_clause_by_clause(tmp_path, monkeypatch, capsys):
    broken = MINE.replace("choices.weight[:, None, None] * short", "short").replace("class WaitingTime", "class Broken")
    (tmp_path / "broken.py").write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["constraints", "check", "broken:Broken"]) == 1
    said = capsys.readouterr().out
    assert "fails" in said and "weight" in said and "holds" in said
