"""What the command line prints: results on standard output, notes on standard error, once there is no bar any more."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def open_streams() -> Iterator[None]:
    """Have standard streams that are closed (``>&-``) take what is printed, and lose it: Python would print on the other, or fail.

    Example:
        >>> with redirect_stdout(None), open_streams():
        ...     print("lost")
    """
    with ExitStack() as stack:
        for stream, redirected in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None:
                stack.enter_context(redirected(stack.enter_context(open(os.devnull, "w"))))
        yield


def note(options: argparse.Namespace, sentences: Sequence[str]) -> None:
    """Print sentences on standard error."""
    options.task.bar.close()
    for sentence in sentences:
        print(f"pyro-mnar: {sentence}", file=sys.stderr)


def say(options: argparse.Namespace, lines: Sequence[str]) -> None:
    """Print what is said, on standard error where the table goes to standard output."""
    options.task.bar.close()
    print(*lines, sep="\n", file=sys.stderr if getattr(options, "output", None) == "-" else sys.stdout)
