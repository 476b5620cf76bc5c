"""A process that is killed (SIGKILL) before a change of files of one's choice."""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

_CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "shutil.rmtree", "ctypes.dlsym")


def killed_at(event: int, work: Callable[[], Any]) -> bool:
    """Run ``work`` in a child that is killed before its ``event``-th change of files, the first being 1, and return whether it was."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside a fork
        child = os.fork()
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
