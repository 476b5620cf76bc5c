"""Whether rows and their mask are what every function of a table takes: one check, whose errors name the argument."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Sized

import torch
from torch import Tensor

from pyro_mnar.infer.streams import distinct


def check_rows(x: Tensor, mask: Tensor, n_columns: int | None = None, dtype: torch.dtype | None = None) -> None:
    """Refuse what is no table ``x`` (N, D) of floats with a ``mask`` (N, D) of bools, True = observed.

    Args:
        x: the rows; the holes may hold anything.
        mask: True = observed.
        n_columns: D where a model fixes it.
        dtype: of ``x`` where a model fixes it.

    Raises:
        TypeError: for what is no tensor, integers or another type in ``x``, or anything but bools in ``mask``.
        ValueError: for shapes that differ, another width, tensors on two devices, NaN or infinity in an observed cell.

    Example:
        >>> check_rows(torch.zeros(3, 2), torch.ones(3, 2))
        Traceback (most recent call last):
        TypeError: mask: got torch.float32, expected torch.bool, True = observed (mask.bool())
    """
    check_tensor("x", x)
    if not x.is_floating_point():
        raise TypeError(f"x: got {x.dtype}, expected floats, as the model's parameters are (x.float())")
    if dtype is not None and x.dtype != dtype:
        raise TypeError(f"x: got {x.dtype}, expected {dtype}, as the model's parameters are (x.to({dtype}))")
    check_tensor("mask", mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"mask: got {mask.dtype}, expected torch.bool, True = observed (mask.bool())")
    if x.dim() != 2:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected rows and columns (N, D)")
    if n_columns is not None and x.shape[1] != n_columns:
        raise ValueError(f"x: got {x.shape[1]} columns, expected {n_columns}")
    if mask.shape != x.shape:
        raise ValueError(f"mask: got shape {tuple(mask.shape)}, expected that of x {tuple(x.shape)}")
    if mask.device != x.device:
        raise ValueError(f"mask: got one on {mask.device}, expected the device of x, {x.device}")
    lost = mask & ~x.isfinite()
    if bool(lost.any()):
        row, column = lost.nonzero()[0].tolist()
        raise ValueError(f"x: got {float(x[row, column])} in row {row}, column {column}, which mask calls observed, expected a number")


def check_labels(argument: str, labels: Sized, count: int) -> None:
    """Refuse labels that are not one for each of ``count`` rows or columns.

    Raises:
        ValueError: naming the argument.
    """
    if len(labels) != count:
        raise ValueError(f"{argument}: got {len(labels)} labels, expected {count}")


def row_names(labels: Sequence[Hashable] | None, count: int) -> list[Hashable]:
    """Return the names of ``count`` rows for their random streams: ``labels``, told apart, or positions by default.

    Raises:
        ValueError: for labels of another number.

    Example:
        >>> row_names(["a", "b", "a"], 3)
        ['a', 'b', 'a' (2)]
    """
    names = distinct(range(count) if labels is None else labels)
    check_labels("labels", names, count)
    return names


def check_tensor(name: str, value: object) -> None:
    """Refuse what is no tensor.

    Raises:
        TypeError: naming the argument.
    """
    if not isinstance(value, Tensor):
        kind = type(value)
        raise TypeError(f"{name}: got {kind.__module__}.{kind.__name__}, expected a torch.Tensor (torch.as_tensor({name}))")
