"""Every experiment runs at tiny settings and writes its figure and its table."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from exact import LAW, ROWS, Z_MAX, z_score
from matplotlib.image import imread

from pyro_mnar import MNAR, GaussianEncoder

FOLDER = Path(__file__).parents[1] / "examples"
TINY = {
    "gaussian": "--rows 150 --steps 20 --particles 3 --particles-imputing 100 --trees 2",
    "identifiability": "--rows 200 --steps 10",
    "latent_mask": "--rows 100 --steps 5 --seeds 2 --particles 2 --particles-imputing 100",
    "supervised": "--rows 120 --steps 5 --seeds 2 --particles 2 --particles-imputing 100 --epochs 3",
    "ring": "--rows 100 --steps 5 --particles 2 --particles-tilted 5 --particles-imputing 100 --trees 2",
    "mechanisms": "--rows 100 --steps 5 --members 2 --particles-imputing 100 --trees 2",
    "clipping": "--height 32 --width 40 --steps 5 --particles 2 --particles-imputing 100 --trees 0 --rounds 1",
    "images": "--rows 80 --shown 12 --latent 4 --steps 5 --particles 2 --particles-imputing 100 --trees 0",
    "ratings": "--users 60 --items 30 --latent 2 --steps 5 --particles 2 --particles-imputing 100",
    "rate_distortion": "--rows 100 --steps 5 --rows-annealed 10 --temperatures 5",
}
SCRIPTS = {path.stem for path in FOLDER.glob("*.py") if "from shared import" in path.read_text()}


@pytest.fixture(autouse=True)
def _experiments_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in {*SCRIPTS, "shared"}:
        sys.modules.pop(name, None)


def test_no_experiment_is_left_out():
    assert set(TINY) == SCRIPTS


@pytest.mark.parametrize("name", TINY)
def test_experiment_runs_and_writes_its_figure_and_table(name, tmp_path, capsys):
    example = importlib.import_module(name)
    table = example.main(example.options([*TINY[name].split(), "--output", str(tmp_path)]))
    (figure,), (written,) = tmp_path.glob("*.png"), tmp_path.glob("*.csv")
    picture = imread(figure)
    assert picture.shape[1] > 600 and picture.std() > 0.05
    assert len(pd.read_csv(written)) == len(table)
    assert not table.isna().all(axis=1).any()
    out = capsys.readouterr().out
    assert all(str(column) in out for column in table.columns)


def test_ratings_of_coat_and_yahoo_are_read_from_the_user_s_files(tmp_path):
    ratings = importlib.import_module("ratings")
    for part, rows in (("train", "5 0 0\n0 1 2"), ("test", "0 3 0\n4 0 0")):
        (tmp_path / f"{part}.ascii").write_text(rows)
    given, test = ratings.coat(tmp_path)
    assert given.nan_to_num(nan=-1).tolist() == [[4, -1, -1], [-1, 0, 1]]
    assert test.nan_to_num(nan=-1).tolist() == [[-1, 2, -1], [3, -1, -1]]
    for part in ("train", "test"):
        (tmp_path / f"ydata-ymusic-rating-study-v1_0-{part}.txt").write_text("1\t14\t5\n5400\t1000\t1\n5401\t2\t3\n")
    given, _ = ratings.yahoo(tmp_path)
    assert given.shape == (5400, 1000) and given[0, 13] == 4 and given[-1, -1] == 0 and int((~given.isnan()).sum()) == 2


def test_annealed_estimates_average_to_the_exact_likelihood_of_a_linear_normal_model():
    annealed = importlib.import_module("rate_distortion").annealed
    mnar = MNAR(LAW.decoder().float(), GaussianEncoder(4, 2, [4]))
    x = torch.tensor(ROWS[:3]).float()
    whole = np.ones(4, bool)
    exact = torch.tensor([LAW.ignorable(row, whole).log_prob for row in ROWS[:3]])
    estimates = torch.stack([annealed(mnar, x, 100, 20, seed) for seed in range(20)])
    assert float(z_score((estimates - exact).exp(), 1.0).abs().max()) < Z_MAX
    # From a guide that knows nothing of the rows, and still nearly without spread.
    assert float((estimates - exact).abs().max()) < 0.5
