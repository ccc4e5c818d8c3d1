"""A stranger's constraint in a package of its own: installed, listed, checked, swept, certified like a built-in."""

import subprocess
import sys

import pandas as pd
import pytest

from constraints.testing import COMMUNITY, GROUP, KIND
from faro.cli import main
from faro.errors import UsageError
from faro.registry import find_notion, make_constraint, notions
from tests.builders.packages import in_reach, install
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
def place(tmp_path_factory):
    """Where the stranger's package is installed."""
    return install(tmp_path_factory.mktemp("stranger"), "stranger", WHEEL)


@pytest.fixture
def installed(place):
    """The package is installed in this process too, for one test."""
    with in_reach(place):
        yield


@pytest.mark.slow
def test_the_command_lists_what_is_installed(place):
    command = [sys.executable, "-m", "faro", "constraints", "list"]
    listed = subprocess.run(command, env=environment(path=(place,)), capture_output=True, text=True, check=True)
    assert "waiting_time (from stranger)" in " ".join(listed.stdout.split())


@pytest.mark.slow
def test_a_strangers_constraint_is_one_of_us(installed, faro, tmp_path):
    code, said, _ = faro("constraints", "check", "mine:WaitingTime")
    assert code == 0 and said.count("holds") == 9, said
    assert "no certificate: its cells cannot be computed again" in said  # it reads features
    (tmp_path / "quick.toml").write_text("bounds = [0.4, 0.6]\nseeds = 1\n[settings]\nsteps = 30\n")
    out = tmp_path / "out"
    code, _, err = faro("frontier", "--constraint", "mixed", "--config", tmp_path / "quick.toml", "--out", out)
    assert code in (0, 3), err
    assert list(pd.read_csv(out / "frontier.csv")["constraint"].unique()) == ["Mixed"]
    model, policy, where = out / "models" / "bound01-seed0.json", tmp_path / "faro.toml", ["--plugin", "mine:Mixed"]
    code, _, err = faro("policy", model, *where, "--bound", "0.5", "--out", policy)
    assert code == 0, err
    asked = (
        policy.read_text()
        .replace('ledger = "ledger.jsonl"', "")
        .replace("assumptions = [", 'assumptions = ["no-ledger", ')
    )
    policy.write_text(asked)
    code, _, err = faro("score", model, "demo", "--part", "gate", *where, "--out", tmp_path / "gate.csv")
    assert (code, err) == (0, "")
    given = [tmp_path / "gate.csv", "--policy", policy, "--train-units", out / "models" / "seed0.units.txt"]
    code, said, err = faro("certify", *given, "--out", tmp_path / "certificate.json")
    assert code == 0, said + err
    code, said, err = faro("verify", tmp_path / "certificate.json", *given, *where)
    assert code == 0 and "computed again: the cells of" in said, err


def test_built_ins_use_the_same_mechanism():
    assert len(notions()) >= 18
    for name in notions():
        constraint = make_constraint(ATTRIBUTES, name, "group", bound=0.1, unless=("attribute",))
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


@pytest.mark.slow
def test_a_broken_constraint_is_shown_clause_by_clause(tmp_path, monkeypatch, capsys):
    broken = MINE.replace("choices.weight[:, None, None] * short", "short").replace("class WaitingTime", "class Broken")
    (tmp_path / "broken.py").write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["constraints", "check", "broken:Broken"]) == 1
    said = capsys.readouterr().out
    assert "fails" in said and "weight" in said and "holds" in said
