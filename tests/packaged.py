"""What an installed wheel must do: run by `make package`, outside of the sources.

``python packaged.py bare`` in an environment of the hard requirements alone, ``python packaged.py cli`` where the extra ``cli`` is too.
"""

import importlib.util
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points, version
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

import pyro_mnar
from pyro_mnar import MNARImputer


def written(folder: str) -> pd.DataFrame:
    """Write t.csv, whose column a hides its large values, and return it."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 3)) @ rng.normal(size=(3, 3)), columns=list("abc"))
    frame.loc[frame.a > 1, "a"] = np.nan
    frame.to_csv(Path(folder, "t.csv"), index=False)
    return frame


def command(folder: str, *words: str) -> subprocess.CompletedProcess:
    """Run the console script that the wheel installed."""
    return subprocess.run([str(Path(sys.executable).with_name("pyro-mnar")), *words], cwd=folder, capture_output=True, text=True)


def check_contents() -> None:
    """The package is the installed one, with its version, its types and its template."""
    assert "site-packages" in pyro_mnar.__file__, pyro_mnar.__file__
    assert version("pyro-mnar") == pyro_mnar.__version__
    assert [each.value for each in entry_points(group="console_scripts", name="pyro-mnar")] == ["pyro_mnar.cli.main:main"]
    assert files("pyro_mnar").joinpath("py.typed").is_file() and files("pyro_mnar.report").joinpath("page.html").is_file()
    for name in pyro_mnar.__all__:
        getattr(pyro_mnar, name)


def check_frame(folder: str) -> None:
    """Fit, impute, save and load from Python."""
    frame = written(folder)
    imputer = MNARImputer(direction={"a": "high"}, members=2, steps=20, progress=False).fit(frame)
    completed = imputer.transform(frame)
    assert completed.notna().all().all() and completed.b.equals(frame.b)
    imputer.save(Path(folder, "saved"))
    pd.testing.assert_frame_equal(MNARImputer.load(Path(folder, "saved")).transform(frame), completed)


def check_command(folder: str) -> None:
    """A CSV to a CSV."""
    done = command(folder, "impute", "t.csv", "--output", "c.csv", "--direction", "a=high", "--steps", "20", "--save", "model")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(Path(folder, "c.csv")).notna().all().all()


def check_refusals(folder: str) -> None:
    """What needs an extra says which, in one line, before any work."""
    for extra, words in {
        "parquet": ["impute", "t.csv", "--output", "c.parquet"],
        "netcdf": ["impute", "t.csv", "--output", "c.csv", "--draws-output", "d.nc"],
        "report": ["report", "t.csv", "--output", "r.html"],
        "plots": ["diagnose", "t.csv", "--model", "model", "--figure", "f.png"],
    }.items():
        done = command(folder, *words)
        line = done.stderr.strip()
        assert done.returncode == 2 and f"pip install 'pyro-mnar[{extra}]'" in line and "\n" not in line, (extra, done)


def check_extras(folder: str) -> None:
    """The same commands with the extra ``cli``."""
    for words in (
        ["impute", "t.csv", "--output", "c.parquet", "--model", "model", "--draws", "3", "--draws-output", "d.nc"],
        ["report", "t.csv", "--output", "r.html", "--model", "model"],
        ["diagnose", "t.csv", "--model", "model", "--figure", "f.png"],
    ):
        done = command(folder, *words)
        assert done.returncode == 0, done.stderr
    assert pd.read_parquet(Path(folder, "c.parquet")).notna().all().all()
    assert all(Path(folder, name).stat().st_size > 1000 for name in ("d.nc", "r.html", "f.png"))


if __name__ == "__main__":
    (kind,) = sys.argv[1:]
    optional = ("arviz", "h5netcdf", "matplotlib", "pyarrow", "xarray")
    with tempfile.TemporaryDirectory() as folder:
        check_contents()
        check_frame(folder)
        check_command(folder)
        if kind == "bare":
            present = [name for name in optional if importlib.util.find_spec(name)]
            assert not present, f"installed without being asked for: {', '.join(present)}"
            check_refusals(folder)
        else:
            check_extras(folder)
    print(f"{kind}: passed")
