"""Categories and dates of pandas Series: dates as days since 1970, and both put back into holes with the column's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyro_mnar.tables.kinds import Column


def days_of(series: Any) -> np.ndarray:
    """Return points in time as days since 1970 (N,), NaN in the holes; text is read as ISO 8601.

    Raises:
        ValueError: naming the first value that is no date.

    Example:
        >>> import pandas as pd
        >>> days_of(pd.Series(["1970-01-03", None])).tolist()
        [2.0, nan]
    """
    import pandas as pd

    times = _times(series)
    zero = pd.Timestamp(0, tz=getattr(times.dt, "tz", None))
    return ((times - zero) / pd.Timedelta(days=1)).to_numpy(dtype=np.float64, na_value=np.nan)


def fill_labels(series: Any, holes: np.ndarray, values: np.ndarray, column: Column) -> Any:
    """Return ``series`` with the levels or dates that ``values`` stand for put at ``holes`` (N,), and its dtype.

    Dates are rounded to whole days where all that were seen are. A column that is missing altogether may come with another dtype; it
    then gets that of its levels or dates.
    """
    import pandas as pd

    places = np.flatnonzero(holes)
    if column.kind == "date":
        days = days_of(series)
        seen = days[~holes]
        if (seen == np.rint(seen)).all():
            values = np.rint(values)
        if holes.all() and not pd.api.types.is_datetime64_any_dtype(series.dtype):
            series = pd.Series(pd.NaT, series.index, name=series.name, dtype="datetime64[ns]")
        zone = getattr(_times(series).dt, "tz", None)
        times = pd.Timestamp(0, tz=zone) + pd.to_timedelta(values, unit="D").round("us")
        if not pd.api.types.is_datetime64_any_dtype(series.dtype):  # text stays text
            whole = (times == times.normalize()).all()
            times = [time.date().isoformat() if whole else time.isoformat() for time in times]
        else:
            times = times.astype(series.dtype)
        series.iloc[places] = times
        return series
    levels = [column.levels[int(k)] for k in values]
    if str(series.dtype) == "category":
        new = [level for level in dict.fromkeys(levels) if level not in series.cat.categories]
        series = series.cat.add_categories(new) if new else series
    elif holes.all():
        return pd.Series(levels, series.index, name=series.name)
    series.iloc[places] = levels
    return series


def _times(series: Any) -> Any:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return series
    try:
        return pd.to_datetime(series, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise ValueError(f"column {series.name!r}: {str(error).splitlines()[0]}, expected dates such as 2024-12-31") from None
