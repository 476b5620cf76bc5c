"""Kinds of columns: what dtypes say, what words declare, and the way from a table to numbers and back."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.data import Scaling, Schema, TableCodec, join, split
from pyro_mnar.data.kinds import Bounded, Categorical, Continuous, Count, Date, Ordinal, Positive

HOLE = float("nan")


def mixed():
    return pd.DataFrame(
        {
            "x": [1.5, HOLE, 3.0, 4.0],
            "zero": [0.0, 1.0, HOLE, 1.0],
            "truth": pd.array([True, None, False, True], "boolean"),
            "maybe": [True, None, False, True],
            "text": ["b", "a", "b", None],
            "label": pd.Categorical(["p", "q", None, "p"], categories=["q", "p", "never"]),
            "grade": pd.Categorical(["low", "high", None, "mid"], categories=["low", "mid", "high"], ordered=True),
            "day": pd.to_datetime(["2024-02-29", None, "1969-12-31", "1970-01-01"]),
            "n": pd.array([3, 0, None, 7], "Int64"),
        },
        index=list("rstu"),
    )


def test_dtypes_say_what_columns_are():
    columns = Schema.of(pd.concat([mixed()] * 2, ignore_index=True)).columns
    assert {column.name: column.kind for column in columns} == {
        "x": "continuous",
        "zero": "binary",
        "truth": "binary",
        "maybe": "binary",
        "text": "categorical",
        "label": "categorical",
        "grade": "ordinal",
        "day": "date",
        "n": "continuous",
    }
    assert [column.levels for column in columns[1:7]] == [
        (0, 1),
        (False, True),
        (False, True),
        ("a", "b"),
        ("q", "p"),
        ("low", "mid", "high"),
    ]


def test_values_become_numbers_and_go_back_with_their_dtypes():
    frame = mixed()
    schema = Schema.of(frame, kinds={"n": "count", "text": "categorical"})
    values, mask = split(frame, schema)
    assert (mask == frame.notna().to_numpy()).all()
    assert values[:, 4].tolist() == [1, 0, 1, 0] and values[:, 5].tolist() == [1, 0, 0, 1] and values[:, 6].tolist() == [0, 2, 0, 1]
    assert values[:, 7].tolist() == [19782, 0, -1, 0]
    completed = np.tile([2.5, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 365.4, 9.0], (4, 1))
    out = join(frame, completed, mask, schema)
    assert (out.dtypes == frame.dtypes).all() and out.notna().all(axis=None) and out.index.equals(frame.index)
    for name in frame:
        kept = frame[name].notna()
        pd.testing.assert_series_equal(out[name][kept], frame[name][kept], check_exact=True)
    assert out.iloc[1].astype(str).to_dict() == {
        "x": "2.5",
        "zero": "1.0",
        "truth": "True",
        "maybe": "False",
        "text": "a",
        "label": "q",
        "grade": "high",
        "day": "1971-01-01 00:00:00",
        "n": "0",
    }
    assert out.text.iloc[3] == "a" and out.grade.iloc[2] == "mid" and out.n.iloc[2] == 9 and out.zero.iloc[2] == 0


@pytest.mark.parametrize(
    ("values", "dtype", "seen"),
    [
        (["2024-02-29", None, "2024-03-01"], "str", "2024-03-02"),
        (pd.to_datetime(["2024-02-29 12:00", None, "2024-03-01 00:00"]), "datetime64[s]", "2024-03-02 12:00:00"),
        (pd.to_datetime(["2024-02-29", None, "2024-03-01"]).tz_localize("Asia/Tokyo"), "datetime64[ns, Asia/Tokyo]", "2024-03-02"),
    ],
)
def test_dates_as_text_with_times_and_with_zones(values, dtype, seen):
    frame = pd.DataFrame({"when": pd.Series(values).astype(dtype)})
    schema = Schema.of(frame, kinds={"when": "date"})
    numbers, mask = split(frame, schema)
    out = join(frame, numbers + 1.5 + numbers[2], mask, schema)
    assert out.when.dtype == frame.when.dtype
    expected = pd.Timestamp("1970-01-01") + pd.Timedelta(days=numbers[2, 0] + 1.5)
    found = pd.Timestamp(out.when.iloc[1])
    found = found if found.tz is None else found.tz_convert("UTC").tz_localize(None)
    assert abs(found - expected) <= pd.Timedelta(days=0 if dtype == "datetime64[s]" else 0.5)


@pytest.mark.parametrize(
    ("values", "word", "said"),
    [
        ([1.0, -2.0], "positive", "column 'a': got -2 in row s, expected numbers above 0 for kind positive"),
        ([1.0, 0.0], "positive", "got 0 in row s"),
        ([1, -2], "count", "column 'a': got -2 in row s, expected whole numbers from 0 to 1000"),
        ([1.0, 2.5], "count", "got 2.5 in row s"),
        ([1, 5000], "count", "got 5000 in row s"),
        ([1.0, 101.0], "bounded:0:100", "column 'a': got 101 in row s, expected numbers from 0 to 100"),
        ([1.0, 2.0], "bounded", "expected bounded:LOW:HIGH"),
        ([1.0, 2.0], "bounded:5:1", r"got bounds \(5.0, 1.0\)"),
        ([1.0, 2.0], "odd", "kinds: got 'odd' for column 'a', expected one of continuous"),
        ([1.0, 2.0], 3, "kinds: got 3 for column 'a'"),
        ([1.0, 2.0], "count:3", "expected nothing after count"),
        ([1.0, 1.0], "categorical", "column 'a': got 1 level.s., 1.0, expected at least 2 for kind categorical"),
        (["x", "x"], "binary", "got 1 level"),
        ([1.0, 2.0, 3.0], "binary", "got 3 level.s., 1.0, 2.0, 3.0, expected 2 for kind binary"),
        (["x", "y"], "ordinal", "text without an order, expected ordinal:A:B:C"),
        (["x", "y"], "ordinal:x:z", "got new category 'y' in row s, expected one of those in training: x, z"),
        ([1, 2], "ordinal:1:2:high", "kinds: got level 'high' of column 'a', whose values are whole numbers, expected such levels"),
        ([1, 2], "ordinal:1:1.5:2", "kinds: got level '1.5' of column 'a', whose values are whole numbers"),
        (["x", "y"], "date", "column 'a': .* expected dates such as"),
        (["x", "y"], "count", "column 'a': got 'x' in row r, expected a number"),
    ],
)
def test_what_is_not_of_the_kind_is_refused_by_column_row_and_value(values, word, said):
    frame = pd.DataFrame({"a": values}, index=list("rst")[: len(values)])
    with pytest.raises(ValueError, match=said) as caught:
        split(frame, Schema.of(frame, kinds={"a": word}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "levels"), [([1, None, 2], (1, 2, 3)), ([1.0, None, 2.0], (1.0, 2.0, 3.0)), (["1", None, "2"], ("1", "2", "3"))]
)
def test_a_level_that_was_never_seen_is_of_the_type_of_those_that_were(values, levels):
    frame = pd.DataFrame({"a": values}).astype({"a": {int: "Int64", float: "float64", str: object}[type(values[0])]})
    schema = Schema.of(frame, kinds={"a": "ordinal:1:2:3"})
    assert schema.columns[0].levels == levels and {type(level) for level in schema.columns[0].levels} == {type(levels[0])}
    whole = join(frame, np.array([[0.0], [2.0], [1.0]]), np.array([[True], [False], [True]]), schema)
    assert whole.a.tolist() == [levels[0], levels[2], levels[1]] and whole.a.dtype == frame.a.dtype


def test_kinds_for_columns_that_are_not_there_are_refused():
    for table in (pd.DataFrame({"a": [1.0]}), np.ones((1, 1))):
        with pytest.raises(ValueError, match="kinds: got unknown column 'z', expected some of"):
            Schema.of(table, kinds={"z": "count"})


def test_a_new_category_is_named():
    schema = Schema.of(mixed(), kinds={"text": "categorical"})
    new = mixed().astype({"text": object})
    new.loc["t", "text"] = "zz"
    with pytest.raises(ValueError, match="column 'text': got new category 'zz' in row t, expected one of those in training: a, b"):
        split(new, schema)
    # Labels of the dtype that no row had in training are new as well.
    never = mixed()
    never.loc["r", "label"] = "never"
    with pytest.raises(ValueError, match="column 'label': got new category 'never' in row r"):
        split(never, schema)


def test_new_rows_may_lack_levels_of_the_dtype_or_the_column_altogether():
    schema = Schema.of(mixed(), kinds={"text": "categorical"})
    new = (
        mixed()
        .iloc[:2]
        .assign(text=[None, None], label=pd.Categorical([None, "p"]), grade=[HOLE, HOLE], day=[None, None], truth=[None, None])
    )
    values, mask = split(new, schema, allow_empty=True)
    out = join(new, np.where(mask, values, 0.0), mask, schema)
    assert out.text.tolist() == ["a", "a"] and out.label.tolist() == ["q", "p"] and out.grade.tolist() == ["low", "low"]
    assert out.truth.tolist() == [False, False] and out.day.astype(str).tolist() == ["1970-01-01"] * 2


DATES = ["datetime64[ns]", "datetime64[s]", "datetime64[ns, UTC]", "timestamp[ns][pyarrow]", "date32[pyarrow]"]


@pytest.mark.parametrize("dtype", DATES)
@pytest.mark.parametrize("seen", [0, 1])
def test_dates_keep_their_dtype_where_new_rows_lack_them_altogether(dtype, seen):
    trained = pd.Series(pd.to_datetime(["2024-01-01", "2024-01-03", "2024-01-05"]), name="day")
    schema = Schema.of(pd.DataFrame({"day": trained, "x": [1.0, 2.0, 4.0]}))
    new = pd.DataFrame({"day": pd.Series(["2024-01-03", None, None][1 - seen :][:2], dtype="object"), "x": [1.0, 2.0]})
    new["day"] = pd.to_datetime(new["day"], utc="UTC" in dtype).astype(dtype)
    values, mask = split(new, schema, allow_empty=True)
    days = float((trained.iloc[2] - pd.Timestamp(0)).days)
    out = join(new, np.where(mask, values, days), mask, schema)
    assert out["day"].dtype == new["day"].dtype
    assert [str(day)[:10] for day in out["day"]] == (["2024-01-03"] if seen else ["2024-01-05"]) + ["2024-01-05"]


def test_arrays_have_kinds_by_position():
    table = np.array([[1.0, 7.0, 2.0], [HOLE, 9.0, 5.0], [0.0, HOLE, HOLE]])
    schema = Schema.of(table, kinds={1: "categorical", 2: "count"})
    values, mask = split(table, schema)
    assert schema.columns[1].levels == (7.0, 9.0) and values[:, 1].tolist() == [0, 1, 0]
    assert join(table, np.array([[0, 0, 0], [3.5, 0, 0], [0, 1, 4.0]]), mask, schema).tolist() == [[1, 7, 2], [3.5, 9, 5], [0, 9, 4]]
    words = np.array([["u", 1], ["v", None], [None, 2]], dtype=object)
    schema = Schema.of(words, kinds={0: "categorical"})
    values, mask = split(words, schema)
    assert join(words, np.array([[0, 0], [0, 1.5], [1, 0.0]]), mask, schema).tolist() == [["u", 1], ["v", 1.5], ["v", 2]]


def test_levels_and_bounds_go_through_json():
    schema = Schema.of(mixed(), kinds={"n": "bounded:-1:10", "text": "ordinal:b:a"})
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert set(schema.to_json()[0]) == {"name", "kind", "dtype"}


COLUMNS = (
    Continuous("c", "float64"),
    Positive("p", "float64"),
    Bounded("b", "float64", bounds=(-2.0, 6.0)),
    Count("n", "int64"),
    Ordinal("o", "str", ("a", "b", "c")),
    Categorical("k", "str", ("a", "b", "c", "d")),
)


def codec_of(scaling):
    return replace(TableCodec.of(scaling), schema=Schema(COLUMNS))


def test_units_go_there_and_back_and_keep_to_the_kind():
    rng = np.random.default_rng(0)
    n = 50
    values = np.stack(
        [
            rng.normal(size=n),
            rng.lognormal(size=n),
            rng.uniform(-2, 6, n),
            rng.poisson(3, n),
            rng.integers(3, size=n),
            rng.integers(4, size=n),
        ],
        1,
    ).astype(float)
    values[0, 2], values[1, 2] = -2, 6
    mask = rng.random(values.shape) < 0.8
    plain = codec_of(Scaling(np.zeros(6), np.ones(6)))
    codec = plain.scaled_by(values, mask)
    scaling, back = codec.scaling, codec.invert(codec.apply(values, mask))
    np.testing.assert_allclose(back[mask], values[mask], atol=1e-9)
    assert scaling.scale[4] == 4 and (scaling.center[5], scaling.scale[5]) == (0, 1)
    wild = plain.invert(1e3 * rng.normal(size=(9, 6)))
    assert np.isfinite(wild).all() and (wild[:, 1] > 0).all() and (abs(wild[:, 2] - 2) <= 4).all() and (wild[:, 3:] >= 0).all()
    assert (wild[:, 3:] == np.rint(wild[:, 3:])).all() and (wild[:, 4] <= 2).all() and (wild[:, 5] <= 3).all()


def test_log_jacobian_is_the_slope_of_the_units():
    values, mask = np.array([[0.3, 2.0, 1.0, 3.0, 1.0, 2.0]]), np.ones((1, 6), bool)
    codec = codec_of(Scaling(np.array([0.1, 0.2, 0.3, 1.0, 1.0, 0.0]), np.array([2.0, 3.0, 0.5, 4.0, 4.0, 1.0])))
    expected, step = 0.0, 1e-6
    for j in range(3):
        moved = values.copy()
        moved[0, j] += step
        ends = [codec.apply(v, mask)[0, j] for v in (values, moved)]
        expected += np.log((ends[1] - ends[0]) / step)
    assert codec.log_jacobian(values, mask)[0] == pytest.approx(expected, abs=1e-5)
    assert codec.log_jacobian(values, ~mask)[0] == 0


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(pd.date_range("2024-03-25", periods=12, tz="Europe/Berlin")),  # the clocks go forward
        pd.Series(pd.date_range("2024-10-20", periods=12, tz="America/New_York")),
        pd.Series([f"2024-01-{day:02d}T00:00:00+01:00" for day in range(1, 13)]),
        pd.Series([f"2024-01-{day:02d} 00:00:00" for day in range(1, 13)]),
        pd.Series([f"2024-01-{day:02d}" for day in range(1, 13)]),
    ],
    ids=["Berlin", "New York", "offset", "midnights", "days"],
)
def test_whole_days_are_filled_as_whole_days_of_their_zone_and_written_alike(series):
    holes = np.isin(np.arange(12), [2, 7])
    column = Date("day", str(series.dtype))
    days = column.read_series(series)
    for off in (-0.3, 0.0, 0.3):
        assert column.fill(series.mask(holes), holes, days[holes] + off).tolist() == series.tolist()
