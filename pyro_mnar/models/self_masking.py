"""Self-masking: a value goes missing because of itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_mnar.models.integrals import Missing, missing_components
from pyro_mnar.models.links import LOGIT, THRESHOLD, Link
from pyro_mnar.models.masks import MaskDistribution, column_indices, indicator, neighbours

DIRECTIONS = ("high", "low", "free", "none")


class SelfMasking(nn.Module):
    """Each modelled column's mask reads that column's value and nothing else: P(s_j = 0 | x) = F(a_j x_j + c_j).

    Whatever else decides over a mask is taken for the value's own doing, unless :class:`~pyro_mnar.models.SequentialMasking` has it.

    Args:
        n_columns: D.
        columns: indices of the modelled columns; all by default.
        direction: ``high`` (a > 0: large values go missing), ``low`` (a < 0), ``free``, or ``none`` (a = 0: a rate alone); one word,
            or one per modelled column.
        link: ``LOGIT``, ``PROBIT`` or ``THRESHOLD``. A threshold has no gradient: :meth:`initialise` puts it at the outermost
            observed value, its maximum-likelihood place, and it needs a known direction.

    Raises:
        ValueError: for an unknown direction, a wrong count of them, columns out of range, or a threshold without a known direction.

    Example:
        >>> from pyro_mnar.models import PROBIT
        >>> mechanism = SelfMasking(3, columns=[0, 1], direction="high", link=PROBIT)
        >>> mechanism(torch.zeros(5, 3)).log_prob(torch.ones(5, 3, dtype=torch.bool)).shape
        torch.Size([5])
    """

    columns: Tensor
    couplings: Tensor
    sign: Tensor
    free: Tensor
    anchor: Tensor

    def __init__(
        self,
        n_columns: int,
        columns: Sequence[int] | None = None,
        direction: str | Sequence[str] = "free",
        link: Link = LOGIT,
    ) -> None:
        super().__init__()
        indices = column_indices(columns, n_columns)
        words = [direction] * len(indices) if isinstance(direction, str) else list(direction)
        if len(words) != len(indices):
            raise ValueError(f"direction: got {len(words)} words, expected one or {len(indices)}")
        for word in words:
            if word not in DIRECTIONS:
                raise ValueError(f"direction: got {word!r}, expected one of {', '.join(DIRECTIONS)}")
        if link is THRESHOLD and not {"high", "low"}.issuperset(words):
            word = next(word for word in words if word not in ("high", "low"))
            raise ValueError(f"direction: got {word!r} with a threshold link, expected high or low in every column")
        self.link, self.directions, self.n_columns = link, tuple(words), n_columns
        self._neighbours = neighbours(indices)
        self.register_buffer("columns", indices, persistent=False)
        self.register_buffer("couplings", torch.zeros(n_columns, n_columns, dtype=torch.bool), persistent=False)
        self.register_buffer("sign", torch.tensor([{"high": 1.0, "low": -1.0}.get(w, 0.0) for w in words]), False)
        self.register_buffer("free", torch.tensor([w == "free" for w in words]), False)
        # u = a (x - anchor) + offset: with the anchor at the starting threshold, a slope that grows leaves the threshold alone.
        self.register_buffer("anchor", torch.zeros(len(words)))
        if link is not THRESHOLD:
            # Steps in the slope's order of magnitude: from a gentle slope a hard rule is as far as a hundredfold one.
            self.raw_slope = nn.Parameter(torch.where(self.sign == 0, 0.0, math.log(2.0)))
            self.offset = nn.Parameter(torch.zeros(len(words)))

    @property
    def place(self) -> Tensor | slice:
        """The modelled columns as an index of them."""
        return self._neighbours or self.columns

    @property
    def slope(self) -> Tensor:
        """a, (J,) over the modelled columns, in units of score per unit of x; may be set, by a number or (J,)."""
        if self.link is THRESHOLD:
            return self.sign
        directed = self.sign * self.raw_slope.exp()
        return torch.where(self.free, self.raw_slope.sinh(), directed) if "free" in self.directions else directed

    @slope.setter
    @torch.no_grad()
    def slope(self, value: Tensor | float) -> None:
        given = torch.as_tensor(value).to(self.raw_slope).expand_as(self.raw_slope)
        if bool((given * self.sign).lt(0).any() or (given[self.sign != 0] == 0).any() or (given[self.none()] != 0).any()):
            raise ValueError(
                f"slope: got {given.tolist()}, expected above 0 where high values go missing, below 0 where low do, 0 for direction "
                "none"
            )
        self.raw_slope.copy_(torch.where(self.sign == 0, given.asinh(), given.abs().log()))

    def reads(self) -> Tensor:
        """Return (J,) bool, True where a mask reads its own value."""
        return ~self.none()

    def effect_sizes(self) -> Tensor:
        """Return |a|, (J,)."""
        return self.slope.abs()

    def none(self) -> Tensor:
        """Return (J,) bool, True where a column has a rate and no slope."""
        return (self.sign == 0) & ~self.free

    @property
    def intercept(self) -> Tensor:
        """c, (J,) over the modelled columns, in units of score."""
        return self.line()[1]

    def line(self) -> tuple[Tensor, Tensor]:
        """Return (a, c)."""
        slope = self.slope
        shift = -slope * self.anchor
        return slope, shift if self.link is THRESHOLD else shift + self.offset

    @torch.no_grad()
    def initialise(self, x: Tensor, mask: Tensor) -> Tensor:
        """Set starting values from data (N, D) with its mask and return how far they suppose the column means, (D,), from those seen.

        A threshold is set for good, at the outermost observed value.

        With a known direction the start supposes a normal column cut at its upper (lower) end, with the observed part's mean and
        variance: the threshold that explains the missing rate. Infinite values, which repeat at an end of their column, are no part of
        it; those at the other end are not counted in the rate either. A free direction starts likewise from the direction that the
        other columns point to, and at slope 0 and the missing rate where they do not point (see :func:`apparent_direction`).

        Raises:
            ValueError: for a threshold at a value that repeats, beyond which there is nothing to be missing.
        """
        seen, values = mask[:, self.columns], x[:, self.columns]
        loc, scale = observed_moments(x, mask & x.isfinite())
        sign = self.sign
        if "free" in self.directions:  # else a regression for each column would be for nothing
            sign = torch.where(self.free, apparent_direction(x, mask)[self.columns], sign)
        loc, scale = loc[self.columns], sign * scale[self.columns]
        rate = (~seen).to(x).sum(0) / (~seen | (sign * values != -torch.inf)).sum(0)
        mean, _, threshold = censored_normal(rate)
        shift = torch.zeros(self.n_columns, dtype=x.dtype, device=x.device).index_copy(0, self.columns, scale * mean)
        if self.link is THRESHOLD:
            outer = (self.sign * values).masked_fill(~seen, -torch.inf).amax(0)
            if outer.isinf().any():
                raise ValueError(
                    "link: got THRESHOLD for a column whose outermost value repeats and is its end, expected PROBIT or LOGIT"
                )
            self.anchor.copy_(self.sign * outer)
            return shift
        self.anchor.copy_(loc + scale * threshold)
        start = torch.logit(rate.clamp(0.01, 0.99)) if self.link is LOGIT else torch.special.ndtri(rate.clamp(0.01, 0.99))
        self.offset.copy_(torch.where(sign == 0, start, 0.0))
        self.raw_slope.copy_(torch.where(self.free, math.asinh(2.0) * sign, self.raw_slope))
        return shift

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        score = self.scores(x)
        score = score if effect is None else score + effect
        modelled = indicator(self.columns, self.n_columns)
        return MaskDistribution(self.link.log_missing(score), self.link.log_observed(score), modelled)

    def scores(self, x: Tensor) -> Tensor:
        """Return u of complete rows ``x`` (..., D), (..., D); 0 in columns that are not modelled."""
        own = self.score(x[..., self.columns])
        return torch.zeros_like(x).index_copy(-1, self.columns, own)

    def gain(self, x: Tensor, factor: float, effect: Tensor | None = None) -> Tensor:
        """Return what the log odds of being missing gain, (..., D), at ``factor`` times the strength, in complete rows (..., D).

        ``effect`` (..., D) is added to the scores first.
        """
        score = self.scores(x)
        if effect is not None:
            score = torch.where(indicator(self.columns, self.n_columns), score + effect, score)
        return self.link.gain(score, factor)

    def score_at(self, values: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
        """Return the scores of ``values`` (..., J) under :meth:`line` of some columns, or intercepts that other things move."""
        return line[0] * values + line[1]

    def log_missing(self, values: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
        """Return log P(s = 0 | x) of ``values`` (..., J) under such a ``line``."""
        return self.link.log_missing(self.score_at(values, line))

    def log_observed(self, values: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
        """Return log P(s = 1 | x) of ``values`` (..., J) under such a ``line``."""
        return self.link.log_observed(self.score_at(values, line))

    def components(self, cells: Distribution, line: tuple[Tensor, Tensor]) -> Missing:
        """Return the components of ``cells`` (..., J) given that they are missing under such a ``line``."""
        return missing_components(cells, *line, self.link)

    def score(self, values: Tensor) -> Tensor:
        """Return u, (..., J), of the modelled columns' ``values`` (..., J)."""
        if self.link is THRESHOLD:
            return self.slope * (values - self.anchor)
        return self.slope * (values - self.anchor) + self.offset


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
    shift = contrasts(x, mask)[0]
    return torch.where(shift.abs() > 2, shift.sign(), 0.0)


def contrasts(x: Tensor, mask: Tensor) -> Tensor:
    """Return by how many standard errors missing values are predicted to differ from observed ones, in mean and spread, (2, D).

    Predictions are those of :func:`apparent_direction`, whose arguments these are; spread is the mean square about the mean of the
    observed ones.
    """
    finite = mask & x.isfinite()
    loc, _ = observed_moments(x, finite)
    x = x.clamp(x.masked_fill(~finite, torch.inf).amin(0), x.masked_fill(~finite, -torch.inf).amax(0))
    features = torch.cat([torch.where(mask, x - loc, 0.0), (~mask).to(x)], -1).double()
    result = x.new_zeros(2, x.shape[-1])
    for j in (~mask).any(0).nonzero().flatten().tolist():
        seen = mask[:, j]
        if int(seen.sum()) < 3 or int((~seen).sum()) < 3:
            continue
        own = torch.arange(features.shape[-1], device=x.device) % x.shape[-1] != j
        others = features[:, own]
        centred = others[seen] - others[seen].mean(0)
        own_values, wide = features[seen, j], centred.shape[-1] > len(centred)
        # Of more columns than rows by the rows' products, which are fewer: the same coefficients.
        gram = centred @ centred.T if wide else centred.T @ centred
        gram = gram + torch.eye(len(gram)).to(gram)
        told = own_values if wide else centred.T @ own_values
        coefficients = centred.T @ torch.linalg.solve(gram, told) if wide else torch.linalg.solve(gram, told)
        predicted = others @ coefficients
        away = (predicted - predicted[seen].mean()).square()
        for place, value in enumerate((predicted, away)):
            error = (value[seen].var() / seen.sum() + value[~seen].var() / (~seen).sum()).sqrt()
            result[place, j] = (value[~seen].mean() - value[seen].mean()) / error.clamp_min(1e-12)
    return result
