r"""Nested R-hat: whether many short chains have forgotten where they started.

Plain R-hat compares chains, and the means of short chains differ however well they mix: it asks for chains that are long, not for many.
Here K superchains are compared, each of M chains that all *started at the same point*. With n-bar_k the mean of superchain k, and m its
chains

    B = var_k(n-bar_k)      W = mean_k( var_m(mean of a chain) + mean_m(var of a chain) )      nested R-hat = sqrt(1 + B / W)

where a variance over one chain or over one draw counts as 0. The variance of a superchain's mean is that of its start, as far as it is
not forgotten, plus that of M chains' noise, which more chains remove: so the number tends to 1 with M once the start is forgotten, even
for a single draw of each chain, and only then. At stationarity B / W is near 1 / (effective draws of a superchain), so 1.01 asks for
some fifty of them. Chains of one superchain that started at different points hide from it what they remember.

Source: Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari and Gelman, "Nested R-hat: assessing the convergence of Markov chain Monte
Carlo when running many short chains", Bayesian Analysis (2024), arXiv 2110.13017.
"""

from __future__ import annotations

from torch import Tensor


def nested_rhat(draws: Tensor, superchains: int) -> Tensor:
    """Return the nested R-hat, (...), of ``draws`` (C, N, ...): C chains of N draws of any quantities; 1 or more.

    Args:
        draws: chains of a superchain follow one another: the first C / K started at one point, the next at another.
        superchains: K, at least 2, a divisor of C.

    Raises:
        ValueError: for another number of superchains, and for one chain of one draw in each, which have no variance within.

    Example:
        >>> import torch
        >>> starts = torch.randn(8, 1, 1).expand(8, 64, 1).reshape(512, 1)  # 8 starts, 64 chains from each, one draw of each
        >>> bool(nested_rhat(starts + 0.1 * torch.randn(512, 1), 8) > 3), bool(nested_rhat(torch.randn(512, 1), 8) < 1.05)
        (True, True)
    """
    if draws.dim() < 2:
        raise ValueError(f"draws: got shape {tuple(draws.shape)}, expected (chains, draws, ...)")
    n_chains, n_draws = draws.shape[:2]
    if superchains < 2 or n_chains % superchains:
        raise ValueError(f"superchains: got {superchains} for {n_chains} chains, expected a divisor of them from 2 up")
    if n_chains == superchains and n_draws == 1:
        raise ValueError("draws: got one chain of one draw in each superchain, expected more chains or more draws")
    nested = draws.double().unflatten(0, (superchains, -1))
    means = nested.mean(2)
    within = nested.var(2).mean((0, 1)) if n_draws > 1 else 0.0
    if n_chains > superchains:
        within = within + means.var(1).mean(0)
    return (1 + means.mean(1).var(0) / within).sqrt()
