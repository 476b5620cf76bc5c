"""Cells that do not exist: neither observed nor missing, and back as they stood."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.limited_reasons import limits_in_words
from pyro_mnar.imputer.rules.known_words import known_in_words
from pyro_mnar.imputer.tables.given import given, learned

QUICK: dict[str, Any] = {"members": 2, "steps": 8, "progress": False, "hidden": (8,), "latent_dim": 2}


def simulated(n: int = 80, seed: int = 0) -> pd.DataFrame:
    """Return a table in which births of men do not exist, some of them recorded as 0."""
    rng = np.random.default_rng(seed)
    male, age = rng.random(n) < 0.5, rng.normal(40, 10, n)
    births = rng.poisson(2, n).astype(float)
    births[male] = np.where(rng.random(male.sum()) < 0.5, np.nan, 0.0)
    table = pd.DataFrame({"sex": np.where(male, "male", "female"), "age": age, "births": births, "x": age / 10 + rng.normal(size=n)})
    for name in ("age", "x"):
        table.loc[rng.random(n) < 0.2, name] = np.nan
    table.loc[~male & (rng.random(n) < 0.3), "births"] = np.nan
    table.loc[::17, "sex"] = None
    return table


@pytest.mark.filterwarnings("ignore:X. column")
@pytest.mark.parametrize("mechanism", ["auto", "none"])
def test_they_come_back_as_they_stood(mechanism: str, tmp_path: Path) -> None:
    table = simulated()
    imputer = MNARImputer(mechanism, not_applicable={"births": "sex == 'male'"}, **QUICK).fit(table)
    men = np.array(table.sex == "male")
    own = given(imputer, table)
    assert (own.absent[:, 2] == men).all() and not own.mask[men, 2].any() and not own.missing[men, 2].any()
    limits = own.limits
    assert limits is not None and torch.isinf(limits[men, 2, :2]).all() and (limits[men, 2, 2] == 1).all()
    for filled in (imputer.transform(table), *imputer.sample(table, 2), *imputer.completions(table, 2).tables):
        assert filled.births[men].equals(table.births[men])
        # Where sex is missing the cell is a hole like any other.
        assert filled.drop(columns="births").notna().all(axis=None) and filled.births[~men].notna().all()
    result = imputer.impute(table, draws=2)
    assert result.completed[men, 2].isnan().all() and result.draws[:, men, 2].isnan().all()
    (line,) = known_in_words(own)
    assert line.startswith(f"Not applicable: {men.sum()} of 80 cells of births")
    if mechanism == "auto":
        assert imputer.reasons_.loc["births", "not_applicable"] == men.sum()
        assert imputer.reasons_.loc["births", "missing"] == table.births[~men].isna().mean()
    imputer.save(tmp_path / "model")
    pd.testing.assert_frame_equal(MNARImputer.load(tmp_path / "model").transform(table), imputer.transform(table))


@pytest.mark.filterwarnings("ignore:X. column")
def test_nothing_of_them_is_learned_or_scored() -> None:
    # What stands in such a cell changes nothing: not the fit, not the score, not the imputation of others.
    table = simulated()
    other, men = table.copy(), (table.sex == "male").to_numpy()
    other.loc[men, "births"] = 1e6
    one, two = (MNARImputer(not_applicable={"births": "sex == 'male'"}, **QUICK).fit(own) for own in (table, other))
    assert one.score(table, particles=20) == two.score(other, particles=20)
    left, right = one.transform(table), two.transform(other)
    pd.testing.assert_frame_equal(left[~men], right[~men])
    assert (right.births[men] == 1e6).all()


@pytest.mark.filterwarnings("ignore:X. column")
def test_codes_come_back_as_codes() -> None:
    table = simulated()
    men = np.array(table.sex == "male")
    coded = table.assign(births=table.births.where(~men, -8).astype("Int64"))
    by_code = MNARImputer("none", not_applicable={"births": -8}, **QUICK).fit(coded)
    filled = by_code.transform(coded)
    assert str(filled.births.dtype) == "Int64" and (filled.births[men] == -8).all() and (filled.births[~men] >= 0).all()
    whole = np.array([[1.0, -8], [2, 5], [3, np.nan], [4, 7], [2, -8], [1, 6]])
    array = MNARImputer("none", not_applicable={1: [-8]}, **QUICK).fit_transform(whole)
    assert array[[0, 4], 1].tolist() == [-8, -8] and np.isfinite(array).all()


@pytest.mark.filterwarnings("ignore:X. column")
def test_rules_say_nothing_of_them() -> None:
    table = simulated()
    imputer = MNARImputer("none", rules=["births <= x"], not_applicable={"births": "sex == 'male'"}, **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled = imputer.fit_transform(table)
    men = np.array(table.sex == "male")
    holed = ~men & (table.births.isna() | table.x.isna()).to_numpy()
    assert (filled.births[holed] <= filled.x[holed]).all()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"births": "births > 3"}, "a condition on other columns"),
        ({"births": "sexx == 'male'"}, "a column of the table, such as sex"),
        ({"birth": -8}, "unknown column 'birth'"),
        ({"births": "sex == male'"}, "goes wrong"),
    ],
)
def test_refused(said: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^not_applicable: .*{message}"):
        MNARImputer(not_applicable=said, **QUICK).fit(simulated())


def test_masks_that_read_whole_rows_refuse_them() -> None:
    table = simulated()[["age", "x"]]
    with pytest.raises(ValueError, match="^not_applicable: got some with mechanism 'linear'"):
        MNARImputer("linear", not_applicable={"x": "age > 50"}, **QUICK).fit(table)


@pytest.mark.filterwarnings("ignore:X. column")
def test_text_codes_beside_objects_leave_these_what_they_are():
    rng = np.random.default_rng(2)
    cells = {"flag": rng.random(40) < 0.5, "size": rng.integers(0, 9, 40), "x": rng.normal(size=40)}
    frame = pd.DataFrame({name: pd.Series(values.tolist(), dtype=object) for name, values in cells.items()})
    frame.iloc[::7] = None
    frame.iloc[1::6] = "not asked"
    frame.loc[2::9, "size"] = -8
    codes = {"flag": ["not asked"], "size": ["not asked", -8], "x": ["not asked"]}
    imputer = MNARImputer("none", not_applicable=codes, missing=[-8, "?"], steps=3, members=1, progress=False).fit(frame)
    assert [column.kind for column in imputer.schema_.columns] == ["binary", "continuous", "continuous"]
    filled = imputer.transform(frame)
    for name, kind in (("flag", bool), ("size", int), ("x", float)):
        seen = frame[name].notna()
        assert filled[name][seen].tolist() == frame[name][seen].tolist() and filled[name].dtype == object
        assert {type(value) for value in filled[name] if value != "not asked"} == {kind}


@pytest.mark.filterwarnings("ignore:X. column")
def test_they_stay_empty_where_the_others_are_always_the_same():
    table = simulated(60)[["sex", "age", "births"]].dropna(subset=["sex"])
    men = np.array(table.sex == "male")
    table["births"] = np.where(men | table.births.isna(), np.nan, 1.0)
    table["none"] = np.nan
    settings = {"not_applicable": {"births": "sex == 'male'", "none": "sex == 'male'"}, "keep_empty_features": True}
    filled = MNARImputer("none", **settings, **QUICK).fit_transform(table)
    assert filled.births[men].isna().all() and (filled.births[~men] == 1.0).all() and filled.births.dtype == np.float64
    assert filled["none"][men].isna().all() and (filled["none"][~men] == 0.0).all()


@pytest.mark.filterwarnings("ignore:X. column")
def test_limits_and_rules_say_nothing_of_them():
    table = simulated(60).drop(columns="x")
    men = np.array(table.sex == "male")
    settings: dict[str, Any] = {
        "limits": {"births": ("<=", 9)},
        "rules": ["births <= age"],
        "not_applicable": {"births": "sex == 'male'"},
    }
    read = learned(MNARImputer("none", **settings), table)
    births = [column.name for column in read.codec.columns].index("births")
    holes = table.births.isna().to_numpy() & ~men
    assert read.limits is not None and torch.isinf(read.limits[men, births, :2]).all()
    assert torch.isfinite(read.limits[holes, births, 1]).all() and read.limited[:, births].sum() == holes.sum()
    assert limits_in_words(read) == [f"Known limits: {holes.sum()} of {holes.sum()} holes of births lie 9 or below"]
