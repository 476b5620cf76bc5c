"""Nested R-hat: its definition, by loops; what it sees that plain R-hat of short chains does not; what it refuses."""

import arviz
import numpy as np
import pytest
import torch
from exact import Z_MAX

from pyro_mnar.mcmc.nested_rhat import nested_rhat


def by_definition(draws, k):
    """Of one quantity, ``draws`` (C, N), as the paper writes it: sums over superchains, chains and draws."""
    c, n = draws.shape
    m = c // k
    overall, between, within = draws.mean(), 0.0, 0.0
    for superchain in range(k):
        own = draws[superchain * m : (superchain + 1) * m]
        between += (own.mean() - overall) ** 2 / (k - 1)
        among = sum((chain.mean() - own.mean()) ** 2 for chain in own) / (m - 1) if m > 1 else 0.0
        inside = sum(((chain - chain.mean()) ** 2).sum() / (n - 1) for chain in own) / m if n > 1 else 0.0
        within += (among + inside) / k
    return np.sqrt(1 + between / within)


@pytest.mark.parametrize(("k", "m", "n"), [(2, 3, 5), (4, 1, 7), (3, 6, 1), (5, 2, 2)])
def test_it_is_its_definition(k, m, n, seed):
    rng = np.random.default_rng(seed)
    draws = rng.normal(size=(k * m, n, 3)) + rng.normal(size=(k * m, 1, 3))
    ours = nested_rhat(torch.from_numpy(draws), k)
    np.testing.assert_allclose(ours, [by_definition(draws[..., q], k) for q in range(3)], rtol=1e-12)


def test_two_superchains_worked_by_hand():
    # Means 1 and 5: B = 8. Chains of a superchain at -1, +1 about its mean: W = 2.
    assert float(nested_rhat(torch.tensor([[0.0], [2.0], [4.0], [6.0]]), 2)) == pytest.approx(5**0.5)


def autoregression(rng, starts, chains, draws, memory):
    """Chains (K M, N) of a stationary N(0, 1), M from each of K starts: x' = memory x + sqrt(1 - memory^2) e."""
    x = np.repeat(starts, chains)
    kept = []
    for _ in range(draws):
        x = memory * x + np.sqrt(1 - memory**2) * rng.normal(size=len(x))
        kept.append(x)
    return torch.from_numpy(np.stack(kept, 1))


def test_many_short_chains_alarm_plain_rhat_however_well_they_mix_and_nested_only_if_they_remember_their_start(seed):
    rng = np.random.default_rng(seed)
    starts = 5 * rng.normal(size=16)
    draws = 5
    # The fifth draw of a chain that keeps .9 of its past: slow, and still at .6 of its start at the fifth step.
    early = autoregression(rng, starts, 256, draws, 0.9)
    late = autoregression(rng, starts, 256, 60, 0.9)[:, -draws:]
    with pytest.warns(UserWarning, match="More chains"):
        plain = [float(arviz.rhat({"x": run.numpy()}, method="split").x) for run in (early, late)]
    nested = [float(nested_rhat(run, 16)) for run in (early, late)]
    assert min(plain) > 1.5  # alarm, before and after
    assert nested[0] > 1.5 and nested[1] < 1.01


def test_chains_of_one_superchain_that_start_apart_hide_what_they_remember(seed):
    """Why a superchain needs one start: with 16 chains each started anew, the same bias is averaged away."""
    rng = np.random.default_rng(seed)
    together = autoregression(rng, 5 * rng.normal(size=16), 64, 1, 0.9)
    apart = autoregression(rng, 5 * rng.normal(size=16 * 64), 1, 1, 0.9)
    assert nested_rhat(together, 16) > 2 and nested_rhat(apart, 16) < 1.05


def test_at_stationarity_it_tells_the_effective_draws_of_a_superchain(seed):
    """E[B / W] = 1 / (M N) for independent draws, by the definition; over many quantities."""
    k, m, n = 8, 16, 4
    rng = np.random.default_rng(seed)
    draws = torch.from_numpy(rng.normal(size=(k * m, n, 4000)))
    ratio = nested_rhat(draws, k).square() - 1
    # The W of n independent draws is 1 + 1 / n, the variance of a draw and of a chain's mean.
    exact = 1 / (m * n) / (1 + 1 / n)
    assert abs((ratio.mean() - exact) / (ratio.std() / 4000**0.5)) < Z_MAX + 1  # and W's own noise, a hundredth of it


@pytest.mark.parametrize(
    ("shape", "superchains", "said"),
    [
        ((4,), 2, "draws: got shape"),
        ((4, 3), 1, "superchains: got 1"),
        ((4, 3), 3, "superchains: got 3"),
        ((4, 1), 4, "one chain of one"),
    ],
)
def test_what_cannot_be_judged_is_refused(shape, superchains, said):
    with pytest.raises(ValueError, match=said):
        nested_rhat(torch.zeros(shape), superchains)
