"""What the command line prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from pyro_mnar.imputation.impute import Imputation
    from pyro_mnar.imputer.imputer import MNARImputer


def notes(sentences: Sequence[str]) -> None:
    """Print sentences on what is not used, on standard error."""
    for sentence in sentences:
        print(f"pyro-mnar: {sentence}", file=sys.stderr)


def printed(options: argparse.Namespace, lines: Sequence[str]) -> None:
    """Print what is said, on standard error where the table goes to standard output."""
    print(*lines, sep="\n", file=sys.stderr if options.output == "-" else sys.stdout)


def said_of(imputer: MNARImputer, result: Imputation, mask: np.ndarray) -> list[str]:
    """Return sentences on an imputation: what columns were taken for, what was assumed, and what was estimated."""
    from pyro_mnar.imputer.points import POINTS
    from pyro_mnar.imputer.summary import assumptions, estimates, kinds_of, shifts

    lines = [*kinds_of(imputer.schema_), *assumptions(imputer), f"Filled with {POINTS[imputer.point]}."]
    lines += [*shifts(imputer, result, mask), *estimates(imputer, result, mask)]
    poor = int(result.unreliable.sum())
    if poor:
        lines.append(f"Importance weights of {poor} of {len(mask)} rows are unreliable (Pareto k above threshold): trust them less.")
    return lines
