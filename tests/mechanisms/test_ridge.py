"""Many ridge regressions at once, against each solved by itself."""

import time

import pytest
import torch

from pyro_mnar.mechanisms import ridge
from pyro_mnar.mechanisms.ridge import predictions
from pyro_mnar.mechanisms.starts import contrasts


def table(n_rows, n_columns):
    """Return features (N, 2 D) of related columns and the mask (N, D) behind them."""
    x = torch.randn(n_rows, 3).double() @ torch.randn(3, n_columns).double() + torch.randn(n_rows, n_columns)
    mask = torch.rand(n_rows, n_columns) > 0.3
    mask[:, 0] = x[:, 0] < 0.5
    return torch.cat([torch.where(mask, x, 0.0), (~mask).double()], -1), mask


def alone(features, mask, j):
    """Return the predictions (N,) of one column: its regression's normal equations, solved by themselves."""
    n_columns = mask.shape[1]
    others = features[:, [k for k in range(2 * n_columns) if k % n_columns != j]]
    seen = mask[:, j]
    centered = others[seen] - others[seen].mean(0)
    gram = centered.T @ centered + torch.eye(centered.shape[1]).double()
    return others @ torch.linalg.solve(gram, centered.T @ features[seen, j])


# More features than rows; more rows than features, by elimination and by conjugate gradients; blocks of one column.
@pytest.mark.parametrize(
    ("shape", "many", "numbers"), [((30, 20), 200, 2**22), ((200, 20), 200, 2**22), ((200, 20), 10, 1), ((30, 20), 1, 1)]
)
def test_each_column_is_predicted_as_by_a_regression_of_its_own(shape, many, numbers, monkeypatch):
    monkeypatch.setattr(ridge, "_MANY", many)
    monkeypatch.setattr(ridge, "_NUMBERS", numbers)
    features, mask = table(*shape)
    columns = torch.tensor([0, 3, 7, 19])
    found, wanted = predictions(features, mask, columns), torch.stack([alone(features, mask, j) for j in columns.tolist()], -1)
    apart = (found - found.mean(0)) - (wanted - wanted.mean(0))
    assert float(apart.abs().max() / wanted.std()) < 1e-6


def test_rounds_are_few(monkeypatch):
    monkeypatch.setattr(ridge, "_MANY", 10)
    features, mask = table(400, 50)
    by_rounds = predictions(features, mask, torch.arange(50))
    monkeypatch.setattr(ridge, "_ROUNDS", 60)
    assert torch.equal(predictions(features, mask, torch.arange(50)), by_rounds)


def test_1500_columns_of_60_rows_take_no_1500_regressions():
    features, mask = table(60, 1500)
    start = time.process_time()
    found = contrasts(features[:, :1500], mask)
    assert time.process_time() - start < 5 and bool(found.isfinite().all())
