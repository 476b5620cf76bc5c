"""Draws on disk: netCDF, as ArviZ and xarray read it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.writing import check_writable, write_whole

if TYPE_CHECKING:
    from xarray import Dataset


def check_draws_path(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError, before any work is done, when draws could not be written at ``path``."""
    if Path(path).suffix.lower() != ".nc":
        raise ValueError(f"{path}: got ending {Path(path).suffix!r}, expected .nc (netCDF; or .csv or .parquet)")
    check_writable(path)
    with extra("netcdf"):
        import h5netcdf  # noqa: F401
        import h5py  # noqa: F401


def write_draws(
    path: str | os.PathLike[str],
    draws: np.ndarray,
    mask: np.ndarray,
    rows: Sequence[Any],
    columns: Sequence[Hashable],
    levels: Mapping[str, Sequence[object]] | None = None,
) -> None:
    """Write completed tables as variable ``x`` (draw, row, column), with the ``mask`` (row, column), True = observed.

    Args:
        path: ends in .nc.
        draws: (M, N, D) in the table's units.
        mask: (N, D) bool.
        rows: N labels, whole numbers or anything that has a name.
        columns: D names.
        levels: by column name, what its values 0, 1, ... stand for; kept as JSON in the attribute ``levels``.

    Raises:
        ValueError: for another ending or a file that cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     write_draws(Path(home, "d.nc"), np.zeros((2, 3, 1)), np.ones((3, 1), bool), range(3), ["a"])
        ...     dict(read_draws(Path(home, "d.nc")).sizes)
        {'draw': 2, 'row': 3, 'column': 1}
    """
    with extra("netcdf"):
        import h5netcdf
        import h5py

    check_draws_path(path)
    whole = all(isinstance(label, (int, np.integer)) for label in rows)
    text = h5py.string_dtype()
    variables: list[tuple[str, tuple[str, ...], np.ndarray, dict[str, str]]] = [
        ("x", ("draw", "row", "column"), draws, {"long_name": "completed values", "units": "as in the table"}),
        ("mask", ("row", "column"), mask.astype(np.int8), {"long_name": "1 = observed, 0 = imputed"}),
        ("draw", ("draw",), np.arange(len(draws)), {}),
        ("row", ("row",), np.array([int(label) if whole else str(label) for label in rows], np.int64 if whole else text), {}),
        ("column", ("column",), np.array([str(name) for name in columns], text), {}),
    ]
    # In memory first: HDF5 ends the whole process where it cannot write, on a full disk for one.
    memory = io.BytesIO()
    with h5netcdf.File(memory, "w") as file:
        file.dimensions = dict(zip(("draw", "row", "column"), draws.shape, strict=True))
        for name, dimensions, values, attributes in variables:
            file.create_variable(name, dimensions, values.dtype, data=values).attrs.update(attributes)
        file.attrs["made_by"] = "pyro_mnar"
        file.attrs["content"] = "multiple imputations from the posterior of the missing cells"
        if levels:
            file.attrs["levels"] = json.dumps(levels)
    write_whole(Path(path), lambda new: new.write_bytes(memory.getbuffer()))


def read_draws(path: str | os.PathLike[str]) -> Dataset:
    """Return what :func:`write_draws` wrote, in memory."""
    with extra("netcdf"):
        import xarray

    with xarray.open_dataset(path, engine="h5netcdf") as data:
        return data.load()
