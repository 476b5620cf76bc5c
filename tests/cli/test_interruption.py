"""Signals: a code that says so, one line, nothing written and nothing left over; or what was fitted, where that was asked for."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.infer import training

COMMAND_MODELS = 8


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3)), columns=["a", "b", "c"])
    frame.loc[frame.a > frame.a.quantile(0.7), "a"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


@pytest.fixture(autouse=True)
def by_keyboard():
    """A process that was started in the background ignores SIGINT; here it is told as in the foreground."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def command(table, *options):
    outputs = {"--output": "o.csv", "--draws-output": "d.nc", "--save": "m"}
    paths = [word for option, name in outputs.items() for word in (option, str(table.with_name(name)))]
    return ["impute", str(table), *paths, "--mechanism", "none", "--jobs", "1", *options]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def at_look(monkeypatch, count, number):
    """Raise a signal at the ``count``-th look of training."""
    looks, evaluation = [], training.Evaluation

    def looked(*given):
        looks.append(given)
        if len(looks) == count:
            signal.raise_signal(number)
        return evaluation(*given)

    monkeypatch.setattr(training, "Evaluation", looked)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_training_replaces_nothing(table, monkeypatch, capsys, number, code):
    assert main(command(table, "--steps", "5")) == 0
    capsys.readouterr()
    before = contents(table.parent)
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    at_look(monkeypatch, 3, number)
    assert main(command(table, "--steps", "10", "--seed", "1")) == code
    assert capsys.readouterr() == ("", "pyro-mnar: interrupted, nothing written\n")
    assert contents(table.parent) == before and not [name for name in os.listdir(table.parent) if name.startswith(".")]
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_what_was_fitted_is_kept_where_that_is_asked_for(table, monkeypatch, capsys):
    at_look(monkeypatch, 3, signal.SIGTERM)
    assert main(command(table, "--steps", "10", "--keep-partial")) == 0
    assert "Note: training was interrupted: 3 of 8 models, the last perhaps in part" in capsys.readouterr().out
    assert pd.read_csv(table.with_name("o.csv")).notna().all().all()
    assert len(MNARImputer.load(table.with_name("m")).members_) == 3


def test_a_signal_while_outputs_take_their_places_is_too_late(table, monkeypatch):
    from pyro_mnar.data.files import replacement

    assert main(command(table, "--steps", "5")) == 0
    old, put, seen = contents(table.parent), replacement._put, []

    def putting(*given):
        seen.append(given)
        signal.raise_signal(signal.SIGTERM)
        put(*given)

    monkeypatch.setattr(
        replacement, "_put", lambda new, path, hidden: (putting if hidden.parent == table.parent else put)(new, path, hidden)
    )
    assert main(command(table, "--steps", "6")) == 0
    new = contents(table.parent)
    assert len(seen) == 3 and new.keys() == old.keys() and all(new[name] != old[name] for name in old if name != "t.csv")


@pytest.mark.parametrize("place", ["write_draws", "save", "write"])
def test_a_signal_while_one_of_several_outputs_is_written_replaces_none(table, monkeypatch, capsys, place):
    assert main(command(table, "--steps", "5")) == 0
    old = contents(table.parent)
    capsys.readouterr()

    def signalled(*given, **_):
        signal.raise_signal(signal.SIGINT)

    target = {"write_draws": "pyro_mnar.imputation.netcdf.write_draws", "save": "pyro_mnar.imputer.imputer.MNARImputer.save"}
    monkeypatch.setattr(target.get(place, "pyro_mnar.data.files.source.Source.write"), signalled)
    assert main(command(table, "--steps", "6")) == 130
    assert capsys.readouterr() == ("", "pyro-mnar: interrupted, nothing written\n")
    assert contents(table.parent) == old and not [name for name in os.listdir(table.parent) if name.startswith(".")]


def test_signals_that_are_ignored_stay_so_and_other_threads_have_none(table):
    """As under nohup; and a command that a thread runs cannot handle signals, which is no error."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["diagnose", "absent.csv", "--model", "absent"]) == 2
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["diagnose", "absent.csv", "--model", "absent"])))
    thread.start()
    thread.join()
    assert codes == [2]


WORK = """
import os, sys, time
from functools import partial
from pathlib import Path
from pyro_mnar.infer.processes import each

def busy(path):
    Path(path).write_text(str(os.getpid()))
    end = time.monotonic() + 120
    while time.monotonic() < end:
        pass

list(each([partial(busy, os.path.join(sys.argv[1], name)) for name in "ab"], n_jobs=2))
"""


def test_workers_end_with_their_parent_when_it_is_killed(tmp_path):
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "pids").mkdir()
    parent = subprocess.Popen([sys.executable, str(tmp_path / "work.py"), str(tmp_path / "pids")], stderr=subprocess.PIPE)
    began = time.monotonic()
    while len(os.listdir(tmp_path / "pids")) < 2 and time.monotonic() - began < 60:
        time.sleep(0.05)
    time.sleep(0.2)
    workers = [int(path.read_text()) for path in (tmp_path / "pids").iterdir()]
    assert len(workers) == 2 and all(running(worker) for worker in workers)
    parent.kill()
    parent.communicate(timeout=30)
    began = time.monotonic()
    while any(running(worker) for worker in workers) and time.monotonic() - began < 10:
        time.sleep(0.05)
    assert not any(running(worker) for worker in workers)


STARTS = """
import sys
import time
from functools import partial
from pyro_mnar.infer.processes import each

print("starts", flush=True)
list(each([partial(time.sleep, 120)] * 2, n_jobs=2))
"""


def test_workers_whose_parent_is_killed_before_they_have_begun_end_as_well(tmp_path):
    (tmp_path / "work.py").write_text(STARTS)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "work.py")], stdout=subprocess.PIPE, start_new_session=True)
    parent.stdout.readline()
    began = time.monotonic()
    while len(workers_of(parent.pid)) < 2 and time.monotonic() - began < 60:
        time.sleep(0.02)
    workers = workers_of(parent.pid)
    parent.kill()
    parent.communicate(timeout=30)
    assert len(workers) == 2
    began = time.monotonic()
    while any(running(worker) for worker in workers) and time.monotonic() - began < 60:
        time.sleep(0.05)
    assert not any(running(worker) for worker in workers)


def workers_of(session):
    """The processes of a session that are joblib's workers."""
    found = []
    for process in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/stat") as file:
                own = int(file.read().rsplit(")", 1)[1].split()[3])
            with open(f"/proc/{process}/cmdline") as file:
                words = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [int(process)] if own == session and "popen_loky_posix" in words else []
    return found


def running(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
