"""Deprecations: shown to everybody, errors with --own-deprecations where a call of ours causes them; all else fails."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]
OTHER = "import warnings\ndef old(kind, level): warnings.warn(kind('old'), stacklevel=level)\n"
TESTS = """
import other
import pytest

KINDS = [DeprecationWarning, PendingDeprecationWarning, FutureWarning, RuntimeWarning]

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cause, level", [("theirs", 1), ("ours", 2)])  # the frame that a warning is laid to
def test_it(kind, cause, level):
    other.old(kind, level)
"""


@pytest.mark.parametrize("words, failed", [((), 2), (("--own-deprecations",), 5)])
def test_deprecations_fail_only_where_they_are_ours_and_it_is_asked_for(pytester, words, failed):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pytester.makeini("[pytest]\nfilterwarnings =" + config["tool:pytest"]["filterwarnings"].replace("\n", "\n    "))
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text("utf-8"))
    pytester.makepyfile(test_calls=TESTS)
    (pytester.mkdir("site") / "other.py").write_text(OTHER)
    pytester.syspathinsert("site")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *words)
    result.assert_outcomes(failed=failed, passed=8 - failed, warnings=8 - failed)
    result.stdout.fnmatch_lines(["FAILED *theirs*RuntimeWarning*"])
    assert not [line for line in result.outlines if line.startswith("FAILED") and "theirs" in line and "Dep" in line]
