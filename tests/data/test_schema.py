"""Which columns a schema takes, what it refuses, and its way through JSON."""

import json

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.data import Schema
from pyro_mnar.data.kinds import Continuous


def test_all_numeric_columns_are_taken_in_order_with_their_dtypes():
    frame = pd.DataFrame({"b": [1.0], "a": pd.array([1], "Int64"), 3: np.float32([1])})
    assert Schema.of(frame).columns == (
        Continuous("b", "float64"),
        Continuous("a", "Int64"),
        Continuous(3, "float32"),
    )
    assert [column.name for column in Schema.of(frame, [3, "b"]).columns] == [3, "b"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([None, "oops"], "column 'a': got 'oops' in row s"),
        ([1.0, "oops"], "column 'a': got 'oops' in row s"),
        (pd.to_timedelta([1, 2]), r"column 'a': got Timedelta.* in row r"),
        (["x", "y"], "column 'a': got 'x' in row r, expected numbers, or at most 50 categories that repeat"),
        (pd.Categorical([1, 1]), "column 'a': got 1 level"),
        ([1j, 2j], "column 'a': got 1j in row r"),
    ],
)
def test_columns_that_are_no_numbers_are_refused_by_name_value_and_row(values, said):
    with pytest.raises(ValueError, match=said):
        Schema.of(pd.DataFrame({"b": [1.0, 2.0], "a": values}, index=["r", "s"]))


@pytest.mark.parametrize(
    ("table", "columns", "error", "said"),
    [
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), None, ValueError, "'a' stands more than once"),
        (pd.DataFrame({"a": [1.0], "b": [1.0]}), ["z"], ValueError, "unknown 'z', expected some of a, b"),
        (pd.DataFrame({"a": [1.0]}), ["a", "a"], ValueError, "columns: got 'a' more than once"),
        (pd.DataFrame({"a": [1.0]}), "a", TypeError, "columns: got the text 'a'"),
        (pd.DataFrame({"a": [1.0]}), [], ValueError, "no columns"),
        (pd.DataFrame([[1.0]], columns=[1.5]), None, ValueError, "column name 1.5"),
        (np.zeros((1, 2)), [0], ValueError, "columns: got .* for an array"),
        (np.zeros((1, 0)), None, ValueError, "no columns"),
        (np.zeros(3), None, ValueError, "got 1 dimensions, expected 2"),
        ([[1.0], [1.0, 2.0]], None, ValueError, "different lengths"),
        (np.ma.array([[1.0]], mask=[[True]]), None, ValueError, "masked array"),
    ],
)
def test_tables_and_selections_that_fit_nothing_are_refused(table, columns, error, said):
    with pytest.raises(error, match=said) as caught:
        Schema.of(table, columns)
    assert "\n" not in str(caught.value)


def test_unknown_kinds_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="got 'odd' for column 'a', expected one of continuous"):
        Schema.from_json([{"name": "a", "kind": "odd", "dtype": "float64"}])


def test_json_round_trip():
    schema = Schema.of(pd.DataFrame({"a": [1.0], 7: [2]}))
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


GOOD = {"name": "a", "kind": "continuous", "dtype": "float64"}


@pytest.mark.parametrize(
    "damaged",
    [
        "text",
        [],
        {},
        None,
        [1],
        [{"name": "a"}],
        [{**GOOD, "more": 1}],
        [{**GOOD, "name": [1]}],
        [{**GOOD, "kind": "odd"}],
        [GOOD, GOOD],
    ],
)
def test_damaged_json_is_refused(damaged):
    with pytest.raises(ValueError, match="schema|kind"):
        Schema.from_json(damaged)


def test_check_names_what_is_missing_and_what_is_unknown():
    schema = Schema.of(pd.DataFrame({"a": [1.0], "b": [1.0]}))
    schema.check(pd.DataFrame({"b": [1.0], "a": [1.0]}))
    with pytest.raises(ValueError, match=r"lacks the model's column\(s\) b; the model does not know c"):
        schema.check(pd.DataFrame({"a": [1.0], "c": [1.0]}))
    with pytest.raises(ValueError, match="'a' stands more than once"):
        schema.check(pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", "a"]))
    with pytest.raises(ValueError, match=r"got shape \(1, 3\), expected 2 columns"):
        schema.check(np.zeros((1, 3)))
