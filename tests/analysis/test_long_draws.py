"""Draws as one long table, in Python and on the command line: observed cells as they stood, holes empty where ``.imp`` is 0."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.analysis import long_draws


def test_the_table_and_its_draws_stand_below_one_another():
    table = pd.DataFrame({"a": [1.5, np.nan, 3.0], "town": pd.Categorical(["n", "s", None])}, index=["p", "q", "r"])
    tables = [table.assign(a=[1.5, k, 3.0], town=pd.Categorical(["n", "s", "n"], ["n", "s"])) for k in (7.0, 8.0)]
    whole = long_draws(table, tables)
    assert list(whole.columns) == [".imp", ".id", "a", "town"]
    assert whole[".imp"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and whole[".id"].tolist() == ["p", "q", "r"] * 3
    for k, own in whole.groupby(".imp"):
        back = own.drop(columns=[".imp", ".id"]).set_axis(["p", "q", "r"])
        pd.testing.assert_frame_equal(back, [table, *tables][k])
    twice = table.set_axis(["p", "p", "r"])
    assert long_draws(twice, [twice.ffill()])[".id"].tolist() == [1, 2, 3] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: (t.assign(**{".id": 1}), [t]), r"has a column '.id'"),
        (lambda t: (t, []), "tables: got none"),
        (lambda t: (t, [t[:1]]), "tables: got other columns or rows in table 0"),
        (lambda t: (t, [t.rename(columns={"a": "z"})]), "tables: got other columns or rows"),
    ],
)
def test_what_does_not_fit_together(change, message):
    with pytest.raises(ValueError, match=message):
        long_draws(*change(pd.DataFrame({"a": [1.0, 2.0]})))
