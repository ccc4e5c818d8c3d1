"""The pytest fixture: passes a certificate that checks, fails all else with a reason, and costs others nothing."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.oracles import verify_by_hand as hand

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]
BLOCKED = ("-p", "no:faro", "-p", "faro.integrations.pytest_plugin")  # the same whether faro is installed or not
FILES = "'cert.json', 'audit.csv', 'faro.toml'"
TEST = f"def test_it(faro_certificate):\n    assert faro_certificate({FILES}).verdict == 'CERTIFIED'\n"


@pytest.fixture
def project(pytester):
    """A project with a certificate within the bound given; returns a function that runs its one test."""
    rows = hand.applicants(200, {"A": 0.3, "B": 0.32})

    def run(source=TEST, bound=0.4, change=None):
        rules = hand.policy(
            {"name": "parity", "constraint": "demographic_parity", "attribute": "g", "bound": bound,
             "method": "clopper-pearson"},
            outside="all",
        )  # fmt: skip
        cert = hand.certify(rules, rows)
        hand.store(pytester.path, rules, rows, cert if change is None else change(cert))
        pytester.makepyfile(source)
        return pytester.runpytest(*BLOCKED)

    return run


def test_a_certificate_that_checks_passes(project):
    project().assert_outcomes(passed=1)


def test_inconclusive_fails_and_says_why(project):
    result = project(bound=0.01)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["cert.json: INCONCLUSIVE, expected CERTIFIED", "INCONCLUSIVE parity: *within 0.01: ucb *"]
    )
    assert "Traceback" not in result.stdout.str()
    assert "verify.py" not in result.stdout.str()


def test_a_stronger_claim_is_refused(project):
    def stronger(cert):
        cert["claims"]["parity"]["ucb"] = "0.001"
        return hand.seal(cert)

    result = project(change=stronger)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["cert.json: refused (4): claim 'parity': ucb is not proved"])


WRONG = {  # arguments -> what is said
    "'absent.json', 'audit.csv', 'faro.toml'": "absent.json: refused (2): *cannot be read*",
    "'cert.json'": "cert.json: refused (2): *give the audit table",
    f"{FILES}, ledger='faro.toml'": "cert.json: refused (2): --ledger: the policy names no ledger",
    f"{FILES}, models=['audit.csv']": "cert.json: refused (5): model_sha256: another model",
    f"{FILES}, tables={{'parity': 'audit.csv'}}": "cert.json: refused (2): --table*",
    f"{FILES}, train_units='faro.toml'": "cert.json: refused (5): *other units of training*",
    "3, 'audit.csv', 'faro.toml'": "*unsupported operand*",
}


def test_all_else_fails_with_a_reason(project):
    calls = "".join(f"    lambda check: check({arguments}),\n" for arguments in WRONG)
    each = (
        "@pytest.mark.parametrize('call', [\n{}])\ndef test_it(faro_certificate, call):\n    call(faro_certificate)\n"
    )
    result = project(source="import pytest\n\n" + each.format(calls))
    result.assert_outcomes(failed=len(WRONG))
    result.stdout.fnmatch_lines(list(WRONG.values()))


def test_an_error_of_the_checker_is_no_pass(project, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("faro.verify.verify", broken)
    result = project()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["cert.json: internal error: ZeroDivisionError: planted"])


def test_paths_begin_at_the_root_folder(project, pytester, monkeypatch):
    project()
    (pytester.path / "elsewhere").mkdir()
    monkeypatch.chdir(pytester.path / "elsewhere")
    pytester.runpytest(*BLOCKED, "--rootdir=..", "..").assert_outcomes(passed=1)


def test_others_pay_one_small_import():
    """Loading the plugin loads no numpy, no jax, no checker; the entry point names it."""
    code = "import sys, pytest; before = set(sys.modules); import faro.integrations.pytest_plugin; "
    code += "import json; print(json.dumps(sorted(set(sys.modules) - before)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name for name in json.loads(found.stdout) if name not in sys.stdlib_module_names} == {
        "faro", "faro._moved", "faro.integrations", "faro.integrations.pytest_plugin"
    }  # fmt: skip
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["pytest11"].split() == ["faro", "=", "faro.integrations.pytest_plugin"]
