"""A process that is killed (SIGKILL) before a change of files of one's choice, or after some time."""

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

_CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "shutil.rmtree", "ctypes.dlsym")


def killed_at(event: int, work: Callable[[], Any]) -> bool:
    """Run ``work`` in a child that is killed before its ``event``-th change of files, the first being 1, and return whether it was."""
    child = _forked()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    try:
        seen = 0

        def hook(name: str, given: tuple[Any, ...]) -> None:
            nonlocal seen
            if name in _CHANGES or (
                name == "open" and given[1] is not None and given[1] != "r" and not str(given[0]).startswith("/dev/")
            ):
                seen += 1
                if seen == event:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()
        os._exit(0)
    finally:
        os._exit(1)


def killed_after(seconds: float, work: Callable[[], Any]) -> bool:
    """Run ``work`` in a child that is killed after so many seconds, and return whether it was; an error of it is one here."""
    child = _forked()
    if child:
        end = time.monotonic() + seconds
        while (done := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
            time.sleep(0.002)
        if done[0] == 0:
            os.kill(child, signal.SIGKILL)
            done = os.waitpid(child, 0)
        assert os.WIFSIGNALED(done[1]) or os.WEXITSTATUS(done[1]) == 0
        return os.WIFSIGNALED(done[1])
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()  # pytest's own are of the parent
        raise
    finally:
        sys.stderr.flush()
        os._exit(1)


def _forked() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside a fork
        return os.fork()
