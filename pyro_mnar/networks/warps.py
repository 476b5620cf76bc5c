r"""Warps: skewed margins for a model that is normal given z.

A warp takes each value x_j to y_j = T_j(x_j), strictly increasing, and the model's cells and its mechanism live on y. Densities of
observed values gain log T_j'(x_j); integrals over missing values are unchanged, being over y, so every closed form stays closed.
What is drawn on y is taken back by the inverse.

Without a warp, a column cut in half must be imputed with the mirror image of the half that is seen. Skewness is the first thing that
the seen half and the other columns can contradict, and the first that decides how far the imputed values reach.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from pyro_mnar.distributions import log_tails
from pyro_mnar.distributions.indexing import column_indices, columns_of
from pyro_mnar.distributions.point_mass_normal import same


class SkewWarp(nn.Module):
    """y = sinh(asinh(x) - e_j): one skewness e_j for each column, 0 for none, above 0 for a long upper tail of x.

    Both directions are linear far out (x grows as exp(e) y upwards and exp(-e) y downwards), so that no tail explodes, as those of
    a logarithm would, when a column's skewness is learned from half of its values. Meant for columns whose center is near 0 and
    whose scale near 1. Source: Jones and Pewsey 2009, "Sinh-arcsinh distributions", Biometrika 96, with its tail parameter at 1.

    Args:
        n_columns: D.
        columns: indices of the columns that are warped, the others being left as they are; all by default.
        pinned: a value by index of such columns that the warp leaves where it is: y = p + sinh(asinh(x - p) - e) + sinh(e). It has a
            probability rather than a density, which no slope changes.
        transformed: indices of such columns that are logarithms or log-odds. Their map bends as much at 0, and its tails are made for
            being exponentiated: see :mod:`pyro_mnar.distributions.log_tails`.

    Raises:
        ValueError: for columns out of range or repeated, or pinned or transformed ones that are not warped.

    Example:
        >>> warp = SkewWarp(2)
        >>> _ = warp.skew.data.copy_(torch.tensor([0.0, 0.5]))
        >>> y, log_slope = warp(torch.tensor([[1.0, 1.0]]))
        >>> [round(v, 3) for v in y[0].tolist()], [round(v, 3) for v in warp.inverse(y)[0].tolist()]
        ([1.0, 0.391], [1.0, 1.0])
    """

    rowwise = True
    columns: Tensor | None
    pin: Tensor | None
    transformed: Tensor | None

    def __init__(
        self,
        n_columns: int,
        columns: Sequence[int] | None = None,
        pinned: Mapping[int, float] | None = None,
        transformed: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.n_columns, chosen = n_columns, column_indices(columns, n_columns)
        own: list[int] = chosen.tolist()
        self.register_buffer("columns", chosen if own != list(range(n_columns)) else None, persistent=False)
        for name, some in (("pinned", pinned or ()), ("transformed", transformed)):
            if not set(some) <= set(own):
                raise ValueError(f"{name}: got columns {list(some)}, expected some of those that are warped, {own}")
        self.skew = nn.Parameter(torch.zeros(len(own)))
        pin = torch.tensor([(pinned or {}).get(j, torch.nan) for j in own])  # NaN: none
        self.register_buffer("pin", pin if pinned else None, persistent=False)
        places = torch.tensor([own.index(j) for j in transformed]) if len(transformed) else None
        self.register_buffer("transformed", places, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and log dy/dx, (..., D), of values ``x`` (..., D)."""
        own = x if self.columns is None else columns_of(x, self.columns)
        if self.pin is not None:
            own, at_pin = own - self._origin, same(own, self.pin)
        bent = torch.asinh(own) - self.skew
        y, log_slope = torch.sinh(bent), torch.log(torch.cosh(bent)) - 0.5 * torch.log1p(own.square())
        if self.pin is not None:
            y, log_slope = y + self._shift, torch.where(at_pin, 0.0, log_slope)
        if self.transformed is not None:
            part, rise = log_tails.to_normal(*self._transformed(own))
            y, log_slope = y.index_copy(-1, self.transformed, part), log_slope.index_copy(-1, self.transformed, rise)
        return self._placed(y, x), self._placed(log_slope, torch.zeros_like(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Return the values x (..., D) of ``y`` (..., D)."""
        own = self._bare(y)
        sinh, cosh = self.skew.sinh(), self.skew.cosh()
        # sinh(asinh(y) + e) = y cosh(e) + sqrt(1 + y^2) sinh(e), at a fifth of the time; a difference of squares where that cancels.
        same_sign, far = own * sinh >= 0, torch.sqrt(1 + own.square()) * sinh
        x = torch.where(same_sign, own * cosh + far, (own - sinh) * (own + sinh) / torch.where(same_sign, 1.0, own * cosh - far))
        x = x if self.pin is None else x + self._origin
        if self.transformed is not None:
            x = x.index_copy(-1, self.transformed, log_tails.from_normal(*self._transformed(own)))
        return self._placed(x, y)

    def slope(self, y: Tensor) -> Tensor:
        """Return dx/dy, (..., D), at ``y`` (..., D)."""
        own = self._bare(y)
        # cosh(asinh(y) + e) / cosh(asinh(y)), as in the inverse.
        slope = self.skew.cosh() + own * (1 + own.square()).rsqrt() * self.skew.sinh()
        if self.transformed is not None:
            slope = slope.index_copy(-1, self.transformed, log_tails.slope(*self._transformed(own)))
        return self._placed(slope, torch.ones_like(y))

    def of(self, column: int) -> SkewWarp | None:
        """Return the warp of one column alone, for values (..., 1); None where that is left as it is."""
        own = list(range(self.skew.shape[-1])) if self.columns is None else self.columns.tolist()
        if column not in own:
            return None
        at = own.index(column)
        alone = SkewWarp(1).with_skew(self.skew.detach()[..., at : at + 1])
        alone.pin = None if self.pin is None else self.pin[..., at : at + 1]
        if self.transformed is not None and at in self.transformed.tolist():
            alone.transformed = torch.zeros_like(self.transformed[:1])
        return alone

    def with_skew(self, skew: Tensor) -> SkewWarp:
        """Return the same with another skewness, which may be one of each row, or cell, before the last dimension."""
        other = copy.copy(self)
        other._parameters = {"skew": nn.Parameter(skew, requires_grad=False)}
        other._buffers = dict(self._buffers)
        return other

    @property
    def _origin(self) -> Tensor:
        assert self.pin is not None
        return torch.where(self.pin.isnan(), 0.0, self.pin)

    @property
    def _shift(self) -> Tensor:
        assert self.pin is not None
        return torch.where(self.pin.isnan(), 0.0, self.pin + self.skew.sinh())

    def _bare(self, y: Tensor) -> Tensor:
        """Return sinh(asinh(x - p) - e) of the warped columns of ``y`` (..., D)."""
        own = y if self.columns is None else columns_of(y, self.columns)
        return own if self.pin is None else own - self._shift

    def _transformed(self, own: Tensor) -> tuple[Tensor, Tensor]:
        """Return those of the warped columns ``own`` (..., W) that are logarithms or log-odds, with their skewness."""
        assert self.transformed is not None
        return columns_of(own, self.transformed), columns_of(self.skew, self.transformed)

    def _placed(self, own: Tensor, others: Tensor) -> Tensor:
        return own if self.columns is None else others.index_copy(-1, self.columns, own)


class Unwarped:
    """A function of values (..., M) of one column that are given as ``warp`` has them.

    Args:
        warp: of that column, with one skewness or one of each cell, (M, 1).
        function: of a tensor of any shape.

    Example:
        >>> Unwarped(SkewWarp(1), torch.exp)(torch.zeros(3)).tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, warp: SkewWarp, function: Callable[[Tensor], Tensor]) -> None:
        self.warp, self.function = warp, function

    def __call__(self, values: Tensor) -> Tensor:
        return self.function(self.warp.inverse(values.unsqueeze(-1)).squeeze(-1))

    def take(self, cells: slice) -> Unwarped:
        """Return that of some cells."""
        skew = self.warp.skew
        return Unwarped(self.warp.with_skew(skew[cells]) if skew.dim() > 1 else self.warp, self.function)
