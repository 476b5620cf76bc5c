"""Ctrl-C, SIGTERM and a closed terminal: the command stops, with nothing written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from pyro_mnar.data.files.replacement import replacement

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interruption:
    """What a signal does: it raises a KeyboardInterrupt, unless ``held``, from when on outputs take their places, all or none."""

    def __init__(self) -> None:
        self.held = False
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.held:
            self.signal = number
            raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """The exit code that shells know: 128 and the signal's number."""
        return 128 + (self.signal or signal.SIGINT)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within, signals that end a program interrupt it, but those that its caller had it ignore; afterwards all is as before.

    Example:
        >>> with interruptible() as interruption:
        ...     try:
        ...         signal.raise_signal(signal.SIGTERM)
        ...     except KeyboardInterrupt:
        ...         interruption.code
        143
    """
    found = Interruption()
    ours = threading.current_thread() is threading.main_thread()  # only there can signals be handled
    before = {number: signal.getsignal(number) for number in _SIGNALS if ours}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN and handler is not None}
    try:
        for number in before:
            signal.signal(number, found)
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def placed(interruption: Interruption) -> Iterator[Callable[[str], Path]]:
    """Give what returns another path for each output; what is written there takes the outputs' places at the end, all or none."""
    with ExitStack() as outputs:
        yield lambda path: outputs.enter_context(replacement(Path(path)))
        interruption.held = True
