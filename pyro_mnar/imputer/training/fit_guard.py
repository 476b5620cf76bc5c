"""A fit that ends in an error or an interruption leaves its estimator as it was; unless what was fitted is to be kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from pyro_mnar.data.warn import warn
from pyro_mnar.infer.history import History

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


def check_interrupted(histories: Sequence[History], members: int, keep: bool) -> None:
    """Raise a KeyboardInterrupt where the training of an ensemble of ``members`` was interrupted, or warn where that is to be kept."""
    if len(histories) < members or histories[-1].stopped == "interrupted":
        if not keep:
            raise KeyboardInterrupt
        said = f"training was interrupted: {len(histories)} of {members} models, the last perhaps in part"
        warn(said)
