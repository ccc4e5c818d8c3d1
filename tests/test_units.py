"""What units are called, by names that people give their columns."""

import pytest

from faro.units import called


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("person", "people"),
        ("person (ID)", "people"),
        ("row, placed by its content (there is no person id)", "rows"),
        ("respondent (CaseID)", "respondents"),
        ("rater_id", "raters"),
        ("promptId", "prompts"),
        ("CaseID", "cases"),
        ("company", "companies"),
        ("survey", "surveys"),
        ("batch", "batches"),
        ("users", "users"),
        ("id", "units"),
        ("ID", "units"),
        ("u1", "units"),
        ("\u0444\u0430\u0439\u043b", "units"),
        ("", "units"),
    ],
)
def test_units_are_called_by_their_noun(unit, words):
    assert called(unit) == words
