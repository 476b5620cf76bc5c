"""Rows that are kept out of training, to choose the best weights by and to stop early."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor


def check_held_out(held_out: object, patience: object) -> None:
    """Raise a ValueError unless these are a share of rows and, where rows are held out, a number of looks or None.

    Example:
        >>> check_held_out(0.0, 5)
        Traceback (most recent call last):
            ...
        ValueError: patience: needs held-out rows, expected held_out > 0 and enough rows
    """
    if not isinstance(held_out, (int, float)) or isinstance(held_out, bool) or not 0 <= held_out < 1:
        raise ValueError(f"held_out: got {held_out!r:.40}, expected a share from 0 to below 1")
    if patience is None:
        return
    if not isinstance(patience, Integral) or isinstance(patience, bool) or int(patience) < 1:
        raise ValueError(f"patience: got {patience!r:.40}, expected a number of looks, at least 1, or None")
    if not held_out:
        raise ValueError("patience: needs held-out rows, expected held_out > 0 and enough rows")


def split_rows(
    n_rows: int, held_out: float, patience: int | None, copies: Tensor | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the rows to train on and those that are held out, at random.

    Args:
        n_rows: N.
        held_out: share of them.
        patience: whether any are needed.
        copies: (N,) the same number for rows that are copies of one row; with a held-out row its copies are out of training as well,
            since they would tell it. Each row is its own where this is None.
        device: of the rows.

    Raises:
        ValueError: where no row is left to train on, or none to judge by.

    Example:
        >>> train, test = split_rows(10, 0.2, None, None, torch.device("cpu"))
        >>> len(train), len(test)
        (8, 2)
    """
    check_held_out(held_out, patience)
    if n_rows == 0:
        raise ValueError("x: got no rows, expected at least 1")
    n_out = round(held_out * n_rows)
    if patience is not None and n_out == 0:
        raise ValueError("patience: needs held-out rows, expected held_out > 0 and enough rows")
    order = torch.randperm(n_rows, device=device)
    train, test = order[n_out:], order[:n_out]
    if copies is not None and n_out:
        train = train[~torch.isin(copies[train], copies[test])]
    if not len(train):
        raise ValueError(f"held_out: got {held_out}, which leaves no row to train on, expected less")
    return train, test
