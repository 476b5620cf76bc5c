"""The tour of ArviZ, run tiny."""

import argparse
import importlib.util
from pathlib import Path

import pytest

TOUR = Path(__file__).parents[2] / "examples" / "arviz_tour.py"


# ArviZ 0.23 uses what Matplotlib 3.11 deprecates.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_tour_writes_its_figures_draws_and_words(tmp_path):
    spec = importlib.util.spec_from_file_location("arviz_tour", TOUR)
    tour = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tour)
    data = tour.main(argparse.Namespace(output=str(tmp_path), steps=3, draws=16, rows=3, seed=0))
    assert data.posterior.sizes["row"] == 3 and data.posterior.x_mis.sizes["cell"] >= 3
    written = {"trace.png", "rank.png", "forest.png", "mask-check.png", "diagnosis.txt", "draws.nc"}
    assert {path.name for path in tmp_path.iterdir()} == written and "3 rows, MCMC:" in (tmp_path / "diagnosis.txt").read_text()
