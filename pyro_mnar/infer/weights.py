r"""Importance weights of many rows at once: effective sample size, and Pareto smoothing with its k-hat.

The largest weights of a row are replaced by the expected order statistics of a generalized Pareto distribution fitted to them. Its
shape k says whether the weights can be trusted: above min(1 - 1 / log10 S, 0.7) their mean converges too slowly for S draws. Source:
Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling", JMLR 25 (2024), arXiv 1507.02646; the fit is that of
Zhang and Stephens, "A new and efficient estimation method for the generalized Pareto distribution", Technometrics 51 (2009). ArviZ
has the same for one row; here all rows go through one tensor program (a test holds the two against each other).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_mnar.distributions.alignment import whole

#: Rows whose sums torch takes in one order, in double precision: four vectors of eight.
_TOGETHER = 32
#: Fewer draws than this have too short a tail for a fit.
LEAST_DRAWS = 100


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """Return 1 / sum of squared normalized weights, (N,), of ``log_weights`` (S, N); from 1 to S.

    Example:
        >>> effective_sample_size(torch.zeros(8, 1)).tolist()
        [8.0]
    """
    return _evenly(log_weights).softmax(0).square().sum(0).reciprocal()[: log_weights.shape[1]]


def pareto_threshold(draws: int) -> float:
    """Return the k-hat above which the weights of ``draws`` draws are not to be trusted.

    Example:
        >>> round(pareto_threshold(500), 3)
        0.629
    """
    return min(1 - 1 / math.log10(draws), 0.7)


def smooth(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return Pareto-smoothed, normalized log weights (S, N) and k-hat (N,).

    Args:
        log_weights: (S, N), S at least 100; float64 inside.

    Raises:
        ValueError: for fewer draws than the fit needs.

    Example:
        >>> smoothed, k = smooth(torch.randn(500, 3))
        >>> torch.allclose(smoothed.exp().sum(0), torch.ones(3, dtype=torch.float64)), k.shape
        (True, torch.Size([3]))
    """
    n_draws = log_weights.shape[0]
    if n_draws < LEAST_DRAWS:
        raise ValueError(f"log_weights: got {n_draws} draws, expected at least {LEAST_DRAWS}")
    log_w = _evenly(log_weights).double()
    log_w = log_w - log_w.amax(0)
    tail = math.ceil(min(0.2 * n_draws, 3 * math.sqrt(n_draws)))
    ordered, order = log_w.sort(0)
    cut = ordered[-tail - 1].exp()
    excess = ordered[-tail:].exp() - cut
    k, sigma = _fit_pareto(excess)
    p = (torch.arange(tail, dtype=log_w.dtype, device=log_w.device).unsqueeze(-1) + 0.5) / tail
    small = k.abs() < 1e-8
    safe = torch.where(small, 1.0, k)
    quantile = torch.where(small, -torch.log1p(-p), torch.expm1(-safe * torch.log1p(-p)) / safe) * sigma
    # Truncated at the largest raw weight (1 after the shift), so that smoothing never makes a weight heavier than any seen.
    smoothed = torch.cat([ordered[:-tail], (cut + quantile).clamp(max=1.0).log()])
    # Weights all alike, but for the rounding of their logarithms, have no tail to fit: nothing to smooth, nothing to distrust.
    flat = excess[-1] <= max(1e-12, 100 * torch.finfo(log_weights.dtype).eps)
    smoothed = torch.where(flat, ordered, smoothed)
    k = torch.where(flat, -torch.inf, k)
    result = torch.empty_like(log_w).scatter(0, order, smoothed)
    n_rows = log_weights.shape[1]
    return result.log_softmax(0)[:, :n_rows].contiguous(), k[:n_rows]


def _evenly(log_weights: Tensor) -> Tensor:
    """Return ``log_weights`` (S, N) with the first row's behind them, so that torch adds up every row's in one order."""
    return log_weights[:, whole(torch.arange(log_weights.shape[1], device=log_weights.device), _TOGETHER)]


def _fit_pareto(excess: Tensor) -> tuple[Tensor, Tensor]:
    """Return (k, sigma), each (N,), of generalized Paretos fitted to ascending ``excess`` (M, N) above zero."""
    n = excess.shape[0]
    excess = excess.clamp_min(torch.finfo(excess.dtype).tiny)
    grid = 30 + int(math.sqrt(n))
    index = torch.arange(1, grid + 1, dtype=excess.dtype, device=excess.device).unsqueeze(-1)
    quartile = excess[int(n / 4 + 0.5) - 1]
    b = (1 - torch.sqrt(grid / (index - 0.5))) / (3 * quartile) + 1 / excess[-1]
    k = torch.log1p(-b.unsqueeze(0) * excess.unsqueeze(1)).mean(0)
    profile = n * (torch.log(-b / k) - k - 1)
    weight = torch.nan_to_num(profile, nan=-torch.inf).softmax(0)
    b_mean = torch.nan_to_num(b * weight).sum(0)
    k_mean = torch.log1p(-b_mean * excess).mean(0)
    # A weak prior at k = 0.5, worth ten observations, steadies short tails.
    return k_mean * n / (n + 10) + 5.0 / (n + 10), -k_mean / b_mean
