"""Draws as one long table, in Python and on the command line: observed cells as they stood, holes empty where ``.imp`` is 0."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.analysis import long_draws, pool


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


def test_what_mitools_and_stata_ask_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.normal(size=12)
    table = pd.DataFrame({"x": rng.normal(size=12), "y": np.where(y > 0.5, np.nan, y)})
    tables = [table.assign(y=table.y.fillna(pd.Series(rng.normal(2, 1, 12)))) for _ in range(4)]
    long_draws(table, tables).to_csv(tmp_path / "d.csv", index=False)
    found = pd.read_csv(tmp_path / "d.csv")
    # mitools: imputationList(split(long[long$.imp > 0, -1], long$.imp[long$.imp > 0])), with() and MIcombine, whose draws are alike.
    drawn = found[found[".imp"] > 0]
    pieces = [piece.iloc[:, 1:] for _, piece in drawn.groupby(".imp")]
    assert len(pieces) == 4 and all(list(piece.columns) == [".id", "x", "y"] for piece in pieces)
    found_again = pool([piece.y.mean() for piece in pieces], [piece.y.var() / 12 for piece in pieces])
    by_hand = pool([t.y.mean() for t in tables], [t.y.var() / 12 for t in tables])
    assert float(found_again.estimate) == float(by_hand.estimate) and float(found_again.total) == float(by_hand.total)
    # mi import flong, m(m) id(id) imputed(y): m from 0, the same ids in each, what is not imputed alike, what was observed unchanged.
    by_draw = {m: piece.set_index(".id").drop(columns=".imp") for m, piece in found.groupby(".imp")}
    assert list(by_draw) == [0, 1, 2, 3, 4] and by_draw[0].index.is_unique and by_draw[0].y.isna().sum() == table.y.isna().sum() > 0
    for own in by_draw.values():
        assert own.index.equals(by_draw[0].index) and own.x.equals(by_draw[0].x)
        assert (own.y == by_draw[0].y)[by_draw[0].y.notna()].all()
    assert not any(by_draw[m].isna().to_numpy().any() for m in (1, 2, 3, 4))


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
