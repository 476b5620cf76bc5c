"""Self-masking: a value goes missing because of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pyro_mnar.distributions.alignment import TOGETHER
from pyro_mnar.distributions.censored import Missing, Normals, missing_components
from pyro_mnar.distributions.indexing import chosen_of, columns_of, indicator
from pyro_mnar.distributions.links import LOGIT, PROBIT, THRESHOLD, Link
from pyro_mnar.mechanisms.base import Anchors, LogPrior
from pyro_mnar.mechanisms.own_value import LinkScore, OwnValueMasking
from pyro_mnar.mechanisms.prior_scales import FREE_SLOPE, LOG_SLOPE
from pyro_mnar.mechanisms.starts import apparent_direction, censored_normal, observed_moments

DIRECTIONS = ("high", "low", "free", "none")


class SelfMasking(OwnValueMasking):
    """Each modeled column's mask reads that column's value and nothing else: P(s_j = 0 | x) = F(a_j x_j + c_j).

    Whatever else decides over a mask is taken for the value's own doing, unless :class:`~pyro_mnar.mechanisms.SequentialMasking` has
    it.

    Args:
        n_columns: D.
        columns: indices of the modeled columns; all by default.
        direction: ``high`` (a > 0: large values go missing), ``low`` (a < 0), ``free``, or ``none`` (a = 0: a rate alone); one word,
            or one per modeled column.
        link: ``LOGIT``, ``PROBIT`` or ``THRESHOLD``. A threshold has no gradient: :meth:`initialize` puts it at the outermost
            observed value, its maximum-likelihood place, and it needs a known direction.

    Raises:
        ValueError: for an unknown direction, a wrong count of them, columns out of range, or a threshold without a known direction.

    Example:
        >>> from pyro_mnar.distributions.links import PROBIT
        >>> mechanism = SelfMasking(3, columns=[0, 1], direction="high", link=PROBIT)
        >>> mechanism(torch.zeros(5, 3)).log_prob(torch.ones(5, 3, dtype=torch.bool)).shape
        torch.Size([5])
    """

    rowwise = True
    sign: Tensor
    free: Tensor
    anchor: Tensor
    held: Tensor | None

    def __init__(
        self,
        n_columns: int,
        columns: Sequence[int] | None = None,
        direction: str | Sequence[str] = "free",
        link: Link = LOGIT,
    ) -> None:
        super().__init__(n_columns, columns)
        words = [direction] * len(self.columns) if isinstance(direction, str) else list(direction)
        if len(words) != len(self.columns):
            raise ValueError(f"direction: got {len(words)} words, expected one or {len(self.columns)}")
        for word in words:
            if word not in DIRECTIONS:
                raise ValueError(f"direction: got {word!r}, expected one of {', '.join(DIRECTIONS)}")
        if link is THRESHOLD and not {"high", "low"}.issuperset(words):
            word = next(word for word in words if word not in ("high", "low"))
            raise ValueError(f"direction: got {word!r} with a threshold link, expected high or low in every column")
        self.link, self.directions, self.smooth = link, tuple(words), link is not THRESHOLD
        self.register_buffer("sign", torch.tensor([{"high": 1.0, "low": -1.0}.get(w, 0.0) for w in words]), False)
        self.register_buffer("free", torch.tensor([w == "free" for w in words]), False)
        # u = a (x - anchor) + offset: with the anchor at the starting threshold, a slope that grows leaves the threshold alone.
        self.register_buffer("anchor", torch.zeros(len(words)))
        #: (J,) slopes that are held, NaN where one is not; None where none is.
        self.register_buffer("held", None, persistent=False)
        if link is not THRESHOLD:
            # Steps in the slope's order of magnitude: from a gentle slope a hard rule is as far as a hundredfold one.
            self.raw_slope = nn.Parameter(torch.where(self.sign == 0, 0.0, math.log(2.0)))
            self.offset = nn.Parameter(torch.zeros(len(words)))

    @property
    def slope(self) -> Tensor:
        """a, (J,) over the modeled columns, in units of score per unit of x; may be set, by a number or (J,)."""
        if self.link is THRESHOLD:
            return self.sign
        directed = self.sign * self.raw_slope.exp()
        found = torch.where(self.free, self.raw_slope.sinh(), directed) if "free" in self.directions else directed
        return found if self.held is None else torch.where(self.held.isnan(), found, self.held)

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

    def hold(self, slopes: Mapping[int, float]) -> None:
        """Hold the slopes of columns, by position, at values that training does not move."""
        held = torch.full_like(self.raw_slope, torch.nan)
        for place, j in enumerate(self.columns.tolist()):
            held[place] = slopes.get(j, torch.nan)
        self.held = held.detach()

    def reads_own(self) -> Tensor:
        return indicator(self.columns[~self.none()], self.n_columns)

    def effect_sizes(self) -> Tensor:
        """Return a, (J,)."""
        return self.slope

    def none(self) -> Tensor:
        """Return (J,) bool, True where a column has a rate and no slope."""
        return (self.sign == 0) & ~self.free

    @property
    def intercept(self) -> Tensor:
        """c, (J,) over the modeled columns, in units of score."""
        return self.line()[1]

    def line(self) -> tuple[Tensor, Tensor]:
        """Return (a, c)."""
        slope = self.slope
        shift = -slope * self.anchor
        return slope, shift if self.link is THRESHOLD else shift + self.offset

    @torch.no_grad()
    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Set starting values from data (N, D) with its mask and return how far they suppose the column means, (D,), from those seen.

        A threshold is set for good, at the outermost observed value.

        With a known direction the start supposes a normal column cut at its upper (lower) end, with the observed part's mean and
        variance: the threshold that explains the missing rate. Infinite values, which repeat at an end of their column, are no part of
        it; those at the other end are not counted in the rate either. A free direction starts likewise from the direction that the
        other columns point to, and at slope 0 and the missing rate where they do not point (see :func:`apparent_direction`).

        Raises:
            ValueError: for a threshold at a value that repeats, beyond which there is nothing to be missing.
        """
        self.check_columns(x, mask)
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

    def score(self) -> LinearScore:
        return LinearScore(*self.line(), self.link)

    @property
    def anchored(self) -> int:
        return len(self.columns)

    def start(self, anchors: Anchors) -> None:
        if self.smooth:
            mean, deviation = LOG_SLOPE
            self.slope = torch.where(self.sign == 0, self.slope, self.sign * (mean + deviation * anchors.slope).exp())

    def log_prior(self, anchors: Anchors) -> LogPrior:
        if not self.smooth:
            return LogPrior()
        slope, free = self.slope, self.sign == 0
        known = (torch.where(free, 1.0, slope.abs()).log() - LOG_SLOPE[0]) / LOG_SLOPE[1]
        return LogPrior(unseen=-0.5 * (torch.where(free, slope / FREE_SLOPE, known) - anchors.slope).square().sum())


class LinearScore(LinkScore):
    """P(s = 0 | x) = F(slope x + intercept).

    Args:
        slope: (J,), or (M,) of cells.
        intercept: (J,), or (..., J) where rows have their own.
        link: F.

    Example:
        >>> LinearScore(torch.ones(2), torch.zeros(2), LOGIT).log_missing(torch.zeros(5, 2)).exp()[0].tolist()
        [0.5, 0.5]
    """

    def __init__(self, slope: Tensor, intercept: Tensor, link: Link) -> None:
        self.slope, self.intercept, self.link = slope, intercept, link

    def take(self, columns: Tensor | slice) -> LinearScore:
        return LinearScore(columns_of(self.slope, columns), columns_of(self.intercept, columns), self.link)

    def at(self, chosen: Tensor, together: int = TOGETHER) -> LinearScore:
        return LinearScore(chosen_of(self.slope, chosen, together), chosen_of(self.intercept, chosen, together), self.link)

    def shifted(self, effect: Tensor) -> LinearScore:
        return LinearScore(self.slope, self.intercept + effect, self.link)

    def score_of(self, values: Tensor) -> Tensor:
        return self.slope * values + self.intercept

    def rising(self, values: Tensor) -> Tensor:
        return self.score_of(values)

    def components(self, normals: Normals) -> Missing:
        return missing_components(normals, self.slope, self.intercept, self.link)

    def probit(self) -> tuple[Tensor, Tensor] | None:
        return (self.slope, self.intercept) if self.link == PROBIT else None
