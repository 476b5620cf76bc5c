r"""Rows that count for several, or for less than one: which of them an update sees, and with which weight.

With weights w_n a table stands for sum w_n rows, and what is maximized is their weighted mean bound,

    sum_n w_n bound_n / sum_n w_n.

An update of B rows estimates its gradient from rows drawn uniformly, each times w_n, or from rows drawn in proportion to w_n, all
alike. At the optimum the mean gradient is 0, and second moments are as

    mean(w_n^2 g_n^2) / mean(w_n)^2        to        mean(w_n g_n^2) / mean(w_n):

where gradients g_n do not depend on the weights, the first is N / n_eff times the second, n_eff = (sum w)^2 / sum w^2 (Kish 1965,
"Survey Sampling", section 11.7). So rows are drawn in proportion: an epoch has as many as the table, each row as often as its share of
them, a broken number being rounded up or down at random. That is a systematic sample of a random order (Madow and Madow 1944, "On the
theory of systematic sampling", Annals of Mathematical Statistics 15), and leaves no more to chance than an epoch without weights does.
Where an update has all rows there is nothing to be drawn, and weights are in the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Rows that starting values are looked up in, where weights add to more and there are fewer.
_MOST = 100_000


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of ``values`` (N,) with ``weights`` (N,), None being all alike.

    Example:
        >>> float(weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 1.0])))
        2.0
    """
    return values.mean() if weights is None else values @ weights / weights.sum()


def systematic(weights: Tensor, count: int, start: Tensor | float) -> Tensor:
    """Return ``count`` places of rows, ascending, each as often as its share of ``weights`` (N,), up or down to a whole number.

    Args:
        weights: above 0.
        count: places.
        start: from 0 to below 1; where it is uniform, rows are there as often as their shares on average.

    Example:
        >>> systematic(torch.tensor([1.0, 3.0, 2.0]), 6, 0.5).tolist()
        [0, 1, 1, 1, 2, 2]
    """
    ends = weights.double().cumsum(0)
    points = (torch.arange(count, dtype=torch.float64, device=weights.device) + start) * (ends[-1] / count)
    return torch.searchsorted(ends, points, right=True).clamp_max(len(weights) - 1)


def some_rows(weights: Tensor | None, n_rows: int, most: int) -> tuple[Tensor, Tensor]:
    """Return places of at most so many rows, evenly over a table or as often as their share of it, and what each counts for, float64.

    Args:
        weights: (N,) of the rows, None being 1 each.
        n_rows: N.
        most: the places.

    Example:
        >>> some_rows(None, 6, 3), some_rows(None, 2, 3)
        ((tensor([1, 3, 5]), tensor([2., 2., 2.], dtype=torch.float64)), (tensor([0, 1]), tensor([1., 1.], dtype=torch.float64)))
    """
    each = torch.ones(n_rows).double() if weights is None else weights.double()
    if n_rows <= most:
        return torch.arange(n_rows), each
    return systematic(each, most, 0.5), (each.sum() / most).expand(most)


def repeated(weights: Tensor) -> Tensor:
    """Return places of rows that stand for a table with ``weights`` (N,): of whole numbers each row as often as it counts.

    There are as many as the weights' sum, N at least, and ``_MOST`` where both are more or less.

    Example:
        >>> repeated(torch.tensor([2.0, 1.0])).tolist()
        [0, 0, 1]
    """
    total = round(float(weights.double().sum()))
    return systematic(weights, max(len(weights), min(total, _MOST)), 0.5)


def epoch(count: int, weights: Tensor | None, device: torch.device) -> Tensor:
    """Return places of ``count`` rows in an order of its own, each once, or with ``weights`` (N,) as often as its share."""
    order = torch.randperm(count, device=device)
    if weights is None:
        return order
    drawn = order[systematic(weights[order], count, torch.rand((), device=device))]
    return drawn[torch.randperm(count, device=device)]
