"""Batched R-hat and effective sample size against ArviZ's, one quantity at a time."""

import arviz
import numpy as np
import pytest
import torch

from pyro_mnar.mcmc.convergence import ess, rhat


def chains(seed, c, m, memory):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(c, m))
    for t in range(1, m):
        noise[:, t] += memory * noise[:, t - 1]
    return noise


CASES = [(c, m, memory) for c in (1, 2, 4) for m in (4, 5, 37, 400) for memory in (-0.7, 0.0, 0.5, 0.98)]


@pytest.mark.parametrize(("c", "m", "memory"), CASES)
def test_they_are_arviz(seed, c, m, memory):
    draws = np.stack([chains(seed * 10 + i, c, m, memory) for i in range(6)], -1)
    draws[..., 4] += 2 * np.arange(c)[:, None]  # chains in different places
    draws[:, 1:, 5] = np.where(np.arange(1, m) % 3 == 0, draws[:, :-1, 5], draws[:, 1:, 5])  # repeated draws
    ours = rhat(torch.from_numpy(draws)), ess(torch.from_numpy(draws))
    for i in range(6):
        if c > 1:  # of one chain ArviZ says nothing
            assert float(ours[0][i]) == pytest.approx(float(arviz.rhat(draws[..., i], method="rank")), rel=1e-9)
        assert float(ours[1][i]) == pytest.approx(float(arviz.ess(draws[..., i], method="bulk")), rel=1e-9)


def test_one_chain_is_judged_by_its_halves(seed):
    draws = torch.randn(1, 400, generator=torch.Generator().manual_seed(seed)).double()
    assert 0.99 < rhat(draws) < 1.03 and rhat(draws + torch.linspace(0, 3, 400)) > 1.3


def test_shapes_and_what_is_not_finite():
    draws = torch.randn(3, 20, 2, 5)
    draws[1, 3, 0, 2] = torch.nan
    for value in (rhat(draws), ess(draws)):
        assert value.shape == (2, 5) and value.isnan().nonzero().tolist() == [[0, 2]]


def test_what_never_moves():
    still = torch.ones(4, 50, 1)
    assert rhat(still).item() == 1
    apart = still * torch.arange(4.0)[:, None, None]
    assert rhat(apart).item() > 10


def test_too_few_draws():
    with pytest.raises(ValueError, match="draws: got 3"):
        rhat(torch.randn(2, 3))
