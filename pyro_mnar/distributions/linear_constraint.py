"""Linear rules of rows as a constraint, for models of one's own."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import constraints


class LinearConstraint(constraints.Constraint):
    """Rows x (..., D) with A x <= b, and C x = d where there are equalities.

    Args:
        matrix: A, (R, D).
        bound: b, (R,).
        equal, value: C (E, D) and d (E,), or None.
        tolerance: the largest error of an equality.

    Raises:
        ValueError: for shapes that do not go together.

    Example:
        >>> import torch
        >>> below = LinearConstraint(torch.tensor([[-1.0, 1.0]]), torch.zeros(1))  # x_1 <= x_0
        >>> below.check(torch.tensor([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]])).tolist()
        [True, False, True]
    """

    is_discrete = False
    event_dim = 1

    def __init__(
        self, matrix: Tensor, bound: Tensor, equal: Tensor | None = None, value: Tensor | None = None, tolerance: float = 0.0
    ) -> None:
        if (equal is None) != (value is None):
            raise ValueError("equal, value: got one of them, expected both or neither")
        for name, one, other in (("matrix", matrix, bound), ("equal", equal, value)):
            if one is not None and other is not None and (one.dim() != 2 or other.shape != one.shape[:1]):
                raise ValueError(f"{name}: got shapes {tuple(one.shape)} and {tuple(other.shape)}, expected (R, D) and (R,)")
        if equal is not None and equal.shape[1] != matrix.shape[1]:
            raise ValueError(f"equal: got {equal.shape[1]} columns, expected those of matrix, {matrix.shape[1]}")
        self.matrix, self.bound, self.equal, self.value, self.tolerance = matrix, bound, equal, value, tolerance
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return where rows (..., D) obey, (...)."""
        # Products one by one: a matrix product may round sums of two numbers.
        found = ((value.unsqueeze(-2) * self.matrix).sum(-1) <= self.bound).all(-1)
        if self.equal is None or self.value is None:
            return found
        apart = ((value.unsqueeze(-2) * self.equal).sum(-1) - self.value).abs()
        return found & (apart <= self.tolerance).all(-1)
