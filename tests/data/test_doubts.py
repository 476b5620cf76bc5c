"""Columns that look like something else: named, never changed."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.data import Schema, split
from pyro_mnar.data.doubts import doubts, impossible

RNG = np.random.default_rng(0)
PLAIN = RNG.normal(20, 1, 80).round(2)


def doubted(values, name="c", declared=None, **frame):
    table = pd.DataFrame({name: values, **frame})
    schema = Schema.of(table)
    return doubts(schema.columns, *split(table, schema, allow_empty=True), declared)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.r_[PLAIN, [-999.0] * 20], "-999 (20 times)"),
        (np.r_[PLAIN, [-99.0] * 2, [-98.0] * 3], "-99 (2 times)"),
        (np.r_[PLAIN, 9999.0], "9999 may be a code"),
        (np.r_[PLAIN, [-99.0] * 3, [999.0] * 2], "-99 (3 times), 999 (2 times)"),
        (np.r_[PLAIN, [99.0] * 3, [9999.0] * 3], "9999 (3 times), 99 (3 times)"),
        (np.r_[RNG.poisson(3, 60), [-1] * 4], "-1 (4 times)"),
        (np.r_[np.resize([1, 2], 40), [9] * 3], "9 (3 times)"),
        (np.r_[np.ones(40), [-9] * 3], "-9 (3 times)"),
        (np.r_[np.resize([0, 1], 40), [-99] * 3], "-99 (3 times)"),
        (["9"] * 4 + ["a", "b"] * 20, "'9' (4 times)"),
        (["-99.0"] * 4 + ["a", "b"] * 20, "'-99.0' (4 times)"),
        (["–"] * 4 + ["a", "b"] * 20, "'–' (4 times)"),
        (["(blank)"] * 4 + ["a", "b"] * 20, "'(blank)' (4 times)"),
        (["2020-01-01", "2021-01-01"] * 10, "looks like dates (--kind 'c=date')"),
        (["10:30", "9:05"] * 10, "looks like times of a day (--kind 'c=angle:24')"),
        (["31.12.2020", "1.2.2021"] * 10, "looks like dates (write them"),
        (["(7.5)", "8", "9"] * 10, "looks like numbers"),
        (["11/20", "13/20"] * 10, "looks like numbers"),
        (np.r_[PLAIN, [12345.0] * 5], "12345 (5 times)"),
        (pd.to_datetime(["1900-01-01"] * 4 + [f"2020-01-{d:02d}" for d in range(1, 29)]), "1900-01-01 (4 times)"),
        (["?"] * 10 + ["e", "b"] * 20, "'?' (10 times)"),
        (["unknown"] * 3 + ["e", "b"] * 20, "'unknown' (3 times)"),
        (["7,5", "8,0", "9,5"] * 10, "'7,5' is taken for categories and looks like numbers with a decimal comma"),
        (["10 mg", "20 mg"] * 10, "'10 mg' is taken for categories and looks like numbers"),
        (["$40", "$1,200"] * 10, "looks like numbers"),
        (["50 %", "7 %"] * 10, "looks like numbers"),
        (["0", "1", "2"] * 10, "'0' is taken for categories and looks like numbers"),
        (np.arange(100), "every value differs"),
    ],
)
def test_each_is_named(values, said):
    (sentence,) = doubted(values)
    assert sentence.startswith("column 'c': ") and said in sentence


@pytest.mark.parametrize(
    "values",
    [
        PLAIN,
        np.exp(RNG.normal(0, 1.5, 500)),
        np.r_[np.zeros(40), RNG.gamma(2, 1, 60)],
        RNG.poisson(2, 200),
        np.round(RNG.standard_t(2, 300), 1),
        ["low", "mid", "high"] * 9,
        ["a1", "b", "none of these"] * 9,
        RNG.permutation(np.arange(100) * 1.7 + RNG.normal(size=100)),
        pd.to_datetime([f"20{y:02d}-01-01" for y in range(30)]),
        ["+", "++", "<5"] * 9,
        ["18-24", "25-34", "65+"] * 9,
        np.resize([-1, 1], 40),
        np.r_[-1.7e308, PLAIN, 1.7e308],
    ],
)
def test_nothing_is_said_of_plain_columns(values):
    assert doubted(values) == []


def test_few_whole_numbers_with_holes_are_named_with_what_settles_it():
    for few in ([1, 2], [1, 2, 3, 4, 5], [0, 2, 4]):
        (sentence,) = doubted(np.r_[np.resize(few, 40), np.nan])
        assert "--kind 'c=categorical' if they are codes, ordinal if grades, count if they count" in sentence
        assert doubted(np.resize(few, 40)) == [] and doubted(np.r_[np.resize(few, 40), np.nan], declared={"c": "continuous"}) == []
    assert doubted(np.r_[np.resize(np.arange(30), 60), np.nan]) == []
    # Of several columns one sentence.
    (sentence,) = doubted(np.r_[np.resize([1, 2], 40), np.nan], d=np.r_[np.resize([3, 4, 5, 6], 40), np.nan], e=np.arange(41) % 23)
    assert sentence.startswith("columns 'c', 'd': few whole numbers each (such as 1, 2) are taken for amounts (--kind 'c=categorical'")


@pytest.mark.parametrize("name", ["id", "patient", "customer_number", "PatientID", "serial"])
def test_labels_are_named_by_their_names(name):
    assert "as those of labels" in doubted(RNG.permutation(10**6)[:60], name)[0]
    assert doubted(RNG.permutation(10**6)[:60], "income") == []


def test_weights_are_named_and_what_is_declared_is_believed():
    for name in ("survey_weight", "WTMEC2YR", "PERWT", "pweight"):
        assert "may be a weight" in doubted(RNG.gamma(3, 1, 90), name)[0]
    assert doubted(RNG.gamma(3, 1, 90), "survey_weight", {"survey_weight": "positive"}) == []
    assert doubted(["7,5", "8,0"] * 9, declared={"c": "categorical"}) == []
    # But not where it would be imputed from a code.
    assert doubted(np.r_[PLAIN, [-999.0] * 20], declared={"c": "continuous"})


@pytest.mark.parametrize(
    ("seen", "filled", "said"),
    [
        (RNG.gamma(2, 10, 50), -1.0, "1 of 1 imputed values are below 0"),
        (
            RNG.poisson(3, 50),
            2.5,
            "all that were observed are; declare it count or ordinal, or make it a column of whole numbers",
        ),
        (RNG.poisson(3, 50) - 9, 2.5, "which all that were observed are; make it a column of whole numbers"),
        (1 + np.arange(50) % 5, 6.0, "beyond the grades 1 to 5"),
        (RNG.normal(size=50), -9.0, None),
        (RNG.poisson(3, 50), 2.0, None),
    ],
)
def test_impossible_values_are_named(seen, filled, said):
    table = pd.DataFrame({"c": np.r_[seen.astype(float), np.nan]})
    schema = Schema.of(table)
    values, mask = split(table, schema)
    found = impossible(schema.columns, values, mask, np.where(mask, values, filled)[None])
    assert len(found) == (said is not None) and all(said in sentence and "'c'" in sentence for sentence in found)
