"""Where mechanisms start: moments of what was seen, and where other columns say that the missing values lie."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def observed_moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (D,) of each column's observed values; 0 where there are none."""
    count = mask.sum(0).clamp_min(1)
    loc = torch.where(mask, x, 0.0).sum(0) / count
    return loc, (torch.where(mask, x - loc, 0.0).square().sum(0) / count).sqrt()


def censored_normal(rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (mean, standard deviation, threshold) of a normal whose part below the threshold has mean 0 and variance 1.

    ``rate`` (J,) is the share above the threshold, cut to .01 to .9 since a start should stay near the data.
    """
    kappa = torch.special.ndtri(1 - rate.clamp(0.01, 0.9))
    hazard = torch.exp(-0.5 * kappa.square() - torch.special.log_ndtr(kappa)) * 0.3989422804
    scale = (1 - kappa * hazard - hazard.square()).rsqrt()
    return scale * hazard, scale, scale * (hazard + kappa)


def apparent_direction(x: Tensor, mask: Tensor) -> Tensor:
    """Return for each column, (D,), 1 where its missing values are predicted to be larger than its observed ones, -1 where smaller.

    And 0 where the difference is within two standard errors: a start in the wrong direction costs more than none. Predictions are a
    ridge regression's on the other columns and their masks. If a column masks itself, other columns are related to its mask only by
    way of its values, so this is its direction. The likelihood itself is flat to second order at slope 0, whichever way the truth
    lies, and a search that starts there may go either way.

    Args:
        x: (N, D) columns of about unit scale; the holes may hold anything, infinite ones stand for the outermost of the others.
        mask: (N, D) True = observed.

    Example:
        >>> x = torch.arange(-20.0, 21.0).unsqueeze(-1).expand(-1, 2) / 10
        >>> apparent_direction(x, torch.stack([x[:, 0] < 0.5, x[:, 1] < 9], -1))
        tensor([1., 0.])
    """
    return direction_of(contrasts(x, mask)[0])


def direction_of(shift: Tensor) -> Tensor:
    """Return the direction (D,) that differences in mean, in standard errors, are clear enough to show."""
    return torch.where(shift.abs() > 2, shift.sign(), 0.0)


def contrasts(x: Tensor, mask: Tensor) -> Tensor:
    """Return by how many standard errors missing values are predicted to differ from observed ones, in mean, spread and turn, (3, D).

    Predictions are those of :func:`apparent_direction`, whose arguments these are; spread is the mean square about the mean of the
    observed ones. Turn is how surely missing values are the likelier the larger the prediction is, up to its median, and the rarer
    beyond it; negative where it is the other way round and 0 where both halves go one way: the weaker of two rank correlations
    (Simonsohn 2018, "Two lines", Advances in Methods and Practices in Psychological Science 1).
    """
    finite = mask & x.isfinite()
    loc, _ = observed_moments(x, finite)
    x = x.clamp(x.masked_fill(~finite, torch.inf).amin(0), x.masked_fill(~finite, -torch.inf).amax(0))
    features = torch.cat([torch.where(mask, x - loc, 0.0), (~mask).to(x)], -1).double()
    result = x.new_zeros(3, x.shape[-1])
    for j in (~mask).any(0).nonzero().flatten().tolist():
        seen = mask[:, j]
        if int(seen.sum()) < 3 or int((~seen).sum()) < 3:
            continue
        own = torch.arange(features.shape[-1], device=x.device) % x.shape[-1] != j
        others = features[:, own]
        centered = others[seen] - others[seen].mean(0)
        own_values, wide = features[seen, j], centered.shape[-1] > len(centered)
        # Of more columns than rows by the rows' products, which are fewer: the same coefficients.
        gram = centered @ centered.T if wide else centered.T @ centered
        gram = gram + torch.eye(len(gram)).to(gram)
        told = own_values if wide else centered.T @ own_values
        coefficients = centered.T @ torch.linalg.solve(gram, told) if wide else torch.linalg.solve(gram, told)
        predicted = others @ coefficients
        away = (predicted - predicted[seen].mean()).square()
        for place, value in enumerate((predicted, away)):
            error = (value[seen].var() / seen.sum() + value[~seen].var() / (~seen).sum()).sqrt()
            result[place, j] = (value[~seen].mean() - value[seen].mean()) / error.clamp_min(1e-12)
        result[2, j] = _turn(predicted, ~seen)
    return result


def _turn(predicted: Tensor, missing: Tensor) -> float:
    """Return the turn of :func:`contrasts` of one column's predictions (N,)."""
    low = predicted <= predicted.median()
    rises, falls = (_rank_correlation(predicted[half], missing[half]) for half in (low, ~low))
    return math.copysign(min(abs(rises), abs(falls)), rises) if rises * falls < 0 else 0.0


def _rank_correlation(values: Tensor, missing: Tensor) -> float:
    """Return the correlation of the ranks of ``values`` (N,) with ``missing``, in standard errors of one that is none."""
    if missing.all() or not missing.any():
        return 0.0
    ranks = values.argsort().argsort()
    pair = torch.stack([ranks, missing]).double()
    return float(torch.corrcoef(pair)[0, 1]) * math.sqrt(len(values))
