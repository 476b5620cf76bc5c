"""Independent calls in this process or in several: the same numbers either way, and no warning or error lost."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from pyro_mnar.infer.progress import bar, in_whole
from pyro_mnar.infer.torch_state import ALONE

_Result = TypeVar("_Result")


def n_processes(n_jobs: int | None, n_calls: int) -> int:
    """Return how many processes ``n_jobs`` asks for, as scikit-learn has it: None is 1 and -1 all cores; not more than calls.

    Raises:
        ValueError: for 0, or what is no whole number.

    Example:
        >>> n_processes(None, 8), n_processes(3, 8), n_processes(3, 2)
        (1, 3, 2)
    """
    from joblib import effective_n_jobs

    if n_jobs is not None and (not isinstance(n_jobs, int) or n_jobs == 0):
        raise ValueError(f"n_jobs: got {n_jobs!r}, expected None, a number of processes, or -1 for all cores")
    return max(1, min(int(effective_n_jobs(n_jobs)), n_calls))


def each(
    calls: Sequence[Callable[[], _Result]], *, n_jobs: int | None = None, said: str = "", progress: bool = False, worth: float = 1.0
) -> Iterator[_Result]:
    """Yield the results of ``calls`` in their order.

    Every call has one torch thread, here too: sums over several threads are rounded otherwise, and processes that share cores stall.
    Warnings of other processes are given again in this one, and an error is raised here.

    Args:
        calls: of other processes, what pickles.
        n_jobs: see :func:`n_processes`.
        said, progress: a bar over calls, on a terminal only; within a whole, calls in this process have bars of their own.
        worth: of a call, in training steps.

    Example:
        >>> from functools import partial
        >>> list(each([partial(pow, 2, k) for k in range(4)]))
        [1, 2, 4, 8]
    """
    jobs = n_processes(n_jobs, len(calls))
    found: Any = (_alone(call) for call in calls)
    if jobs > 1:
        from joblib import Parallel, delayed

        # The backend by name: in a worker of a grid search joblib would else take threads, which share torch's generator.
        ends = {"initializer": _end_with_parent, "initargs": (os.getpid(),)}
        found = Parallel(jobs, backend="loky", return_as="generator", **ends)(delayed(_recorded)(call) for call in calls)
    by_call = progress and (jobs > 1 if in_whole() else len(calls) > 1)
    done = bar(len(calls), said, "call", by_call, worth)
    try:
        for result in found:
            done.update()
            if jobs > 1:
                result, seen = result
                for warning in seen:
                    warnings.warn_explicit(*warning)
            yield result
    finally:
        done.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's, of calls that are given up: whoever stopped knows
            found.close()


def _alone(call: Callable[[], _Result]) -> _Result:
    with ALONE:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return call()
        finally:
            torch.set_num_threads(threads)


def _recorded(call: Callable[[], _Result]) -> tuple[_Result, list[tuple[Warning | str, type[Warning], str, int]]]:
    """Return what ``call`` does, with its warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = _alone(call)
    return result, [(one.message, one.category, one.filename, one.lineno) for one in seen]


def _end_with_parent(parent: int) -> None:
    """Let this process, a worker that has just begun, end with its parent, which alone is interrupted.

    A parent that is killed can tell it nothing, and may be gone before the worker has begun or while it has nothing to do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
