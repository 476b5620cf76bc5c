"""Limits of holes: what can be said of them, what it is in numbers, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.disguises import disguised
from pyro_mnar.data.limit_ends import possible
from pyro_mnar.data.limits import Limit
from pyro_mnar.data.written_limits import Ends, limits_in, split_written

INF, NAN = math.inf, math.nan


def read(table: pd.DataFrame, limits: dict, **more) -> tuple[TableCodec, np.ndarray]:
    codec, values, mask = TableCodec.learn(table, limits=limits, **more)
    found = codec.read_limits(table, values, mask)
    assert found is not None
    return codec, found


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"lead": rng.lognormal(size=20), "age": rng.integers(20, 60, 20).astype(float), "lod": np.r_[[0.5] * 10, [NAN] * 10]}
    )
    table.loc[[0, 12], "lead"], table.loc[[3, 4], "age"] = NAN, NAN
    return table


@pytest.mark.parametrize(
    ("text", "low", "high", "above", "below"),
    [
        ("<0.5", NAN, 0.5, False, True),
        (" <= 5", NAN, 5, False, False),
        ("≥1e3", 1e3, NAN, False, False),
        (">-2", -2, NAN, True, False),
        ("[2,5)", 2, 5, False, True),
        ("(2; 5]", 2, 5, True, False),
        ("10-20", 10, 20, False, False),
        ("-3–-1", -3, -1, False, False),
        ("0..1", 0, 1, False, False),
    ],
)
def test_cells_say_limits(text: str, low: float, high: float, above: bool, below: bool) -> None:
    assert np.array_equal(np.array(limits_in(text), float), np.array([low, high, above, below], float), equal_nan=True)


@pytest.mark.parametrize("text", ["0.5", "-0.5", "1e-5", "<", "abc", "2020-01-01", "<0,5x", "1-2-3", ""])
def test_other_texts_say_none(text: str) -> None:
    assert limits_in(text) is None


def test_texts_and_numbers_in_one_column() -> None:
    numbers, ends = split_written(pd.Series([1, "<5", None, "7", ">100", "[2,5)"], name="n"))
    assert str(numbers.dtype) == "Int64" and numbers.isna().tolist() == [False, True, True, False, True, True]
    assert np.array_equal(ends.low, [NAN, NAN, NAN, NAN, 100, 2], equal_nan=True) and ends.below.tolist() == [
        False,
        True,
        False,
        False,
        False,
        True,
    ]
    with pytest.raises(ValueError, match=r"^column 'n': got 'abc' in row 1, expected a number, or limits"):
        split_written(pd.Series([1.0, "abc"], name="n"))


def test_numbers_columns_arrays_and_the_outermost_value() -> None:
    table = frame()
    codec, found = read(table, {"lead": ("<", "lod"), "age": ("<=", "smallest")})
    assert codec.layout.aside == (2,) and [column.name for column in codec.columns] == ["lead", "age"]
    assert found[0, 0, 1] == np.nextafter(0.5, -1) and np.isinf(found[12, 0]).all()  # no limit there: a hole like any other
    assert found[3, 1, 1] == table.age.min() and np.isinf(found[5]).all()
    own = np.linspace(0.1, 2.0, 20)
    _, found = read(table, {"lead": (None, own)})
    assert found[12, 0].tolist() == [-INF, own[12]]
    assert TableCodec.from_json(codec.to_json()).limits == codec.limits
    with_lod, _ = read(table, {"lead": ("<", "lod")}, kinds={"lod": "continuous"}) if table.lod.nunique() > 1 else (codec, None)
    assert with_lod.layout.aside == (2,)


def test_a_declared_limit_column_is_modeled() -> None:
    table = frame().assign(lod=np.linspace(0.4, 0.6, 20))
    codec, _ = read(table, {"lead": ("<", "lod")}, kinds={"lod": "continuous"})
    assert codec.layout.aside == () and len(codec.columns) == 3


def test_whole_numbers_dates_and_levels_step_inside() -> None:
    days = pd.to_datetime(["2020-01-05", "2020-02-01", None, "2020-03-01", None] * 4)
    table = pd.DataFrame(
        {
            "n": pd.array([1, None, 3, 7, 9] * 4, dtype="Int64"),
            "day": days,
            "f": np.array([0.1, 0.7, np.nan, 0.3, 0.2] * 4, np.float32),
            "grade": pd.Categorical(["a", "b", None, "c", "c"] * 4, ["a", "b", "c"], ordered=True),
        }
    )
    codec, found = read(
        table,
        {"n": ("<", 5), "day": (">", "2020-02-01"), "f": ("<", 0.25), "grade": (">=", "b")},
        kinds={"n": "count"},
    )
    assert found[1, 0].tolist() == [-INF, 4]
    assert found[2, 1].tolist() == [18294.0, INF]  # 2020-02-02
    assert found[2, 2, 1] < 0.25 and found[2, 2, 1] == float(np.nextafter(np.float32(0.25), np.float32(0)))
    assert found[2, 3].tolist() == [1, INF]
    x = codec.apply_limits(found)
    cell = codec.columns[0].cell(np.array([1.0]), codec.scaling.center[0], codec.scaling.scale[0])
    assert x[1, 0, 1] == pytest.approx(cell["first"] + 4.5 * cell["step"])  # between the counts 4 and 5


@pytest.mark.parametrize("dtype", ["float64", "float32", "Int64"])
def test_counts_have_the_whole_numbers_between_fractional_limits(dtype: str) -> None:
    table = pd.DataFrame({"n": pd.array([1, None, 3, 7, 9] * 4, dtype="Int64").astype(dtype)})
    for said, ends in (((0.5, 4.6), [1, 4]), (("<=", 3.6), [-INF, 3]), ((">", 2.4), [3, INF]), (("<", 3), [-INF, 2])):
        _, found = read(table, {"n": said}, kinds={"n": "count"})
        assert found[1, 0].tolist() == ends, said
    with pytest.raises(ValueError, match="column 'n' has no value from 1.2 to 1.8 in row 1, expected other limits"):
        read(table, {"n": (1.2, 1.8)}, kinds={"n": "count"})


@pytest.mark.filterwarnings("error")
def test_limits_between_two_numbers_of_float32_are_named_with_both() -> None:
    table = pd.DataFrame({"f": np.array([0.1, 0.7, np.nan, 0.3, 0.2] * 4, np.float32)})
    neighbors = "0.09999999403953552 and 0.10000000149011612"
    message = rf"column 'f' has no value from 0.1 to 0.1 in row 2 \(of float32, the nearest ones are {neighbors}\), expected other"
    with pytest.raises(ValueError, match=message + " limits, or the column as float64$"):
        read(table, {"f": (0.1, 0.1)})
    assert read(table, {"f": (-1e300, 1e300)})[1][2, 0].tolist() == [-np.finfo(np.float32).max, np.finfo(np.float32).max]


def test_an_observed_float32_stands_within_the_limit_that_it_was_rounded_from() -> None:
    """0.1 as float32 is above 0.1, and 0.7 below 0.7."""
    seen = np.array([0.1, 0.7, np.nan, 0.3, 0.2] * 4, np.float32)
    own = np.array([0.1, 0.7, 0.2, 0.3, 0.2] * 4)
    table = pd.DataFrame({"f": seen, "low": own, "high": own + [0, 0, 1, 0, 0] * 4})
    _, found = read(table, {"f": ("low", "high")})
    assert found[2, 0, 0] >= 0.2 and found[2, 0, 1] <= 1.2
    with pytest.raises(ValueError, match="column 'f': got 0.1 in row 0, whose limits are 0.1001 to 1.1, expected values within"):
        read(table.assign(low=own + 1e-4, high=own + 1), {"f": ("low", "high")})


@pytest.mark.parametrize("strict", [True, False])
def test_the_outermost_possible_values(strict: bool) -> None:
    column = TableCodec.fit(np.array([[1.0], [2.5]])).columns[0]
    low, high = possible(Ends(np.array([1.0, NAN]), np.array([2.0, 3.0]), strict, strict), column, np.array([1.5]))
    assert (low[0] > 1.0) == strict and (high[0] < 2.0) == strict and low[1] == -INF


def test_places_on_the_line_of_each_kind() -> None:
    rng = np.random.default_rng(1)
    share = np.r_[0.0, 0.0, 1.0, rng.uniform(0.1, 0.9, 17)]
    rain = np.r_[np.zeros(10), rng.uniform(1, 5, 10)]
    table = pd.DataFrame({"p": rng.lognormal(size=20), "b": rng.uniform(0, 10, 20), "s": share, "r": rain})
    table = pd.concat([table, pd.DataFrame([{}] * 4)], ignore_index=True)
    kinds = {"p": "positive", "b": "bounded:0:10", "s": "proportion", "r": "semicontinuous:0"}
    codec, found = read(table, {"p": ("<=", 2.0), "b": (">=", 10.0), "s": ("<", 0.5), "r": (">", 0.0)}, kinds=kinds)
    places = codec.apply_limits(found) * codec.scaling.scale[:, None] + codec.scaling.center[:, None]
    assert places[20, 0].tolist() == pytest.approx([-INF, math.log(2.0)])
    assert places[20, 1, 1] == INF and places[20, 1, 0] == pytest.approx(float(codec.columns[1].on_line(np.array([10.0]))[0]))
    assert places[20, 2, 0] == -INF and places[20, 2, 1] == pytest.approx(0.0)
    assert places[20, 3, 0] == pytest.approx(0.5 * codec.columns[3].ends[1])  # what is nearer to 0 counts as 0


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"zinc": ("<", 1)}, r"limits: got unknown column 'zinc', expected some of lead, age, lod"),
        ({"lead": "<0.5"}, r"limits: got '<0.5' for column 'lead', expected \(sign, end\)"),
        ({"lead": ("<", None)}, r"limits: got \('<', None\) for column 'lead'"),
        ({"lead": ("<", "lodd")}, r"limits: got 'lodd' for column 'lead', expected a value of it, a column of the table, an array"),
        ({"lead": ("<", NAN)}, r"limits: got nan for column 'lead'"),
        ({"lead": (2.0, 1.0)}, r"limits: got 2 and 1 for column 'lead' in row 0, expected the lower one first"),
        ({"lead": ("<", np.ones(3))}, r"limits: got 3 values for column 'lead' and a table of 20 rows"),
        ({"lead": ("<", 0)}, r"limits: column 'lead' has no value below 0 in row 0"),
        ({"lod": ("<", 0.1)}, r"limits: got one for column 'lod', whose observed values do not vary"),
        ([("lead", "<")], r"limits: got .*, expected a mapping from columns"),
    ],
)
def test_what_is_no_limit_is_refused(limits: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        read(frame(), limits, kinds={"lead": "positive"})


def test_complete_unordered_and_contradicted_columns_are_refused() -> None:
    table = frame().assign(full=np.arange(20.0), color=["red", "blue", None, "red"] * 5)
    for limits, message in (
        ({"full": ("<", 5)}, "limits: got one for column 'full', which has no holes"),
        ({"color": ("<", "red")}, "limits: got one for categorical column 'color', expected a column whose values have an order"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            read(table, limits)
    table = frame().assign(low=18, high=65)
    table.loc[7, "age"] = 70.0
    with pytest.raises(ValueError, match=r"^column 'age': got 70 in row 7, whose limits are 18 to 65, expected values within"):
        read(table, {"age": ("low", "high")})
    assert read(table, {"age": (18, 65)})[1][3, 1].tolist() == [18.0, 65.0]  # said of holes alone
    table = frame().assign(text=["x"] * 19 + ["y"])
    with pytest.raises(ValueError, match=r"^column 'text': got 'x' in row 0, expected a number"):
        read(table, {"age": ("<", "text")})
    whole = pd.DataFrame({"n": pd.array([1, None, 3, 7], dtype="Int64"), "x": [1.0, 2.0, 3.0, 4.5]})
    with pytest.raises(ValueError, match=r"^limits: column 'n' has no value from 4.2 to 4.8 in row 1"):
        read(whole, {"n": (4.2, 4.8)})


def test_words_for_what_is_known() -> None:
    column = TableCodec.fit(np.array([[1.0], [2.5]])).columns[0]
    said = [
        Limit.of("a", given).in_words(column)
        for given in (("<", 0.5), ("<=", 0.5), (">", "top"), (1.0, 2.0), "cells", (">", np.ones(2)))
    ]
    assert said == ["below 0.5", "0.5 or below", "above top", "from 1 to 2", "as the cells say", "above its own limit"]


def test_texts_of_numbers_and_limits_are_doubted_by_name() -> None:
    assert disguised("lead", ["1.5", "<0.5", "2", "3.25"]) == (
        "looks like numbers and limits (--limit 'lead', limits={'lead': 'cells'}; or declare it categorical or ordinal)"
    )
    assert disguised("age", ["10-20", "20-30"]) is None  # groups


@pytest.mark.parametrize("wrong", [{"low": {}}, {"low": [1.0, "x"]}, {"high": True}, {"cells": 1}, {"high": [[1.0]]}])
def test_what_no_model_wrote_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"^limits: got .*, expected numbers, names of columns, or a list of numbers"):
        Limit.from_json(Limit("lead", high=0.5).to_json() | wrong)


def of_cells(cells: list[object], kind: str) -> np.ndarray:
    """Return what is read of the limits in cells, (N, 2)."""
    numbers, ends = split_written(pd.Series(cells, name="a"))
    table = numbers.to_frame().assign(x=np.arange(len(cells), dtype=float))
    codec, values, mask = TableCodec.learn(table, kinds={"a": kind}, limits={"a": "cells"})
    found = codec.read_limits(table, values, mask, {"a": ends})
    assert found is not None
    return found[:, 0]


def test_cells_of_levels_and_dates_mean_values_and_not_their_numbers() -> None:
    cells: list[object] = [1, 2, 5, "<3", ">=3.5", "2-3", ">4", None]
    assert of_cells(cells, "ordinal:1:2:3:4:5")[3:].tolist() == [[0, 1], [3, 4], [1, 2], [4, 4], [-INF, INF]]  # places
    assert of_cells(cells, "ordinal:5:4:3:2:1")[3:].tolist() == [[3, 4], [0, 1], [2, 3], [0, 0], [-INF, INF]]
    with pytest.raises(ValueError, match="limits: column 'a' has no value as the cells say in row 3"):
        of_cells([1, 2, 3, ">3"], "ordinal:1:2:3")
    with pytest.raises(ValueError, match="in cells of column 'a', expected levels that are numbers by their size"):
        of_cells([1, 2, 3, ">2"], "ordinal:1:3:2")
    days = [int((np.datetime64(f"{year}-01-01") - np.datetime64("1970-01-01")).astype(int)) for year in (1985, 1990)]
    assert of_cells([1980, 1992, "<1985", ">=1990"], "date")[2:].tolist() == [[-INF, days[0] - 1], [days[1], INF]]
    table = pd.DataFrame({"a": pd.array([1980, 1992, None], "Int64"), "x": [1.0, 2.0, 3.0]})
    assert read(table, {"a": ("<", 1985)}, kinds={"a": "date"})[1][2, 0].tolist() == [-INF, days[0] - 1]
