"""Whether rows and their mask are what every function of a table takes: one check, whose errors name the argument."""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable, Sequence, Sized
from numbers import Real

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


def check_limits(limits: object, x: Tensor, read: bool = False) -> None:
    """Refuse what are no limits of rows ``x`` (N, D): a tensor (N, D, 2) of x's type, the lower one first, infinite for none; or
    (N, D, 3), with 1 where these are why a value is missing and 0 where they are not.

    Args:
        limits: what is checked; None passes.
        x: the rows.
        read: whether the model reads missing values elsewhere than in their integrals, so that there may be no limits.

    Raises:
        TypeError: for what is no tensor, or of another type.
        ValueError: for another shape or device, NaN, or a lower limit that is not below the upper.

    Example:
        >>> check_limits(torch.tensor([[[1.0, 0.0]]]), torch.zeros(1, 1))
        Traceback (most recent call last):
        ValueError: limits: got 1.0 and 0.0 in row 0, column 0, expected the lower one first and below the upper
    """
    if limits is None:
        return
    if read:
        raise ValueError("limits: got some for a model whose mechanism, tilt or outcome reads missing values, expected one without")
    check_tensor("limits", limits)
    assert isinstance(limits, Tensor)
    if limits.dtype != x.dtype:
        raise TypeError(f"limits: got {limits.dtype}, expected that of x, {x.dtype}")
    if limits.shape not in ((*x.shape, 2), (*x.shape, 3)):
        raise ValueError(f"limits: got shape {tuple(limits.shape)}, expected {(*x.shape, 2)}")
    if limits.device != x.device:
        raise ValueError(f"limits: got some on {limits.device}, expected the device of x, {x.device}")
    wrong = ~(limits[..., 0] < limits[..., 1])
    if bool(wrong.any()):
        row, column = wrong.nonzero()[0].tolist()
        low, high = limits[row, column, :2].tolist()
        raise ValueError(
            f"limits: got {low} and {high} in row {row}, column {column}, expected the lower one first and below the upper"
        )


def arguments(x: Tensor, mask: Tensor, limits: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return what models and guides are called with: those of two arguments need not know of limits.

    Example:
        >>> len(arguments(torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool)))
        2
    """
    return (x, mask) if limits is None else (x, mask, limits)


def rows_of(rows: Tensor | slice, x: Tensor, mask: Tensor, limits: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return the :func:`arguments` of some rows, which an index says."""
    return arguments(x[rows], mask[rows], None if limits is None else limits[rows])


def check_counts(least: int = 1, **counts: object) -> None:
    """Refuse what are no whole numbers of ``least`` or more, by the arguments' names.

    Raises:
        TypeError: for what is no whole number.
        ValueError: for one below.

    Example:
        >>> check_counts(draws=2.5)
        Traceback (most recent call last):
        TypeError: draws: got 2.5, expected a whole number
    """
    for name, value in counts.items():
        try:
            count = operator.index(None if isinstance(value, bool) else value)  # type: ignore[arg-type]  # whatever was given
        except TypeError:
            raise TypeError(f"{name}: got {value!r:.40}, expected a whole number") from None
        if count < least:
            raise ValueError(f"{name}: got {count}, expected at least {least}")


def check_rates(**rates: object) -> None:
    """Refuse what are no finite numbers of 0 or more, by the arguments' names.

    Raises:
        TypeError: for what is no number.
        ValueError: for one below 0 or not finite.

    Example:
        >>> check_rates(lr=-0.01)
        Traceback (most recent call last):
        ValueError: lr: got -0.01, expected a finite number of 0 or more
    """
    for name, value in rates.items():
        if not isinstance(value, Real):
            raise TypeError(f"{name}: got {value!r:.40}, expected a finite number of 0 or more")
        if not 0 <= float(value) < math.inf:
            raise ValueError(f"{name}: got {value}, expected a finite number of 0 or more")


def check_module(name: str, value: object, **sizes: int) -> None:
    """Refuse what is no module, or says that it has another size than it should, of attributes that it need not have.

    Raises:
        TypeError: for what is no ``nn.Module``.
        ValueError: for another size.

    Example:
        >>> check_module("encoder", torch.nn.Linear(2, 3), in_features=4)
        Traceback (most recent call last):
        ValueError: encoder: has in_features 2, expected 4
    """
    if not isinstance(value, torch.nn.Module):
        raise TypeError(f"{name}: got {value!r:.60}, expected an nn.Module")
    for attribute, size in sizes.items():
        if (found := getattr(value, attribute, size)) != size:
            raise ValueError(f"{name}: has {attribute} {found}, expected {size}")


def check_modules(**modules: object) -> None:
    """Refuse what are no modules, by the arguments' names; None passes."""
    for name, value in modules.items():
        if value is not None:
            check_module(name, value)


def check_members(name: str, members: object) -> None:
    """Refuse what is no list of modules by a TypeError, and one of none by a ValueError."""
    if not isinstance(members, Sequence):
        raise TypeError(f"{name}: got {members!r:.60}, expected an nn.Module, or a list of such")
    if not len(members):
        raise ValueError(f"{name}: got no members, expected at least one")
    for member in members:
        check_module(name, member)


def check_weights(weights: object, x: Tensor) -> None:
    """Refuse what are no weights of rows ``x`` (N, D): a tensor (N,) of x's type, finite and above 0; None passes.

    Raises:
        TypeError: for what is no tensor, or of another type.
        ValueError: for another shape or device, or a weight that is none, naming the row.

    Example:
        >>> check_weights(torch.tensor([1.0, 0.0]), torch.zeros(2, 3))
        Traceback (most recent call last):
        ValueError: weights: got 0.0 in row 1, expected a finite number above 0 (leave the row out for 0)
    """
    if weights is None:
        return
    check_tensor("weights", weights)
    assert isinstance(weights, Tensor)
    if weights.dtype != x.dtype:
        raise TypeError(f"weights: got {weights.dtype}, expected that of x, {x.dtype}")
    if weights.shape != x.shape[:1]:
        raise ValueError(f"weights: got shape {tuple(weights.shape)}, expected {tuple(x.shape[:1])}, one for each row")
    if weights.device != x.device:
        raise ValueError(f"weights: got some on {weights.device}, expected the device of x, {x.device}")
    wrong = ~(weights.isfinite() & (weights > 0))
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(f"weights: got {float(weights[row])} in row {row}, expected a finite number above 0 (leave the row out for 0)")


def check_tensor(name: str, value: object) -> None:
    """Refuse what is no tensor.

    Raises:
        TypeError: naming the argument.
    """
    if not isinstance(value, Tensor):
        kind = type(value)
        raise TypeError(f"{name}: got {kind.__module__}.{kind.__name__}, expected a torch.Tensor (torch.as_tensor({name}))")
