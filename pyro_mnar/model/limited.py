r"""Missing cells of which limits are known: below a detection limit, above a top code, between two visits.

A missing value that is known to lie between l and u is censored. Given z it has the probability

    INT_l^u p(x_j | z) dx_j

in place of the integral over its mask: the limits are why it is missing, and what its column's mechanism says of other holes is not
said of it. Given z and the limits it is p(x_j | z) cut to the interval. With one normal column and no latent this is the likelihood of
Tobin 1958, "Estimation of relationships for limited dependent variables", Econometrica 26.

Limits that are not why a value is missing, such as a rule's, stand beside its mechanism: INT_l^u p(x_j | z) P(s_j = 0 | x_j) dx_j.
They are told apart by a third number of each cell, 1 where no mechanism enters and 0 where it does. With 1 and infinite limits a cell
is no hole and no value: nothing of it is scored.

Limits are on the scale of the rows, and go through a warp with them: it is increasing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_mnar.distributions.indexing import columns_of, indicator
from pyro_mnar.model.missing_cells import ColumnGroup
from pyro_mnar.networks.encoders import between
from pyro_mnar.networks.warps import SkewWarp


def limited_cells(limits: Tensor, mask: Tensor) -> Tensor:
    """Return where missing cells have a limit, bool of the shape of ``mask`` (..., D).

    Args:
        limits: (..., D, 2), infinite for none, or (..., D, 3), with what the module says.
        mask: (..., D) bool, True = observed.

    Example:
        >>> limits = torch.tensor([[-torch.inf, 1.0], [-torch.inf, torch.inf], [0.0, 2.0]])
        >>> limited_cells(limits, torch.tensor([False, False, True])).tolist()
        [True, False, False]
    """
    return ~mask & limits[..., :2].isfinite().any(-1)


def settled_cells(limits: Tensor, mask: Tensor) -> Tensor:
    """Return where no mechanism enters missing cells, bool; arguments as of :func:`limited_cells`.

    Example:
        >>> limits = torch.tensor([[-torch.inf, 1.0, 0.0], [-torch.inf, torch.inf, 1.0], [0.0, 2.0, 1.0]])
        >>> settled_cells(limits, torch.tensor([False, False, False])).tolist()
        [False, True, True]
    """
    return limited_cells(limits, mask) if limits.shape[-1] == 2 else ~mask & (limits[..., 2] != 0)


def filled_in(x: Tensor, mask: Tensor, limits: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return rows (N, D) and their mask with limited cells as if they were seen: a standard normal's mean between the limits.

    That is what start values are made from, on columns of about unit scale.
    """
    if limits is None:
        return x, mask
    settled = limited_cells(limits, mask) & settled_cells(limits, mask)
    return torch.where(settled, between(limits[..., :2]), x), mask | settled


def warped_limits(warp: SkewWarp | None, limits: Tensor) -> tuple[Tensor, Tensor]:
    """Return lower and upper limits (..., D) of ``limits`` (..., D, 2 or 3), warped, with a gradient that holds where they are
    infinite."""
    ends = limits[..., :2].movedim(-1, 0)
    if warp is not None:
        finite = ends.isfinite()
        ends = torch.where(finite, warp(torch.where(finite, ends, 0.0))[0], ends)
    return ends[0], ends[1]


def unwarped_ends(warp: SkewWarp | None, limits: Tensor, settled: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return between which rows (..., D) lie where cells are ``settled`` (..., D) and warped; None where nothing is warped."""
    if warp is None:
        return None
    low, high = limits[..., :2].unbind(-1)
    if warp.columns is not None:
        settled = settled & indicator(warp.columns, settled.shape[-1])
    return torch.where(settled, low, -torch.inf), torch.where(settled, high, torch.inf)


def limited_groups(cells: Any, low: Tensor, high: Tensor, hidden: Tensor) -> list[ColumnGroup]:
    """Return cells of one law together, those that are ``hidden`` (..., D), between ``low`` and ``high`` (..., D)."""
    groups = []
    for block, law in cells.blocks:
        columns = torch.arange(hidden.shape[-1], device=hidden.device) if block is None else torch.tensor(block, device=hidden.device)
        own = columns_of(hidden, columns)
        if bool(own.any()):
            groups.append(ColumnGroup(columns, own, law, None, (columns_of(low, columns), columns_of(high, columns))))
    return groups
