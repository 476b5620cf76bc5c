"""The tables layer: one place for NaN, observed cells bit for bit, plain errors."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.tables import Scaling, Schema, join, read_table, split, write_table


@pytest.fixture
def frame():
    return pd.DataFrame(
        {"b": [0.1, np.nan, 1 / 3], "name": ["x", "y", "z"], "a": pd.array([1, None, 3], "Int64"), "c": np.float32([0.1, 0.2, np.nan])},
        index=["r", "s", "t"],
    )


def test_split_and_join_round_trip(frame):
    schema = Schema.of(frame, ["b", "a", "c"])
    values, mask = split(frame, schema)
    assert mask.tolist() == [[True, True, True], [False, False, True], [True, True, False]]
    assert values[1, 0] == values[2, 2] == 0
    before = frame.copy()
    out = join(frame, np.full((3, 3), 7.6), mask, schema)
    pd.testing.assert_frame_equal(frame, before)
    assert list(out.columns) == list(frame.columns) and list(out.index) == list(frame.index)
    assert (out.dtypes == frame.dtypes).all()
    assert out.a.tolist() == [1, 8, 3] and out.loc["t", "c"] == np.float32(7.6)
    assert out.b.to_numpy()[[0, 2]].tobytes() == frame.b.to_numpy()[[0, 2]].tobytes()
    assert out.c.to_numpy()[:2].tobytes() == frame.c.to_numpy()[:2].tobytes()


def test_arrays_keep_their_type():
    x = np.array([[0.1, np.nan]], np.float32)
    schema = Schema.of(x)
    out = join(x, np.array([[9.0, 0.5]]), split(x, schema, allow_empty=True)[1], schema)
    assert out.dtype == np.float32 and out[0, 0] == x[0, 0] and out[0, 1] == 0.5 and np.isnan(x[0, 1])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame({"a": [1.0, np.inf]}), "column 'a': got an infinite value in row 1"),
        (pd.DataFrame({"a": [1.0], "b": [np.nan]}), "column 'b': has no observed value"),
        (pd.DataFrame({"a": []}, dtype=float), "no rows"),
        (np.zeros(3), "dimensions"),
        (np.zeros((2, 0)), "no columns|dimensions"),
    ],
)
def test_split_refuses(table, said):
    with pytest.raises(ValueError, match=said):
        schema = Schema.of(table)
        if not schema.columns:
            raise ValueError("no columns")
        split(table, schema)


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), None, "'a' stands more than once"),
        (pd.DataFrame({"a": [1.0, "oops"]}), None, "column 'a': got 'oops' in row 1"),
        (pd.DataFrame({"a": [1.0]}), ["z"], "unknown 'z'.*some of a"),
        (pd.DataFrame({"a": [True]}), None, "column 'a': got True"),
    ],
)
def test_schema_refuses(table, columns, said):
    with pytest.raises(ValueError, match=said):
        Schema.of(table, columns)


def test_schema_round_trip_and_check(frame):
    schema = Schema.of(frame, ["b", "a"])
    assert Schema.from_json(schema.to_json()) == schema
    schema.check(frame)
    with pytest.raises(ValueError, match="lacks the model's column.* a; the model does not know name, c"):
        schema.check(frame.drop(columns="a"))


def test_scaling_uses_observed_values_only():
    values, mask = np.array([[1.0, 5.0], [3.0, 5.0], [1e9, 5.0]]), np.array([[True, True], [True, True], [False, True]])
    scaling = Scaling.of(values, mask)
    assert scaling.centre.tolist() == [2, 5] and scaling.scale.tolist() == [1, 1]
    assert scaling.apply(values, mask)[2, 0] == 0
    np.testing.assert_allclose(scaling.invert(scaling.apply(values, np.ones_like(mask))), values)
    huge = Scaling.of(np.array([[1e300], [3e300]]), np.ones((2, 1), bool))
    np.testing.assert_allclose(huge.scale, [1e300])
    assert scaling.log_jacobian(mask) == pytest.approx(0)
    assert Scaling([0.0], np.array([2.0])).log_jacobian(np.array([[True], [False]])).tolist() == [-np.log(2), 0]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_files_round_trip_bit_for_bit(tmp_path, ending):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500), "b": rng.random(500)})
    frame.loc[3, "a"] = np.nan
    write_table(frame, tmp_path / f"t{ending}")
    back = read_table(tmp_path / f"t{ending}")
    assert back.a.to_numpy().tobytes() == frame.a.to_numpy().tobytes() and back.b.to_numpy().tobytes() == frame.b.to_numpy().tobytes()
    assert [p.name for p in tmp_path.iterdir()] == [f"t{ending}"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", None, "no such file"),
        ("t.csv", "", "is empty"),
        ("t.csv", "a,b\n", "no rows"),
        ("t.csv", "a,a\n1,2\n", "'a' stands more than once"),
        ("t.csv", "a,b\n1,2\n2,oops\n3,4\n", "column 'b': got 'oops' in row 2"),
        ("t.csv", "a,b\n1,2\n3,4,5\n", "t.csv: "),
        ("t.parquet", "no parquet", "t.parquet: "),
        ("t.xlsx", "x", "expected one of .csv, .parquet"),
    ],
)
def test_reading_refuses(tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        read_table(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_failed_write_leaves_nothing(tmp_path):
    class Broken(pd.DataFrame):
        def to_csv(self, *args, **kwargs):
            raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="No space left"):
        write_table(Broken({"a": [1.0]}), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no such folder"):
        write_table(pd.DataFrame(), tmp_path / "absent" / "t.csv")
