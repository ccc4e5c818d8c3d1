"""Parsing: three formats make the same choices, every broken promise is one line that names row and column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from constraints import check_choices
from faro.data import AttributeSpec, Dataset, Schema
from faro.errors import DataError, UsageError

GENDER = AttributeSpec(name="gender", levels=("f", "m"), chooser=True)
GROUP = AttributeSpec(name="group", levels=("a", "b"))
LONG = Schema(
    unit="who",
    choice=("task",),
    alternative="alt",
    label="y",
    weight="w",
    available="av",
    numeric=("x",),
    categorical=("colour",),
    context_numeric=("age",),
    attributes=(GROUP, GENDER),
)


def long() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "who": ["p", "p", "p", "q", "q"],
            "task": [1, 1, 1, 2, 2],
            "alt": ["u", "v", "w", "u", "v"],
            "y": [0.0, 1.0, 0.0, 0.25, 0.75],
            "w": [2.0, 2.0, 2.0, 1.0, 1.0],
            "av": [1, 1, 0, 1, 1],
            "x": [1.0, 2.0, np.nan, 4.0, 5.0],
            "colour": ["red", "blue", None, "red", "red"],
            "age": [30, 30, 30, 50, 50],
            "group": ["a", "b", "z", "b", "b"],
            "gender": ["f", "f", "f", "m", "m"],
        }
    ).astype({"x": object, "colour": object, "y": object, "w": object, "av": object})


def test_long_table_of_unequal_sets():
    data = Dataset.from_table(long(), LONG, name="toy")
    assert (data.n, data.k, data.dropped, data.labelled) == (2, 3, 0, True)
    assert data.alternatives.tolist() == [["u", "v", "w"], ["u", "v", ""]]
    choices = data.choices(data.fit_coding())
    np.testing.assert_array_equal(choices.available, [[1, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(choices.chosen, [[0, 1, 0], [0.25, 0.75, 0]])
    np.testing.assert_array_equal(choices.attributes["group"], [[0, 1, -1], [1, 1, -1]])
    np.testing.assert_array_equal(choices.attributes["gender"], [[0, 0, 0], [1, 1, -1]])
    np.testing.assert_array_equal(choices.weight, [2, 1])
    np.testing.assert_array_equal(choices.items[:, 2], 0)
    assert choices.items.dtype == choices.weight.dtype == np.float32
    check_choices(choices)


def test_rows_of_a_choice_need_not_be_neighbours():
    mixed = long().iloc[[0, 3, 1, 4, 2]].reset_index(drop=True)
    a, b = Dataset.from_table(long(), LONG), Dataset.from_table(mixed, LONG)
    np.testing.assert_array_equal(a.choices(a.fit_coding()).items, b.choices(b.fit_coding()).items)


BAD = [
    ({}, {"drop": "x"}, "no column 'x'"),
    ({}, {"drop": "y"}, "no column 'y'"),
    ({}, {"drop": "task"}, "no column 'task'"),
    ({}, {"drop": "group"}, "no column 'group'"),
    ({(1, "group"): "c"}, {}, "row 2: attribute 'group' has no level 'c'"),
    ({(1, "group"): None}, {}, "row 2: attribute 'group' is missing"),
    ({(1, "x"): "abc"}, {}, "column 'x', row 2: expected a finite number, got 'abc'"),
    ({(1, "x"): np.nan}, {}, "column 'x', row 2"),
    ({(1, "x"): np.inf}, {}, "column 'x', row 2"),
    ({(1, "x"): "1_0"}, {}, "column 'x', row 2"),
    ({(1, "colour"): None}, {}, "column 'colour', row 2: the cell is missing"),
    ({(3, "av"): 0, (4, "av"): 0}, {}, "choice 2: no alternative is available"),
    ({(3, "av"): 2}, {}, "column 'av', row 4: expected 1 or 0"),
    ({(1, "y"): 0}, {}, "choice 1: no alternative is labelled"),
    ({(0, "y"): 1}, {}, "choice 1: two alternatives are labelled"),
    ({(3, "y"): 0.5}, {}, "choice 2: labels must sum to 1, got 1.25"),
    ({(3, "y"): None}, {}, "column 'y', row 4"),
    ({(3, "y"): -0.25}, {}, "column 'y', row 4: expected a label in"),
    ({(1, "y"): 0, (2, "y"): 1}, {}, "choice 1: an unavailable alternative carries the label"),
    ({(3, "w"): "heavy"}, {}, "column 'w', row 4"),
    ({(3, "w"): -1}, {}, "column 'w', row 4: expected a weight that is not negative"),
    ({(3, "w"): 3}, {}, "choice 2: .*varies.*'w'"),
    ({(4, "gender"): "f"}, {}, "choice 2: .*varies.*'gender'"),
    ({(4, "age"): 51}, {}, "choice 2: .*varies.*'age'"),
    ({(4, "who"): "p"}, {}, "choice 2: .*varies.*'who'"),
    ({(4, "who"): None}, {}, "column 'who', row 5: the unit is missing"),
    ({(4, "task"): None}, {}, "column 'task', row 5"),
    ({(4, "alt"): "u"}, {}, "column 'alt', row 5: alternative 'u' is twice in choice 2"),
    ({(4, "colour"): ["red"]}, {}, "column 'colour' holds lists"),
]


@pytest.mark.parametrize(("cells", "frame", "message"), BAD, ids=[message for _, _, message in BAD])
def test_broken_promises_are_one_line(cells, frame, message):
    table = long().astype(object)
    for (row, column), value in cells.items():
        table.at[row, column] = value
    if "drop" in frame:
        table = table.drop(columns=frame["drop"])
    with pytest.raises(DataError, match=message) as caught:
        Dataset.from_table(table, LONG, name="toy")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("toy: ") and caught.value.exit_code == 5


def test_the_same_mistake_reads_the_same_from_a_file(tmp_path):
    table = long().drop(index=2)
    table.at[3, "x"] = "?"
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"^t.csv: column 'x', row 3: expected a finite number, got '\?'$"):
        Dataset.from_table(tmp_path / "t.csv", LONG)


def test_empty_and_doubled_tables():
    with pytest.raises(DataError, match="empty"):
        Dataset.from_table(long().iloc[:0], LONG)
    with pytest.raises(DataError, match="two columns are named 'x'"):
        Dataset.from_table(pd.concat([long(), long()[["x"]]], axis=1), LONG)


def same(a: Dataset, b: Dataset) -> None:
    """Equal choices, whatever table they came from."""
    left, right = a.choices(a.fit_coding()), b.choices(b.fit_coding())
    assert a.fit_coding().items.names == b.fit_coding().items.names
    for name in ("items", "context", "available", "chosen", "weight", "outside"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    for name in left.attributes:
        np.testing.assert_array_equal(left.attributes[name], right.attributes[name], err_msg=name)
    assert a.units.tolist() == b.units.tolist()


WIDE = LONG.replace(format="wide", choice=(), alternative="", available="", label="p")


def wide(pattern: str = "{side}_{name}") -> pd.DataFrame:
    own = {
        "x": ([1.0, 4.0, 3.5], [2.0, 5.0, -1.0]),
        "colour": (["red", "blue", "red"], ["blue", "red", "red"]),
        "group": (["a", "b", "a"], ["b", "b", "a"]),
    }
    columns = {
        pattern.format(side=side, name=name): own[name][i]
        for i, side in enumerate(("chosen", "rejected"))
        for name in own
    }
    plain = {"who": [1, 1, 2], "w": [1, 2, 0], "age": [20, 20, 30], "gender": ["f", "f", "m"], "p": [1, 0.5, 0.25]}
    return pd.DataFrame({**columns, **plain})


def test_wide_is_long():
    table = wide()
    rows = []
    for i in range(len(table)):
        for k, side in enumerate(("chosen", "rejected")):
            own = {name: table.at[i, f"{side}_{name}"] for name in ("x", "colour", "group")}
            share = table.at[i, "p"] if k == 0 else 1 - table.at[i, "p"]
            plain = {name: table.at[i, name] for name in ("who", "w", "age", "gender")}
            rows.append({**own, **plain, "task": i, "alt": side, "y": share, "av": 1})
    data = Dataset.from_table(table, WIDE)
    same(data, Dataset.from_table(pd.DataFrame(rows), LONG))
    same(data, Dataset.from_table(wide("{name}_{side}"), WIDE))
    same(
        data,
        Dataset.from_table(
            table.rename(columns=lambda c: c.replace("chosen", "b").replace("rejected", "a")),
            WIDE.replace(sides=("b", "a")),
        ),
    )
    assert data.alternatives.tolist() == [["chosen", "rejected"]] * 3 and data.choice_ids.tolist() == ["1", "2", "3"]


def test_wide_without_label_prefers_the_first_side():
    data = Dataset.from_table(wide(), WIDE.replace(label=""))
    np.testing.assert_array_equal(data.choices(data.fit_coding()).chosen, [[1, 0]] * 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="rejected_x"), "no column 'rejected_x' or 'x_rejected'"),
        (lambda t: t.assign(x_chosen=1), "both 'chosen_x' and 'x_chosen'"),
        (lambda t: t.assign(p=[1, 2, 0]), "column 'p', row 2: expected a label in"),
        (lambda t: t.drop(columns="p"), "no column 'p'"),
        (lambda t: t.assign(rejected_x=[1, np.nan, 2]), "column 'rejected_x', row 2"),
        (lambda t: t.assign(chosen_group=["a", "b", "c"]), "'chosen_group', row 3: attribute 'group' has no level 'c'"),
        (lambda t: t.drop(columns="who"), "no column 'who' .needed as unit.; columns are: chosen_x, chosen_colour"),
    ],
)
def test_wide_mistakes_name_the_row_of_the_given_table(change, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_table(change(wide()), WIDE)


ACCEPT = LONG.replace(format="accept", choice=(), alternative="", available="")


def applicants() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "who": ["p", "q", "r"],
            "y": ["yes", "no", "yes"],
            "w": [1, 2, 1],
            "x": [1, 2, 4],
            "colour": ["red", "blue", "red"],
            "age": [20, 30, 40],
            "group": ["a", "b", "a"],
            "gender": ["f", "f", "m"],
        }
    )


def test_accept_is_long_with_an_outside_option():
    table = applicants()
    data = Dataset.from_table(table, ACCEPT.replace(positive="yes"))
    choices = data.choices(data.fit_coding())
    np.testing.assert_array_equal(choices.chosen, [[1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(choices.outside, [[0, 1]] * 3)
    assert choices.items.shape[1] == 1  # the outside option has none
    np.testing.assert_array_equal(choices.attributes["group"], [[0, -1], [1, -1], [0, -1]])
    np.testing.assert_array_equal(choices.attributes["gender"], [[0, -1], [0, -1], [1, -1]])
    inside = table.assign(task=range(3), alt="inside", y=[1, 0, 1], av=1, out=0)
    outside = inside.assign(alt="outside", y=[0, 1, 0], out=1, x=None, colour=None, group=None)
    same(
        data,
        Dataset.from_table(pd.concat([inside.astype(object), outside.astype(object)]), LONG.replace(outside="out")),
    )
    same(data, Dataset.from_table(table.assign(y=[1.0, 0.0, 1.0]), ACCEPT))


def test_accept_labels():
    with pytest.raises(DataError, match="no row has the label 'YES'"):
        Dataset.from_table(applicants(), ACCEPT.replace(positive="YES"))
    with pytest.raises(DataError, match="row 2: the label is missing"):
        Dataset.from_table(applicants().assign(y=["yes", None, "no"]), ACCEPT.replace(positive="yes"))
    with pytest.raises(DataError, match="column 'y', row 1: expected a finite number, got 'yes'"):
        Dataset.from_table(applicants(), ACCEPT)


def test_excluded_levels_apply_to_nobody():
    schema = ACCEPT.replace(
        positive="yes", attributes=(AttributeSpec(name="group", levels=("a", "c"), others="exclude"),)
    )
    data = Dataset.from_table(applicants().assign(group=["a", None, "b"]), schema)
    np.testing.assert_array_equal(data.parsed.attributes["group"][:, 0], [0, -1, -1])


def gappy() -> pd.DataFrame:
    return applicants().assign(x=["1", "?", "4"], colour=["red", "blue", "?"], y=[1, 0, 1])


def test_missing_is_an_error_by_default():
    with pytest.raises(DataError, match=r"column 'x', row 2: expected a finite number, got '\?' \(missing\)"):
        Dataset.from_table(gappy(), ACCEPT.replace(missing=("?",)))
    with pytest.raises(DataError, match="column 'x', row 2"):
        Dataset.from_table(gappy().assign(x=[1, -9, 4]), ACCEPT.replace(missing=("-9", "?")))


def test_missing_as_a_level():
    data = Dataset.from_table(gappy(), ACCEPT.replace(missing=("?",), on_missing="level"))
    coding = data.fit_coding()
    assert coding.items.names == ("x", "x=(missing)", "colour=(missing)", "colour=blue", "colour=red")
    items = np.asarray(data.choices(coding).items[:, 0])
    np.testing.assert_allclose(items, [[-1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [1, 0, 1, 0, 0]], atol=1e-6)
    assert data.dropped == 0


def test_missing_dropped_and_counted():
    data = Dataset.from_table(gappy(), ACCEPT.replace(missing=("?",), on_missing="drop"))
    assert (data.n, data.dropped) == (1, 2) and data.units.tolist() == ["p"] and data.choice_ids.tolist() == ["1"]
    check_choices(data.choices(data.fit_coding()))
    with pytest.raises(DataError, match="nothing is left"):
        Dataset.from_table(gappy().assign(x="?"), ACCEPT.replace(missing=("?",), on_missing="drop"))


def test_missing_numbers_are_known_in_every_container():
    schema = ACCEPT.replace(missing=("-9",), on_missing="level")
    as_text, as_number = gappy().assign(x=["1", "-9", "4"]), gappy().assign(x=[1, -9, 4])
    same(Dataset.from_table(as_text, schema), Dataset.from_table(as_number, schema))


def test_draws_of_a_reference_have_no_log_ref():
    assert LONG.replace(candidates="sampled", reference="base", decoding="temperature 1").candidates == "sampled"
    for wrong, words in (
        ({"candidates": "sampled", "log_ref": "lp"}, "squares the reference"),
        ({"candidates": "drawn"}, "candidates"),
        ({"reference": "base"}, "of `candidates`"),
    ):
        with pytest.raises(UsageError, match=words):
            LONG.replace(**wrong)
    assert "candidates" not in LONG.to_dict()


def test_log_ref_is_read():
    table = long().assign(lp=[-1.0, -2.0, np.nan, -0.5, -0.25])
    data = Dataset.from_table(table, LONG.replace(log_ref="lp"))
    np.testing.assert_allclose(data.choices(data.fit_coding()).log_ref, [[-1, -2, 0], [-0.5, -0.25, 0]])


def test_new_data_without_labels_weights_units_or_attributes():
    train = Dataset.from_table(long(), LONG)
    bare = long().drop(columns=["y", "w", "who", "group", "gender"])
    data = Dataset.from_table(bare, LONG, labels=False)
    choices = data.choices(train.fit_coding())
    np.testing.assert_array_equal(choices.chosen, [[0.5, 0.5, 0], [0.5, 0.5, 0]])
    np.testing.assert_array_equal(choices.items, train.choices(train.fit_coding()).items)
    assert not data.labelled and (np.asarray(choices.attributes["group"]) == -1).all()
    for table, schema in ((wide().drop(columns="p"), WIDE), (applicants().drop(columns="y"), ACCEPT)):
        data = Dataset.from_table(table, schema, labels=False)
        np.testing.assert_array_equal(data.choices(data.fit_coding()).chosen, 0.5)


def test_a_choice_may_have_an_id_of_several_columns():
    data = Dataset.from_table(wide().assign(a=[1, 1, 2], b=["x", "y", "x"]), WIDE.replace(choice=("a", "b")))
    assert data.choice_ids.tolist() == ["1/x", "1/y", "2/x"]
    with pytest.raises(DataError, match="row 2: choice '1/x' has two rows"):
        Dataset.from_table(wide().assign(a=[1, 1, 2], b="x"), WIDE.replace(choice=("a", "b")))


def test_levels_may_be_written_as_numbers():
    spec = AttributeSpec(name="group", levels=("0.0", "1.0"))
    assert spec.levels == ("0.0", "1.0")  # text, unless the column is declared to be of numbers
    types = {"group": "number", "y": "number"}
    schema = ACCEPT.replace(positive="1.0", attributes=(spec,), missing=("-9.0",), on_missing="level", types=types)
    assert schema.attribute("group").levels == ("0", "1") and schema.positive == "1"
    for kind in (int, float, str):
        table = applicants().assign(group=pd.Series([0, 1, 0]).astype(kind), y=pd.Series([1, 0, 1]).astype(kind))
        data = Dataset.from_table(table.assign(x=pd.Series([1, -9, 4]).astype(kind)), schema)
        np.testing.assert_array_equal(data.parsed.attributes["group"][:, 0], [0, 1, 0])
        np.testing.assert_array_equal(data.parsed.chosen[:, 0], [1, 0, 1])
        assert np.isnan(data.parsed.items.numeric["x"][1, 0])


def test_a_numeric_column_of_lists():
    with pytest.raises(DataError, match="column 'x' holds lists"):
        Dataset.from_table(applicants().assign(x=[[1], [2], [3]], y=1), ACCEPT)
