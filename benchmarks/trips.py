"""How far a table travels: which files of the package ``fit``, ``transform`` and ``pyro-mnar impute`` enter, and how often they pass
from one to another.

    python benchmarks/trips.py

Counted are files of which a function runs, and calls from a function of one file to a function of another.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd

import pyro_mnar
from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main as command

PACKAGE = Path(pyro_mnar.__file__).parent
#: Files that each trip may enter, 31 of them those of the model itself: networks, mechanisms, laws, bound, training.
MOST = {"fit": 93, "transform": 57, "pyro-mnar impute": 120}


class Trip:
    """What was entered: calls by file and by function, and passages by pair of files."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.passages: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[str] = Counter()

    def _called(self, frame: FrameType, event: str, _: Any) -> None:
        # What runs when a file is imported, its own code and that of its classes, is none of the trip.
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(str(PACKAGE)) or not code.co_flags & CO_OPTIMIZED:
            return
        self.calls[code.co_qualname] += 1
        here = str(Path(code.co_filename).relative_to(PACKAGE))
        self.files[here] += 1
        before = frame.f_back
        while before is not None and not before.f_code.co_filename.startswith(str(PACKAGE)):
            before = before.f_back
        if before is not None:
            there = str(Path(before.f_code.co_filename).relative_to(PACKAGE))
            if there != here:
                self.passages[there, here] += 1

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Count what runs inside."""
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)


def table() -> pd.DataFrame:
    """Return three related columns of numbers, of one of which large values are missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))
    x[x[:, 0] > 1, 0] = np.nan
    return pd.DataFrame(x, columns=["a", "b", "c"])


def trips() -> dict[str, Trip]:
    """Return the trip of each of ``MOST``, of two members of two steps."""
    found = {name: Trip() for name in MOST}
    frame, imputer = table(), MNARImputer(members=2, steps=2, progress=False, n_jobs=1)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        with found["fit"].watched():
            imputer.fit(frame)
        with found["transform"].watched():
            imputer.transform(frame)
        paths = [str(Path(folder, name)) for name in ("table.csv", "completed.csv")]
        frame.to_csv(paths[0], index=False)
        with found["pyro-mnar impute"].watched():
            command(["impute", paths[0], "--output", paths[1], "--steps", "2", "--jobs", "1"])
    return found


def main() -> None:
    """Print the counts."""
    for name, trip in trips().items():
        print(f"{name}: {len(trip.files)} files (at most {MOST[name]}), {trip.passages.total()} passages between files")
        print("   ", ", ".join(f"{folder} {count}" for folder, count in Counter(name.split("/")[0] for name in trip.files).items()))
        print("   ", ", ".join(f"{name} {trip.calls[name]}" for name in ("TableCodec.learn", "infer", "split", "impute")))


if __name__ == "__main__":
    main()
