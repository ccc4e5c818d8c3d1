"""A process of its own prints what it says and nothing that a solver says of itself."""

import subprocess
import sys

import pytest

SOLVES = """
import cvxpy as cp
import numpy as np
from faro.exact.solver import LINEAR, guess

x = cp.Variable(2)
assert guess(cp.Problem(cp.Minimize(cp.sum(x)), [x >= 1]), LINEAR, lambda: float(np.abs(x.value - 1).max()))
print("two")
"""


@pytest.mark.slow
def test_solvers_print_nothing_of_themselves():
    done = subprocess.run([sys.executable, "-c", SOLVES], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("two\n", "")
