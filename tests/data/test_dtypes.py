"""Dtypes of pandas and Arrow: read, and filled with values of their own; what cannot be is refused by name before a fit."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pyro_mnar.data import Schema, TableCodec, as_pandas, join, split
from pyro_mnar.data.files.reading import read_source

DAYS = [datetime.date(2020, 1, 1), None, datetime.date(2020, 3, 5), datetime.date(2020, 2, 1)] * 6
MONEY = [decimal.Decimal("1.10"), None, decimal.Decimal("2.25"), decimal.Decimal("3")] * 6
SPARSE = np.where(np.arange(24) % 3 == 0, 0.5 * np.arange(24), 0.0)
SPARSE[1::4] = np.nan


def arrow(values, kind):
    return pd.array(values, dtype=pd.ArrowDtype(kind))


@pytest.mark.parametrize(
    ("values", "word", "kind", "filled"),
    [
        pytest.param(arrow(DAYS, pa.date32()), None, "date", datetime.date(2020, 1, 3), id="date32"),
        pytest.param(pd.Series(DAYS, dtype=object), None, "date", datetime.date(2020, 1, 3), id="datetime.date"),
        pytest.param(pd.Series(DAYS, dtype=object), "date", "date", datetime.date(2020, 1, 3), id="datetime.date, declared"),
        pytest.param([20200101.0, None, 20200305, 20200201] * 6, "date", "date", 20200103.0, id="numbers that are days"),
        pytest.param(["20200101", None, "20200305", "20200201"] * 6, "date", "date", "20200103", id="digits that are days"),
        pytest.param(["2020-01-01 10:30", None] * 12, "date", "date", "2020-01-03 12:00", id="minutes"),
        pytest.param(pd.Series([1.5, None, 2.5, 3.0] * 6, dtype=object), None, "continuous", 2.25, id="objects that are numbers"),
        pytest.param(pd.Series([1, None, 2, 3] * 6, dtype=object), None, "continuous", 2, id="objects that are whole numbers"),
        pytest.param(pd.Series(MONEY, dtype=object), None, "continuous", decimal.Decimal("2.25"), id="Decimal"),
        pytest.param(arrow(MONEY, pa.decimal128(7, 2)), None, "continuous", decimal.Decimal("2.25"), id="decimal128"),
        pytest.param(arrow([1, None, 2, 3] * 6, pa.int16()), None, "continuous", 2, id="int16"),
        pytest.param(pd.arrays.SparseArray(SPARSE, fill_value=0.0), None, "continuous", 2.25, id="sparse"),
    ],
)
def test_holes_get_values_of_the_columns_own_kind(values, word, kind, filled):
    table = pd.DataFrame({"c": values, "a": np.arange(24.0)})
    schema = Schema.of(table, kinds={"c": word} if word else None)
    assert schema.columns[0].kind == kind
    numbers, mask = split(table, schema)
    value = (pd.Timestamp("2020-01-03 12:00") - pd.Timestamp(0)) / pd.Timedelta(days=1) if kind == "date" else 2.25
    value -= 0.5 if kind == "date" and filled != "2020-01-03 12:00" else 0.0
    back = join(table, np.where(mask, numbers, value), mask, schema)
    assert back.c.dtype == table.c.dtype and (isinstance(filled, (int, float)) or type(back.c[1]) is type(filled))
    assert back.c[1] == filled and (back.c[table.c.notna()] == table.c.dropna()).all() and not back.c.isna().any()


@pytest.mark.parametrize(
    ("values", "word", "said"),
    [
        (pd.cut(pd.Series(np.arange(24.0)), 4), None, "column 'c': got category Interval"),
        ([5.0, None] * 12, "date", "column 'c': got 5.0 in row 0, expected dates such as 2024-12-31 or 20241231"),
        ([20201331.0, None] * 12, "date", "column 'c': "),
        (pd.period_range("2020", periods=24, freq="M"), None, "column 'c': got Period"),
    ],
)
def test_what_cannot_be_used_is_named(values, word, said):
    table = pd.DataFrame({"c": values})
    with pytest.raises(ValueError) as caught:
        split(table, Schema.of(table, kinds={"c": word} if word else None))
    assert str(caught.value).startswith(said)


def test_categories_that_are_all_missing_are_an_empty_column():
    assert Schema.of(pd.DataFrame({"c": pd.Series([None] * 3, dtype="category")})).columns[0].kind == "continuous"


def test_a_lazy_frame_is_refused():
    polars = pytest.importorskip("polars")
    with pytest.raises(ValueError, match="got a lazy frame, expected its data"):
        as_pandas(polars.DataFrame({"a": [1.0]}).lazy())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([10**400 + i for i in range(20)], "more than 308 digits"),
        ([np.array([1, 2])] * 20, "got array"),
        ([[1, 2]] * 20, "got \\[1, 2\\]"),
        (pd.array([[1, 2]] * 20, dtype=pd.ArrowDtype(pa.list_(pa.int64()))), "expected numbers"),
        ([f"{i},5" for i in range(20)], "decimal comma"),
        ([f"{i} mg" for i in range(20)], "units, signs or marks"),
        ([f"2020-01-{i + 1:02}" for i in range(20)], "--kind 'c=date'"),
        ([str(i / 3) for i in range(20)], "pandas.to_numeric"),
    ],
)
def test_what_is_no_kind_is_refused_by_name_with_what_settles_it(values, said):
    frame = pd.DataFrame({"a": np.arange(20.0), "c": pd.Series(values)})
    with pytest.raises(ValueError, match=f"column 'c': .*{said}"):
        TableCodec.fit(frame)


@pytest.mark.parametrize("unit", ["s", "us"])
@pytest.mark.parametrize("form", [lambda d: d, lambda d: d.dt.tz_localize("UTC"), lambda d: d.dt.strftime("%Y-%m-%d"), "arrow"])
def test_dates_of_years_that_nanoseconds_do_not_reach(unit, form):
    days = pd.Series(np.array(["0894-02-09", "2020-01-01", "NaT", "4000-01-01"], dtype=f"datetime64[{unit}]"))
    column = days.astype(pd.ArrowDtype(pa.timestamp(unit))) if form == "arrow" else form(days)
    frame = pd.DataFrame({"d": column, "x": np.arange(4.0)})
    schema = Schema.of(frame, kinds={"d": "date"})
    values, mask = split(frame, schema)
    assert values[mask[:, 0], 0].tolist() == np.array(["0894-02-09", "2020-01-01", "4000-01-01"], "datetime64[D]").astype(int).tolist()
    values[2, 0] = 741442.0
    filled = join(frame, values, mask, schema)
    assert filled.d.dtype == frame.d.dtype and filled.d[2] == filled.d[3] and filled.d[mask[:, 0]].equals(frame.d[mask[:, 0]])


def test_names_of_a_parquet_file_are_texts_and_whole_numbers_with_holes_are_written_to_one(tmp_path):
    frame = pd.DataFrame({0: pd.array([1, None, 3], dtype="Int64"), 1: [0.5, 1.5, np.nan]})
    frame.to_parquet(tmp_path / "t.parquet")
    source = read_source(tmp_path / "t.parquet")
    part = source.frame(["0", "1"])
    source.write(str(tmp_path / "c.parquet"), part.assign(**{"1": part["1"].fillna(2.0)}), part.isna() & [False, True])
    assert pd.read_parquet(tmp_path / "c.parquet")[1].tolist() == [0.5, 1.5, 2.0]
    (tmp_path / "t.csv").write_text("n,x\n1,2\n,3\n")
    source = read_source(tmp_path / "t.csv")
    source.write(str(tmp_path / "c.parquet"), source.frame(["x"]), source.frame(["x"]).isna())
    assert pd.read_parquet(tmp_path / "c.parquet").n.isna().tolist() == [False, True]
