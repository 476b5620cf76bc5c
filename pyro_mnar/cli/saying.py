"""What the command line prints: results on standard output, notes on standard error, once there is no bar any more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def note(options: argparse.Namespace, sentences: Sequence[str]) -> None:
    """Print sentences on standard error."""
    options.task.bar.close()
    for sentence in sentences:
        print(f"pyro-mnar: {sentence}", file=sys.stderr)


def say(options: argparse.Namespace, lines: Sequence[str]) -> None:
    """Print what is said, on standard error where the table goes to standard output."""
    options.task.bar.close()
    print(*lines, sep="\n", file=sys.stderr if getattr(options, "output", None) == "-" else sys.stdout)
