"""What torch and Pyro keep for a whole process or thread, and calls that must not depend on it.

Torch's global generator, its default dtype, and Pyro's stack of handlers are one for all threads of a process: two fits at once would
draw from one generator and find each other's plates. What uses them holds ``ALONE``. A thread that waits for it waits for one member of
an ensemble (or one chunk of rows), not for a whole fit. More threads are no faster, more processes are (``n_jobs``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

#: Held by whoever draws from torch's global generator, or has a handler on Pyro's stack.
ALONE = threading.RLock()

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


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
