"""NaN becomes a mask in one place, and completed values go back without touching anything else."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.data import Schema, join, split

HOLE = float("nan")


@pytest.mark.parametrize(
    "table",
    [
        [[1.0, HOLE], [2.0, 3.0]],
        [[1, None], [2, 3]],
        [[1, pd.NA], [2, 3]],
        np.array([[1, HOLE], [2, 3]], np.float32),
        np.array([[1, None], [2, 3.0]], object),
        pd.DataFrame({"a": [1, 2], "b": pd.array([None, 3], "Int64")}),
        pd.DataFrame({"a": pd.array([1, 2], "UInt8"), "b": pd.array([None, 3], "Float64")}),
        pd.DataFrame({"a": [1, 2], "b": [HOLE, 3]}, index=["r", "r"]),
    ],
)
def test_every_kind_of_table_gives_the_same_values_and_mask(table):
    values, mask = split(table)
    assert values.dtype == np.float64 and mask.dtype == bool
    assert values.tolist() == [[1, 0], [2, 3]] and mask.tolist() == [[True, False], [True, True]]


def test_a_frame_is_read_in_the_schemas_order():
    schema = Schema.of(pd.DataFrame({"a": [1.0], "b": [2.0]}))
    assert split(pd.DataFrame({"b": [2.0], "note": ["x"], "a": [1.0]}), schema)[0].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (np.zeros(3), "got 1 dimensions"),
        (np.zeros((0, 2)), "no rows"),
        (np.zeros((2, 0)), "no columns"),
        (pd.DataFrame({"a": [1.0, -np.inf]}, index=["r", "s"]), "column 'a': got an infinite value in row s"),
        (np.array([[1.0, 1.0], [1.0, np.inf]]), "column 1: got an infinite value in row 1"),
        (np.array([[1.0, HOLE]]), "column 1: has no observed value"),
        ([[1.0, 2.0], [3.0, "oops"]], "column 1: got 'oops' in row 1"),
        (np.array([["1.5"]]), "column 0: got '1.5' in row 0"),
        (np.array([[1.0, "1.5"]], object), "column 1: got '1.5' in row 0"),
        (np.array([[10**400]], object), "column 0: got a number too large"),
        (np.array([[1j]]), "column 0: got 1j in row 0"),
        (np.array([["2020-01-01"]], "M8[ns]"), "dtype datetime64"),
    ],
)
def test_split_refuses(table, said):
    with pytest.raises(ValueError, match=said) as caught:
        split(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"a": ["1.5"]}, "column 'a': got '1.5' in row 0"),
        ({"a": [True]}, "column 'a': got True in row 0"),
        ({"a": pd.to_datetime(["2020-01-01"])}, "column 'a': got Timestamp"),
        ({"b": [1.0]}, "lacks the model's column.* a; the model does not know b"),
    ],
)
def test_new_rows_must_be_numbers_too(column, said):
    with pytest.raises(ValueError, match=said):
        split(pd.DataFrame(column), Schema.of(pd.DataFrame({"a": [1.0]})), allow_empty=True)


@pytest.mark.parametrize("empty", [[None, None], [HOLE, HOLE], pd.array([None, None], "str"), pd.to_datetime([None, None])])
def test_new_rows_may_lack_a_column_altogether(empty):
    schema = Schema.of(pd.DataFrame({"a": [1.0], "b": [1.0]}))
    table = pd.DataFrame({"a": [1.0, 2.0], "b": empty})
    values, mask = split(table, schema, allow_empty=True)
    assert mask.tolist() == [[True, False]] * 2 and values[:, 1].tolist() == [0, 0]
    out = join(table, np.full((2, 2), 0.5), mask, schema)
    assert out.b.tolist() == [0.5, 0.5] and out.b.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_observed_cells_of_arrays_stay_bit_for_bit(dtype):
    rng = np.random.default_rng(0)
    table = (rng.normal(size=(200, 5)) * 10.0 ** rng.integers(-30, 30, (200, 5))).astype(dtype)
    table[0, 0] = -0.0
    table[rng.random(table.shape) < 0.3] = HOLE
    before, mask = table.tobytes(), split(table)[1]
    out = join(table, rng.normal(size=table.shape), mask)
    assert table.tobytes() == before and out.dtype == dtype and np.isfinite(out).all()
    assert out[mask].tobytes() == table[mask].tobytes()


def test_lists_become_float64_and_other_arrays_keep_their_dtype():
    out = join([[1, None]], np.array([[9.0, 0.5]]), np.array([[True, False]]))
    assert out.dtype == np.float64 and out.tolist() == [[1, 0.5]]
    whole = np.array([[2**60 + 1, 2]])
    out = join(whole, np.zeros((1, 2)), np.ones((1, 2), bool))
    assert out.dtype == whole.dtype and out.tolist() == whole.tolist() and out is not whole
    assert join(np.array([[2**60 + 1, None]], object), np.full((1, 2), 0.5), np.array([[True, False]])).tolist() == [[2**60 + 1, 0.5]]


def test_frames_keep_columns_order_dtypes_index_and_observed_bits():
    frame = pd.DataFrame(
        {
            "x": [0.1, HOLE, 1 / 3],
            "note": ["p", None, "q"],
            "n": pd.array([2**60 + 1, None, 3], "Int64"),
            "f": pd.array([0.1, None, 0.2], "Float32"),
            "s": np.float32([0.1, 0.2, HOLE]),
            "arrow": pd.array([1, None, 3], "int64[pyarrow]"),
        },
        index=["r", "r", "t"],
    )
    schema = Schema.of(frame, ["n", "s", "x", "f", "arrow"])
    before = frame.copy(deep=True)
    mask = split(frame, schema)[1]
    out = join(frame, np.full(mask.shape, 7.6), mask, schema)
    pd.testing.assert_frame_equal(frame, before, check_exact=True)
    assert list(out.columns) == list(frame.columns) and out.index.equals(frame.index) and (out.dtypes == frame.dtypes).all()
    for j, column in enumerate(schema.columns):
        kept = mask[:, j]
        assert out[column.name][kept].to_numpy().tobytes() == frame[column.name][kept].to_numpy().tobytes()
    assert out.n.tolist() == [2**60 + 1, 8, 3] and out.arrow.tolist() == [1, 8, 3] and out.f.iloc[1] == np.float32(7.6)
    pd.testing.assert_series_equal(out.note, frame.note)


@pytest.mark.parametrize(
    ("dtype", "given", "held"),
    [
        ("Int8", 300.0, 127),
        ("Int8", -300.0, -128),
        ("UInt8", -3.0, 0),
        ("Int64", 1e30, 2**63 - 1),
        ("Int64", -1e30, -(2**63)),
        ("Int8", 2.5, 2),
    ],
)
def test_whole_number_columns_round_and_stay_within_their_range(dtype, given, held):
    frame = pd.DataFrame({"a": pd.array([1, None], dtype)})
    out = join(frame, np.full((2, 1), given), np.array([[True], [False]]))
    assert out.a.tolist() == [1, held] and out.a.dtype == dtype


def test_join_refuses():
    table, mask = np.array([[1.0, HOLE]]), np.array([[True, False]])
    with pytest.raises(ValueError, match=r"completed: got shape \(2, 2\), expected \(1, 2\)"):
        join(table, np.zeros((2, 2)), mask)
    with pytest.raises(ValueError, match=r"mask: got shape \(2,\)"):
        join(table, np.zeros((1, 2)), mask[0])
    with pytest.raises(ValueError, match="got NaN for column 'a'"):
        join(pd.DataFrame({"a": pd.array([1, None], "Int8")}), np.full((2, 1), HOLE), np.array([[True], [False]]))


def test_a_frame_of_floats_is_read_at_once_as_column_by_column():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 3)), columns=list("abc"))
    frame.iloc[1, 2] = np.nan
    schema = Schema.of(frame)
    for table in (frame, frame[["c", "a", "b"]], frame.assign(d="text")):
        values, mask = split(table, schema)
        apart = split(frame.astype({"a": object}), schema)
        assert (values == apart[0]).all() and (mask == apart[1]).all() and values.flags.c_contiguous
    values[0, 0] = 7.0
    assert frame.iloc[0, 0] != 7.0
