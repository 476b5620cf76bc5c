"""Where mechanisms start: moments of what was seen, and where other columns say that the missing values lie."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_mnar.mechanisms.ridge import predictions

# Share of values at an end from which on they may be a pile; from how many of the next values it stands out, and how many times.
_PILE, _NEAR, _STEEP = 0.05, 5, 5.0
# How many different values are grades, each with many; and how many have no law that could be cut.
_GRADES, _FEW = 7, 3


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


def two_sided_normal(rate: Tensor, side: str) -> tuple[Tensor, Tensor]:
    """Return (standard deviation, half width) of a normal about 0 without its middle, or its tails, the rest having variance 1.

    Args:
        rate: (J,) share that is missing, cut to .01 to .9.
        side: ``middle`` or ``tails``.

    Example:
        >>> [round(float(number), 2) for number in two_sided_normal(torch.tensor(0.3), "tails")]
        [1.8, 1.86]
    """
    rate = rate.clamp(0.01, 0.9)
    inside = rate if side == "middle" else 1 - rate
    kappa = torch.special.ndtri((1 + inside) / 2)
    # Second moment of a standard normal within kappa of 0, times its probability.
    moment = inside - 2 * kappa * torch.exp(-0.5 * kappa.square()) / math.sqrt(2 * math.pi)
    scale = (moment / inside if side == "tails" else (1 - moment) / (1 - inside)).rsqrt()
    return scale, scale * kappa


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


def common_direction(shift: Tensor) -> Tensor:
    """Return of columns that show a direction (J,) that one, and of the others that of all in sum, or 0 where it is not clear either.

    Example:
        >>> common_direction(torch.tensor([4.0, 1.0, -3.0, 2.5])), common_direction(torch.tensor([4.0, 0.1, -3.0]))
        (tensor([ 1.,  1., -1.,  1.]), tensor([ 1.,  0., -1.]))
    """
    own, shown = direction_of(shift), shift != 0  # a column without holes has none
    return torch.where((own == 0) & shown, direction_of(shift.sum() / max(1, int(shown.sum())) ** 0.5), own)


def contrasts(x: Tensor, mask: Tensor) -> Tensor:
    """Return by how many standard errors missing values are predicted to differ from observed ones, in mean, spread and turn, (3, D).

    Predictions are those of :func:`apparent_direction`, whose arguments these are; spread is the mean square about the mean of the
    observed ones. Turn is how surely missing values are the likelier the larger the prediction is, up to its median, and the rarer
    beyond it; negative where it is the other way round and 0 where both halves go one way: the weaker of two rank correlations
    (Simonsohn 2018, "Two lines", Advances in Methods and Practices in Psychological Science 1). Spread and turn of a column of two
    values are NaN: it has nothing between them.
    """
    finite = mask & x.isfinite()
    loc, _ = observed_moments(x, finite)
    least, most = x.masked_fill(~finite, torch.inf).amin(0), x.masked_fill(~finite, -torch.inf).amax(0)
    of_two = (least < most) & (~mask | (x == least) | (x == most)).all(0)
    x = x.clamp(least, most)
    features = torch.cat([torch.where(mask, x - loc, 0.0), (~mask).to(x)], -1).double()
    result = x.new_zeros(3, x.shape[-1])
    enough = (mask.sum(0) > 2) & ((~mask).sum(0) > 2)
    columns = enough.nonzero().flatten()
    if not len(columns):
        return result
    predicted, seen = predictions(features, mask, columns), mask[:, columns]
    center = _moments(predicted, seen)[0]
    for place, value in enumerate((predicted, (predicted - center).square())):
        (there, error), (here, other) = _moments(value, ~seen), _moments(value, seen)
        result[place, columns] = ((there - here) / (error + other).sqrt().clamp_min(1e-12)).to(x)
    result[2, columns] = _turn(predicted, ~seen).to(x)
    result[1:, of_two] = torch.nan
    return result


def graded(x: Tensor, mask: Tensor) -> Tensor:
    """Return which columns (D,) have few grades: of them a law that is cut and one that ends there look alike."""
    return torch.tensor([len(x[mask[:, j], j].unique()) <= _GRADES for j in range(x.shape[-1])], device=x.device)


def piles(x: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Return at which ends of columns values pile up, below and above, (2, D): a floor or a ceiling, and not where a law was cut.

    That is where one in twenty of the values seen are there, and five times as many as at any of the next five. A law of which all
    beyond a point is missing ends there as steeply, but values near the point are as frequent as those at it; some of them, that is,
    since rounded values have favorites. Of few grades it is where no fewer are there than at the next, and of up to three everywhere.

    Args:
        x: (N, D) values; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        weights: (N,) of the rows.

    Example:
        >>> x = torch.tensor([0.0] * 5 + [1.0 + 0.1 * i for i in range(15)]).unsqueeze(-1)
        >>> piles(x, torch.ones_like(x, dtype=torch.bool), torch.ones(20)).squeeze(-1).tolist()
        [True, False]
    """
    found = torch.zeros(2, x.shape[-1], dtype=torch.bool)
    for j in range(x.shape[-1]):
        values, places = x[mask[:, j], j].unique(return_inverse=True)
        shares = torch.bincount(places, weights[mask[:, j]].to(torch.float64), len(values))
        shares = shares / shares.sum()
        for end, order in enumerate((shares, shares.flip(0)) if len(values) > 1 else ()):
            far_more = order[0] >= _STEEP * order[1 : 1 + _NEAR].max()
            graded = len(values) <= _FEW or (len(values) <= _GRADES and order[0] >= order[1])
            found[end, j] = order[0] >= _PILE and (far_more or graded)
    return found.to(x.device)


def _moments(values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return of each column the mean of the ``chosen`` ones of ``values`` (N, J), and that mean's squared error, both (J,)."""
    count = chosen.sum(0)
    mean = torch.where(chosen, values, 0.0).sum(0) / count
    return mean, torch.where(chosen, values - mean, 0.0).square().sum(0) / (count - 1) / count


def _turn(predicted: Tensor, missing: Tensor) -> Tensor:
    """Return the turn of :func:`contrasts`, (J,), of columns' predictions (N, J)."""
    low = predicted <= predicted.median(0).values
    rises, falls = (_rank_correlation(predicted, missing, half) for half in (low, ~low))
    return torch.where(rises * falls < 0, torch.minimum(rises.abs(), falls.abs()).copysign(rises), 0.0)


def _rank_correlation(values: Tensor, missing: Tensor, chosen: Tensor) -> Tensor:
    """Return the correlation of the ranks of the ``chosen`` ones of ``values`` (N, J) with ``missing``, (J,), in standard errors of one
    that is none."""
    # The others rank behind these.
    ranks = values.masked_fill(~chosen, torch.inf).argsort(dim=0, stable=True).argsort(dim=0).double()
    count = chosen.sum(0)
    centered = [part - torch.where(chosen, part, 0.0).sum(0) / count for part in (ranks, missing.double())]
    ranks, marks = (torch.where(chosen, part, 0.0) for part in centered)
    size = (ranks.square().sum(0) * marks.square().sum(0)).sqrt()
    return torch.where(size > 0, (ranks * marks).sum(0) / size, 0.0) * count.double().sqrt()
