"""The bounds of a sweep where none are named."""

import numpy as np
import pytest

from faro.cli import main
from faro.errors import UsageError
from faro.sweep.grid import default_bounds


@pytest.mark.parametrize("gap", [0.9, 0.3, 0.1, 0.05, 0.0117, 0.002])
def test_bounds_spread_up_to_the_gap(gap):
    bounds = default_bounds(gap, 10)
    assert len(bounds) == 10 and bounds[-1] == pytest.approx(gap, rel=1e-3)
    assert bounds[0] == pytest.approx(min(0.01, gap / 10), rel=1e-3)  # a tenth of the gap at the least is tried
    steps = np.array(bounds[1:]) / bounds[:-1]
    assert np.ptp(steps) < 0.01 and steps.min() > 1.2
    assert default_bounds(gap, 1) == [pytest.approx(gap / 2, rel=1e-3)]


@pytest.mark.parametrize("gap", [0.0, 3e-8])
def test_where_there_is_no_gap_nothing_is_to_be_constrained(gap):
    with pytest.raises(UsageError, match="nothing to constrain here"):
        default_bounds(gap, 10)


@pytest.mark.slow
def test_it_is_said_at_once_and_nothing_is_left(tmp_path, capsys):
    path, schema = tmp_path / "same.csv", tmp_path / "same.toml"
    rows = [f"{unit},{'ab'[unit % 2]},{unit % 3},{int(unit % 5 > 0)}" for unit in range(160)]  # all are accepted
    path.write_text("unit,sex,x,chosen\n" + "\n".join(rows) + "\n")
    schema.write_text(
        'format = "accept"\nunit = "unit"\nlabel = "chosen"\nnumeric = ["x"]\n'
        '[[attributes]]\nname = "sex"\nlevels = ["a", "b"]\n'
    )
    given = ["--data", str(path), "--schema", str(schema), "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main(["frontier", *given]) == 2
    said = capsys.readouterr().err.strip()
    assert "nothing to constrain here" in said and len(said.splitlines()) == 1
    assert not [path for path in (tmp_path / "out").glob("*") if path.name != ".lock"]
