"""Arrays in files: rows in their own dtype for the choices that have them, one content whatever file."""

from __future__ import annotations

import json
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

import constraints as ct
from faro.data import Dataset, Schema, describe, load
from faro.errors import DataError, UsageError

N, D, TALL = 300, 3, 57  # choices, columns of the array, rows of it
PAIRS = {
    "format": "wide",
    "unit": "who",
    "numeric": ["length"],
    "arrays": [{"name": "text", "file": "text.npy", "index": "row"}],
    "attributes": [{"name": "style", "levels": ["A", "B"]}],
}


def array(dtype: str = "<f4", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal([1.0, -2.0, 5.0], [1.0, 3.0, 0.5], (TALL, D)).astype(dtype)


def table(n: int = N, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    own = {"who": rng.integers(0, 60, n)}
    for side in ("chosen", "rejected"):
        own[f"{side}_length"] = rng.normal(size=n)
        own[f"{side}_row"] = rng.integers(0, TALL, n)
        own[f"{side}_style"] = rng.choice(["A", "B"], n)
    return pd.DataFrame(own)


def pairs(values: np.ndarray, frame: pd.DataFrame | None = None, **changes) -> Dataset:
    schema = Schema.from_dict({**PAIRS, **changes})
    return Dataset.from_table(table() if frame is None else frame, schema, name="pairs", arrays={"text": values})


def rows_of(frame: pd.DataFrame) -> np.ndarray:
    return frame[["chosen_row", "rejected_row"]].to_numpy()


def with_option(**option) -> list[dict]:
    return [{**PAIRS["arrays"][0], **option}]


@pytest.mark.parametrize("scaling", ["joint", "each", "none"])
def test_coded_columns_are_the_rows_standardised_by_what_train_has(scaling):
    values, frame = array(), table()
    data = pairs(values, frame, arrays=with_option(scaling=scaling))
    train = np.arange(0, N, 2)
    coding = data.fit_coding(train)
    assert coding.items.names == ("length", "text[0]", "text[1]", "text[2]")
    seen = values.astype(float)[rows_of(frame)[train]].reshape(-1, D)
    centred = seen - seen.mean(0)
    spread = {"joint": np.sqrt((centred**2).mean()), "each": np.sqrt((centred**2).mean(0)), "none": 1.0}[scaling]
    mean = 0.0 if scaling == "none" else seen.mean(0)
    got = data.choices(coding, [5, 2, 9]).items[..., 1:]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, (values.astype(float)[rows_of(frame)[[5, 2, 9]]] - mean) / spread, rtol=2e-6)


def test_the_joint_scaling_keeps_angles_and_ratios_of_distances():
    values, frame = array(), table()
    data = pairs(values, frame)
    coded = data.choices(data.fit_coding()).items[..., 1:].astype(float)
    turned = values.astype(float) @ np.linalg.qr(np.random.default_rng(3).normal(size=(D, D)))[0]
    moved = pairs(turned, frame)
    other = moved.choices(moved.fit_coding()).items[..., 1:].astype(float)
    np.testing.assert_allclose(
        (coded @ coded.transpose(0, 2, 1)), other @ other.transpose(0, 2, 1), rtol=1e-4, atol=1e-5
    )


def test_half_precision_brain_floats_and_whole_numbers_are_what_they_stand_for(tmp_path):
    for dtype in ("<f2", "<f8", "<i4", "|b1", jnp.bfloat16):
        values = np.round(array("<f8")).astype(dtype)
        safetensors.numpy.save_file({"text": values}, tmp_path / "text.safetensors")
        data = pairs(tmp_path / "text.safetensors", arrays=with_option(scaling="none"))
        got = data.choices(data.fit_coding()).items[..., 1:]
        np.testing.assert_array_equal(got, values.astype(np.float32)[rows_of(data.frame)])


def test_one_content_has_one_digest_and_one_coding_whatever_file(tmp_path):
    values, frame = array("<f2"), table()
    np.save(tmp_path / "text.npy", values)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(values))
    safetensors.numpy.save_file({"text": values, "other": values + 1}, tmp_path / "all.safetensors")
    frame.to_csv(tmp_path / "pairs.csv", index=False)
    schema = Schema.from_dict(PAIRS)
    beside = load(tmp_path / "pairs.csv", schema)  # the schema's file, in the table's folder
    given = [values, tmp_path / "fortran.npy", tmp_path / "all.safetensors"]
    others = [load(tmp_path / "pairs.csv", schema, arrays={"text": own}) for own in given]
    others.append(load(tmp_path / "pairs.csv", schema.from_dict({
        **PAIRS, "arrays": with_option(file="all.safetensors", key="text")})))  # fmt: skip
    for other in others:
        assert other.digest == beside.digest
        coding = other.fit_coding()
        assert coding == beside.fit_coding()
        np.testing.assert_array_equal(other.choices(coding).items, beside.choices(coding).items)
    changed = values.copy()
    changed[7, 1] += 1
    different = [load(tmp_path / "pairs.csv", schema, arrays={"text": own}) for own in (changed, values.astype("<f4"))]
    assert len({beside.digest, *(other.digest for other in different)}) == 3
    assert beside.digest != pairs(values, frame.assign(chosen_row=frame["rejected_row"])).digest


def test_only_the_rows_of_a_part_are_read(monkeypatch):
    from faro.data import mapped

    data, read = pairs(array()), []
    coding = data.fit_coding()
    plain = mapped.Stored.read
    monkeypatch.setattr(mapped.Stored, "read", lambda own, rows: read.append(np.size(rows)) or plain(own, rows))
    data.choices(coding, [1, 2, 3])
    assert sum(read) == 6


def test_blocks_do_not_change_a_coding(monkeypatch):
    from faro.data import coding, mapped

    whole = pairs(array())
    first = whole.fit_coding()
    monkeypatch.setattr(mapped, "BLOCK", 7)
    monkeypatch.setattr(coding, "BLOCK", 7)
    again = pairs(array())
    second = again.fit_coding()
    assert again.digest == whole.digest
    np.testing.assert_allclose(second.items.vectors[0].mean, first.items.vectors[0].mean, rtol=1e-13)
    np.testing.assert_array_equal(again.choices(first).items, whole.choices(first).items)


def test_a_file_that_changes_while_it_is_in_use_is_refused(tmp_path):
    np.save(tmp_path / "text.npy", array())
    data = pairs(tmp_path / "text.npy")
    coding = data.fit_coding()
    np.save(tmp_path / "text.npy", array(seed=1))
    with pytest.raises(DataError, match="was changed or removed while it was in use"):
        data.choices(coding)
    (tmp_path / "text.npy").unlink()
    with pytest.raises(DataError, match="was changed or removed while it was in use"):
        data.choices(coding)


def test_rows_in_the_order_of_the_table():
    frame, values = table(TALL), array()
    accept = {"format": "accept", "unit": "who", "label": "y", "arrays": [{"name": "text", "scaling": "none"}]}
    frame["y"] = np.arange(TALL) % 2
    data = Dataset.from_table(frame, Schema.from_dict(accept), arrays={"text": values})
    np.testing.assert_array_equal(data.choices(data.fit_coding()).items, values[:, None])
    both = np.repeat(values, 2, 0) + np.tile([[0.0], [9.0]], (TALL, 1)).astype("<f4")
    data = pairs(both, frame, arrays=[{"name": "text", "scaling": "none"}])
    np.testing.assert_array_equal(data.choices(data.fit_coding()).items[..., 1:], both.reshape(TALL, 2, D))
    with pytest.raises(DataError, match=f"expected {2 * TALL} rows, 2 for each row of the table, got {TALL}"):
        pairs(values, frame, arrays=[{"name": "text"}])


def long_table() -> tuple[pd.DataFrame, dict]:
    frame = pd.DataFrame(
        {
            "who": ["a", "a", "a", "b", "b", "c", "c"],
            "task": [1, 1, 1, 2, 2, 3, 3],
            "took": [1, 0, 0, 0, 1, 1, 0],
            "open": [1, 1, 0, 1, 1, 1, 1],
            "row": [4, 5, "", 6, 7, 8, 9],
            "person": [1, 1, 1, 2, 2, 3, 3],
        }
    )
    schema = {
        "format": "long", "unit": "who", "choice": ["task"], "label": "took", "available": "open",
        "arrays": [
            {"name": "words", "index": "row", "raw": True},
            {"name": "past", "index": "person", "context": True, "scaling": "none"},
        ],
    }  # fmt: skip
    return frame, schema


def test_raw_arrays_of_a_long_table_are_handed_out_by_name():
    frame, schema = long_table()
    words, past = np.arange(40, dtype="<i4").reshape(10, 4), np.arange(8, dtype="<f2").reshape(4, 2)
    data = Dataset.from_table(frame, Schema.from_dict(schema), arrays={"words": words, "past": past})
    choices = data.choices(data.fit_coding())
    assert list(choices.items) == ["words"] and choices.items["words"].dtype == np.int32
    expected = np.zeros((3, 3, 4), int)
    for choice, rows in enumerate(([4, 5], [6, 7], [8, 9])):  # nothing where none is available
        expected[choice, :2] = words[rows]
    np.testing.assert_array_equal(choices.items["words"], expected)
    np.testing.assert_array_equal(choices.context, past[[1, 2, 3]])
    varies = frame.assign(person=range(7))
    with pytest.raises(DataError, match="a value of the choice or chooser varies within it"):
        Dataset.from_table(varies, Schema.from_dict(schema), arrays={"words": words, "past": np.zeros((9, 2))})


def raw_pairs(**changes) -> Dataset:
    """Tokens and a mask of both sides, of the prompt, and a coded number; twins of the style."""
    rng = np.random.default_rng(5)
    tokens = rng.integers(1, 1000, (TALL, 6)).astype("<i4")
    spec = [
        {"name": "tokens", "index": "row", "raw": True},
        {"name": "mask", "index": "row", "raw": True},
        {"name": "prompt", "index": "ask", "raw": True, "context": True},
    ]
    schema = {**PAIRS, "arrays": spec, "categorical": ["style"], **changes}
    schema["twins"] = [{"attribute": "style", "origin": "exchanged"}]
    arrays = {"tokens": tokens, "mask": tokens > 100, "prompt": rng.normal(size=(20, 2, 2)).astype("<f2")}
    frame = table().assign(ask=rng.integers(0, 20, N))
    return Dataset.from_table(frame, Schema.from_dict(schema), arrays=arrays)


def test_dict_items_keep_their_dtypes_through_all_that_choices_go_through():
    data = raw_pairs()
    coding = data.fit_coding()
    kinds = {"features": ("f", (3,)), "tokens": ("i", (6,)), "mask": ("b", (6,))}
    with jax.enable_x64(True):
        judged = data.choices(coding, twins=("style",), dtype=np.float64)
        assert {name: (own.dtype.kind, own.shape[2:]) for name, own in judged.items.items()} == kinds
        assert judged.items["features"].dtype == np.float64 and judged.items["tokens"].dtype == np.int32
        assert list(judged.context) == ["prompt"] and judged.context["prompt"].dtype == np.float16
    choices = data.choices(coding, np.arange(10), twins=("style",))
    twin = choices.twins["style"].items
    for level in range(2):
        np.testing.assert_array_equal(twin["tokens"][:, :, level], choices.items["tokens"])
        np.testing.assert_array_equal(twin["features"][:, :, level, 1:], np.eye(2)[level] + np.zeros((10, 2, 1)))
    longer = choices.pad(16)
    assert longer.shape == (16, 2) and not longer.weight[10:].any()
    for tree in (longer, choices.take([3, 3, 1]), jax.tree.map(jnp.asarray, choices)):
        assert [own.dtype for own in jax.tree.leaves(tree.items)] == [np.float32, np.bool_, np.int32]
    np.testing.assert_array_equal(choices.take([3, 1]).items["tokens"], choices.items["tokens"][[3, 1]])
    made = ct.make_choices(choices.items, choices.chosen, context=choices.context, twins=choices.twins)
    np.testing.assert_array_equal(made.items["tokens"], choices.items["tokens"])
    np.testing.assert_array_equal(coding.items.blank(3, 2)["tokens"], np.zeros((3, 2, 6), np.int32))
    bad = {**choices.items, "features": np.where(np.arange(10)[:, None, None] == 4, np.nan, choices.items["features"])}
    with pytest.raises(ValueError, match="choice 4: items must be finite"):
        ct.check_choices(choices.replace(items=bad))
    with pytest.raises(ValueError, match="items: expected leading shape"):
        ct.check_choices(choices.replace(items={**choices.items, "tokens": choices.items["tokens"][:9]}))


def test_rows_placed_by_content_are_placed_by_the_numbers_of_their_arrays():
    data, values = pairs(array(), unit="row"), array()
    order = np.random.default_rng(1).permutation(TALL)
    shuffled, frame = np.empty_like(values), table()
    shuffled[order] = values
    moved = frame.assign(chosen_row=order[frame["chosen_row"]], rejected_row=order[frame["rejected_row"]])
    np.testing.assert_array_equal(pairs(shuffled, moved, unit="row").placement, data.placement)
    np.testing.assert_array_equal(pairs(shuffled, moved, unit="row").units, data.units)
    other = values.copy()
    other[frame["chosen_row"][0]] += 1
    assert pairs(other, unit="row").placement[0] != data.placement[0]
    frame, schema = long_table()
    words, past = np.arange(40, dtype="<i4").reshape(10, 4), np.arange(8, dtype="<f2").reshape(4, 2)
    placed = [
        Dataset.from_table(given, Schema.from_dict({**schema, "unit": "row"}), arrays={"words": words, "past": past})
        for given in (frame, frame.iloc[::-1])
    ]
    assert sorted(placed[0].placement) == sorted(placed[1].placement) and len(set(placed[0].placement)) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(["a", "b"]), "expected numbers in little-endian order"),
        (array(">f4"), "expected numbers in little-endian order"),
        (np.float32(3.0), "expected one row or more, got shape"),
        (array()[:0], "expected one row or more, got shape"),
        (array()[:, 0], r"expected \[rows, d\], got shape \[57\]; or declare raw = true"),
        (array()[:20], "column 'chosen_row', row 13: expected a row of array 'text', 0 to 19, got '44'"),
        (
            np.where(np.arange(TALL)[:, None] == 44, np.inf, array()),
            "row 13: expected finite numbers, got others in row 44",
        ),
    ],
)
def test_arrays_that_are_not_what_was_declared(values, message):
    frame = table().assign(chosen_row=0, rejected_row=0)
    frame.loc[12, "chosen_row"] = 44
    with pytest.raises(DataError, match=message):
        pairs(values, frame)


@pytest.mark.parametrize("cell", ["-1", "1.5", "x", "1e9", "inf"])
def test_an_index_is_a_row_of_the_array(cell):
    frame = table().astype(object)
    frame.loc[3, "rejected_row"] = cell
    with pytest.raises(DataError, match="column 'rejected_row', row 4: expected a row of array 'text', 0 to 56, got"):
        pairs(array(), frame)


def test_a_missing_index_is_named_or_drops_its_choice():
    frame = table().astype(object)
    frame.loc[3, "rejected_row"] = ""
    with pytest.raises(DataError, match="column 'rejected_row', row 4: the row of array 'text' is missing"):
        pairs(array(), frame)
    assert pairs(array(), frame, on_missing="drop").dropped == 1


def test_files_that_cannot_be_read(tmp_path):
    values = array()
    whole = tmp_path / "text.npy"
    np.save(whole, values)
    np.savez(tmp_path / "text.npz", values)
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    safetensors.numpy.save_file({"other": values}, tmp_path / "text.safetensors")
    (tmp_path / "short.npy").write_bytes(whole.read_bytes()[:-1])
    (tmp_path / "short.safetensors").write_bytes((tmp_path / "text.safetensors").read_bytes()[:-1])
    header = json.dumps({"text": {"dtype": "F32", "shape": [-1, 3], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "odd.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"0000")
    (tmp_path / "noise.npy").write_bytes(b"noise")
    (tmp_path / "noise.safetensors").write_bytes(b"noise of a certain length")
    for name, message in {
        "absent.npy": "no such file; its place is beside the table",
        "text.npz": "expected a file ending in .npy or .safetensors",
        "objects.npy": "expected numbers in little-endian order, got |O",
        "text.safetensors": "no tensor 'text' (name one of these as `key`: other)",
        "short.npy": "cannot be read: the file is cut short",
        "odd.safetensors": "cannot be read: tensor 'text' has no sensible shape",
        "noise.npy": "cannot be read: ",
        "noise.safetensors": "cannot be read: ",
    }.items():
        with pytest.raises(DataError) as refused:
            pairs(tmp_path / name)
        assert message in str(refused.value) and name in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(DataError, match="cut short"):
        pairs(tmp_path / "short.safetensors", arrays=with_option(key="other"))
    with pytest.raises(DataError, match=r"array 'texts' is not declared in the schema \(declared: text\)"):
        Dataset.from_table(table(), Schema.from_dict(PAIRS), arrays={"texts": values})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrays": [{"name": "features"}]}, "expected another name"),
        ({"arrays": [{"name": "length"}]}, "feature 'length' is declared twice"),
        ({"arrays": with_option(scaling="some")}, "the scaling of array 'text' is one of joint, each, none"),
        ({"arrays": with_option(scaling="each", raw=True)}, "raw values are not scaled"),
        ({"arrays": with_option(path="x")}, "unknown key 'path'"),
        ({"numeric": [], "arrays": with_option(context=True)}, "name at least one feature of the alternatives"),
        ({"arrays": [*with_option(), {"name": "other", "index": "row", "context": True}]}, "use two columns"),
        ({"unit": "row", "unit_index": True}, "unit_index needs units that come again"),
        (
            {"format": "long", "choice": ["c"], "label": "y", "arrays": [{"name": "text", "context": True}]},
            "rows of a choice share it, so it needs an `index` column",
        ),
    ],
)
def test_declarations_that_mean_nothing(changes, message):
    with pytest.raises(UsageError, match=message):
        Schema.from_dict({**PAIRS, **changes})


def test_raw_arrays_are_narrow_and_keep_the_kind_that_they_had_in_training():
    with pytest.raises(DataError, match="a raw array is handed out as it is, in at most 32 bits; got int64"):
        pairs(np.zeros((TALL, 4), np.int64), arrays=with_option(raw=True))
    data = pairs(np.zeros((TALL, 4), np.int32), arrays=with_option(raw=True))
    coding = data.fit_coding()
    for other in (np.zeros((TALL, 5), np.int32), np.zeros((TALL, 4), np.int16)):
        with pytest.raises(DataError, match=r"expected rows of int32 \[4\], as in training, got"):
            pairs(other, arrays=with_option(raw=True)).choices(coding)


def test_a_schema_without_arrays_is_written_as_before_there_were_any():
    schema = Schema.from_dict({**PAIRS, "arrays": []})
    assert not {"arrays", "unit_index"} & set(schema.to_dict())
    schema = Schema.from_dict({**PAIRS, "unit_index": True})
    assert Schema.from_json(schema.to_json()) == schema
    toml = """
    unit = "who"
    format = "wide"
    [[arrays]]
    name = "text"
    file = "text.npy"
    index = "row"
    """
    assert Schema.from_dict(tomllib.loads(toml)).arrays == schema.arrays


def test_described_features_have_the_arrays_among_them():
    assert describe(raw_pairs())["features"] == {"items": ["length", "style", "tokens", "mask"], "context": ["prompt"]}
