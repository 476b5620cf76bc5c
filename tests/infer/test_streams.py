"""Streams of randomness: a row's draws are its own."""

import pyro
import pytest
import torch

from pyro_mnar.infer.particles import Particles
from pyro_mnar.infer.streams import RowStreams
from pyro_mnar.models.laws import PrecisionNormal

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


def test_labels_of_another_number_than_the_rows_are_refused():
    with pytest.raises(ValueError, match="site 'z': got batch shape"):
        drawn([0, 1], ["a"])
