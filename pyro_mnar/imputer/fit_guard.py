"""A fit that ends in an error or an interruption leaves its estimator as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def all_or_nothing(fit: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Let a method put back all attributes of its object where it raises.

    Example:
        >>> class Half:
        ...     @all_or_nothing
        ...     def fit(self):
        ...         self.mean_ = 1.0
        ...         raise KeyboardInterrupt
        >>> half = Half()
        >>> try:
        ...     half.fit()
        ... except KeyboardInterrupt:
        ...     vars(half)
        {}
    """

    @wraps(fit)
    def guarded(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        attributes = vars(args[0])
        before = dict(attributes)
        try:
            return fit(*args, **kwargs)
        except BaseException:
            attributes.clear()
            attributes.update(before)
            raise

    return guarded
