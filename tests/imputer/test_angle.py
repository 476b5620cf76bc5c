"""Angles through the imputer: imputed near the truth across the wrap, wherever 0 is put; masks read them, and none its own."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.distributions import PROBIT
from pyro_mnar.mechanisms import SelfMasking, SequentialMasking

QUICK = {"members": 1, "steps": 200, "hidden": (8,), "n_jobs": 1, "progress": False}


def table(rows=300, seed=0):
    """Directions about 0 and 360 beside what is measured along two axes, a third of them missing; and the truth."""
    rng = np.random.default_rng(seed)
    angle = rng.normal(0.3, 1.0, rows)
    truth = pd.DataFrame({"wind": np.degrees(angle) % 360, "east": np.sin(angle), "north": np.cos(angle)})
    truth[["east", "north"]] += 0.2 * rng.normal(size=(rows, 2))
    holed = truth.copy()
    holed.loc[rng.random(rows) < 0.35, "wind"] = np.nan
    return holed, truth


def apart(a, b, period=360.0):
    """How far angles (N,) lie from others, in radians, from -pi to pi."""
    return np.angle(np.exp(2j * np.pi * (np.asarray(a) - np.asarray(b)) / period))


@pytest.fixture(scope="module")
def case():
    holed, truth = table()
    return holed, truth, MNARImputer("none", kinds={"wind": "angle:360"}, **QUICK).fit(holed)


def test_directions_are_found_from_related_columns(case):
    holed, truth, fitted = case
    holes = holed.wind.isna()
    completed = fitted.transform(holed)
    error = apart(completed.wind[holes], truth.wind[holes])
    assert np.abs(error).mean() < 0.3, np.abs(error).mean()  # noise of 0.2 on each axis; the raw column's spread is 1
    assert completed.wind.between(0, 360, inclusive="left").all() and completed.wind[~holes].equals(holed.wind[~holes])
    found = fitted.impute(holed, draws=200)
    drawn = found.draws[:, torch.tensor(holes.to_numpy()), 0].numpy()
    assert (drawn >= 0).all() and (drawn < 360).all()
    mean = np.degrees(np.angle(np.exp(1j * np.radians(drawn)).mean(0)))
    assert np.abs(apart(mean, found.means.numpy()[holes, 0])).mean() < 0.05  # the mean is a direction, of draws as of the point
    inside = np.abs(apart(drawn, truth.wind[holes].to_numpy())) <= np.quantile(np.abs(apart(drawn, mean)), 0.9, axis=0)
    assert 0.7 < inside.mean() < 1


def test_it_does_not_matter_where_zero_is(case):
    """The same angles written from -180 to 180 give the same to the bit; turned by 100 degrees, the same up to how far was trained."""
    holed, _, fitted = case
    holes, completed = holed.wind.isna(), fitted.transform(holed)
    signed = holed.assign(wind=(holed.wind + 180) % 360 - 180)
    again = MNARImputer("none", kinds={"wind": "angle:360"}, **QUICK).fit(signed).transform(signed)
    np.testing.assert_allclose(apart(again.wind[holes], completed.wind[holes]), 0, atol=1e-3)
    turned = holed.assign(wind=(holed.wind + 100) % 360)
    again = MNARImputer("none", kinds={"wind": "angle:360"}, **QUICK).fit(turned).transform(turned)
    assert np.abs(apart(again.wind[holes] - 100, completed.wind[holes])).mean() < 0.15


def test_the_median_is_a_direction_too(case):
    holed, _, fitted = case
    at = holed.wind.isna()
    few = holed.iloc[:40]
    medians = fitted.set_params(point="median").transform(few)
    means = fitted.set_params(point="mean").transform(few)
    pd.testing.assert_series_equal(medians.wind[at.iloc[:40]], means.wind[at.iloc[:40]])


def test_particles_can_be_as_many_as_a_tolerance_asks_for(case):
    holed, _, fitted = case
    rows = holed[holed.wind.isna()].iloc[:2]
    within = clone(fitted).set_params(tolerance=0.5)
    vars(within).update({name: value for name, value in vars(fitted).items() if name.endswith("_")})
    assert float(np.abs(apart(within.transform(rows).wind, fitted.transform(rows).wind)).max()) < 0.5


@pytest.mark.parametrize("word", ["high", "low", "middle", "tails", "free"])
def test_a_direction_of_its_mask_is_refused(word):
    holed, _ = table(40)
    with pytest.raises(ValueError, match=f"got '{word}' for angle column 'wind', expected none, since its values have no order"):
        MNARImputer(direction={"wind": word}, kinds={"wind": "angle:360"}, **QUICK).fit(holed)


@torch.no_grad()
def test_masks_read_cosine_and_sine_of_earlier_angles():
    mechanism = SequentialMasking(SelfMasking(3, [1, 2], "none", PROBIT), order=[0, 1, 2], levels={1: 3}, circular=[0])
    mechanism.effects.normal_()
    x = torch.tensor([[0.4, 1.0, 0.2], [0.4 + 2 * math.pi, 1.0, 0.2], [2.0, 1.0, 0.2], [0.4, 1.0, 0.2]])
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[3, 0] = False
    found = mechanism.row_effects(x, mask)
    weight = mechanism.effects
    assert weight.shape == (3, 2 + 3 + 1)
    expected = weight[1:, 0] * x[2, 0].cos() + weight[1:, 1] * x[2, 0].sin() + torch.stack([torch.zeros(()), weight[2, 3]])
    torch.testing.assert_close(found[2, 1:], expected)
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)
    assert float(found[3, 1]) == 0.0  # not seen, and no effect of that yet


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_command_line_writes_observed_cells_as_they_stood(suffix, tmp_path, capsys):
    holed, _ = table(80)
    holed["hour"] = (holed.wind / 15 + 1).round(2) % 24
    source, target = tmp_path / f"t.{suffix}", tmp_path / f"c.{suffix}"
    holed.to_csv(source, index=False) if suffix == "csv" else holed.to_parquet(source)
    options = ["--kind", "wind=angle:360", "--kind", "hour=angle:24", "--mechanism", "none", "--steps", "10"]
    main(["impute", str(source), "--output", str(target), *options])
    found, given = (pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path) for path in (target, source))
    assert found.notna().all(axis=None)
    for name, period in (("wind", 360), ("hour", 24)):
        assert found[name].between(0, period, inclusive="left").all()
        assert (found[name] == given[name])[given[name].notna()].all()
    assert "Columns taken as angle: wind (period 360), hour (period 24)" in capsys.readouterr().out
