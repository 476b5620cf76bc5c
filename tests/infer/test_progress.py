"""One bar over everything that a fit and an imputation do, on a terminal only."""

import io
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.reason_selection import pilots
from pyro_mnar.imputer.reason_selection.selection import PILOTS
from pyro_mnar.infer import progress
from pyro_mnar.infer.processes import each
from pyro_mnar.infer.progress import bar, whole


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def tasks(monkeypatch):
    """Every bar over a whole that is made."""
    made, make = [], progress.Whole.__init__

    def kept(task, *given):
        make(task, *given)
        made.append(task)

    monkeypatch.setattr(progress.Whole, "__init__", kept)
    return made


def table():
    x = np.random.default_rng(0).normal(size=(70, 3))
    x[x[:, 0] > 0.5, 0] = np.nan
    return x


@pytest.mark.parametrize("mechanism", ["auto", "none"])
def test_one_bar_counts_pilots_members_and_imputing_and_ends_at_its_whole(tasks, monkeypatch, mechanism):
    monkeypatch.setattr(sys, "stderr", Terminal())
    imputer = MNARImputer(mechanism, steps=4, members=2, hidden=(4,))
    imputer.fit_transform(table())
    (task,) = tasks
    # Rates alone have no pilot, nor have some earlier columns; one model is what they start as.
    pilots = sum(one.earlier != "some" for one in imputer.candidates_) if mechanism == "auto" else 0
    assert task.bar.n == task.bar.total and task.expected == 0
    assert task.bar.n - 2 * 8 in ([(2 + pilots + again) * 4 for again in (0, 6, 9)] if pilots else [2 * 4])
    shown = sys.stderr.getvalue()
    assert "imputing: 100%" in shown and "training" not in shown and ("choosing reasons" in shown) == (mechanism == "auto")


@pytest.mark.parametrize(("close", "again"), [(0.0, [0]), (1e9, [6, 9])])
def test_what_is_known_of_a_fit_is_known_before_it_begins(tasks, monkeypatch, close, again):
    """Pilots change the whole by what more or fewer of them there are, and how many are fitted for longer, and by nothing else."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(pilots, "CLOSE", close)
    monkeypatch.setattr(pilots, "CLOSE_ON_TWO_SIDES", close)
    totals, begin = [], progress.Whole.begin

    def seen(task, worth):
        begin(task, worth)
        totals.append(task.bar.total)

    monkeypatch.setattr(progress.Whole, "begin", seen)
    imputer = MNARImputer(steps=4, members=2, hidden=(4,)).fit(table())
    fitted = sum(one.earlier != "some" for one in imputer.candidates_)
    assert totals[0] == (PILOTS + 2) * 4 and totals[-1] in [(fitted + 2 + more) * 4 for more in again]
    assert close > 0 or totals == sorted(totals, reverse=True)


def test_nothing_is_shown_where_there_is_no_terminal_or_none_is_wanted(capsys, monkeypatch):
    MNARImputer("none", steps=2, members=2, hidden=(4,)).fit_transform(table())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    MNARImputer("none", steps=2, members=2, hidden=(4,), progress=False).fit_transform(table())
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("jobs", [1, 2])
def test_calls_of_other_processes_count_when_they_are_done(monkeypatch, jobs):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with whole("all", progress=True) as task:
        task.expect(12.0)
        list(each([partial(pow, 2, k) for k in range(4)], n_jobs=jobs, progress=True, worth=3.0))
        # Calls in this process say for themselves how far they are; these say nothing.
        assert task.bar.n == (12.0 if jobs == 2 else 0.0) and task.bar.total == 12.0


def test_a_part_that_stops_early_is_done_and_one_that_nobody_expected_makes_the_whole_longer():
    with whole("all", progress=False) as task:
        task.expect(5.0)
        with bar(10, "training", "step", progress=True) as part:
            part.update(3)
        assert task.bar.total == 10.0 and task.expected == 0.0
    with whole("other", progress=False) as other:
        assert other is not task


def test_no_other_file_makes_a_bar():
    """One would stand beside the bar over everything; that of a tipping point on its own is not asked for by any command."""
    files = [path for path in Path(progress.__file__).parents[1].rglob("*.py") if path.name != "progress.py"]
    assert files and [path.name for path in files if "tqdm" in path.read_text()] == ["tipping.py"]


def test_no_command_asks_a_tipping_point_for_its_own_bar():
    files = Path(progress.__file__).parents[1]
    assert "        progress=False,\n" in (files / "report/report.py").read_text()
    assert "null=null, progress=False" in (files / "cli/sensitivity.py").read_text()
