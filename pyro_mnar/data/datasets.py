"""Data sets for examples and benchmarks: scikit-learn's bundled tables, and UCI tables of published benchmarks of imputation.

Of the not-MIWAE paper (arXiv 2006.12871): banknote, concrete, red, white, yeast. Of CACTI (arXiv 2506.02306): letter, magic, obesity,
spambase.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pyro_mnar.data.files.reading import read_table
from pyro_mnar.data.files.writing import write_table

if TYPE_CHECKING:
    from pandas import DataFrame

BUNDLED = {"breast": "load_breast_cancer", "diabetes": "load_diabetes", "wine": "load_wine"}
#: File in ``data_home/uci``, address of the archive, member of the archive.
UCI = {
    "banknote": ("banknote.csv", "267/banknote+authentication.zip", "data_banknote_authentication.txt"),
    "concrete": ("concrete.csv", "165/concrete+compressive+strength.zip", "Concrete_Data.xls"),
    "letter": ("letter.csv", "59/letter+recognition.zip", "letter-recognition.data"),
    "magic": ("magic.csv", "159/magic+gamma+telescope.zip", "magic04.data"),
    "obesity": (
        "obesity.csv",
        "544/estimation+of+obesity+levels+based+on+eating+habits+and+physical+condition.zip",
        "ObesityDataSet_raw_and_data_sinthetic.csv",
    ),
    "red": ("winequality-red.csv", "186/wine+quality.zip", "winequality-red.csv"),
    "spambase": ("spambase.csv", "94/spambase.zip", "spambase.data"),
    "white": ("winequality-white.csv", "186/wine+quality.zip", "winequality-white.csv"),
    "yeast": ("yeast.csv", "110/yeast.zip", "yeast.data"),
}
#: Names of the columns, target last, for archives that have none or unwieldy ones.
HEADERS = {
    "banknote": "variance skewness curtosis entropy class",
    "concrete": "cement blast_furnace_slag fly_ash water superplasticizer coarse_aggregate fine_aggregate age compressive_strength",
    "letter": "x_box y_box width high onpix x_bar y_bar x2bar y2bar xybar x2ybr xy2br x_ege xegvy y_ege yegvx letter",
    "magic": "fLength fWidth fSize fConc fConc1 fAsym fM3Long fM3Trans fAlpha fDist class",
    "obesity": (
        "Gender Age Height Weight Family_Obesity_History Frequent_HighCalorie_Food Veggies Num_of_Meals Food_btw_Meals Smoke H2O "
        "Calorie_Monitor Physical_Activity Time_On_Devices Alcohol_Consump Transportation Obesity_Level"
    ),
    "spambase": " ".join(f"freq_{j}" for j in range(1, 55)) + " run_average run_longest run_total spam",
    "yeast": "mcg gvh alm mit erl pox vac nuc class",
}


def load(name: str, data_home: str | os.PathLike[str] | None = None) -> DataFrame:
    """Return a complete table of features, without its target; continuous ones, but for ``obesity``, which has words and grades.

    Args:
        name: ``breast``, ``diabetes``, ``wine`` (bundled with scikit-learn), ``banknote``, ``concrete``, ``letter``,
            ``magic``, ``obesity``, ``red``, ``spambase``, ``white``, ``yeast`` (UCI Machine Learning Repository, CC BY 4.0).
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
    if name == "obesity":
        return pd.read_csv(file).set_axis(names, axis=1)
    if name == "letter":
        # The letter comes first there.
        return pd.read_csv(file, header=None).set_axis([names[-1], *names[:-1]], axis=1)[names]
    # The first entry of a line of yeast names the protein.
    frame = pd.read_csv(file, sep=r"\s+" if name == "yeast" else ",", header=None)
    return frame.iloc[:, -len(names) :].set_axis(names, axis=1)
