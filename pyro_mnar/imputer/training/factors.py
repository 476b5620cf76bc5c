"""How many factors a table of few rows for its columns shows: the latents that its models have unless they are stated.

Of many rows and few columns ten latents are enough, and any that are too many cost little. Of thousands of columns each factor is
seen by hundreds, and every latent too many gives every column one more weight to be learned from few rows. As many are taken as there
are components that stand out from those of the same table with every column's cells shuffled over the rows, each beside that of its
own rank (parallel analysis: Horn 1965, "A rationale and test for the number of factors in factor analysis", Psychometrika 30). Holes
are filled with the column's mean, which makes factors weaker and shuffled components no stronger.

Of tens of columns each factor is seen by few, and components that chance hides still tell of other columns: there twice as many are
taken, ten at most. With as many as are shown the CRPS of three of five tables (``python -m benchmarks.short_tables``) was 3 to 7 %
lower, and that of one, whose columns nearly determine one another, 22 % higher.
"""

from __future__ import annotations

import numpy as np

#: The most factors that are found, and columns from which on there are as many latents.
MOST, MANY = 40, 100
# How often cells are shuffled, and by how much a component stands out.
_SHUFFLES, _BEYOND = 3, 1.05


def latents_of(x: np.ndarray, mask: np.ndarray, most_of_few: int) -> int:
    """Return how many latents the models of a table have, from 1 to ``MOST``; of fewer columns than ``MANY`` to ``most_of_few``.

    The other arguments are those of :func:`factors_of`.
    """
    shown = factors_of(x, mask)
    return shown if x.shape[1] >= MANY else min(2 * shown, most_of_few)


def factors_of(x: np.ndarray, mask: np.ndarray) -> int:
    """Return how many factors a table shows, from 1 to ``MOST``.

    Args:
        x: (N, D) scaled columns; the holes may hold anything.
        mask: (N, D) True = observed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 200)) + rng.normal(size=(50, 200))
        >>> factors_of(x, rng.random(x.shape) < 0.8)
        3
    """
    count = np.maximum(mask.sum(0), 1)
    mean = np.where(mask, x, 0.0).sum(0) / count
    filled = np.where(mask, x - mean, 0.0)
    filled /= np.sqrt((filled**2).sum(0) / count).clip(1e-12)
    rng = np.random.default_rng(0)
    chance = np.mean([_components(rng.permuted(filled, axis=0)) for _ in range(_SHUFFLES)], 0)
    below = np.flatnonzero(_components(filled) <= _BEYOND * chance)
    return int(np.clip(below[0] if len(below) else len(filled), 1, MOST))


def _components(filled: np.ndarray) -> np.ndarray:
    """Return the variances of the components of a table (N, D) of centered columns, more than rows, the largest first."""
    components: np.ndarray = np.linalg.eigvalsh(filled @ filled.T)[::-1]
    return components
