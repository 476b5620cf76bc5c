"""The imputer with limits: values inside to the last bit, reasons, scaling, saved models, tables of any type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.limited_reasons import limits_in_words
from pyro_mnar.imputer.scaling.limited_scaling import limited_moments
from pyro_mnar.imputer.tables.given import given

QUICK: dict[str, Any] = {"members": 2, "steps": 15, "progress": False, "hidden": (8,), "latent_dim": 2}


def simulated(n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a table with limited holes of many kinds, and the truth."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    base = pd.Timestamp("2020-01-01")
    true = pd.DataFrame(
        {
            "lead": np.exp(0.8 * z + 0.4 * rng.normal(size=n)),
            "score": np.clip(50 + 20 * z + 10 * rng.normal(size=n), 0, 100),
            "share": np.where(rng.random(n) < 0.2, 0.0, 1 / (1 + np.exp(-z - rng.normal(size=n)))),
            "rain": np.maximum(z + 0.5 * rng.normal(size=n), 0.0),
            "visits": rng.poisson(np.exp(1 + 0.4 * z)),
            "grade": pd.Categorical.from_codes(np.clip(np.rint(z + 2), 0, 4).astype(int), ["a", "b", "c", "d", "e"], ordered=True),
            "day": base + pd.to_timedelta(np.rint(100 + 30 * z), unit="D"),
            "age": np.rint(40 + 8 * z + 4 * rng.normal(size=n)),
            "single": (z + 0.3 * rng.normal(size=n)).astype(np.float32),
            "x": z + 0.5 * rng.normal(size=n),
        }
    )
    table = true.copy()
    table["lod"] = np.where(np.arange(n) % 2, 0.5, 0.8)
    table["visits"] = table.visits.astype("Int64")
    table["age"] = table.age.astype("Int64")
    table["low"], table["high"] = true.age // 10 * 10, true.age // 10 * 10 + 9
    hides = {
        "lead": true.lead < table.lod,
        "score": true.score > 80,
        "share": true.share < 0.3,
        "rain": (true.rain < 0.5) & (np.arange(n) % 2 == 0),
        "visits": true.visits >= 5,
        "grade": true.grade.cat.codes <= 1,
        "day": true.day > base + pd.Timedelta(days=130),
        "age": np.arange(n) % 3 == 0,
        "single": true.single < -0.5,
    }
    for name, hidden in hides.items():
        table.loc[hidden, name] = None
    return table, true


LIMITS = {
    "lead": ("<", "lod"),
    "score": (">", 80),
    "share": ("<", 0.3),
    "rain": ("<", 0.5),
    "visits": (">=", 5),
    "grade": ("<=", "b"),
    "day": (">", "2020-05-10"),
    "age": ("low", "high"),
    "single": ("<", -0.5),
}
KINDS = {
    "lead": "positive",
    "score": "bounded:0:100",
    "share": "proportion",
    "rain": "semicontinuous:0",
    "visits": "count",
    "grade": "ordinal:a:b:c:d:e",  # a and b are never seen
}


def check_inside(filled: pd.DataFrame, table: pd.DataFrame) -> None:
    at = {name: table[name].isna() for name in LIMITS}
    assert (filled.lead[at["lead"]] < table.lod[at["lead"]]).all() and (filled.lead > 0).all()
    assert (filled.score[at["score"]] > 80).all() and filled.score.max() <= 100
    assert (filled.share[at["share"]] < 0.3).all() and filled.share.min() >= 0
    assert (filled.rain[at["rain"]] < 0.5).all() and filled.rain.min() >= 0
    assert (filled.visits[at["visits"]] >= 5).all()
    assert (filled.grade[at["grade"]].cat.codes <= 1).all()
    assert (filled.day[at["day"]] > pd.Timestamp("2020-05-10")).all()
    assert ((filled.age >= table.low) & (filled.age <= table.high))[at["age"]].all()
    assert (filled.single[at["single"]] < np.float32(-0.5)).all() and filled.single.dtype == np.float32
    for name in LIMITS:
        assert filled[name][~at[name]].equals(table[name][~at[name]]), name


def test_every_kind_stays_inside_in_means_medians_draws_and_completions() -> None:
    table, _ = simulated()
    imputer = MNARImputer(kinds=KINDS, limits=LIMITS, **QUICK).fit(table)
    assert list(imputer.transform(table).columns) == list(table.columns)
    check_inside(imputer.transform(table), table)
    for point in ("median", "draw"):
        imputer.point = point
        check_inside(imputer.transform(table.iloc[:15]), table.iloc[:15])
    for drawn in imputer.completions(table.iloc[:30], 4).tables:
        check_inside(drawn, table.iloc[:30])
    read, found = given(imputer, table), imputer.impute(table, draws=6)
    assert read.ends is not None
    low, high = (torch.from_numpy(end)[~read.seen] for end in np.moveaxis(read.ends, -1, 0))
    for part in (found.means, found.completed, *found.draws):
        assert bool((part[~read.seen] >= low).all() and (part[~read.seen] <= high).all())
    # All holes are explained, so that no mask has a mechanism.
    assert imputer.specification_.columns == () and set(imputer.reasons_.index) == set(LIMITS)
    assert imputer.reasons_.loc["lead", "reason"] == "within known limits (below lod)"


def test_saved_models_keep_limits_and_other_tables_have_their_own(tmp_path: Any) -> None:
    table, _ = simulated()
    imputer = MNARImputer(kinds=KINDS, limits=LIMITS, **QUICK).fit(table)
    imputer.save(tmp_path / "model")
    loaded = MNARImputer.load(tmp_path / "model")
    assert loaded.codec_.limits == imputer.codec_.limits
    new = table.iloc[:30].assign(lod=0.3)
    new.loc[new.lead < 0.6, "lead"] = np.nan
    filled = loaded.transform(new)
    assert (filled.lead[new.lead.isna()] < 0.3).all()
    assert filled.equals(imputer.transform(new))
    without = new.drop(columns="lod")
    with pytest.raises(ValueError, match="lod"):
        loaded.transform(without)


def test_limited_and_plain_holes_in_one_column() -> None:
    table, true = simulated(200)
    table = table[["lead", "x", "score", "lod"]].copy()
    table.loc[np.arange(200) % 5 == 0, "lead"] = np.nan
    table.loc[np.arange(200) % 5 == 0, "lod"] = np.nan  # of these nothing is known
    imputer = MNARImputer(kinds={"lead": "positive"}, limits={"lead": ("<", "lod")}, **QUICK).fit(table)
    assert "by these (below lod)" in imputer.reasons_.loc["lead", "reason"]
    names = [column.name for column in imputer.codec_.columns]
    assert {names[j] for j in imputer.specification_.columns} == {"lead", "score"}
    filled = imputer.sample(table, 10)
    limited = table.lead.isna() & table.lod.notna()
    assert all((one.lead[limited] < table.lod[limited]).all() for one in filled)
    free = table.lead.isna() & table.lod.isna()
    assert max(one.lead[free].max() for one in filled) > 0.8
    strong = imputer.completions(table, 5)
    assert (
        all((one.lead[limited] < table.lod[limited]).all() for one in imputer.strengthened(strong, 1.5).tables)
        if imputer.specification_.own
        else True
    )
    words = limits_in_words(given(imputer, table))
    assert words == [
        f"Known limits: {limited.sum()} of {table.lead.isna().sum()} holes of lead lie below lod; {free.sum()} without a limit"
    ]


def test_arrays_cells_and_the_largest_seen() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    holed = np.where(x > np.array([0.7, np.inf]), np.nan, x)
    imputer = MNARImputer(limits={0: (">", "largest")}, **QUICK).fit(holed)
    assert imputer.codec_.limits[0].low == np.nanmax(holed[:, 0])
    assert (imputer.transform(holed)[np.isnan(holed[:, 0]), 0] > np.nanmax(holed[:, 0])).all()
    own = np.linspace(0.7, 1.2, 80)
    filled = MNARImputer(limits={0: (">=", own)}, **QUICK).fit_transform(holed)
    assert (filled[:, 0] >= own)[np.isnan(holed[:, 0])].all()
    fitted = MNARImputer(limits={0: (">=", own)}, **QUICK).fit(holed)
    with pytest.raises(ValueError, match=r"^limits: got 80 values for column 0 and a table of 10 rows"):
        fitted.transform(holed[:10])
    frame = pd.DataFrame({"a": [f"{v:.3f}" if v < 0.7 else ">0.7" for v in x[:, 0]], "b": x[:, 1]})
    with pytest.raises(ValueError, match=r"'>0.7' in row \d+, expected numbers \(if it is a limit: limits=\{'a': 'cells'\}"):
        MNARImputer(**QUICK).fit(frame)
    filled = MNARImputer(limits={"a": "cells"}, **QUICK).fit_transform(frame)
    assert (filled.a[frame.a == ">0.7"] > 0.7).all() and filled.a[frame.a != ">0.7"].tolist() == frame.a[frame.a != ">0.7"].astype(
        float
    ).tolist()


def test_limits_beside_a_whole_row_mechanism_are_refused() -> None:
    table, _ = simulated()
    table = table[["lead", "score", "x", "lod"]].assign(x=table.x.where(table.x < 1))
    with pytest.raises(ValueError, match=r"^limits: got some with mechanism 'linear'"):
        MNARImputer("linear", limits={"lead": ("<", "lod")}, **QUICK).fit(table)


@pytest.mark.parametrize("seed", range(20))
def test_moments_of_a_limited_normal_are_its_likeliest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(2 + 3 * rng.normal(size=400))
    cut = torch.from_numpy(rng.choice([0.0, 2.0, 3.0], 400))
    seen = x > cut
    mean, scale = limited_moments(x[seen], torch.full((int((~seen).sum()),), -torch.inf).double(), cut[~seen])
    assert abs(mean - 2) < 4 * 3 * 1.3 / 20 and abs(scale - 3) < 4 * 3 * 1.3 / np.sqrt(800)
    # The gradient of Tobin's likelihood is zero there.
    p = torch.tensor([mean, scale], dtype=torch.float64, requires_grad=True)
    total = torch.distributions.Normal(p[0], p[1]).log_prob(x[seen]).sum() + torch.special.log_ndtr((cut[~seen] - p[0]) / p[1]).sum()
    (slope,) = torch.autograd.grad(total, p)
    assert float(slope.abs().max()) < 1e-2


def test_the_mask_check_leaves_out_holes_of_which_limits_say_why() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(80, 2)), columns=["a", "b"])
    table["lod"] = np.where(np.arange(80) < 24, -1.0 + 0.01 * np.arange(80), np.nan)
    table.loc[:23, "a"], table.loc[72:, "a"] = np.nan, np.nan
    imputer = MNARImputer("self-masking", limits={"a": ("<", "lod")}, steps=2, members=2, hidden=(4,), progress=False).fit(table)
    check = imputer.diagnose(table).mask_check
    assert check is not None
    place = check.columns.index("a")
    assert check.rate[place, 0, 0] == 8 / 80  # and not 32
    assert check.replicated[1, place, 0, 0] < 0.45
