"""Keys and counts of rows: uniform, Poisson, and independent between rows, seeds and purposes."""

import numpy as np
import pytest
from scipy import stats

from pyro_mnar.data.shards import keyed_rows
from pyro_mnar.data.shards.keyed_rows import below, counts_of, keys_of
from pyro_mnar.data.shards.labels import hashes_of

N = 40_000


def hashes(kind):
    return hashes_of(np.arange(N) if kind == "numbers" else np.array([f"row {i}" for i in range(N)], object))


@pytest.mark.parametrize("kind", ["numbers", "texts"])
@pytest.mark.parametrize("seed", range(5))
def test_keys_are_uniform_and_those_of_other_purposes_seeds_and_neighbors_have_nothing_to_do_with_them(kind, seed):
    own = hashes(kind)
    first = keys_of(own, seed, "sample") / 2.0**64
    for other in (keys_of(own, seed, "member 0"), keys_of(own, seed + 1, "sample"), np.roll(keys_of(own, seed, "sample"), 1)):
        # Of uniforms the products of deviations have mean 0 and standard deviation 1/12.
        z = ((first - 0.5) * (other / 2.0**64 - 0.5)).sum() / (N**0.5 / 12)
        assert abs(z) < 5
    assert abs((first - 0.5).sum() / (N / 12) ** 0.5) < 5
    cells = np.bincount((first * 64).astype(int), minlength=64)
    assert ((cells - N / 64) ** 2 / (N / 64)).sum() < 63 + 5 * (2 * 63) ** 0.5


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_poisson_with_mean_one(seed):
    found = counts_of(hashes("numbers"), seed, "member 1")
    expected = N * np.exp(-1) / np.array([1, 1, 2, 6, 24])
    cells = np.bincount(found, minlength=5)[:5]
    assert (np.abs(cells - expected) < 5 * expected**0.5).all()
    assert abs((found - 1).sum() / N**0.5) < 5
    other = counts_of(hashes("numbers"), seed, "member 2")
    assert abs(((found - 1) * (other - 1)).sum() / N**0.5) < 5


@pytest.mark.parametrize("wanted", [1, 200, 5000, N, 10 * N])
def test_enough_rows_are_below_the_key_that_is_given_and_not_many_more(wanted):
    for seed in range(20):
        there = int((keys_of(hashes("numbers"), seed, "sample") <= below(N, wanted)).sum())
        assert min(N, wanted) <= there <= wanted + 12 * wanted**0.5 + 80


@pytest.mark.parametrize("wanted", [1, 20, 300, 5000, 10**5])
@pytest.mark.parametrize("rows", [2, 1000, 10**6, 10**9])
def test_too_few_rows_are_below_the_key_once_in_ten_to_the_ninth(rows, wanted):
    """Exact: of uniform keys the number below one is binomial."""
    share = int(below(rows, wanted)) / 2**64
    assert share == 1 or stats.binom.cdf(wanted - 1, rows, share) < 1e-9


def test_a_count_is_the_poisson_quantile_of_its_key(monkeypatch):
    uniforms = np.r_[0.0, np.linspace(0.001, 0.999, 333), 1 - 10.0 ** -np.arange(4, 15)]
    monkeypatch.setattr(keyed_rows, "keys_of", lambda *_: (uniforms * 2**53).astype(np.uint64) << np.uint64(11))
    expected = stats.poisson.ppf(uniforms, 1).clip(0)
    assert counts_of(uniforms, 0, "").tolist() == expected.tolist() and expected.max() > 15


def test_keys_are_those_of_the_label_and_of_nothing_else():
    own, order = hashes("texts"), np.random.default_rng(0).permutation(N)
    np.testing.assert_array_equal(keys_of(own[order], 3, "sample"), keys_of(own, 3, "sample")[order])
    # Known answers: another version of the mixing would train other models.
    assert keys_of(np.array([0, 1], np.uint64), 0, "sample").tolist() == [8453941973257247896, 726654704928510356]
