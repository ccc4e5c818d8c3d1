"""Summary and headline say the numbers of the file."""

from __future__ import annotations

import numpy as np
import pytest

from faro.report import headline, read_run, summary_table
from tests.builders.invented import Invented, best, page


def test_summary_holds_the_numbers_of_the_file(folder):
    run = read_run(folder)
    table = summary_table(run).set_index("bound")
    some = run.trials[run.trials["bound"] == 0.05]
    assert table.loc[0.05, "dev_gap"] == pytest.approx(some["dev_gap"].mean())
    assert table.loc[0.05, "dev_gap_high"] == some["dev_gap"].max()
    assert (table["feasible"] == 3).all()
    assert table.loc[0.05, "non_dominated"] == 3


def test_diverged_members_do_not_spoil_means(tmp_path):
    run = read_run(Invented(diverged=(0,)).write(tmp_path))
    row = summary_table(run).iloc[0]
    assert row["feasible"] == 2 and row["members"] == 3
    assert row["dev_accuracy"] == pytest.approx(run.trials["dev_accuracy"].iloc[1:3].mean())


def test_headline_says_what_was_measured_on_whom(folder, tmp_path):
    run = read_run(folder)
    assert run.focus() == 0.1  # 0.15 is half the unconstrained gap less a hair
    said = headline(run)
    assert said.startswith("At bound 0.1, 3 of 3 models satisfy demographic parity (sex) within 0.1 on the training ")
    assert "over seeds)" in said and "unconstrained" in said
    said = headline(read_run(Invented(seeds=1).write(tmp_path / "one")))
    assert "1 of 1 models satisfies" in said and "seeds" not in said
    said = headline(read_run(Invented(status="INFEASIBLE").write(tmp_path / "none")))
    assert said.startswith("No model was found that satisfies")
    assert "the smallest gap reached there was 0.019" in said or "0.020" in said


def test_headline_compares_with_the_best_at_the_gap_that_was_reached(tmp_path):
    run = read_run(Invented(known=True).write(tmp_path))
    gap = run.trials["population_gap"].to_numpy()[run.at(0.1)].mean()
    assert headline(run).endswith(f"; the best possible at that gap is {best(gap):.3f}.")


def test_stack_is_judged_by_its_largest_gap(tmp_path):
    run = read_run(Invented(parts=("demographic_parity(sex)", "equal_opportunity(sex)")).write(tmp_path))
    assert run.gaps("dev").shape == (15, 2)
    np.testing.assert_allclose(run.gap("dev"), run.trials["dev_gap[demographic_parity(sex)]"])
    assert "dev gap: equal_opportunity(sex)" in page(run.folder)[1].text
