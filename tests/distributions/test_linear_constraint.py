"""Linear rules as a constraint: exact for two numbers, batches of any shape, shapes that are refused."""

from __future__ import annotations

import pytest
import torch

from pyro_mnar.distributions import LinearConstraint


def test_rows_obey_to_the_last_bit() -> None:
    ordered = LinearConstraint(torch.tensor([[-1.0, 1.0, 0.0]]).double(), torch.zeros(1).double())
    x = torch.randn(4, 50, 3, generator=torch.Generator().manual_seed(0)).double()
    assert (ordered.check(x) == (x[..., 1] <= x[..., 0])).all()
    x[..., 1] = x[..., 0]
    assert ordered.check(x).all() and not ordered.check(x.index_fill(-1, torch.tensor([1]), 9.0)).any()
    x[..., 1] = x[..., 0].nextafter(torch.tensor(torch.inf).double())
    assert not ordered.check(x).any()


def test_equalities_and_an_observed_site() -> None:
    total = LinearConstraint(torch.zeros(0, 3), torch.zeros(0), torch.tensor([[1.0, 1.0, -1.0]]), torch.zeros(1))
    assert total.check(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]])).tolist() == [True, False]
    near = LinearConstraint(torch.zeros(0, 1), torch.zeros(0), torch.ones(1, 1), torch.ones(1), tolerance=0.1)
    assert near.check(torch.tensor([[1.05], [1.2]])).tolist() == [True, False]


def test_shapes() -> None:
    for arguments in (
        (torch.ones(2), torch.ones(2)),
        (torch.ones(2, 3), torch.ones(3)),
        (torch.ones(2, 3), torch.ones(2), torch.ones(1, 3)),
        (torch.ones(2, 3), torch.ones(2), torch.ones(1, 2), torch.ones(1)),
    ):
        with pytest.raises(ValueError, match="^(matrix|equal)"):
            LinearConstraint(*arguments)
