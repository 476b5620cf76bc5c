"""Data sets for examples and benchmarks: scikit-learn's bundled tables, and the UCI tables of the not-MIWAE paper."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

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


def load(name: str, data_home: str | os.PathLike[str] | None = None) -> DataFrame:
    """Return a complete table of continuous features, without its target.

    Args:
        name: ``breast``, ``diabetes``, ``wine`` (bundled with scikit-learn), ``banknote``, ``concrete``, ``red``, ``white``,
            ``yeast`` (UCI Machine Learning Repository, CC BY 4.0).
        data_home: folder that holds, or gets, ``uci/NAME.csv``; needed for the UCI tables.

    Raises:
        ValueError: for an unknown name, no ``data_home``, or a table that is neither there nor can be downloaded.

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
    import pandas as pd

    path = Path(data_home, "uci", UCI[name][0])
    if not path.is_file():
        _download(name, path)
    return pd.read_csv(path).iloc[:, :-1]


def _download(name: str, path: Path) -> None:
    """Fetch an archive and write its table as ``path``, with a header and the target as last column."""
    import pandas as pd

    _, address, member = UCI[name]
    url = f"https://archive.ics.uci.edu/static/public/{address}"
    try:
        import pooch  # the extra "data"

        path.parent.mkdir(parents=True, exist_ok=True)
        files = pooch.retrieve(url, None, path=path.parent, processor=pooch.Unzip(members=[member]), progressbar=False)
    except Exception as error:  # whatever the network library raises, the way out is the same
        raise ValueError(f"{path}: absent, and {url} could not be read ({type(error).__name__}); put the file there") from None
    if member.endswith(".xls"):
        frame = pd.read_excel(files[0])
    elif name == "yeast":
        frame = pd.read_csv(files[0], sep=r"\s+", header=None).iloc[:, 1:]
    else:
        frame = pd.read_csv(files[0], sep=";" if "wine" in member else ",", header="infer" if "wine" in member else None)
    frame.to_csv(path, index=False)
