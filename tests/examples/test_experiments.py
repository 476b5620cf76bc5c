"""Every experiment runs at tiny settings and writes its figure and its table."""

import gzip
import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from exact import LAW, ROWS, Z_MAX, z_score
from matplotlib.image import imread
from torch import nn

from pyro_mnar import MNAR, GaussianEncoder

FOLDER = Path(__file__).parents[2] / "examples"
TINY = {
    "gaussian": "--rows 150 --seeds 2 --steps 20 --particles 3 --particles-imputing 100 --trees 2",
    "identifiability": "--rows 200 --steps 10",
    "latent_mask": "--rows 100 --steps 5 --seeds 2 --particles 2 --particles-imputing 100 --trees 2",
    "supervised": "--rows 120 --steps 5 --seeds 2 --particles 2 --particles-imputing 100 --epochs 3 --trees 2",
    "ring": "--rows 100 --seeds 1 --steps 5 --particles 2 --particles-tilted 5 --particles-imputing 100 --trees 2",
    "mechanisms": "--rows 100 --seeds 2 --steps 5 --members 2 --particles-imputing 100 --trees 2",
    "clipping": "--height 32 --width 40 --seeds 2 --steps 5 --particles 2 --particles-imputing 100 --trees 0 --rounds 1",
    "images": "--rows 80 --shown 12 --latent 4 --steps 5 --particles 2 --particles-imputing 100 --trees 0",
    "ratings": "--users 60 --items 30 --latent 2 --seeds 1 --steps 5 --particles 2 --particles-imputing 100 --trees 1 --rounds 1",
    "uci": "--rows 40 --methods mean,knn",
    "rate_distortion": "--rows 100 --fresh 1000 --probes 100 --steps 5 --rows-annealed 10 --temperatures 5",
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
    (figure,), (numbers,), (shown,) = (list(tmp_path.glob(f"*.{kind}")) for kind in ("png", "json", "md"))
    picture = imread(figure)
    assert picture.shape[1] > 600 and picture.std() > 0.05
    kept = json.loads(numbers.read_text())
    assert len(kept["tables"][0]["rows"]) == len(table) and kept["command"].startswith(f"python examples/{name}.py --")
    assert not table.isna().all(axis=1).any()
    # What is printed is what the gallery shows: every row, every score, and the command that makes it.
    text = shown.read_text()
    assert text == capsys.readouterr().out and f"`python examples/{name}.py --" in text
    assert all(column in text for column in table.columns if not column.endswith(" sd"))
    assert all((key if isinstance(key, str) else ", ".join(key)) in text for key in table.index)


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


def test_digits_are_read_from_a_file_in_mnist_s_format(tmp_path):
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    folder = tmp_path / "mnist" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    header = np.array([2051, 2, 3, 4], ">i4").tobytes()
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    found = importlib.import_module("images").digits(tmp_path)
    torch.testing.assert_close(found, torch.tensor(images / 255, dtype=torch.float32))


def test_means_over_runs_stand_beside_their_standard_deviations_and_gaps_stay_empty():
    shared = importlib.import_module("shared")
    first = pd.DataFrame({"RMSE": [1.0, 5.0], "coverage": [0.5, np.nan]}, index=["ours", "mean"])
    second = pd.DataFrame({"RMSE": [3.0], "coverage": [0.7]}, index=["ours"])
    table = shared.over_runs([first, second])
    assert list(table.columns) == ["RMSE", "RMSE sd", "coverage", "coverage sd"]
    assert table.loc["ours"].tolist() == pytest.approx([2.0, 2**0.5, 0.6, 0.02**0.5])
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in shared.markdown(shared.as_json(table)).splitlines()]
    assert lines[0] == ["", "RMSE", "coverage"]
    assert lines[2:] == [["ours", "2.000 ± 1.414", "0.600 ± 0.141"], ["mean", "5.000", ""]]


@pytest.mark.parametrize("scale", [2.0, 0.02], ids=["little", "much"])
def test_bounds_of_the_information_enclose_the_closed_form(scale):
    """x normal and z = x + noise: I = log(1 + 1 / scale^2) in two dimensions."""
    module = importlib.import_module("rate_distortion")
    x = torch.randn(20_000, 2)
    mnar = nn.Module()
    mnar.encoder = lambda x, mask: dist.Normal(x, scale).to_event(1)
    mnar.decoder = lambda z: dist.Normal(z, scale).to_event(1)
    mnar.latent_law = lambda: dist.Normal(torch.zeros(2), math.sqrt(1 + scale**2)).to_event(1)
    found = module.sandwich(mnar, x, 1000)
    exact = math.log(1 + scale**-2)
    (lower, below), (upper, above), (rate, error) = (found[name] for name in ("I, lower", "I, upper", "R"))
    assert lower < upper
    assert lower - Z_MAX * below < exact < upper + Z_MAX * above
    # The prior is the aggregate: the rate is the information.
    assert abs(rate - exact) < Z_MAX * error
    assert scale < 1 or upper - lower < 0.02


def test_annealed_estimates_average_to_the_exact_likelihood_of_a_linear_normal_model():
    annealed = importlib.import_module("rate_distortion").annealed
    mnar = MNAR(LAW.decoder().float(), GaussianEncoder(2, 4, [4]))
    x = torch.tensor(ROWS[:3]).float()
    whole = np.ones(4, bool)
    exact = torch.tensor([LAW.ignorable(row, whole).log_prob for row in ROWS[:3]])
    estimates = torch.stack([annealed(mnar, x, 100, 20, seed) for seed in range(20)])
    assert float(z_score((estimates - exact).exp(), 1.0).abs().max()) < Z_MAX
    # From a guide that knows nothing of the rows, and still nearly without spread.
    assert float((estimates - exact).abs().max()) < 0.5
