r"""Convergence of many quantities at once: rank-normalized split R-hat and the bulk effective sample size.

Draws are replaced by the normal quantiles of their ranks over all chains, each chain is split in halves, and the classical formulas
are applied: R-hat is the root of the pooled variance over that within halves (here the larger of the draws' and of their distances'
from the median), the effective sample size divides by the autocorrelation time, summed over Geyer's initial monotone sequence. Source:
Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and localization", Bayesian Analysis 16 (2021), arXiv
1903.08008. ArviZ has the same for one quantity; here all go through one tensor program (a test holds the two against each other).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Fewer draws of a chain than this cannot be judged.
LEAST_DRAWS = 4


def rhat(draws: Tensor) -> Tensor:
    """Return the rank-normalized split R-hat, (...), of ``draws`` (C, M, ...); NaN of a quantity that is not finite.

    Raises:
        ValueError: for fewer than four draws.

    Example:
        >>> bool((rhat(torch.randn(4, 500, 3)) < 1.02).all()), bool(rhat(torch.randn(4, 500) + torch.arange(4.0)[:, None]) > 1.2)
        (True, True)
    """
    flat = _halves(draws)
    ordered, last = flat.flatten(1).sort(-1).values, flat[0].numel() - 1
    folded = (flat - 0.5 * (ordered[:, last // 2] + ordered[:, (last + 1) // 2])[:, None, None]).abs()
    value = torch.maximum(_split_rhat(_normal_ranks(flat)), _split_rhat(_normal_ranks(folded)))
    return _finite_only(value, flat).reshape(draws.shape[2:])


def ess(draws: Tensor) -> Tensor:
    """Return the bulk effective sample size, (...), of ``draws`` (C, M, ...), of all chains together; NaN where not finite.

    Raises:
        ValueError: for fewer than four draws.

    Example:
        >>> bool((ess(torch.randn(4, 1000, 3)) > 3000).all()), bool(ess(torch.randn(4, 1000).cumsum(1)) < 50)
        (True, True)
    """
    flat = _halves(draws)
    return _finite_only(_effective(_normal_ranks(flat)), flat).reshape(draws.shape[2:])


def _halves(draws: Tensor) -> Tensor:
    """Return (Q, 2 C, M // 2): every quantity's chains in halves; the middle draw of an odd number is left out."""
    n = draws.shape[1]
    if n < LEAST_DRAWS:
        raise ValueError(f"draws: got {n} of each chain, expected at least {LEAST_DRAWS}")
    chains = draws.detach().reshape(*draws.shape[:2], -1).permute(2, 0, 1).double()
    return torch.cat([chains[..., : n // 2], chains[..., n - n // 2 :]], 1)


def _finite_only(value: Tensor, flat: Tensor) -> Tensor:
    return torch.where(flat.isfinite().flatten(1).all(-1), value, torch.nan)


def _normal_ranks(flat: Tensor) -> Tensor:
    values = flat.flatten(1).contiguous()
    ordered = values.sort(-1).values
    # A rejected step repeats its draw: ties share their mean rank.
    rank = 0.5 * (torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True) + 1).double()
    return torch.special.ndtri((rank - 0.375) / (values.shape[-1] + 0.25)).reshape(flat.shape)


def _split_rhat(flat: Tensor) -> Tensor:
    n = flat.shape[-1]
    within, between = flat.var(-1).mean(-1), flat.mean(-1).var(-1)
    # Draws all alike have neither.
    return torch.where((within == 0) & (between == 0), 1.0, (between / within + (n - 1) / n).sqrt())


def _effective(flat: Tensor) -> Tensor:
    _, n_chains, n = flat.shape
    spectrum = torch.fft.rfft(flat - flat.mean(-1, keepdim=True), 2 * n)
    covariance = torch.fft.irfft(spectrum.abs().square(), 2 * n)[..., :n].mean(1) / n
    within = covariance[:, :1] * n / (n - 1)
    total = covariance[:, :1] + flat.mean(-1).var(-1).unsqueeze(-1)
    rho = 1 - (within - covariance) / total
    rho[:, 0] = 1.0
    # Sums of neighbors are positive and fall; from the first that is not, all is noise. The last is never used.
    n_pairs = max(1, (n - 1) // 2)
    pairs = rho[:, : 2 * n_pairs].reshape(len(rho), n_pairs, 2)
    sums = pairs.sum(-1)
    counted = (sums > 0).to(torch.int8).cumprod(-1).bool()
    counted[:, -1] = False
    first_out = counted.sum(-1, keepdim=True)
    edge = pairs[..., 0].gather(-1, first_out).clamp(min=0.0).squeeze(-1)
    time = -1 + 2 * torch.where(counted, sums.cummin(-1).values, 0.0).sum(-1) + edge
    size = n_chains * n
    return torch.where(total[:, 0] == 0, size, size / time.clamp(min=1 / math.log10(size)))
