"""The benchmark of wide tables: what it simulates, its scores, and that its own methods do what they are said to."""

import json
import sys

import numpy as np
import pytest

from benchmarks import wide


def test_tables_are_as_they_are_said_to_be():
    table = wide.simulated(0, 100, 400)
    assert table.hidden.mean() == pytest.approx(0.4, abs=0.03)  # columns that are hardly seen are left out
    assert ((~table.hidden).sum(0) >= wide.LEAST_SEEN).all()
    assert table.values[table.hidden].mean() < table.values[~table.hidden].mean() - 0.8
    one, other = table.values[table.group == 0], table.values[table.group == 1]
    apart = np.abs(other.mean(0) - one.mean(0)) / table.values.std(0)
    assert apart[table.differs].mean() > 2 * apart[~table.differs].mean()


def test_crps_is_the_mean_distance_less_half_of_that_between_draws():
    draws, truth = np.random.default_rng(0).normal(size=(6, 20)), np.linspace(-2, 2, 20)
    between = np.abs(draws[:, None] - draws[None]).mean((0, 1))
    assert wide.crps(draws, truth) == pytest.approx((np.abs(draws - truth).mean(0) - between / 2).mean())
    assert wide.crps(draws[:1], truth) == pytest.approx(np.abs(draws[0] - truth).mean())


def test_qrilc_finds_the_lower_end_of_a_normal():
    rng = np.random.default_rng(0)
    values = 5 + 2 * rng.normal(size=(3, 20_000))
    filled = wide.qrilc(np.where(values < 4, np.nan, values), rng)
    assert np.array_equal(filled[values >= 4], values[values >= 4])
    assert np.allclose(filled.mean(1), 5, atol=0.1) and np.allclose(filled.std(1), 2, atol=0.1)


def test_iterative_pca_fills_what_few_components_tell():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 60)) + 0.01 * rng.normal(size=(40, 60))
    out = rng.random(values.shape) < 0.2
    told = wide.low_rank(np.where(out, np.nan, values), 2)
    assert np.abs(told - values)[out].mean() < 0.05


def test_minprob_draws_about_the_lowest_values():
    rng = np.random.default_rng(0)
    seen = np.where(rng.random((200, 300)) < 0.3, np.nan, rng.normal(size=(200, 300)))
    drawn = wide.minprob(seen, rng)[np.isnan(seen)]
    assert drawn.mean() == pytest.approx(-2.2, abs=0.2) and drawn.std() == pytest.approx(1, abs=0.1)


def test_false_discoveries_of_whole_tables_are_at_their_rate():
    found = [wide.discoveries(table, table.values[None], None) for table in (wide.simulated(seed, 100, 500) for seed in range(10))]
    assert np.mean([one["false"] for one in found]) < 0.08 and np.mean([one["found"] for one in found]) > 0.8


def test_every_method_completes_a_table(monkeypatch, tmp_path):
    monkeypatch.setattr(wide, "SETTINGS", wide.SETTINGS | {"steps": 2, "members": 2})
    monkeypatch.setattr(wide, "DRAWS", 4)
    lines = {method: wide.measure(method, 0, 60, 30) for method in wide.NAMES}
    assert lines["complete"]["RMSE"] == 0 < min(line["RMSE"] for method, line in lines.items() if method != "complete")
    path = tmp_path / "wide.json"
    path.write_text(json.dumps(list(lines.values())))
    monkeypatch.setattr(sys, "argv", ["wide", "--rows", "60", "--columns", "30", "--seeds", "0", "--output", str(path)])
    assert wide.main().loc["ours", "RMSE"] == pytest.approx(lines["ours"]["RMSE"])  # all is there already


def test_hidden_shares_are_those_of_the_curve():
    # Three quarters by one rising curve: the share hidden of the lowest tenth is nearly one, of the highest the random quarter's.
    table = wide.simulated(1, 200, 400)
    low, high = np.quantile(table.values, (0.1, 0.9))
    by_chance = wide.SHARE * (1 - wide.LOW) / (1 - wide.SHARE * wide.LOW)
    assert table.hidden[table.values < low].mean() > 0.85
    assert table.hidden[table.values > high].mean() == pytest.approx(by_chance, abs=0.03)
