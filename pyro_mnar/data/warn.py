"""Warnings that point at the line that called the library, however deep below it they arise."""

from __future__ import annotations

import sys
import warnings

#: Packages whose functions stand between a caller and what warns: this one, and those that wrap its methods.
_BETWEEN = {"pyro_mnar", "torch", "pyro", "sklearn", "joblib", "contextlib", "functools"}


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Give a warning at the nearest caller that is none of this package, nor a wrapper of its methods.

    Example:
        >>> with warnings.catch_warnings(record=True) as seen:
        ...     warnings.simplefilter("always")
        ...     warn("few rows")
        >>> [(str(one.message), one.category.__name__) for one in seen]
        [('few rows', 'UserWarning')]
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
