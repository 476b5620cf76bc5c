"""Optional requirements: where one is missing, the error names the extra of this package that brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ImportError):
    """A package that only some uses need is not installed."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn a failed import into one line that says how to install what is missing.

    Args:
        name: the extra of this package, as in ``setup.cfg``.

    Raises:
        MissingExtraError: in place of a ModuleNotFoundError.

    Example:
        >>> with extra("parquet"):
        ...     import nowhere
        Traceback (most recent call last):
        pyro_mnar.data.extras.MissingExtraError: nowhere: not installed, expected the extra 'parquet' (pip install 'pyro-mnar[parquet]')
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name}: not installed, expected the extra {name!r} (pip install 'pyro-mnar[{name}]')") from None
