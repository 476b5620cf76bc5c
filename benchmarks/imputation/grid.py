"""Run the grid: one JSON file for each cell, skipped when present; a failure is a file too."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import subprocess
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pandas import DataFrame
from tqdm import tqdm

from benchmarks.imputation import peers
from benchmarks.imputation.masks import MASKS, divided, ignorable, masked
from benchmarks.imputation.methods import METHODS, settings
from benchmarks.imputation.scoring import score
from pyro_mnar.data import load, write_whole

#: Exit status of a process that Ctrl-C ended: its cell has not failed but waits.
INTERRUPTED = 130


class Cell(NamedTuple):
    """One run; ``steps`` shortens training, ``rows`` the table. Both are part of the path: short and full runs stand side by side."""

    table: str
    mask: str
    method: str
    seed: int
    steps: int | None = None
    rows: int | None = None

    def path(self, output: Path) -> Path:
        """Return where its result is kept."""
        name = f"{self.seed}.json" if self.steps is None else f"{self.seed}-{self.steps}.json"
        table = self.table if self.rows is None else f"{self.table}-{self.rows}"
        return output / table / self.mask / self.method / name

    def frame(self, data_home: str) -> DataFrame:
        """Return its table: all of it, or ``rows`` drawn once and for all, the same for every mask, method and seed."""
        whole = load(self.table, data_home)
        return whole if self.rows is None else whole.sample(self.rows, random_state=0)


def cells(
    tables: Mapping[str, int | None] | Sequence[str],
    masks: Sequence[str],
    methods: Sequence[str],
    seeds: int | None = None,
    published_steps: int | None = None,
    our_steps: int | None = None,
) -> list[Cell]:
    """Return the grid.

    Args:
        tables: names, or a mapping of names to how many rows are drawn of each (None: all).
        masks: names.
        methods: names; left out where a mask has no use for them.
        seeds: caps each method's own number.
        published_steps: shortens the published recipes.
        our_steps: shortens this library's training.
    """
    grid = []
    rows = tables if isinstance(tables, Mapping) else dict.fromkeys(tables)
    for table in tables:
        for mask in masks:
            for name in methods:
                method, asked = METHODS[name], MASKS[mask]
                if (method.known and asked.direction is None) or (method.long and mask not in ("hard", "mcar")):
                    continue
                if method.cut and mask != "hard":
                    continue
                # Told what cannot be said, or what ``ours-none`` is told, there is nothing to run.
                if (method.takes("told") and asked.told in (None, ignorable)) or (asked.test and not method.takes("train")):
                    continue
                steps = published_steps if method.long else our_steps if method.takes("steps") else None
                count = method.seeds if seeds is None else min(seeds, method.seeds)
                grid += [Cell(table, mask, name, seed, steps, rows[table]) for seed in range(count)]
    return grid


def run(grid: Iterable[Cell], output: Path, data_home: str, jobs: int = 2, retry: bool = False) -> int:
    """Run the cells that have no file (with ``retry``, also those that failed) and return how many were waiting.

    Each runs in a process of its own, forked from a server that has the imports: one that crashes takes no other along.
    """
    waiting = [cell for cell in grid if not cell.path(output).exists() or (retry and failed(cell, output))]
    if not waiting:
        return 0
    for which in sorted(
        {peers.environment(cell.method) for cell in waiting if METHODS[cell.method].function.__module__ == peers.__name__}
    ):
        # Here, so that no cell's seconds contain it; where it fails it has noted why, and its cells say so.
        with contextlib.suppress(RuntimeError, OSError, subprocess.TimeoutExpired):
            peers.install(which)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    stamp = _stamp()

    def supervise(cell: Cell) -> None:
        cell.path(output).unlink(missing_ok=True)
        process = context.Process(target=_run_cell, args=(cell, output, data_home, stamp), daemon=True)
        process.start()
        process.join()
        if not cell.path(output).exists() and process.exitcode != INTERRUPTED:
            _write(cell, output, stamp, {"error": f"the process ended with exit code {process.exitcode} and left no result"})

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for done in tqdm(as_completed([pool.submit(supervise, cell) for cell in waiting]), total=len(waiting), unit="cell"):
                done.result()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return len(waiting)


def failed(cell: Cell, output: Path) -> bool:
    """Return whether the file of a cell that has been run holds a failure."""
    return "error" in json.loads(cell.path(output).read_text())


def _run_cell(cell: Cell, output: Path, data_home: str, stamp: dict[str, str]) -> None:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    try:
        asked, method = MASKS[cell.mask], METHODS[cell.method]
        truth, mask = masked(cell.frame(data_home), cell.mask, cell.seed)
        fitted, imputed = divided(len(truth), cell.mask, cell.seed)
        holed = np.where(mask, truth, np.nan)
        further: dict[str, Any] = {} if cell.steps is None else {"steps": cell.steps}
        if asked.test:
            further["train"] = holed[fitted]
        if method.takes("told") and asked.told is not None:
            further["told"] = asked.told(truth.shape[1])
        with threadpool_limits(1):
            start = time.perf_counter()
            completed, draws = method.function(holed[imputed], seed=cell.seed, draws=200, direction=asked.direction, **further)
            seconds = time.perf_counter() - start
        truth, mask = truth[imputed], mask[imputed]
        result: dict[str, Any] = {"scores": score(completed, draws, truth, mask) | {"seconds": seconds}}
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    except Exception as error:  # whatever a method raises is its result
        result = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    _write(cell, output, stamp, result)


def _write(cell: Cell, output: Path, stamp: dict[str, str], result: dict[str, Any]) -> None:
    path = cell.path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    used = settings(cell.method) | ({} if cell.steps is None else {"steps": cell.steps})
    of_peers = METHODS[cell.method].function.__module__ == peers.__name__
    versions = stamp | (peers.versions(peers.environment(cell.method)) if of_peers else {})
    content = json.dumps({**cell._asdict(), "settings": used, "versions": versions, **result}, indent=1)
    write_whole(path, lambda temporary: temporary.write_text(content))


def _stamp() -> dict[str, str]:
    """Return the versions that decide a result; the commit is that of this file's checkout."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True)
    packages = ("numpy", "scipy", "scikit-learn", "torch", "pyro-ppl")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"commit": described.stdout.strip() or "unknown", "python": platform.python_version(), **versions}
