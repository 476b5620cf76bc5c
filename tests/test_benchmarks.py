"""The imputation benchmark on a tiny table: the grid runs, goes on, keeps failures and reports."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_wine

from benchmarks.imputation.__main__ import main
from benchmarks.imputation.grid import Cell, cells, run
from benchmarks.imputation.masks import MASKS, masked
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


def test_scores_refuse_what_is_not_a_completed_table():
    truth, mask = np.zeros((3, 2)), np.array([[True, False]] * 3)
    with pytest.raises(ValueError, match="completed: got shape"):
        score(np.full((3, 2), np.nan), None, truth, mask)
    with pytest.raises(ValueError, match="observed cells"):
        score(np.ones((3, 2)), None, truth, mask)
    assert "coverage_90" not in score(truth, None, truth, mask)
