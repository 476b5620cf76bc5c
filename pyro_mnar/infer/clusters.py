r"""Tables of members where rows were sampled by clusters within strata: so are they drawn.

Of the n_h clusters of a stratum n_h - 1 are drawn with replacement, and each counts as often as it is drawn times n_h / (n_h - 1). A
weighted total then varies between members by its linearized variance (Rao and Wu 1988, "Resampling inference with complex survey data",
Journal of the American Statistical Association 83, with their m_h = n_h - 1), where n_h draws would leave out an n_h-th of it: of two
clusters half.
"""

from __future__ import annotations

import numpy as np


def by_clusters(units: np.ndarray, seed: int) -> np.ndarray:
    """Return how much each row counts, (N,), in a table whose clusters are drawn.

    Args:
        units: (2, N) each row's stratum and cluster, whole numbers from 0, a cluster within one stratum, a stratum of two or more.
        seed: of the table.

    Example:
        >>> sorted(set(by_clusters(np.array([[0, 0, 0, 0], [0, 0, 1, 1]]), seed=0).tolist()))
        [0.0, 2.0]
    """
    rng, counts = np.random.default_rng(seed), np.zeros(int(units[1].max()) + 1)
    of_cluster = np.zeros(len(counts), int)
    of_cluster[units[1]] = units[0]
    for h in range(int(units[0].max()) + 1):
        own = np.flatnonzero(of_cluster == h)
        n = len(own)
        counts[own] = rng.multinomial(n - 1, np.full(n, 1 / n)) * (n / (n - 1))
    counted: np.ndarray = counts[units[1]]
    return counted
