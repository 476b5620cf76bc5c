"""Points in time: as numbers days since 1970, and put back into holes as a column has them."""

from __future__ import annotations

from datetime import date, datetime, tzinfo
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pyro_mnar.data.kinds.evidence import Evidence
from pyro_mnar.data.kinds.numbers import Number

if TYPE_CHECKING:
    from pandas import DatetimeIndex, Series

#: Numbers from here on are whole dates, below years.
_YEARS = 10_000
#: Days from 1970 that times in nanoseconds reach, about 290 years.
_NANOSECONDS = 106_000
# Days, minutes and seconds in a day.
_STEPS = (1, 1440, 86400)
#: Types of columns of record batches, in which observed values do not say it: how many of their steps are in a day.
WRITTEN = {"days": 1, "seconds": 86400}
#: Dates that are likely codes for missing ones, where they repeat.
_CODES = {"1900-01-01", "1899-12-30", "1901-01-01", "1970-01-01", "9999-12-31", "2099-12-31", "9999-01-01"}


class Date(Number):
    """Points in time: dates, timestamps, ISO 8601 text, or numbers such as 20241231 and 1985; in arrays days since 1970.

    Example:
        >>> Date("day", "str").in_words(1.4)
        '1970-01-02'
    """

    kind: ClassVar[str] = "date"
    form: ClassVar[str] = "date"
    real: ClassVar[bool] = True
    reads_floats: ClassVar[bool] = False
    about: ClassVar[str] = " (days since 1970)"

    @classmethod
    def infer(cls, seen: Evidence) -> Self | None:
        """Return a column of dates."""
        return cls(seen.name, seen.dtype) if seen.says == "dates" else None

    def read_series(self, series: Series) -> np.ndarray:
        """Return days since 1970."""
        return days_of(series)

    def fill(self, series: Series, holes: np.ndarray, values: np.ndarray) -> Series:
        """Return a pandas Series (N,) with the dates of days ``values`` at ``holes`` (N,), as it has its others.

        They are rounded to whole days, minutes or seconds where all that were seen are, and held within what the column can store. A
        column that is missing altogether may come with another dtype; it then gets that of dates.
        """
        import pandas as pd

        days = days_of(series)
        seen = days[~holes]
        # As fine as what was seen: whole days, minutes or seconds.
        steps = round(1 / self.step(seen))
        if steps in _STEPS:
            values = np.rint(values * steps) / steps
        if holes.all() and not pd.api.types.is_datetime64_any_dtype(series.dtype):
            series = pd.Series(pd.NaT, series.index, name=series.name, dtype="datetime64[ns]")
        zone = getattr(times_in(series).dt, "tz", None)
        low, high = _REACH if "[ns" in str(series.dtype) else _YEARS_1_TO_9999
        values = np.clip(values, seen.min(initial=low), seen.max(initial=high))
        series.iloc[np.flatnonzero(holes)] = _as_written(_as_days(times_of(values, zone), times_in(series)), series)
        return series

    def step(self, seen: np.ndarray) -> float:
        """Return a day, a minute, a second or a microsecond, as fine as what was observed, or as the type says."""
        if self.dtype in WRITTEN:
            return 1.0 / WRITTEN[self.dtype]
        return 1.0 / next((steps for steps in _STEPS if _are_whole(seen, steps)), 86_400_000_000)

    @property
    def is_number(self) -> bool:
        """False: dates are."""
        return False

    def in_words(self, number: float, digits: int = 5) -> str:
        """Return a date."""
        return str(np.datetime64(round(float(number)), "D")) if np.isfinite(number) else super().in_words(number, digits)

    def may_be_code(self, value: float, count: int) -> bool:
        """Return whether it is a date that stands for none, more than once."""
        return count > 1 and str(np.datetime64(int(np.clip(value, -700_000, 3_000_000)), "D")) in _CODES


#: Days since 1970 of the first and the last date that nanoseconds can store, and that Python knows, in any zone.
_REACH, _YEARS_1_TO_9999 = (-106_749.0, 106_749.0), (-719_160.0, 2_932_894.0)


def _are_whole(days: np.ndarray, steps: int) -> bool:
    """Return whether points in time are whole days, or such parts of them."""
    return bool(np.abs(days * steps - np.rint(days * steps)).max(initial=0.0) < 1e-6 * steps)


def days_of(series: Series) -> np.ndarray:
    """Return points in time as days since 1970 (N,), NaN in the holes; text is read as ISO 8601.

    Raises:
        ValueError: naming the first value that is no date.

    Example:
        >>> import pandas as pd
        >>> days_of(pd.Series(["1970-01-03", None])).tolist()
        [2.0, nan]
    """
    import pandas as pd

    times = times_in(series)
    zero = pd.Timestamp(0, tz=getattr(times.dt, "tz", None))
    try:
        return ((times - zero) / pd.Timedelta(days=1)).to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, OverflowError):  # of years that nanoseconds do not reach
        times = times if isinstance(times.dtype, (np.dtype, pd.DatetimeTZDtype)) else pd.to_datetime(times.astype(object))
        return ((times - zero.as_unit("s")).dt.total_seconds() / 86400).to_numpy(dtype=np.float64, na_value=np.nan)


def times_of(days: np.ndarray, zone: tzinfo | None) -> DatetimeIndex:
    """Return days since 1970 (N,) as points in time, to the microsecond; where nanoseconds do not reach, to the second.

    Example:
        >>> str(times_of(np.array([2.25]), None)[0])
        '1970-01-03 06:00:00'
    """
    import pandas as pd

    if np.abs(days).max(initial=0.0) < _NANOSECONDS:
        return pd.Timestamp(0, tz=zone) + pd.to_timedelta(days, unit="D").round("us")
    return pd.Timestamp(0, tz=zone).as_unit("s") + pd.to_timedelta(np.rint(days * 86400).astype("timedelta64[s]"))


def are_midnights(times: Series) -> bool:
    """Return whether points in time, in their zone, are all the beginnings of days.

    Example:
        >>> import pandas as pd
        >>> are_midnights(pd.Series(pd.date_range("2024-03-30", periods=3, tz="Europe/Berlin")))
        True
    """
    local = times.dropna().dt.tz_localize(None)
    return bool(len(local)) and bool((local == local.dt.normalize()).all())


def _as_days(times: DatetimeIndex, seen: Series) -> DatetimeIndex:
    """Return points in time at the nearest midnights of their zone, where all that were ``seen`` are such."""
    if times.tz is None or not are_midnights(seen):
        return times
    return times.tz_localize(None).round("D").tz_localize(times.tz, ambiguous=np.zeros(len(times), bool), nonexistent="shift_forward")


def _as_written(times: DatetimeIndex, series: Series) -> Series | list[object]:
    """Return points in time as those of ``series`` are given: timestamps, dates, numbers such as 20201231, or text."""
    import pandas as pd

    if str(series.dtype).startswith(("date32", "date64")):  # Arrow's dates, which pandas takes for points in time
        return [time.date() for time in times]
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return times.astype(series.dtype)
    seen = series.dropna()
    first = seen.iloc[0]
    if isinstance(first, (int, np.integer, float)):
        return [int(time.strftime("%Y%m%d" if first >= _YEARS else "%Y")) for time in times]
    if isinstance(first, datetime):
        return [time.to_pydatetime() for time in times]
    if isinstance(first, date):
        return [time.date() for time in times]
    if seen.str.fullmatch(r"\d{8}|\d{4}").all():
        return [time.strftime("%Y%m%d" if len(first) == 8 else "%Y") for time in times]
    whole = seen.str.len().max() <= len("2020-01-01")
    mark, spec = " " if " " in first else "T", "minutes" if seen.str.len().max() == len("2020-01-01T10:00") else "auto"
    return [time.date().isoformat() if whole else time.isoformat(mark, spec) for time in times]


def times_in(series: Series) -> Series:
    """Return dates, timestamps, ISO 8601 text or numbers such as 20241231 as points in time, NaT in the holes.

    Raises:
        ValueError: naming the first value that is no date.

    Example:
        >>> import pandas as pd
        >>> str(times_in(pd.Series([20241231.0, None]))[0])
        '2024-12-31 00:00:00'
    """
    import pandas as pd

    if str(series.dtype).startswith("date"):  # Arrow's dates, and pandas' own
        if isinstance(series.dtype, (np.dtype, pd.DatetimeTZDtype)):
            return series
        return pd.to_datetime(series.astype(object))
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return series
    series = series.astype(object) if str(series.dtype) == "category" else series
    numbers = (
        [item for item in series.dropna().items() if isinstance(item[1], (int, float, complex, np.number))]
        if series.dtype == object
        else []
    )
    if 0 < len(numbers) < series.count():
        label, value = numbers[0]
        raise ValueError(
            f"column {series.name!r}: got {value!r} in row {label} and others that are no numbers, expected dates of one form"
        )
    if numbers or pd.api.types.is_numeric_dtype(series.dtype):
        series = _digits(series)
    try:
        return pd.to_datetime(series, format="ISO8601")
    except (ValueError, TypeError):
        wrong = next((item for item in series.dropna().items() if not _is_date(item[1])), None)
        if wrong is None:
            raise ValueError(f"column {series.name!r}: got points in time of several time zones, expected one") from None
        raise ValueError(
            f"column {series.name!r}: got {wrong[1]!r} in row {wrong[0]}, expected dates such as 2024-12-31 (--missing {wrong[1]!r}, "
            "in Python missing=, if it stands for a missing value)"
        ) from None


def _is_date(value: object) -> bool:
    import pandas as pd

    try:
        pd.to_datetime(pd.Series([value]), format="ISO8601")
    except (ValueError, TypeError):
        return False
    return True


def _digits(series: Series) -> Series:
    """Return numbers such as 20241231 or 1985 as text.

    Raises:
        ValueError: naming the first that is neither.
    """
    result = series.astype(object)
    for label, value in series.dropna().items():
        number = isinstance(value, (int, float, np.integer, np.floating)) and np.isfinite(value)
        if not number or value != round(value) or not (1000 <= value < _YEARS or 10_000_000 <= value < 100_000_000):
            raise ValueError(f"column {series.name!r}: got {value!r} in row {label}, expected dates such as 2024-12-31 or 20241231")
    return result.where(series.isna(), series.dropna().astype("int64").astype(str).reindex(series.index))
