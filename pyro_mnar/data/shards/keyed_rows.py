"""Random numbers of rows that follow from (seed, purpose, label): the same whatever files, row groups and order the rows stand in.

A label's hash of 64 bits (:func:`~pyro_mnar.data.shards.labels.hashes_of`) is mixed with words of the seed and the purpose by the
finalizer of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA). In the order of these
keys rows are in a random order that each row's own key decides. So the rows of the smallest keys are a simple random sample (bottom-k
sketch; Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches", PODC), and whoever reads the table in parts finds the same
one.

How often a row is in a table that is drawn with replacement is Poisson with mean 1 in the limit of many rows, and independent between
rows (the Poisson bootstrap; Chamandy et al. 2012, "Estimating uncertainty for massive data streams", Google technical report), so that
each row's own key decides that as well.
"""

from __future__ import annotations

import hashlib
from itertools import accumulate
from math import exp, factorial

import numpy as np

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
#: P(count <= k) of a Poisson with mean 1, as far as 53 bits tell the counts apart.
_POISSON = np.array(list(accumulate(exp(-1) / factorial(k) for k in range(18))))


def keys_of(hashes: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Return a key of 64 bits for each row, (N,), uniform and independent between seeds, purposes and rows.

    Args:
        hashes: (N,) of the rows' labels, 64 bits.
        seed: of everything random.
        purpose: what the keys are for, such as ``member 3``.

    Example:
        >>> one = keys_of(np.arange(3, dtype=np.uint64), 0, "sample")
        >>> bool((one == keys_of(np.arange(3, dtype=np.uint64), 0, "sample")).all()), len({*one.tolist()})
        (True, 3)
    """
    word = np.frombuffer(hashlib.blake2b(repr((seed, purpose)).encode(), digest_size=16).digest(), np.uint64)
    found = hashes.astype(np.uint64)
    for own in word:  # twice, so that keys of two purposes are no shift of one another
        found = found ^ own
        found = (found ^ (found >> np.uint64(30))) * _MIX[0]
        found = (found ^ (found >> np.uint64(27))) * _MIX[1]
        found = found ^ (found >> np.uint64(31))
    return found


def counts_of(hashes: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Return how often each row is drawn, (N,) whole numbers, Poisson with mean 1; arguments as of :func:`keys_of`.

    Example:
        >>> counts_of(np.arange(10, dtype=np.uint64), 0, "member 0").dtype
        dtype('int64')
    """
    uniforms = (keys_of(hashes, seed, purpose) >> np.uint64(11)) * 2.0**-53
    return np.searchsorted(_POISSON, uniforms, side="right").astype(np.int64)


def below(rows: int, wanted: int) -> np.uint64:
    """Return a key that ``wanted`` of so many ``rows`` are below, but for one chance in 10^9; the largest where there are fewer.

    Example:
        >>> int(below(10, 20)) == 2**64 - 1, int(below(10**6, 1000)) < 2**64 / 500
        (True, True)
    """
    more = wanted + 6 * wanted**0.5 + 40
    return np.uint64(2**64 - 1) if more >= rows else np.uint64(int(more / rows * 2**64))
