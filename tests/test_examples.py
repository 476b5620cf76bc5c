"""Every example runs at tiny settings and writes its figure and its table."""

import importlib
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.image import imread

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
SCRIPTS = {path.stem for path in FOLDER.glob("*.py")} - {"shared", "demo", "tilt"}  # these two have tests of their own


@pytest.fixture(autouse=True)
def _examples_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in {*SCRIPTS, "shared"}:
        sys.modules.pop(name, None)


def test_no_example_is_left_out():
    assert set(TINY) == SCRIPTS


@pytest.mark.parametrize("name", TINY)
def test_example_runs_and_writes_its_figure_and_table(name, tmp_path, capsys):
    example = importlib.import_module(name)
    table = example.main(example.options([*TINY[name].split(), "--output", str(tmp_path)]))
    (figure,), (written,) = tmp_path.glob("*.png"), tmp_path.glob("*.csv")
    picture = imread(figure)
    assert picture.shape[1] > 600 and picture.std() > 0.05
    assert len(pd.read_csv(written)) == len(table)
    assert not table.isna().all(axis=1).any()
    out = capsys.readouterr().out
    assert all(str(column) in out for column in table.columns)
