"""What torch and Pyro keep for a whole process or thread, and calls that must not depend on it.

Torch's global generator, its default dtype, and Pyro's stack of handlers are one for all threads of a process: two fits at once would
draw from one generator and find each other's plates. What uses them holds ``ALONE``. They take turns:
who waits for it waits for what is being done, a member of an ensemble at most, and not for a whole fit. More threads are no faster,
more processes are (``n_jobs``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Turns:
    """A reentrant lock that goes to a thread that waits for it before the one that gives it back has it again.

    ``threading.RLock`` goes to whoever asks first, and that is the thread that is running, time and again.
    """

    def __init__(self) -> None:
        # Who waits holds the gate: a thread that comes back stands behind it.
        self._lock, self._gate, self._owner, self._depth = threading.RLock(), threading.Lock(), 0, 0

    def acquire(self) -> None:
        """Wait for it, unless this thread has it."""
        me = threading.get_ident()
        if self._owner == me:
            self._lock.acquire()
        else:
            with self._gate:
                self._lock.acquire()
            self._owner, self._depth = me, 0
        self._depth += 1

    def release(self) -> None:
        """Give it back, as often as it was acquired."""
        self._depth -= 1
        if not self._depth:
            self._owner = 0
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


#: Held by whoever draws from torch's global generator, or has a handler on Pyro's stack.
ALONE = Turns()


def as_usual(call: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Let ``call`` run with gradients allowed, outside inference mode, and in single precision by default, whatever surrounds it.

    Where the default is another dtype it is put back afterwards, and no other such call runs meanwhile.

    Example:
        >>> with torch.no_grad():
        ...     torch.is_grad_enabled(), as_usual(torch.is_grad_enabled)()
        (False, True)
    """

    @wraps(call)
    def usual(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        with torch.inference_mode(False), torch.enable_grad():
            with ALONE:  # while it is held no other thread has changed the default for a time
                default = torch.get_default_dtype()
                if default != torch.float32:
                    torch.set_default_dtype(torch.float32)
                    try:
                        return call(*args, **kwargs)
                    finally:
                        torch.set_default_dtype(default)
            return call(*args, **kwargs)

    return usual
