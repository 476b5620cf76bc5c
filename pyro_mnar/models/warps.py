r"""Warps: skewed margins for a model that is normal given z.

A warp takes each value x_j to y_j = T_j(x_j), strictly increasing, and the model's cells and its mechanism live on y. Densities of
observed values gain log T_j'(x_j); integrals over missing values are unchanged, being over y, so every closed form stays closed.
What is drawn on y is taken back by the inverse.

Without a warp, a column cut in half must be imputed with the mirror image of the half that is seen. Skewness is the first thing that
the seen half and the other columns can contradict, and the first that decides how far the imputed values reach.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SkewWarp(nn.Module):
    """y = sinh(asinh(x) - e_j): one skewness e_j for each column, 0 for none, above 0 for a long upper tail of x.

    Both directions are linear far out (x grows as exp(e) y upwards and exp(-e) y downwards), so that no tail explodes, as those of
    a logarithm would, when a column's skewness is learned from half of its values. Meant for columns whose centre is near 0 and
    whose scale near 1. Source: Jones and Pewsey 2009, "Sinh-arcsinh distributions", Biometrika 96, with its tail parameter at 1.

    Args:
        n_columns: D.

    Example:
        >>> warp = SkewWarp(2)
        >>> _ = warp.skew.data.copy_(torch.tensor([0.0, 0.5]))
        >>> y, log_slope = warp(torch.tensor([[1.0, 1.0]]))
        >>> [round(v, 3) for v in y[0].tolist()], [round(v, 3) for v in warp.inverse(y)[0].tolist()]
        ([1.0, 0.391], [1.0, 1.0])
    """

    def __init__(self, n_columns: int) -> None:
        super().__init__()
        self.skew = nn.Parameter(torch.zeros(n_columns))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and log dy/dx, (..., D), of values ``x`` (..., D)."""
        bent = torch.asinh(x) - self.skew
        return torch.sinh(bent), torch.log(torch.cosh(bent)) - 0.5 * torch.log1p(x.square())

    def inverse(self, y: Tensor) -> Tensor:
        """Return the values x (..., D) of ``y`` (..., D)."""
        return torch.sinh(torch.asinh(y) + self.skew)

    def slope(self, y: Tensor) -> Tensor:
        """Return dx/dy, (..., D), at ``y`` (..., D)."""
        return torch.cosh(torch.asinh(y) + self.skew) * (1 + y.square()).rsqrt()
