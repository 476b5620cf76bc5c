"""What holes are filled with: means in the table's units, medians, draws; and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer, sample_importance, to_arviz
from pyro_mnar.cli.main import main
from pyro_mnar.imputer.summary import shifts
from pyro_mnar.imputer.tables.given import given

KINDS = {"pay": "positive", "share": "bounded:0:100", "spent": "semicontinuous"}


def table(n=150, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    noise = 0.6 * rng.normal(size=(n, 3))
    frame = pd.DataFrame(
        {
            "pay": np.exp(z + noise[:, 0]),
            "share": 100 / (1 + np.exp(2 + z + noise[:, 1])),
            "spent": np.where(z + noise[:, 2] > 0, np.exp(z), 0.0),
            "plain": z + 0.3 * rng.normal(size=n),
            "region": np.where(rng.random(n) < 0.55, "North", np.where(rng.random(n) < 0.5, "South", "East")),
        }
    )
    for name in ("pay", "share", "spent", "region"):
        frame.loc[rng.random(n) < 0.3, name] = None if name == "region" else np.nan
    return frame


@pytest.fixture(scope="module")
def fitted():
    return MNARImputer("none", members=2, steps=150, hidden=(8,), kinds=KINDS, progress=False).fit(table())


def test_completed_means_are_those_of_the_draws_in_the_tables_units(fitted):
    frame = table()
    result = fitted.impute(frame, draws=300)
    names = [column.name for column in fitted.schema_.columns]
    for name in ("pay", "share", "spent", "plain"):
        j, holes = names.index(name), frame[name].isna().to_numpy()
        if not holes.any():
            continue
        draws, means = result.draws.numpy()[:, holes, j], result.completed.numpy()[holes, j]
        error = draws.std(0) / np.sqrt(300) + 1e-9
        z = (draws.mean(0) - means) / error
        # The mean over rows, whose draws share particles in part, and each row by itself.
        assert abs(z.mean()) < 0.35 and np.abs(z).max() < 6, name
        assert abs(draws.mean() - means.mean()) < 0.03 * means.mean()
    assert np.array_equal(result.means[:, :4].numpy(), result.completed[:, :4].numpy())


def test_other_points_are_medians_and_draws(fitted, tmp_path):
    frame = table()
    names, mean = [column.name for column in fitted.schema_.columns], fitted.impute(frame, draws=400)
    holes = frame[names].isna().to_numpy()
    try:
        fitted.point = "median"
        median = fitted.impute(frame)
        expected = mean.draws.quantile(0.5, 0)
        real = [names.index(name) for name in ("pay", "share", "spent")]
        np.testing.assert_array_equal(median.completed[:, real], expected[:, real])
        assert np.array_equal(median.means, mean.means)
        fitted.point = "draw"
        drawn, tables = fitted.transform(frame), fitted.sample(frame, 2)
        one, two = (part[names].to_numpy(dtype=object) for part in tables)
        own = drawn[names].to_numpy(dtype=object)
        # A row is as one member's draw has it; each of the two has some.
        first, second = ((own == part)[holes.any(1)].all(1) for part in (one, two))
        assert (first | second).all() and 0.2 < first.mean() < 0.8
        assert (own[~holes] == frame[names].to_numpy(dtype=object)[~holes]).all()
        fitted.save(tmp_path / "model")
        again = MNARImputer.load(tmp_path / "model")
        assert again.point == "draw" and again.transform(frame).equals(drawn)
        # Row by row, whatever the table.
        assert again.transform(frame.iloc[5:40])[KINDS.keys()].equals(drawn.iloc[5:40][KINDS.keys()])
        fitted.point = "mode"
        with pytest.raises(ValueError, match="point: got 'mode', expected one of mean, median, draw"):
            fitted.transform(frame)
    finally:
        fitted.point = "mean"
    with pytest.raises(ValueError, match="point: got 'mode'"):
        MNARImputer(point="mode").fit(frame)


def test_the_words_say_mean_probabilities_and_means_in_the_tables_units(fitted):
    frame = table()
    mask = frame[[column.name for column in fitted.schema_.columns]].notna().to_numpy()
    result = fitted.impute(frame)
    lines = {line.split()[0]: line for line in shifts(fitted, result, mask)[1:]}
    share = result.probabilities[~mask[:, 4], 4].mean(0).max()
    assert f"North: {share:.1%} of the imputed" in lines["region"] and 0.35 < share < 0.75
    assert f"{result.completed.numpy()[~mask[:, 0], 0].mean():.5g}" in lines["pay"]


def test_arviz_has_the_tables_units(fitted):
    frame = table()[[column.name for column in fitted.schema_.columns]].iloc[:20]
    read = given(fitted, frame)
    values, mask, x, seen = read.values, read.mask, read.x, read.seen
    member = fitted.members_[0]
    draws = sample_importance(member, x, seen, draws=50, chains=2, progress=False)
    data = to_arviz(draws, member, x, seen, columns=list(frame.columns), codec=fitted.codec_)
    cells = data.posterior.x_mis.to_numpy()
    column = data.constant_data.cell_column.to_numpy()
    assert (cells[..., column == "pay"] > 0).all()
    assert (cells[..., column == "share"] >= 0).all() and (cells[..., column == "share"] <= 100).all()
    assert (cells[..., column == "spent"] >= 0).all()
    assert np.isin(cells[..., column == "region"], [0, 1, 2]).all()
    np.testing.assert_allclose(data.observed_data.x.to_numpy()[:, 0], np.where(mask[:, 0], frame.pay, np.nan), rtol=1e-5)
    # The likelihood is a density in these units: less a log pay, and the bounded column's slope.
    model = to_arviz(draws, member, x, seen, columns=list(frame.columns)).log_likelihood.x.to_numpy()
    apart = data.log_likelihood.x.to_numpy() - model
    np.testing.assert_allclose(apart, np.broadcast_to(fitted.codec_.log_jacobian(values, mask), apart.shape), rtol=1e-3, atol=1e-3)


def test_the_command_line_fills_with_what_is_asked_for_and_says_so(tmp_path, capsys):
    table().to_csv(tmp_path / "t.csv", index=False)
    command = ["impute", str(tmp_path / "t.csv"), "--mechanism", "none", "--steps", "5", "--kind", "pay=positive", "--jobs", "1"]
    filled = {}
    for point in ("mean", "draw"):
        output = tmp_path / f"{point}.csv"
        assert main([*command, "--output", str(output), "--point", point]) == 0
        assert "Filled with " + {"mean": "posterior means", "draw": "one draw"}[point] in (out := capsys.readouterr().out)
        filled[point] = pd.read_csv(output).pay[table().pay.isna()]
        # Whatever holes are filled with, the means that are printed are the posterior's.
        assert f"  pay     {filled['mean'].mean():.5g}" in out
    # A skewed law is mostly below its mean.
    assert 0.5 < (filled["draw"] < filled["mean"]).mean() < 0.9
