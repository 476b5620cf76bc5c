"""kill -9 of the command line at each of its changes of files: every output is old or new, and whole, and the next run cleans up."""

import contextlib
import io
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from kills import killed_at

from pyro_mnar.cli.main import main


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A table, outputs of one run over it, and outputs of another."""
    home = tmp_path_factory.mktemp("kills")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "b"])
    frame.loc[::4, "a"] = np.nan
    frame.to_csv(home / "t.csv", index=False)
    for name, seed in (("old", "0"), ("new", "1")):
        (home / name).mkdir()
        assert run(home, home / name, seed) == 0
    return home


def run(home, folder, seed):
    outputs = ["--output", f"{folder}/o.csv", "--draws-output", f"{folder}/d.nc", "--save", f"{folder}/m", "--draws", "8"]
    with contextlib.redirect_stdout(io.StringIO()):
        return main(["impute", f"{home}/t.csv", *outputs, "--mechanism", "none", "--steps", "1", "--jobs", "1", "--seed", seed])


def states(folder):
    found = {}
    for name in ("o.csv", "d.nc", "m"):
        path = folder / name
        parts = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
        found[name] = tuple((part.name, part.read_bytes()) for part in parts)
    return found


@pytest.mark.parametrize("there", [True, False], ids=["replaced", "first"])
@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.long)])
def test_every_output_is_old_or_new_and_whole_and_the_next_run_leaves_no_hidden_file(folders, tmp_path, every, there):
    old, new = (states(folders / name) for name in ("old", "new"))
    if not there:
        old = dict.fromkeys(old, ())
    seen, event = set(), 1 + every // 2
    while True:
        shutil.rmtree(tmp_path)
        shutil.copytree(folders / "old", tmp_path) if there else tmp_path.mkdir()
        killed = killed_at(event, lambda: run(folders, tmp_path, "1"))
        found = states(tmp_path)
        assert all(found[name] in (old[name], new[name]) for name in found)
        seen |= {(name, found[name] == new[name]) for name in found}
        if not killed:
            break
        if event % 2 == 0 or every == 1:
            assert run(folders, tmp_path, "1") == 0
            assert states(tmp_path) == new and sorted(os.listdir(tmp_path)) == ["d.nc", "m", "o.csv"]
        event += every
    assert event > 25 and len(seen) == 6
