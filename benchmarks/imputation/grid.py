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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.imputation import peers
from benchmarks.imputation.masks import MASKS, masked
from benchmarks.imputation.methods import METHODS, settings
from benchmarks.imputation.scoring import score
from pyro_mnar.tables import load, write_whole

#: Exit status of a process that Ctrl-C ended: its cell has not failed but waits.
INTERRUPTED = 130


class Cell(NamedTuple):
    """One run; ``steps`` shortens a published recipe, and is part of the file's name: short and full runs stand side by side."""

    table: str
    mask: str
    method: str
    seed: int
    steps: int | None = None

    def path(self, output: Path) -> Path:
        """Return where its result is kept."""
        name = f"{self.seed}.json" if self.steps is None else f"{self.seed}-{self.steps}.json"
        return output / self.table / self.mask / self.method / name


def cells(
    tables: Sequence[str], masks: Sequence[str], methods: Sequence[str], seeds: int | None = None, published_steps: int | None = None
) -> list[Cell]:
    """Return the grid; ``seeds`` caps each method's own number, ``published_steps`` shortens the published recipes."""
    grid = []
    for table in tables:
        for mask in masks:
            for name in methods:
                method = METHODS[name]
                if (method.known and MASKS[mask].direction is None) or (method.long and mask not in ("hard", "mcar")):
                    continue
                steps = published_steps if method.long else None
                count = method.seeds if seeds is None else min(seeds, method.seeds)
                grid += [Cell(table, mask, name, seed, steps) for seed in range(count)]
    return grid


def run(grid: Iterable[Cell], output: Path, data_home: str, jobs: int = 2, retry: bool = False) -> int:
    """Run the cells that have no file (with ``retry``, also those that failed) and return how many were waiting.

    Each runs in a process of its own, forked from a server that has the imports: one that crashes takes no other along.
    """
    waiting = [cell for cell in grid if not cell.path(output).exists() or (retry and failed(cell, output))]
    if not waiting:
        return 0
    if any(METHODS[cell.method].function.__module__ == peers.__name__ for cell in waiting):
        # Here, so that no cell's seconds contain it; where it fails it has noted why, and its cells say so.
        with contextlib.suppress(RuntimeError, OSError, subprocess.TimeoutExpired):
            peers.install()
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
        truth, mask = masked(load(cell.table, data_home), cell.mask, cell.seed)
        method = METHODS[cell.method].function
        shorter = {} if cell.steps is None else {"steps": cell.steps}
        with threadpool_limits(1):
            start = time.perf_counter()
            direction = MASKS[cell.mask].direction
            completed, draws = method(np.where(mask, truth, np.nan), seed=cell.seed, draws=200, direction=direction, **shorter)
            seconds = time.perf_counter() - start
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
    versions = stamp | (peers.versions() if METHODS[cell.method].function.__module__ == peers.__name__ else {})
    content = json.dumps({**cell._asdict(), "settings": used, "versions": versions, **result}, indent=1)
    write_whole(path, lambda temporary: temporary.write_text(content))


def _stamp() -> dict[str, str]:
    """Return the versions that decide a result; the commit is that of this file's checkout."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True)
    packages = ("numpy", "scipy", "scikit-learn", "torch", "pyro-ppl")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"commit": described.stdout.strip() or "unknown", "python": platform.python_version(), **versions}
