"""What must hold of any table, whatever is in it: see docs/promises.md."""

import csv
import io
import math
import os
import random
import re
import resource
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hostile_models import mutated
from hostile_tables import damaged

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.data.schema import names_of
from pyro_mnar.data.stated_holes import stated_holes, with_holes
from pyro_mnar.data.texts import HOLES
from pyro_mnar.imputer.doubts import doubts
from pyro_mnar.imputer.summary import assumptions, kinds_of

#: Seconds of one core after which a call is called hung.
PATIENCE = 20
#: Memory that one call may take beyond what the process had, in kB.
MOST_KILOBYTES = 1_000_000
_NAMED = re.compile(r"column|table|\bX\b|feature|sample|\brow|shape|dtype|array|DataFrame", re.IGNORECASE)


class Hang(BaseException):
    """No error of what is tested: nothing there may catch it."""


@contextmanager
def patience(seconds: float = PATIENCE) -> Iterator[None]:
    """Raise :class:`Hang` in what takes longer."""

    def late(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def names_something(error: Exception, settings: dict[str, Any]) -> bool:
    """Return whether an error says which argument or column it is about."""
    said = str(error)
    return bool(_NAMED.search(said)) or any(re.search(rf"\b{name}\b", said) for name in [*settings, *MNARImputer().get_params()])


def is_hole(value: Any) -> bool:
    """Return whether a cell holds nothing."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, (float, complex, np.inexact, np.datetime64, np.timedelta64)) and bool(value != value)


def same(one: Any, other: Any) -> bool:
    """Return whether two cells are the same, type and bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (float, np.floating)):
        return np.asarray(one).tobytes() == np.asarray(other).tobytes()
    return bool(one == other)


def cells_of(table: Any, names: list[Any]) -> dict[Any, list[Any]]:
    """Return the cells of a table by column."""
    if hasattr(table, "get_columns"):
        # Points in time as numbers: Python has no year 0, which polars has.
        return {
            column.name: (column.to_physical() if column.dtype.is_temporal() else column).to_list() for column in table.get_columns()
        }
    if isinstance(table, pd.DataFrame):
        return {name: list(table.iloc[:, j].array) for j, name in enumerate(table.columns)}
    array = np.asarray(table, dtype=None if isinstance(table, np.ndarray) else object)
    return {name: list(array[:, j]) for j, name in enumerate(names)}


def check_completed(table: Any, done: Any, imputer: MNARImputer) -> None:
    """Raise an AssertionError where an observed cell has changed, or a hole is left or holds no finite number."""
    layout = imputer.codec_.layout
    own = cells_of(table, list(layout.names))
    found = cells_of(done, [layout.names[j] for j in layout.kept])
    plain = not hasattr(table, "columns")
    assert type(done) is (np.ndarray if isinstance(table, list) else type(table))
    for name, cells in own.items():
        if name not in found:
            assert name in [layout.names[j] for j in layout.empty], f"column {name!r} is lost"
            continue
        assert len(found[name]) == len(cells), f"rows of {name!r}"
        for i, (cell, filled) in enumerate(zip(cells, found[name], strict=True)):
            where = f"column {name!r}, row {i}: {cell!r} -> {filled!r}"
            if is_hole(cell):
                assert not is_hole(filled), f"{where}: a hole is left"
                assert not isinstance(filled, (float, np.floating)) or math.isfinite(filled), f"{where}: not finite"
            elif plain and isinstance(cell, (bool, np.bool_, int, float, np.number)):
                assert float(cell) == float(filled), f"{where}: changed"  # an array of whole numbers becomes one of floats
            else:
                assert same(cell, filled), f"{where}: changed, {type(cell)} -> {type(filled)}"
    if isinstance(table, pd.DataFrame):
        pd.testing.assert_index_equal(done.index, table.index, exact="equiv")
        lost = {str(name): (table[name].dtype, done[name].dtype) for name in found if name in table.columns}
        kept = {name: pair for name, pair in lost.items() if pair[0] != pair[1] and not _with_declared_levels(*pair)}
        assert all(table[name].isna().all() for name in table.columns if str(name) in kept), f"dtypes: {kept}"


def _with_declared_levels(before: Any, after: Any) -> bool:
    """Return whether a dtype of categories has only more of them: levels that were declared and may be filled in."""
    both = all(isinstance(dtype, pd.CategoricalDtype) for dtype in (before, after))
    return (
        both
        and before.categories.dtype == after.categories.dtype
        and before.ordered == after.ordered
        and list(after.categories[: len(before.categories)]) == list(before.categories)
    )


def _image(table: Any) -> str:
    """Return all cells as text; numbers as Python writes them."""
    if not hasattr(table, "columns"):
        return repr(table.tolist() if isinstance(table, np.ndarray) else table)
    return repr(list(cells_of(table, []).values()) + list(map(repr, table.columns)))


def check_imputer(table: Any, settings: dict[str, Any]) -> str:
    """Fit, transform, draw and judge; return what became of it.

    Raises:
        Exception: whatever is no ValueError or TypeError of ``fit``; an AssertionError where a promise is broken.
    """
    before = _image(table)
    with warnings.catch_warnings(), patience():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)  # what is said of the table
        imputer = MNARImputer(**settings)
        try:
            imputer.fit(table)
        except (ValueError, TypeError) as error:
            assert names_something(error, settings), f"names nothing: {error}"
            assert len(str(error)) < 3000
            return f"refused: {error}"
        done = imputer.transform(table)
        check_completed(table, done, imputer)
        check_completed(table, imputer.sample(table, 1)[0], imputer)
        assert math.isfinite(imputer.score(table))
        str(imputer.diagnose(table))
    assert _image(table) == before, "the table given has changed"
    return "filled"


#: Events of the interpreter that a model file must never cause.
_FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class", "socket.connect")
_seen: list[str] = []
_armed = False


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if _armed and event in _FORBIDDEN:
        _seen.append(f"{event} {given!r:.80}")


@contextmanager
def nothing_executed() -> Iterator[None]:
    """Raise an AssertionError where something within ran a program, unpickled or opened a connection."""
    global _armed
    if _hook not in _hooks:
        sys.addaudithook(_hook)
        _hooks.append(_hook)
    _seen.clear()
    _armed = True
    try:
        yield
    finally:
        _armed = False
    assert not _seen, f"executed: {_seen}"


_hooks: list[Any] = []


def check_mutant(models: list[tuple[Path, Any]], folder: Path, rng: random.Random) -> str:
    """Load a mutant of one of ``models``, and where it loads complete its table; return what became of it.

    Raises:
        AssertionError: naming the mutant, where a promise is broken.
    """
    base, table = models[rng.randrange(len(models))]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            said = f"{base.name}: {mutated(base, [one for one, _ in models if one != base], folder, rng)}"
            return _loaded(folder, table, said)
    finally:
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KILOBYTES, f"memory :: {said}"
        for path in (folder, folder.with_name("again")):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)


def _loaded(folder: Path, table: Any, said: str) -> str:
    stage = "load"
    try:
        with patience(), nothing_executed():
            imputer = MNARImputer.load(folder)
            imputer.progress = False
            stage = "words"
            assumptions(imputer), doubts(imputer), kinds_of(imputer.schema_), repr(imputer), imputer.missingness(3)
            stage = "save"
            imputer.save(folder.with_name("again"))
            stage = "transform"
            # What a model has been told stands for a hole is one.
            holed = with_holes(table, stated_holes(imputer.missing, names_of(table), imputer.kinds))
            check_completed(holed, imputer.transform(table), imputer)
    except ValueError as error:
        if stage == "transform" and re.search(r"\bcolumn\b|features?\b", str(error)):
            return "another model"  # of other levels, say, or of weights that give no finite number
        assert stage == "load", f"{said} :: loads, then {stage} refuses: {error}"
        assert str(folder) in str(error) and "\n" not in str(error) and len(str(error)) < 1000, f"{said} :: says {error}"
        return "refused"
    except BaseException as error:
        raise AssertionError(f"{said} :: {stage}: {type(error).__name__}: {error}") from error
    return "loaded"


def check_command(home: Path, table: tuple[list[str], list[list[str]], list[str]], harms: list[tuple[int, int, int]]) -> str:
    """Run ``pyro-mnar impute`` on a CSV, a damaged one where there are ``harms``; return what became of it.

    Raises:
        AssertionError: where a promise is broken.
    """
    header, rows, options = table
    folder = home / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source, output = folder / "t.csv", folder / "o.csv"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    content = damaged(text.getvalue().encode(), harms)
    source.write_bytes(content)
    said, complaints = io.StringIO(), io.StringIO()
    arguments = ["impute", str(source), "--output", str(output), "--steps", "2", "--jobs", "1", *options]
    with redirect_stdout(said), redirect_stderr(complaints), warnings.catch_warnings(), patience():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        try:
            code = main(arguments)
        except SystemExit as exit:
            assert exit.code == 2 and "usage:" in complaints.getvalue()  # argparse's, of words that begin with a dash
            code = 2
    lines = complaints.getvalue()
    assert "Traceback" not in lines
    assert source.read_bytes() == content
    assert sorted(os.listdir(folder)) == ["o.csv", "t.csv"][code != 0 :], os.listdir(folder)
    if code:
        assert code == 2 and ("usage:" in lines or (lines.count("\n") == 1 and lines.startswith("pyro-mnar: "))), lines
        return "refused"
    _check_texts(source, output, options)
    return "completed"


def _check_texts(source: Path, output: Path, options: list[str]) -> None:
    """Raise an AssertionError unless each cell of the output is the text of the input, or fills a hole with a finite number."""
    given, found = ([row for row in csv.reader(io.StringIO(_text(path), newline="")) if _is_row(row)] for path in (source, output))
    holes = HOLES | {option.rpartition("=")[2] for name, option in pairwise(options) if name == "--missing"}
    width = len(given[0])
    assert len(found) == len(given) and found[0] == given[0]
    for i, (before, after) in enumerate(zip(given[1:], found[1:], strict=True)):
        before = before + [""] * (width - len(before))
        for j, (cell, filled) in enumerate(zip(before, after, strict=True)):
            if cell != filled:
                assert not cell.strip() or cell in holes or cell.strip() in holes, f"row {i}, column {j}: {cell!r} -> {filled!r}"
                assert filled.strip().lower() not in {"nan", "inf", "-inf", ""}, f"row {i}, column {j}: {cell!r} -> {filled!r}"


def _is_row(row: list[str]) -> bool:
    return len(row) > 1 or bool(row and (row[0] == "" or row[0].strip()))


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")
