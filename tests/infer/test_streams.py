"""Streams of randomness: a row's draws are its own."""

import hashlib

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import Z_MAX, z_score

from pyro_mnar.distributions.continuous import PrecisionNormal
from pyro_mnar.infer.particles import Particles
from pyro_mnar.infer.streams import RowStreams, distinct

ROOT, LOC = torch.randn(4, 3, 3).double(), torch.randn(4, 3).double()


def law(rows):
    return PrecisionNormal.of(LOC[rows], ROOT[rows] @ ROOT[rows].mT + torch.eye(3).double())


def drawn(rows, labels, seed=0):
    with RowStreams(seed, labels), Particles(5) as seen, pyro.plate("rows", len(rows), dim=-1):
        pyro.sample("z", law(rows))
    return seen.trace.nodes["z"]["value"]


def test_a_normal_by_its_precision_is_drawn_from_each_row_s_own_stream():
    draws = drawn([0, 1, 2, 3], ["a", "b", "c", "d"])
    assert draws.shape == (5, 4, 3)
    noise = RowStreams(0, ["a", "b", "c", "d"]).normal("z", 5, (3,), LOC)
    torch.testing.assert_close(draws, law([0, 1, 2, 3]).from_normals(noise))
    torch.testing.assert_close(drawn([2, 0], ["c", "a"]), draws[:, [2, 0]])
    # Equal rows of different names, one row under another seed, one row's particles: all independent.
    twins = drawn([1, 1], ["b", "other"])
    torch.testing.assert_close(twins[:, 0], draws[:, 1])
    assert not torch.isclose(twins[:, 0], twins[:, 1]).any()
    assert not torch.isclose(drawn([1], ["b"], seed=1)[:, 0], draws[:, 1]).any()
    assert not torch.isclose(draws[0], draws[1]).any()


def test_rows_of_one_label_have_streams_of_their_own_and_text_is_no_number():
    def first(*labels):
        return RowStreams(0, labels).normal("z", 1, (), torch.zeros(()).double())[0].tolist()

    alone = dict(zip((1, "1", "a"), first(1, "1", "a"), strict=True))
    again = distinct([1, "1", "a", np.int64(1), "1", "a", 1])
    assert (
        again[:3] == [1, "1", "a"]
        and distinct(again) == again
        and [str(label) for label in again[3:]]
        == [
            "1 (2)",
            "'1' (2)",
            "'a' (2)",
            "1 (3)",
        ]
    )
    draws = first(*again)
    assert draws[:3] == list(alone.values()) and len(set(draws)) == 7
    # Today's first rows are tomorrow's, whatever comes after them, and a number is the same in any type.
    assert (
        distinct(again + again)[:7] == again and first(np.int64(1)) == [alone[1]] and distinct([float("nan")] * 2)[1:] != [float("nan")]
    )
    assert [hash(label) for label in distinct([(1, "a"), (1, "a"), None, True])]


@pytest.mark.parametrize("draws", [100, 256])
def test_no_pair_of_dimensions_has_more_error_than_of_independent_draws(draws):
    """The variance of mean(z_i z_j) over rows is at most 1 / draws, in all pairs of forty dimensions; of mean(z_i) it is far less."""
    rows = 1500
    z = RowStreams(0, range(rows)).normal("z", draws, (40,), torch.zeros(()).double()).transpose(0, 1)
    squares = (z.mT @ z / draws).square() * draws
    ratio = squares.mean(0).fill_diagonal_(0)
    # Independent draws of two columns of given values, which a hypercube's are, have draws / (draws - 1).
    excess = z_score(squares, draws / (draws - 1)).fill_diagonal_(0)
    assert float(excess.max()) < Z_MAX, f"{float(ratio.max())} in dimensions {divmod(int(ratio.argmax()), 40)}"
    assert float(z.mean(1).square().mean(0).max()) < 0.1 / draws
    # Exactly normal, each.
    assert float(z_score((z[:, 0] < 0.5).double(), torch.special.ndtr(torch.tensor(0.5).double())).abs().max()) < Z_MAX


def test_sites_of_many_dimensions_leave_those_after_them_evenly_spread_and_independent():
    streams, like, n = RowStreams(0, ["a"]), torch.zeros(()).double(), 1024
    first, wide, second = (streams.normal(name, n, event, like)[:, 0] for name, event in (("z", (2,)), ("w", (70,)), ("n", (2, 2))))
    assert wide.shape == (n, 70) and second.shape == (n, 2, 2)
    every = torch.cat([first, wide, second.flatten(1)], -1)
    assert float(every.mean(0).abs().max()) < 0.5 / n**0.5
    assert float((every.T @ every / n - torch.eye(76)).abs().max()) < Z_MAX / n**0.5
    # Again: the same draws. Fewer: the first of them in the dimensions of the sequence, which has no number of its own.
    assert torch.equal(streams.normal("w", n, (70,), like)[:, 0], wide)
    assert torch.equal(streams.normal("z", 10, (2,), like)[:, 0], first[:10])
    assert streams.normal("empty", 5, (0,), like).shape == (5, 1, 0)


def test_labels_of_another_number_than_the_rows_are_refused():
    with pytest.raises(ValueError, match="site 'z': got batch shape"):
        drawn([0, 1], ["a"])


def test_sites_of_a_row_are_independent_of_one_another_and_evenly_spread_each():
    def model():
        with pyro.plate("rows", 40, dim=-1):
            a = pyro.sample("a", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            b = pyro.sample("b", dist.Normal(torch.zeros(40, 3).double(), 1.0).to_event(1))
        return torch.cat([a, b], -1)

    particles = 1024
    with RowStreams(0, range(40)), Particles(particles):
        draws = model()
    standard = draws.transpose(0, 1)
    # The mean of evenly spread draws is far closer than that of independent ones, 1 / 32.
    assert float(standard.mean(1).square().mean().sqrt()) < 0.25 / particles**0.5
    for row in standard:
        moments = row.T @ row / particles
        assert float((moments - torch.eye(5)).abs().max()) < Z_MAX / particles**0.5


def test_uniforms_are_the_words_of_a_published_hash_of_seed_label_and_site():
    """SHAKE128 (FIPS 202), of which the empty message's first bytes are NIST's known answer; draws once given stay what they are."""
    assert hashlib.shake_128(b"").hexdigest(8) == "7f9c2ba4e88f827d"
    like = torch.zeros(()).double()
    found = RowStreams(5, ["a", 3]).uniform("z", 2, (3,), like)
    for row, label in enumerate(("'a'", "3")):
        words = np.frombuffer(hashlib.shake_128(repr((5, label, "z")).encode()).digest(24), "<u4").reshape(2, 3)
        np.testing.assert_allclose(found[:, row], (words // 2**8 + 0.5) / 2**24, rtol=1e-7)
    assert torch.equal(RowStreams(5, ["a", 3]).uniform("z", 9, (3,), like)[:2], found)
    word = int.from_bytes(hashlib.shake_128(repr((5, "'a'", "")).encode()).digest(8), "little")
    assert RowStreams(5, ["a", 3]).first_seed() == word // 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_uniform_is_zero_or_one(dtype, monkeypatch):
    for byte, expected in ((b"\x00", 2.0**-25), (b"\xff", 1 - 2.0**-24)):
        monkeypatch.setattr(RowStreams, "_bytes", lambda self, site, size, byte=byte: byte * size)
        assert RowStreams(0, ["a"]).uniform("z", 1, (1,), torch.zeros((), dtype=dtype)).item() == expected


def test_uniforms_are_uniform_and_independent_over_rows_sites_draws_and_seeds():
    rows, draws, like = 400, 50, torch.zeros(()).double()
    streams = RowStreams(0, range(rows))
    u = torch.stack(
        [streams.uniform(site, draws, (2,), like) for site in "ab"] + [RowStreams(1, range(rows)).uniform("a", draws, (2,), like)]
    )
    assert float(u.min()) > 0 and float(u.max()) < 1
    centered = (u - 0.5) * 12**0.5
    for power, mean in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 1.8)):
        moments = (centered**power).flatten()
        assert abs(float((moments.mean() - mean) / (moments.std() / len(moments) ** 0.5))) < Z_MAX
    # Neighbors along each of site or seed, draw, row and coordinate: products have mean 0 and variance 1.
    for dim in range(4):
        products = centered.narrow(dim, 0, centered.shape[dim] - 1) * centered.narrow(dim, 1, centered.shape[dim] - 1)
        assert abs(float(products.mean())) * products.numel() ** 0.5 < Z_MAX, dim
    counts = torch.histc(u, 64, 0, 1)
    chi2 = float(((counts - u.numel() / 64) ** 2 / (u.numel() / 64)).sum())
    assert abs((chi2 - 63) / (2 * 63) ** 0.5) < Z_MAX


def test_dimensions_beyond_the_sequence_are_dealt_out_in_every_order_alike():
    """The first of three draws is the lowest in a third of the rows, in each dimension, and each of six orders as frequent."""
    rows = 3000
    z = RowStreams(0, range(rows)).normal("z", 3, (9,), torch.zeros(()).double())[..., 7:]
    orders = z.argsort(0)
    for dim in range(2):
        counts = np.unique(orders[..., dim].numpy(), axis=1, return_counts=True)[1]
        assert len(counts) == 6 and ((counts - rows / 6) ** 2 / (rows / 6)).sum() < 32  # of chi-square: 6 in a million
    # One draw in each third, moved within it by the row's own uniform.
    cells = (torch.special.ndtr(z) * 3).floor().sort(0).values
    assert torch.equal(cells, torch.arange(3.0).double().reshape(3, 1, 1).expand(cells.shape))


@pytest.mark.parametrize("law", [dist.Laplace, dist.Gumbel, dist.Cauchy, dist.Uniform, dist.LogNormal])
def test_draws_by_an_inverse_have_the_type_of_the_law_whatever_torch_s_default_is(law):
    def draws(dtype, default):
        before = torch.get_default_dtype()
        torch.set_default_dtype(default)
        try:
            with RowStreams(0, "abc"), Particles(5) as seen, pyro.plate("rows", 3, dim=-1):
                pyro.sample("z", law(torch.zeros(3, 2, dtype=dtype), torch.ones(3, 2, dtype=dtype)).to_event(1))
        finally:
            torch.set_default_dtype(before)
        return seen.trace.nodes["z"]["value"]

    for dtype in (torch.float32, torch.float64):
        found = [draws(dtype, default) for default in (torch.float32, torch.float64)]
        assert found[0].dtype == found[1].dtype == dtype
        torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
