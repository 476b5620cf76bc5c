"""The imputation benchmark on a tiny table: the grid runs, goes on, keeps failures and reports."""

import argparse
import json
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_wine

from benchmarks import ablation, semicontinuous
from benchmarks.imputation import grid, peers
from benchmarks.imputation.__main__ import main
from benchmarks.imputation.baselines import mean
from benchmarks.imputation.grid import Cell, cells, run
from benchmarks.imputation.masks import MASKS, divided, masked
from benchmarks.imputation.methods import METHODS, Method
from benchmarks.imputation.report import read
from pyro_mnar.data import write_table


@pytest.fixture
def data_home(tmp_path):
    """A folder where the table ``banknote`` is 60 rows of wine, and ``concrete`` has a column without any spread."""
    wine = load_wine(as_frame=True).data.iloc[::3, :5]
    (tmp_path / "data" / "uci").mkdir(parents=True)
    write_table(wine, tmp_path / "data" / "uci" / "banknote.csv")
    write_table(wine.assign(alcohol=1.0), tmp_path / "data" / "uci" / "concrete.csv")
    return str(tmp_path / "data")


def test_the_grid_runs_goes_on_and_keeps_failures(tmp_path, data_home):
    output = tmp_path / "out"
    some = cells(["banknote"], ["hard", "mar"], ["mean", "constant", "knn"], seeds=2)
    assert len(some) == 4 + 2 + 4  # no constant where values go missing at random
    some += cells(["concrete"], ["hard"], ["knn"], seeds=1)
    assert run(some, output, data_home) == len(some)
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*.json")}
    assert len(times) == len(some)
    assert run(some, output, data_home) == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.json")} == times
    (Cell("banknote", "hard", "knn", 0).path(output).parent / ".0a1b.json").write_text("{")  # a run that was killed while it wrote
    runs, failures = read(output)
    assert len(runs) == 10 and failures[["table", "method"]].to_numpy().tolist() == [["concrete", "knn"]]
    assert "ValueError" in failures["error"][0]
    content = json.loads(Cell("banknote", "hard", "knn", 0).path(output).read_text())
    assert content["settings"] == {"neighbors": 5} and "numpy" in content["versions"] and content["scores"]["rmse"] > 0


def test_the_command_runs_and_reports(tmp_path, data_home, capsys):
    pytest.importorskip("tabulate")
    asked = ["--tables", "banknote", "concrete", "--masks", "hard", "mar", "--methods", "mean", "constant", "miwae", "hyperimpute"]
    main([*asked, "--quick", "--published-steps", "20", "--data-home", data_home, "--output", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()
    # Two tables x (mean on two masks, constant and miwae on one), and no package installed.
    assert said == ["8 cells run, 0 were there; 4 hold a failure", str(tmp_path / "report.md"), str(tmp_path / "report.png")]
    text = (tmp_path / "report.md").read_text()
    assert "## Mask `hard`" in text and "| concrete | hard" in text and "| miwae, 20 steps " in text and "nan" not in text
    assert (tmp_path / "report.png").stat().st_size > 10_000
    main(["report", "--output", str(tmp_path)])
    assert (tmp_path / "report.md").read_text() == text


def test_the_grid_is_the_one_asked_for():
    whole = cells(["red", "white"], list(MASKS), list(METHODS))
    assert len({cell.path(Path()) for cell in whole}) == len(whole)
    assert {cell.mask for cell in whole if cell.method in ("not-miwae", "not-miwae-ppca")} == {"hard"}
    assert {cell.mask for cell in whole if cell.method == "miwae"} == {"hard", "mcar"}
    assert {cell.mask for cell in whole if cell.method == "ours-limited"} == {"hard"}
    assert {cell.mask for cell in whole if cell.method in ("ours", "ours-none", "ours-free")} == set(MASKS)
    unsaid = {"mar", "mcar", "pairs"}  # ours-none says it, or nothing does
    assert {cell.mask for cell in whole if cell.method == "ours-told"} == set(MASKS) - unsaid
    one_word = {name for name in MASKS if name.startswith(("hard", "soft", "steep", "coupled"))} - {"soft-half"}
    assert {cell.mask for cell in whole if cell.method == "constant"} == one_word
    assert {cell.method for cell in whole if cell.mask == "logistic"} >= {
        "mean",
        "mice",
        "missforest",
        "hyperimpute",
        "unmasking-trees",
    }
    assert {cell.method for cell in whole if cell.mask == "logistic"}.isdisjoint({"normal", "zero", "miwae"})
    assert {cell.seed for cell in whole if cell.method.startswith("ours")} == set(range(5))
    short = cells(["red"], ["hard", "mar"], ["miwae", "not-miwae"], published_steps=9)
    names = [(cell.mask, cell.method, cell.path(Path()).name) for cell in short]
    assert names == [("hard", "miwae", "0-9.json"), ("hard", "not-miwae", "0-9.json")]
    quick = cells({"letter": 50, "red": None}, ["mcar"], ["mean", "ours"], seeds=1, our_steps=9)
    assert [str(cell.path(Path())) for cell in quick] == [
        *["letter-50/mcar/mean/0.json", "letter-50/mcar/ours/0-9.json", "red/mcar/mean/0.json", "red/mcar/ours/0-9.json"]
    ]


def test_rows_are_drawn_once_and_for_all(data_home):
    whole, some = (Cell("banknote", "mcar", "mean", 0, rows=rows).frame(data_home) for rows in (None, 20))
    assert len(whole) == 60 and len(some) == 20 and some.equals(whole.loc[some.index])
    assert some.equals(Cell("banknote", "hard", "knn", 3, rows=20).frame(data_home))


def test_a_method_is_fitted_to_some_rows_and_scored_on_the_others(tmp_path, data_home, monkeypatch):
    asked = {}

    def kept(values, seed, draws=200, direction=None, train=None, told=None):
        asked.update(values=values, train=train, told=told)
        return mean(values, seed, draws, train=train)

    monkeypatch.setitem(METHODS, "ours-told", Method(kept))
    cell = Cell("banknote", "logistic", "ours-told", 0)
    grid._run_cell(cell, tmp_path, data_home, {})
    truth, mask = masked(cell.frame(data_home), "logistic", 0)
    fitted, imputed = divided(60, "logistic", 0)
    assert len(imputed) == 12 and sorted([*fitted, *imputed]) == list(range(60))
    holed = np.where(mask, truth, np.nan)
    np.testing.assert_array_equal(asked["values"], holed[imputed])
    np.testing.assert_array_equal(asked["train"], holed[fitted])
    assert asked["told"] == {"mechanism": "linear"}
    scores = json.loads(cell.path(tmp_path).read_text())["scores"]
    error = (truth - np.nanmean(holed[fitted], 0))[imputed][~mask[imputed]]
    assert scores["rmse"] == pytest.approx(np.sqrt((error**2).mean())) and scores["r2"] == 0
    assert all(np.array_equal(rows, np.arange(60)) for rows in divided(60, "hard", 0))


@pytest.mark.parametrize("mask", [mask for mask in MASKS if MASKS[mask].told])
def test_what_is_told_is_what_the_imputer_takes(mask):
    x, seen = masked(load_wine(as_frame=True).data.iloc[:60, :4], mask, 0)
    completed, draws = METHODS["ours-told"].function(np.where(seen, x, np.nan), 0, 3, steps=2, told=MASKS[mask].told(4))
    assert np.isfinite(completed).all() and draws.shape == (3, 60, 4)


def test_our_methods_return_columns_that_do_not_vary_too():
    x = load_wine().data[:40, :4] + 0.0
    x[:, 1], x[::3, 1] = 7.0, np.nan
    x[::4, 2], x[-1, 3] = np.nan, np.nan
    completed, draws = METHODS["ours-none"].function(x, 0, 3, steps=2)
    assert completed.shape == x.shape and draws.shape == (3, *x.shape)
    seen = ~np.isnan(x)
    for table in (completed, *draws):
        np.testing.assert_array_equal(table[seen], x[seen])
        assert (table[:, 1] == 7).all() and np.isfinite(table).all()
    # A column that training saw as constant is not read from new rows: their own values stay, their holes get the constant.
    other = x.copy()
    other[1::3, 1] = 9.0
    again, _ = METHODS["ours-none"].function(other, 0, 3, train=x, steps=2)
    assert again.shape == x.shape and set(again[1::3, 1]) == {9.0} and set(again[::3, 1]) == {7.0}


def test_words_become_places_in_the_alphabet():
    frame = pd.DataFrame({"a": ["no", "yes", "always", "no"], "b": [1, 2, 3, 5]})
    x, _ = masked(frame, "middle-hard", 0)
    np.testing.assert_allclose(x[:, 0], (np.array([1, 2, 0, 1]) - 1) / np.sqrt(0.5))


def test_the_command_refuses_what_it_cannot_do(tmp_path, data_home, capsys):
    pytest.importorskip("tabulate")
    nothing = [
        "--tables",
        "banknote",
        "--masks",
        "mar",
        "--methods",
        "constant",
        "--data-home",
        data_home,
        "--output",
        str(tmp_path / "none"),
    ]
    absent = ["--tables", "yeast", "--data-home", str(tmp_path / "file" / "in" / "no" / "folder")]
    (tmp_path / "file").touch()
    for wrong in (
        ["--seeds", "0"],
        ["--jobs", "-1"],
        ["--masks", "odd"],
        nothing,
        absent,
        ["report", "--output", str(tmp_path / "none")],
    ):
        with pytest.raises(SystemExit, match="2"):
            main(wrong)
        assert "error: " in capsys.readouterr().err


def test_an_environment_that_cannot_be_made_is_each_methods_failure(tmp_path, data_home, monkeypatch):
    monkeypatch.setattr(peers, "RESULTS", tmp_path)
    monkeypatch.setattr(peers, "REQUIREMENTS", dict.fromkeys(peers.REQUIREMENTS, ("-r", "no-such-file")))
    which = peers.environment("unmasking-trees")
    assert which != peers.environment("hyperimpute")
    with pytest.raises(RuntimeError, match="no-such-file"):
        peers.install(which)
    cell = Cell("banknote", "hard", "unmasking-trees", 0)
    grid._run_cell(cell, tmp_path, data_home, {})
    content = json.loads(cell.path(tmp_path).read_text())
    assert content["error"].startswith("RuntimeError: no environment in") and "no-such-file" in content["error"]
    monkeypatch.setattr(peers, "HOURS", 1e-9)
    with pytest.raises(subprocess.TimeoutExpired):
        peers.install(which)
    grid._run_cell(cell, tmp_path, data_home, {})
    assert "timed out" in json.loads(cell.path(tmp_path).read_text())["error"]


def test_what_is_interrupted_is_neither_done_nor_failed(tmp_path, data_home, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(METHODS, "mean", Method(interrupted))
    monkeypatch.setattr(grid.os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match=str(grid.INTERRUPTED)):
        grid._run_cell(Cell("banknote", "hard", "mean", 0), tmp_path, data_home, {})
    assert not list(tmp_path.rglob("0.json"))


def test_a_process_that_dies_leaves_a_failure_behind(tmp_path, data_home, monkeypatch):
    monkeypatch.setattr(grid, "_run_cell", exit)  # takes one argument, so the process ends without a result
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
    hidden = ~mask
    whole = list(MASKS).index(name) >= list(MASKS).index("mcar")
    first = {"dropout": slice(1, 13), "pairs": slice(0, 12)}.get(name, slice(0, 13) if whole else slice(0, 6))
    assert hidden[:, first].any(0).all() and hidden[:, first].sum() == hidden.sum()
    if name != "hard":
        assert hidden[:, first].mean() == pytest.approx(0.3, abs=0.06)
    sign = {"high": 1, "low": -1, None: 0}[MASKS[name].direction]
    assert sign * x[hidden].mean() > 0.2 or not sign


def test_the_ablation_runs_its_variants(tmp_path, monkeypatch):
    pytest.importorskip("tabulate")
    monkeypatch.setitem(ablation.TABLES, "wine", lambda: load_wine().data[::3, :6])
    options = {"tables": ["wine"], "masks": ["hard"], "variants": list(ablation.VARIANTS), "seeds": 1, "steps": 2}
    means = ablation.main(argparse.Namespace(output=tmp_path / "a.json", **options))
    assert len(means) == len(ablation.VARIANTS) and np.isfinite(means["RMSE"]).all()
    assert len(set(means["RMSE"])) == len(means)


def test_what_a_value_that_repeats_is_worth_is_told_for_both_tables(tmp_path, monkeypatch):
    for table in ("cut", "coin"):
        zeros = (semicontinuous.simulated(table, 1).to_numpy() == 0).mean(0)
        assert (zeros[:3] > 0.35).all() and (zeros[3:] == 0).all()
    monkeypatch.setattr(semicontinuous, "simulated", partial(semicontinuous.simulated, rows=200))
    output = tmp_path / "out.json"
    options = argparse.Namespace(masks=["steep-low"], seeds=1, members=1, steps=5, output=output)
    means = semicontinuous.main(options)
    assert means.index.tolist() == [(table, "steep-low", kind) for table in ("cut", "coin") for kind in ("continuous", "inferred")]
    assert np.isfinite(means.to_numpy()).all() and len(json.loads(output.read_text())) == 4


def test_limits_are_told_of_columns_that_vary():
    values = np.random.default_rng(int(torch.initial_seed() % 2**31)).normal(size=(40, 3))
    values[:, 0] = np.where(values[:, 0] > 0, np.nan, 2.0)
    hidden = values[:, 1] > np.quantile(values[:, 1], 0.7)
    largest = values[~hidden, 1].max()
    values[hidden, 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a constant column, and of two steps of training
        completed, draws = METHODS["ours-limited"].function(values, 0, draws=4, direction="high", steps=2)
    assert (completed[:, 0] == 2).all() and (draws[..., 0] == 2).all()
    assert (completed[hidden, 1] > largest).all() and (draws[:, hidden, 1] > largest).all()
