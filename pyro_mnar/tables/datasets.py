"""Data sets for examples and benchmarks: scikit-learn's bundled tables, and the UCI tables of the not-MIWAE paper."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pyro_mnar.tables.files import read_table, write_table

if TYPE_CHECKING:
    from pandas import DataFrame

BUNDLED = {"breast": "load_breast_cancer", "diabetes": "load_diabetes", "wine": "load_wine"}
#: File in ``data_home/uci``, address of the archive, member of the archive.
UCI = {
    "banknote": ("banknote.csv", "267/banknote+authentication.zip", "data_banknote_authentication.txt"),
    "concrete": ("concrete.csv", "165/concrete+compressive+strength.zip", "Concrete_Data.xls"),
    "red": ("winequality-red.csv", "186/wine+quality.zip", "winequality-red.csv"),
    "white": ("winequality-white.csv", "186/wine+quality.zip", "winequality-white.csv"),
    "yeast": ("yeast.csv", "110/yeast.zip", "yeast.data"),
}
#: Names of the columns, target last, for archives that have none or unwieldy ones.
HEADERS = {
    "banknote": "variance skewness curtosis entropy class",
    "concrete": "cement blast_furnace_slag fly_ash water superplasticizer coarse_aggregate fine_aggregate age compressive_strength",
    "yeast": "mcg gvh alm mit erl pox vac nuc class",
}


def load(name: str, data_home: str | os.PathLike[str] | None = None) -> DataFrame:
    """Return a complete table of continuous features, without its target.

    Args:
        name: ``breast``, ``diabetes``, ``wine`` (bundled with scikit-learn), ``banknote``, ``concrete``, ``red``, ``white``,
            ``yeast`` (UCI Machine Learning Repository, CC BY 4.0).
        data_home: folder that holds, or gets, ``uci/NAME.csv``; needed for the UCI tables. Nothing is kept elsewhere.

    Raises:
        ValueError: for an unknown name, no ``data_home``, a file that is no table, or one that is neither there nor can be
            downloaded.

    Example:
        >>> load("breast").shape
        (569, 30)
    """
    if name in BUNDLED:
        from sklearn import datasets

        return getattr(datasets, BUNDLED[name])(as_frame=True).data
    if name not in UCI:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join([*BUNDLED, *UCI])}")
    if data_home is None:
        raise ValueError(f"data_home: got none, expected a folder that holds or gets the table {name!r}")
    path = Path(data_home, "uci", UCI[name][0])
    if not path.is_file():
        _download(name, path)
    return read_table(path).iloc[:, :-1]


def _download(name: str, path: Path) -> None:
    """Fetch an archive and write its table as ``path``, with a header and the target as last column."""
    _, address, member = UCI[name]
    url = f"https://archive.ics.uci.edu/static/public/{address}"
    try:
        import pooch  # the extra "data"

        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder of its own: a damaged archive left behind would be taken for the real one the next time.
        with TemporaryDirectory(dir=path.parent) as folder:
            files = pooch.retrieve(url, None, path=folder, processor=pooch.Unzip(members=[member]), progressbar=False)
            frame = _parse(name, files[0])
    except Exception as error:  # whatever the network, archive or spreadsheet library raises, the way out is the same
        why = type(error).__name__
        raise ValueError(f"{path}: no such file, and {url} could not be read ({why}); put a CSV there, target last") from None
    write_table(frame, path)


def _parse(name: str, file: str) -> DataFrame:
    import pandas as pd

    if name in ("red", "white"):
        return pd.read_csv(file, sep=";")
    names = HEADERS[name].split()
    if name == "concrete":
        return pd.read_excel(file).set_axis(names, axis=1)
    # The first entry of a line of yeast names the protein.
    frame = pd.read_csv(file, sep=r"\s+" if name == "yeast" else ",", header=None)
    return frame.iloc[:, -len(names) :].set_axis(names, axis=1)
