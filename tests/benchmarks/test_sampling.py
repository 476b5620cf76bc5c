"""The benchmark of the samplers, on next to nothing."""

import json

import pytest
from sklearn.datasets import load_wine

from benchmarks.sampling.__main__ import draw, main
from pyro_mnar.data import write_table


@pytest.fixture
def data_home(tmp_path):
    """A folder where white wine is 60 rows of another wine."""
    wine = load_wine(as_frame=True).data.iloc[::3, :6]
    (tmp_path / "data" / "uci").mkdir(parents=True)
    write_table(wine, tmp_path / "data" / "uci" / "winequality-white.csv")
    return str(tmp_path / "data")


def test_the_benchmark_runs(tmp_path, data_home, capsys):
    common = ["--data-home", data_home, "--output", str(tmp_path), "--steps", "20"]
    main(["arms", "--rows", "3", "--only", "mala", "pyro nuts", "--nuts", "20", "10", "--nuts-chains", "1", *common])
    assert "pyro nuts" in capsys.readouterr().out
    found = json.loads((tmp_path / "sampling-arms-3.json").read_text())
    assert [row["sampler"] for row in found] == ["mala", "pyro nuts"] and all(row["ess a second"] > 0 for row in found)
    rows = [{"axis": axis, "sampler": "hmc", "rows": 9, "chains": 4, "ess a second": 7.0} for axis in ("rows", "chains")]
    draw(rows, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 5_000
