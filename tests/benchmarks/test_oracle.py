"""The oracle's exact intervals and the simulated trials, against what they claim; both run, tiny."""

import argparse
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks import dropout_trial, oracle


def test_the_oracles_quantiles_are_those_of_the_missing_cells(seed):
    known = oracle.Oracle(4000, 0.5, seed)
    hidden = known.values[~known.mask]
    assert known.mask[:, :5].all() and (~known.mask[:, 5:]).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(4000 * 45))
    for p in (0.05, 0.5, 0.95):
        assert abs((hidden <= known.quantile(p)).mean() - p) < 4 * np.sqrt(p * (1 - p) / len(hidden))
    assert (hidden > known.quantile(0.0)).all() and known.quantile(np.array([0.1, 0.2, 0.3])).shape == (3, len(hidden))
    # What is seen lies below the threshold that moves with the anchors.
    below = known.location + known.scale * oracle.ndtri(0.5)
    assert (known.values[:, 5:][known.mask[:, 5:]] <= below[known.mask[:, 5:]]).all()


def test_exact_draws_have_the_exact_interval_and_the_oracle_runs(tmp_path, capsys, seed):
    options = {"seeds": 1, "ways": ["none", "told"], "rows": 40, "rate": 0.5, "draws": 20, "members": 2, "steps": 3, "jobs": 1}
    means = oracle.main(argparse.Namespace(output=tmp_path / "o.json", **options))
    assert means.index.tolist() == ["none", "told"] and np.isfinite(means.to_numpy()).all()
    assert (abs(means["exact coverage"] - 0.9) < 4 * 0.3 / np.sqrt(40 * 45 / 2)).all() and "relative width" in capsys.readouterr().out


def test_patients_leave_for_good_by_the_score_that_decides_and_complete_data_are_unbiased(seed):
    for leaving, lag in dropout_trial.LEAVING.items():
        holed, whole = dropout_trial.simulate(40_000, leaving, seed)
        seen = holed[dropout_trial.VISITS].notna().to_numpy()
        assert (np.diff(seen.astype(int), axis=1) <= 0).all() and seen[:, 0].all() and holed["arm"].notna().all()
        assert holed[seen[:, 4]].equals(whole[seen[:, 4]].astype(holed.dtypes))
        estimate, variance, dof = dropout_trial.effect(whole)
        assert abs(estimate - dropout_trial.TRUTH) < 4 * variance**0.5 and dof == 39_997
        scores = whole[dropout_trial.VISITS].to_numpy()
        for t in range(1, 5):
            there = seen[:, t - 1]
            z = (scores[there, t - lag] - 20 + t - lag) / 5
            chance = 1 / (1 + np.exp(2.05 - 1.5 * z))
            for moment in ((~seen[there, t] - chance), (~seen[there, t] - chance) * z):
                assert abs(moment.mean()) < 4 * moment.std() / np.sqrt(there.sum())


def test_missing_at_random_is_wrong_by_half_where_the_current_score_decides(seed):
    """Regressions of each visit on the arm and all before it are the ignorable maximum of likelihood of monotone normal data."""
    for leaving, expected in (("current", -2.5), ("last", -3.0)):
        holed, _ = dropout_trial.simulate(200_000, leaving, seed)
        filled = np.column_stack([np.ones(len(holed)), holed[["arm", "v0"]]])
        for visit in dropout_trial.VISITS[1:]:
            column = holed[visit].to_numpy()
            seen = ~np.isnan(column)
            fitted = filled @ np.linalg.lstsq(filled[seen], column[seen], rcond=None)[0]
            filled = np.column_stack([filled, np.where(seen, column, fitted)])
        # The estimate's error is some 5 sqrt(4 / 200 000), half as much again for what is missing.
        assert np.linalg.lstsq(filled[:, :3], filled[:, -1], rcond=None)[0][1] == pytest.approx(expected, abs=0.12)


def test_the_regression_is_least_squares_and_the_summary_counts(seed):
    _, whole = dropout_trial.simulate(50, "last", seed)
    estimate, variance, dof = dropout_trial.effect(whole)
    design = np.column_stack([np.ones(50), whole["arm"], whole["v0"]])
    residual = whole["v4"] - design @ np.linalg.solve(design.T @ design, design.T @ whole["v4"])
    assert estimate == pytest.approx(np.linalg.solve(design.T @ design, design.T @ whole["v4"])[1]) and dof == 47
    assert variance == pytest.approx((residual**2).sum() / 47 * np.linalg.inv(design.T @ design)[1, 1])
    found = [{"nothing": [-3.5, -4.0, -3.1], "complete data": [-3.0, -4.0, -2.0]}, {"nothing": [-2.9, -4.0, -2.0]}]
    table = dropout_trial.summary([{"leaving": "last", "trial": t, "found": f} for t, f in enumerate(found)])
    assert table.loc[("last", "nothing")].tolist() == pytest.approx([-3.2, -0.2, 0.3, 0.5, 1.45, 2])


def test_trials_run_go_on_and_are_told(tmp_path, capsys, monkeypatch):
    # A process of its own takes ten seconds to start.
    monkeypatch.setattr(dropout_trial, "ProcessPoolExecutor", lambda jobs, context: ThreadPoolExecutor(jobs))
    options = {"leaving": ["last"], "ways": ["none"], "trials": 1, "patients": 60, "draws": 4, "members": 2, "steps": 3, "jobs": 1}
    table = dropout_trial.main(argparse.Namespace(output=tmp_path, **options))
    assert (
        set(table.index) == {("last", way) for way in ("none", "complete data", "who stayed")}
        and "truth -3.0" in capsys.readouterr().out
    )
    (path,) = tmp_path.rglob("*.json")
    stamp = path.stat().st_mtime_ns
    assert dropout_trial.main(argparse.Namespace(output=tmp_path, **options)).equals(table) and path.stat().st_mtime_ns == stamp
    again = dropout_trial.run(60, "current", "told", 0, 4, 2, 3)
    low, high = again["found"]["told"][1:]
    assert low < again["found"]["told"][0] < high
