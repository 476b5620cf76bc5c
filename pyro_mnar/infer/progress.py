"""Progress bars on standard error, on a terminal only: one over all of a task, to which the bars of its parts add what they do.

A part on its own has a bar of its own. Within :func:`whole` it has none: it moves the whole's, which knows from :meth:`Whole.expect`
what is still to come and says the time left. Parts that nobody expected make the whole longer. A caller may hear of it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm.auto import tqdm

from pyro_mnar.infer.history import Evaluation

#: What a chunk of rows that is imputed is worth, in training steps of :data:`_ROWS` rows or less.
CHUNK_WORTH = 8.0
_ROWS = 192


class Whole:
    """One bar over a task, counted in training steps.

    Example:
        >>> with whole("fitting", progress=False) as task:
        ...     task.expect(100.0)
        ...     task.bar.total
        100.0
    """

    def __init__(self, said: str, progress: bool) -> None:
        form = "{l_bar}{bar}| {elapsed}<{remaining}"
        self.bar = tqdm(total=0.0, desc=said, disable=None if progress else True, leave=False, bar_format=form)
        self.bar.total, self.expected = 0.0, 0.0

    def expect(self, worth: float) -> None:
        """Say that there will be parts worth so much."""
        self.expected += worth
        self.bar.total += worth

    def say(self, said: str) -> None:
        """Say what is done from now on."""
        self.bar.set_description(said, refresh=True)

    def begin(self, worth: float) -> None:
        """Begin a part of what is expected, or, where less is expected, of more."""
        known = max(0.0, min(worth, self.expected))
        self.expected -= known
        self.bar.total += worth - known


class Part:
    """A part of a whole, as a bar that is not shown."""

    disable = True

    def __init__(self, task: Whole, total: float, worth: float) -> None:
        self.task, self.left, self.worth = task, total * worth, worth
        task.begin(self.left)

    def update(self, n: float = 1) -> None:
        """Say that ``n`` more are done."""
        self.left -= n * self.worth
        self.task.bar.update(n * self.worth)

    def set_postfix(self, **numbers: Any) -> None:
        """Show nothing: of many models these are nobody's numbers."""

    def close(self) -> None:
        """Count what was left out as done: training may stop early."""
        self.task.bar.update(max(0.0, self.left))
        self.left = 0.0

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Of the thread, or of the context, in which a task runs: another thread's task has its own bar.
_current: ContextVar[Whole | None] = ContextVar("pyro_mnar: task", default=None)


@contextmanager
def whole(said: str, progress: bool) -> Iterator[Whole]:
    """Show one bar over everything within, or let the whole around it, if there is one, show it.

    Args:
        said: what is done; a whole around this one says it from then on.
        progress: whether to show it, on a terminal.
    """
    outer = _current.get()
    if outer is not None:
        outer.say(said)
        yield outer
        return
    task = Whole(said, progress)
    token = _current.set(task)
    try:
        yield task
    finally:
        _current.reset(token)
        task.bar.refresh()
        task.bar.close()


def bar(total: int, said: str, unit: str, progress: bool, worth: float = 1.0) -> tqdm | Part:
    """Return a bar over ``total`` parts, its own or a part of the whole's.

    Args:
        total: how many.
        said: what they are.
        unit: the word for one.
        progress: whether to show them at all, on a terminal.
        worth: of each, in training steps.

    Example:
        >>> with whole("all", progress=False) as task:
        ...     with bar(10, "training", "step", progress=True, worth=2.0) as part:
        ...         part.update(4)
        ...     task.bar.total
        20.0
    """
    task = _current.get()
    if task is None or not progress:
        return tqdm(total=total, desc=said, unit=unit, disable=None if progress else True, leave=False)
    return Part(task, total, worth)


def in_whole() -> bool:
    """Return whether a whole shows what is done here."""
    return _current.get() is not None


def also_expect(worth: float) -> None:
    """Say that there will be parts worth so much, of which the whole, if there is one, does not know yet."""
    task = _current.get()
    if task is not None:
        task.expect(worth)


def step_worth(batch_size: int) -> float:
    """Return what a step of training on so many rows is worth.

    Example:
        >>> step_worth(96), step_worth(384)
        (1.0, 2.0)
    """
    return max(1.0, batch_size / _ROWS)


def heard_by(callback: Callable[[Evaluation], None] | None) -> Callable[[Evaluation], None]:
    """Return what is called with each look: ``callback``, or nothing where it is None.

    Raises:
        TypeError: for what cannot be called.
    """
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: got {callback!r:.40}, expected a function of one Evaluation, or None")
    return callback or (lambda _: None)
