"""Values far outside training leave no hole unfilled, and are named."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.imputer.tables.extremes import FAR, refuse_unfilled, warn_of_far, within_reach
from pyro_mnar.imputer.tables.given import Given, given


def table(n=60, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)), columns=list("abcd"))
    frame["p"], frame["s"] = np.exp(frame.d), np.where(rng.random(n) < 0.4, 0.0, np.exp(frame.c))
    frame["k"] = pd.Categorical(rng.choice(list("uvw"), n))
    frame.loc[frame.a > 1, "a"] = np.nan
    for name in ("b", "p", "s", "k"):
        frame.loc[rng.random(n) < 0.1, name] = np.nan
    return frame


@pytest.fixture(scope="module")
def fitted():
    kinds = {"p": "positive", "s": "semicontinuous:0"}
    return MNARImputer(steps=20, members=2, hidden=(8,), progress=False, direction={"a": "high"}, kinds=kinds).fit(table())


@pytest.mark.parametrize("value", [999999.0, 1e15, 1e20, 1e38, 1e300])
@pytest.mark.parametrize("name", ["c", "p", "s"])
def test_every_hole_beside_an_extreme_value_is_filled(fitted, name, value):
    row = table(12, 1)
    row[["a", "k"]] = np.nan, None
    row["k"] = pd.Categorical(row.k, categories=list("uvw"))
    row[name] = value
    said = f"in row 0 of column '{name}'" if name != "p" or value > 1e30 else None
    with pytest.warns(UserWarning, match="more than 30 standard deviations") if said else warnings.catch_warnings():
        completed, drawn = fitted.transform(row), fitted.sample(row, 3)
    for one in (completed, *drawn):
        assert one.notna().all().all() and np.isfinite(one.select_dtypes("number").to_numpy()).all()
        assert (one[name] == value).all()


def test_values_are_named_with_row_and_column_and_others_change_nothing(fitted):
    near, far = table(9, 1), table(9, 1)
    far.loc[[2, 3, 4, 5], "c"] = -1e6
    far = far.set_axis([f"r{i}" for i in range(9)])
    near = near.set_axis(far.index)
    with pytest.warns(UserWarning) as seen:
        result = fitted.transform(far)
    (said,) = [str(one.message) for one in seen if "deviations" in str(one.message)]
    assert said.startswith("X: -1e+06 in row r2 of column 'c', ") and " and 1 more: more than 30 standard" in said
    rest = ["r0", "r1", "r6", "r7", "r8"]
    pd.testing.assert_frame_equal(result.loc[rest], fitted.transform(near).loc[rest], check_exact=True)
    # Beyond the limit, how far makes no difference; up to it all is as it was.
    with pytest.warns(UserWarning, match="in row r2 of column 'c'"):
        warn_of_far(given(fitted, far))
    read = given(fitted, far)
    assert within_reach(read)[2, 2] == -FAR and read.x[2, 2] < -FAR
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_far(given(fitted, near))
    assert torch.equal(within_reach(given(fitted, near)), given(fitted, near).x)


@pytest.mark.parametrize("value", [1e15, 1e300])
def test_completions_and_their_weights_are_finite_beside_an_extreme_value(fitted, value):
    row = table(12, 1)
    row.loc[0, ["a", "b"]] = np.nan
    row.loc[0, "c"] = value
    with pytest.warns(UserWarning, match="in row 0 of column 'c': more than 30 standard deviations"):
        done = fitted.completions(row, 4)
    assert all(np.isfinite(one.select_dtypes("number").to_numpy()).all() for one in done.tables)
    for factor in (0.5, 2.0):
        moved = fitted.strengthened(done, factor)
        assert not np.isnan(moved.drawn.log_weights).any()


def test_the_value_that_repeats_and_the_last_of_many_levels_are_not_far():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=120), "s": np.where(rng.random(120) < 0.4, 0.0, rng.normal(1000, 1, 120))})
    frame["k"] = pd.Categorical([f"v{i:02d}" for i in rng.permutation(np.arange(120) % 40)])
    frame.loc[::7, "a"] = np.nan
    kinds = {"s": "semicontinuous:0"}
    read = given(MNARImputer(steps=1, members=1, hidden=(4,), mechanism="none", kinds=kinds, progress=False).fit(frame), frame)
    assert read.x[:, 1].min() < -FAR and read.x[:, 2].max() > FAR
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_far(read)
    assert torch.equal(within_reach(read), read.x)


def test_a_hole_without_a_finite_value_is_an_error(fitted):
    seen = np.array([[True, False], [False, True]])
    table = Given(np.zeros((2, 2)), np.zeros((2, 2)), fitted.codec_, np.zeros((2, 2)), seen)
    refuse_unfilled([torch.tensor([[torch.nan, 1.0], [1.0, torch.inf]]), torch.zeros(0, 2, 2)], table)
    for wrong in (torch.nan, torch.inf):
        for result in (torch.tensor([[0.0, 0.0], [wrong, 0.0]]), torch.tensor([[[0.0, 0.0]] * 2, [[0.0, 0.0], [wrong, 0.0]]])):
            with pytest.raises(ValueError, match="column 'a': the model gives no finite value for row 1"):
                refuse_unfilled([torch.zeros(2, 2), result], table)


def test_the_command_line_fills_and_names_them(fitted, tmp_path, capsys):
    fitted.save(tmp_path / "m")
    new = table(9, 1)
    new.loc[2, ["a", "b"]] = np.nan, 999999.0
    new.to_csv(tmp_path / "t.csv", index=False)
    assert (
        main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "o.csv"), "--model", str(tmp_path / "m"), "--jobs", "1"])
        == 0
    )
    assert "Note: 999999 in row 3 of column 'b': more than 30 standard" in capsys.readouterr().out
    completed = pd.read_csv(tmp_path / "o.csv")
    assert completed.notna().all().all() and completed.b[2] == 999999.0
