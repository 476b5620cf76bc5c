"""kill -9 of commands with ``--checkpoint`` at random moments: the same command goes on, and every file that it writes is the same."""

import contextlib
import io
import os
import random
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from kills import killed_after

from pyro_mnar.cli.main import main
from pyro_mnar.imputer.saving import checkpoints

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
IMPUTE = ["impute", "../t.csv", "--output", "o.csv", "--draws-output", "d.nc", "--save", "m", "--draws", "8"]
COMMANDS = {
    "impute": IMPUTE,
    "impute with a report": [*IMPUTE, "--report", "r.html"],
    "report": ["report", "../t.csv", "--output", "r.html"],
    "sensitivity": ["sensitivity", "../t.csv", "--output", "p.csv", "--mean", "a", "--strength", "0:2:3", "--figure", "p.png"],
}
#: Seconds after which a run that nobody kills is given up.
WHOLE = 3600


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("checkpoints")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)), columns=list("abc"))
    frame["k"] = rng.choice(list("uvw"), 40)
    frame.loc[frame.a > 1, "a"] = np.nan
    frame.loc[3:9, "k"] = np.nan
    frame.to_csv(home / "t.csv", index=False)
    return home


def run(folder, command, jobs=1, steps=8):
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = main([*COMMANDS[command], "--steps", str(steps), "--checkpoint", "../" + folder.name + "-kept", "--jobs", str(jobs)])
    assert code == 0, said.getvalue()


def written(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_killed_at_random_moments_a_command_writes_what_it_would_have(home, monkeypatch):
    campaign(home, monkeypatch, "impute", 3, random.Random(), jobs=1)


@pytest.mark.fuzz
@pytest.mark.long
def test_a_hundred_kills(home, monkeypatch):
    chance, done = random.Random(os.environ.get("KILLS_SEED")), 0
    while done < int(os.environ.get("KILLS", "100")):
        # Fewer of those that take long: workers import torch each time, and reports draw figures.
        command, jobs = chance.choice([*COMMANDS, *["impute"] * 8]), chance.choice([*[1] * 7, 2])
        found = campaign(home, monkeypatch, command, 10, chance, jobs, steps=chance.choice([8, 30]))
        done += found
        print(f"{command}, {jobs} processes: {found} kills, {done} in all, every file as it would have been", flush=True)


def campaign(home, monkeypatch, command, kills, chance, jobs, steps=8):
    """Kill a command so many times, or until it ends before that, and compare what it writes; return how often it was killed."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    # Both have one name, which a report holds.
    folder, aside = home / f"{command}-{jobs}-{steps}", home / f"whole-{command}-{jobs}-{steps}"
    if not aside.exists():
        began = time.monotonic()
        assert not killed_after(WHOLE, lambda: run(folder, command, jobs, steps))
        (home / f"{aside.name}.seconds").write_text(str(time.monotonic() - began))
        folder.rename(aside)
    else:
        _remove(folder)
    _remove(home / f"{folder.name}-kept")
    seconds, done = float((home / f"{aside.name}.seconds").read_text()), 0
    while done < kills and killed_after(chance.uniform(0, seconds), lambda: run(folder, command, jobs, steps)):
        done += 1
    assert not killed_after(WHOLE, lambda: run(folder, command, jobs, steps))
    assert written(folder) == written(aside)
    return done


def _remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if folder.exists():
        folder.rmdir()


def test_a_checkpoint_with_a_model_or_another_output_s_name_is_refused(home, capsys):
    with contextlib.chdir(home), warnings.catch_warnings():
        assert main(["impute", "t.csv", "--output", "o.csv", "--model", "m", "--checkpoint", "c"]) == 2
        assert "--checkpoint: got one with --model, expected it only when fitting" in capsys.readouterr().err
        assert main(["impute", "t.csv", "--output", "o.csv", "--save", "m", "--checkpoint", "m"]) == 2
        assert "--checkpoint: got m, which is --save as well" in capsys.readouterr().err
        assert main(["impute", "t.csv", "--output", "o", "--label", "k", "--model", "m", "--checkpoint", "m"]) == 2
        assert "--checkpoint: got one with --label" in capsys.readouterr().err
        assert main(["impute", "t.csv", "--output", "o.csv", "--steps", "1", "--jobs", "1", "--checkpoint", "t.csv"]) == 2
        assert "--checkpoint: got t.csv, which is the table that is read" in capsys.readouterr().err
        assert not os.path.exists("o.csv")
