"""The imputation benchmark on a tiny table: the grid runs, goes on, keeps failures and reports; its Gibbs sampler is right."""

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.datasets import load_wine

from benchmarks.imputation.__main__ import main
from benchmarks.imputation.censored_normal import censored_normal, normal
from benchmarks.imputation.grid import Cell, cells, run
from benchmarks.imputation.masks import MASKS, masked
from benchmarks.imputation.published import Published
from benchmarks.imputation.report import read
from benchmarks.imputation.scoring import score
from pyro_mnar.tables import write_table


@pytest.fixture
def data_home(tmp_path):
    """A folder where the table ``banknote`` is 60 rows of wine, and ``concrete`` has a column without any spread."""
    wine = load_wine(as_frame=True).data.iloc[::3, :5]
    (tmp_path / "data" / "uci").mkdir(parents=True)
    write_table(wine, tmp_path / "data" / "uci" / "banknote.csv")
    write_table(wine.assign(alcohol=1.0), tmp_path / "data" / "uci" / "concrete.csv")
    return str(tmp_path / "data")


def test_the_grid_runs_goes_on_keeps_failures_and_reports(tmp_path, data_home, capsys):
    output = tmp_path / "out"
    grid = cells(["banknote"], ["hard", "mar"], ["mean", "constant", "knn"], seeds=2)
    assert len(grid) == 4 + 2 + 4  # no constant where values go missing at random
    grid += cells(["concrete"], ["hard"], ["knn"], seeds=1)
    assert run(grid, output, data_home) == len(grid)
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*.json")}
    assert len(times) == len(grid)
    assert run(grid, output, data_home) == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.json")} == times
    runs, failures = read(output)
    assert len(runs) == 10 and failures[["table", "method"]].to_numpy().tolist() == [["concrete", "knn"]]
    assert "ValueError" in failures["error"][0]
    content = json.loads(Cell("banknote", "hard", "knn", 0).path(output).read_text())
    assert content["settings"] == {"neighbours": 5} and "numpy" in content["versions"] and content["scores"]["rmse"] > 0
    pytest.importorskip("tabulate")
    main(["report", "--output", str(output)])
    assert capsys.readouterr().out.split() == [str(output / "report.md"), str(output / "report.png")]
    text = (output / "report.md").read_text()
    assert "## Mask `hard`" in text and "| concrete | hard" in text and "nan" not in text
    assert (output / "report.png").stat().st_size > 10_000


def test_a_process_that_dies_leaves_a_failure_behind(tmp_path, data_home, monkeypatch):
    import benchmarks.imputation.grid as module

    monkeypatch.setattr(module, "_run_cell", exit)  # takes one argument, so the process ends without a result
    cell = Cell("banknote", "hard", "mean", 0)
    assert run([cell], tmp_path, data_home, jobs=1) == 1
    assert "exit code 1" in json.loads(cell.path(tmp_path).read_text())["error"]
    monkeypatch.undo()
    assert run([cell], tmp_path, data_home, jobs=1) == 0 and run([cell], tmp_path, data_home, jobs=1, retry=True) == 1
    assert "scores" in json.loads(cell.path(tmp_path).read_text())


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_as_named_and_decided_by_the_seed(name):
    frame = load_wine(as_frame=True).data
    x, mask = masked(frame, name, 3)
    assert (mask == masked(frame, name, 3)[1]).all()
    first, hidden = slice(None) if name == "mcar" else slice(0, 6), ~mask
    assert hidden[:, first].any(0).all() and (name == "mcar" or mask[:, 6:].all())
    if name != "hard":
        assert hidden[:, first].mean() == pytest.approx(0.3, abs=0.06)
    sign = {"high": 1, "low": -1, None: 0}[MASKS[name].direction]
    assert sign * x[hidden].mean() > 0.2 or not sign


def bivariate(n: int, seed: int) -> tuple[np.ndarray, float]:
    rho = 0.6
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal([0.0, 0.0], [[1.0, rho], [rho, 1.0]], n), rho


@pytest.mark.parametrize("direction", ["high", "low"])
def test_censored_cells_have_the_truncated_normals_mean_and_spread(direction, seed):
    sign = 1.0 if direction == "high" else -1.0
    x, rho = bivariate(20_000, seed)
    holes = sign * x[:, 0] > 0.5
    values = np.where(np.column_stack([holes, np.zeros_like(holes)]), np.nan, x)
    completed, draws = censored_normal(values, seed, 50, direction, burn_in=100, kept=100)
    # x_0 given x_1 is normal with mean rho x_1 and variance 1 - rho^2, and lies beyond .5
    spread = np.sqrt(1 - rho**2)
    bound = (0.5 - rho * sign * x[holes, 1]) / spread
    ratio = np.exp(norm.logpdf(bound) - norm.logsf(bound))
    exact = sign * (rho * sign * x[holes, 1] + spread * ratio)
    variance = spread**2 * (1 + bound * ratio - ratio**2)
    # The parameters are not given but learned from 20 000 rows.
    assert completed[holes, 0].mean() == pytest.approx(exact.mean(), abs=0.03)
    assert np.sqrt(np.mean((completed[holes, 0] - exact) ** 2)) < 0.1
    assert draws[:, holes, 0].var(0).mean() == pytest.approx(variance.mean(), rel=0.08)
    assert (sign * draws[:, holes, 0] >= 0.49).all() and (completed[~holes] == x[~holes]).all()


def test_without_a_direction_it_is_the_regression_on_the_rest(seed):
    x, rho = bivariate(5000, seed)
    holes = np.random.default_rng(seed).random(5000) < 0.3
    values = np.where(np.column_stack([holes, np.zeros_like(holes)]), np.nan, x)
    completed, draws = censored_normal(values, seed, 100, None, burn_in=50, kept=200)
    assert np.sqrt(np.mean((completed[holes, 0] - rho * x[holes, 1]) ** 2)) < 0.1
    assert draws[:, holes, 0].var(0).mean() == pytest.approx(1 - rho**2, rel=0.08)
    assert len(normal(values[:50], seed, 7, "high")[1]) == 7


def test_published_models_train_in_stretches_and_keep_what_is_observed():
    x = load_wine().data[:40, :4]
    x = (x - x.mean(0)) / x.std(0)
    x[x[:, 0] > 0, 0] = np.nan
    settings: list[dict[str, Any]] = [{}, {"direction": "high"}, {"direction": "low", "linear": True}]
    for setting in settings:
        whole, parts = Published(x, 1, **setting), Published(x, 1, **setting)
        whole.train(6)
        for steps in (1, 5):
            parts.train(steps)
        completed, draws = whole.impute(9, samples=50)
        other = parts.impute(9, samples=50)
        assert (completed == other[0]).all() and (draws == other[1]).all() and draws.shape == (9, 40, 4)
        seen = ~np.isnan(x)
        np.testing.assert_allclose(completed[seen], x[seen], atol=1e-6)


def test_scores_refuse_what_is_not_a_completed_table():
    truth, mask = np.zeros((3, 2)), np.array([[True, False]] * 3)
    with pytest.raises(ValueError, match="completed: got shape"):
        score(np.full((3, 2), np.nan), None, truth, mask)
    with pytest.raises(ValueError, match="observed cells"):
        score(np.ones((3, 2)), None, truth, mask)
    assert "coverage_90" not in score(truth, None, truth, mask)
