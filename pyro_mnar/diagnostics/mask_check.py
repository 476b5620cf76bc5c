r"""Posterior predictive check of the mask: could these holes have come from the fitted mechanism?

For each draw m of the posterior, x^m the completed rows and pi^m_ij the mechanism's P(s_ij = 0 | x^m_i), masks are replicated,
s^rep ~ Bernoulli(pi^m), with the completed values held. Column j's holes are counted over all rows and over the rows of each bin of the
*observed* values of another column k (and over those where k itself is missing), o_b, and compared with what the mechanism expects by

    X^2_jk = sum_b (o_b - e_b)^2 / v_b,      e_b = sum_{i in b} pi_ij,   v_b = sum_{i in b} pi_ij (1 - pi_ij),

turned to the tail probability of a chi-squared of as many degrees as bins, so that pairs of columns are comparable. The p-value of
(j, k) is the share of replicates in which the *least* such probability over all pairs is below that of the data in the same draw: it
allows for all comparisons made (Westfall and Young, "Resampling-based multiple testing", 1993), and for x_mis not being known (Gelman,
Meng and Stern, "Posterior predictive assessment of model fitness via realized discrepancies", Statistica Sinica 6, 1996). As parameters
were fitted to the same masks it errs to the side of no alarm.

A column's own value cannot be looked at: it is never seen where it is missing. A mask that depends on it in another way than the
mechanism says passes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor, nn

from pyro_mnar.infer.checks import check_labels, check_tensor
from pyro_mnar.infer.streams import seeded

# Numbers (replicates x columns x bins) that are held at once while replicating.
_NUMBERS = 2**24


@dataclass(frozen=True)
class MaskCheck:
    """Missing rates of J modeled columns, of the data and replicated, over the rows of B bins of each of K columns.

    Attributes:
        columns: names of the J columns whose masks are modeled.
        by: K names of the columns that bin the rows; the first is None: all rows, in bin 0.
        edges: (K, B - 2) between bins of observed values; the last bin is of the rows where the column is missing.
        counts: (K, B) rows in each bin; of column j's own pair they mean nothing (its p-value is NaN).
        rate: (J, K, B) share of them in which column j is missing; NaN in empty bins.
        replicated: (3, J, K, B) its 5 %, 50 % and 95 % quantiles over replicates.
        p_value: (J, K), allowing for all pairs.
        surprise: (J, K) mean over draws of -log10 of each pair's own tail probability: tells apart what no replicate reached.
        replicates: how many; no p-value is below one over one more.
        levels: name of a column -> its levels, where it has such.
    """

    columns: tuple[Hashable, ...]
    by: tuple[Hashable, ...]
    edges: np.ndarray
    counts: np.ndarray
    rate: np.ndarray
    replicated: np.ndarray
    p_value: np.ndarray
    surprise: np.ndarray
    replicates: int
    levels: Mapping[Any, Sequence[object]] = field(default_factory=dict)

    def worst(self, column: int) -> int:
        """Return the k of the least p-value of the ``column``-th modeled column, of equal ones that of the largest surprise."""
        return int(np.lexsort((-self.surprise[column], self.p_value[column]))[0])  # NaN, a column by itself, comes last

    def where(self, k: int, place: int) -> str:
        """Return in words which rows the ``place``-th bin of the ``k``-th column holds."""
        if k == 0:
            return "all rows"
        edges, last = self.edges[k], len(self.edges[k])
        if place > last:
            return f"where {self.by[k]} is missing"
        if self.by[k] in self.levels:
            low, high = (-np.inf if place == 0 else edges[place - 1]), (np.inf if place == last else edges[place])
            inside = [str(level) for i, level in enumerate(self.levels[self.by[k]]) if low <= i < high]
            return f"{self.by[k]} {', '.join(inside)}"
        if place == 0:
            return f"{self.by[k]} below {edges[0]:.3g}"
        return f"{self.by[k]} from {edges[place - 1]:.3g}" + ("" if place == last else f" to {edges[place]:.3g}")


@torch.no_grad()
def missing_rates(module: nn.Module, completed: Tensor, mask: Tensor) -> Tensor:
    """Return P(s_j = 0 | x), (..., D) like ``completed``, NaN in columns that ``module``'s mechanism does not model.

    Args:
        module: with a ``mechanism``.
        completed: (..., D) rows.
        mask: (..., D) bool, True = observed: of masks that read others each is given all these.

    Raises:
        ValueError: for a module without a mechanism.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), SelfMasking(2, [0]))
        >>> missing_rates(mnar, torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool)).isnan().tolist()[0]
        [False, True]
    """
    owner: Any = module
    if getattr(owner, "mechanism", None) is None:
        raise ValueError("module: got one without a mechanism, expected one (ignorable missingness has no rate)")
    with seeded(0, completed.device):
        rates = owner.missing_rate(completed, mask)
    modeled = torch.zeros(completed.shape[-1], dtype=torch.bool, device=rates.device).index_fill(0, owner.mechanism.columns, True)
    return torch.where(modeled, rates, torch.nan)


def check_mask(
    completed: Tensor,
    rates: Tensor,
    mask: Tensor,
    *,
    columns: Sequence[Hashable] | None = None,
    by: Sequence[int] | None = None,
    bins: int = 5,
    replicates: int = 1000,
    seed: int = 0,
    levels: Mapping[Any, Sequence[object]] | None = None,
) -> MaskCheck:
    """Return the check of ``mask`` against P(missing) of draws of the completed rows.

    Time grows with replicates, rows, modeled columns and columns that bin: name fewer in ``by`` for tables of hundreds of columns.

    Args:
        completed: (M, N, D) draws.
        rates: (M, N, D) P(s = 0 | completed row), NaN in columns whose masks are not modeled; see :func:`missing_rates`.
        mask: (N, D) bool, True = observed.
        columns: D names; positions by default.
        by: positions of the columns that bin the rows; all by default.
        bins: the number of bins of observed values, of about as many rows each.
        replicates: the least number of them; every draw is used equally often.
        seed: the seed of the replicates.
        levels: name of a column -> its levels, where its values are places among such, for words.

    Raises:
        ValueError: for shapes that do not fit, no draws, and no modeled column.

    Example:
        >>> x = torch.randn(20, 300, 2)
        >>> mask = torch.rand(300, 2) < 0.7
        >>> check = check_mask(x, torch.full_like(x, 0.3), mask, columns=["age", "income"])
        >>> check.p_value.shape, bool(np.nanmin(check.p_value) > 0.001)
        ((2, 3), True)
    """
    for name, value in (("completed", completed), ("rates", rates), ("mask", mask)):
        check_tensor(name, value)
    if completed.dim() != 3 or rates.shape != completed.shape or mask.shape != completed.shape[1:] or mask.dtype != torch.bool:
        raise ValueError(
            f"completed, rates, mask: got {tuple(completed.shape)}, {tuple(rates.shape)}, {tuple(mask.shape)} {mask.dtype}, expected "
            "(M, N, D) twice and (N, D) bool"
        )
    if not len(completed) or not mask.shape[0]:
        raise ValueError(f"completed: got {len(completed)} draws of {len(mask)} rows, expected at least 1 of each")
    if bins < 2 or replicates < 1:
        raise ValueError(f"bins, replicates: got {bins} and {replicates}, expected at least 2 and 1")
    modeled = (~rates.isnan().all(0).all(0)).nonzero().squeeze(-1).tolist()
    if not modeled:
        raise ValueError("rates: got NaN in every column, expected at least one whose mask is modeled")
    if rates[..., modeled].isnan().any():
        raise ValueError("rates: got NaN in some cells of a column, expected probabilities, or NaN in the whole column")
    names = list(range(mask.shape[1])) if columns is None else list(columns)
    check_labels("columns", names, mask.shape[1])
    across = list(range(mask.shape[1])) if by is None else list(by)
    edges, member = _bins(completed[0], mask, across, bins)
    counts = member.sum(0)
    pi, flat = rates[..., modeled].double().cpu(), member.flatten(1)
    expected = (pi.mT @ flat).unflatten(-1, counts.shape)
    variance = ((pi * (1 - pi)).mT @ flat).unflatten(-1, counts.shape).clamp_min(1e-9)
    missing = (~mask[:, modeled]).double().cpu()
    observed = (missing.T @ flat).unflatten(-1, counts.shape)
    own = torch.tensor([[k == j for k in (-1, *across)] for j in modeled])
    rounds = -(-replicates // len(pi))
    with seeded(seed):
        drawn = torch.cat([_replicate(pi, flat) for _ in range(rounds)]).unflatten(-1, counts.shape)
    theirs = _least(drawn, expected.repeat(rounds, 1, 1, 1), variance.repeat(rounds, 1, 1, 1), counts, own).flatten(1).amin(1)
    ours = _least(observed, expected, variance, counts, own)
    below = (theirs.unflatten(0, (rounds, -1))[..., None, None] <= ours).sum((0, 1))
    p_value = torch.where(own, torch.nan, (1 + below) / (1.0 + len(theirs)))
    share = torch.quantile(drawn / counts, torch.tensor([0.05, 0.5, 0.95], dtype=drawn.dtype), dim=0)
    return MaskCheck(
        tuple(names[j] for j in modeled),
        (None, *(names[k] for k in across)),
        edges,
        counts.numpy(),
        (observed / counts).numpy(),
        share.numpy(),
        p_value.numpy(),
        (-ours.mean(0) / np.log(10)).numpy(),
        len(theirs),
        levels or {},
    )


def _bins(x: Tensor, mask: Tensor, across: Sequence[int], bins: int) -> tuple[np.ndarray, Tensor]:
    """Return edges (K, bins - 1) and membership (N, K, bins + 1) as 0 and 1, all rows the first of K."""
    edges = np.full((len(across) + 1, bins - 1), np.nan)
    member = torch.zeros(len(x), len(across) + 1, bins + 1, dtype=torch.float64)
    member[:, 0, 0] = 1
    for place, k in enumerate(across, 1):
        seen, values = mask[:, k].cpu().numpy(), x[:, k].double().cpu().numpy()
        place_of = np.full(len(values), bins)
        if seen.any():
            edges[place] = np.quantile(values[seen], np.linspace(0, 1, bins + 1)[1:-1])
            # Ties at an edge go together, so that bins of a discrete column are its values.
            place_of[seen] = np.searchsorted(edges[place], values[seen], side="right")
        member[torch.arange(len(values)), place, torch.from_numpy(place_of)] = 1
    return edges, member


def _replicate(pi: Tensor, flat: Tensor) -> Tensor:
    """Return counts (M, J, K B) of replicated holes, one replicate of each draw ``pi`` (M, N, J), in bins ``flat`` (N, K B)."""
    size = max(1, _NUMBERS // (pi[0].numel() + pi.shape[2] * flat.shape[1]))
    return torch.cat([(torch.rand_like(part) < part).double().mT @ flat for part in pi.split(size)])


def _least(count: Tensor, expected: Tensor, variance: Tensor, counts: Tensor, own: Tensor) -> Tensor:
    """Return the logarithm of the tail probability, (M, J, K), of each pair's X^2; 0 for a column and itself."""
    square = ((count - expected).square() / variance).sum(-1)
    tail = torch.from_numpy(chi2.logsf(square.numpy(), (counts > 0).sum(-1).clamp_min(1).numpy()))
    return torch.where(own, 0.0, tail)
