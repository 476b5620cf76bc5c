"""A disk that is full while outputs are written: one line, the old file, nothing left over; for HDF5 a process of its own."""

import os
import resource
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar.data import write_table
from pyro_mnar.data.files.reading import read_source
from pyro_mnar.imputation.netcdf import write_draws
from pyro_mnar.imputer.saving.model_files import save_model
from pyro_mnar.report.html import write_page


@contextmanager
def no_file_above(size):
    """As on a full disk, writing beyond ``size`` bytes of a file is an error: EFBIG, since Python ignores its signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(3000, 4)), columns=list("abcd"))


def as_csv(path):
    write_table(FRAME, path)


def as_it_stands(path):
    source = path.with_name("source.csv")
    read_source(str(source)).write(str(path), FRAME.iloc[:0, :0], FRAME.iloc[:0, :0])


def page(path):
    from pyro_mnar.report.html import Section

    write_page(path, "Long", [Section("Long").text("word " * 9000)])


def draws(path):
    write_draws(path, np.random.default_rng(0).normal(size=(9, 300, 4)), np.ones((300, 4), bool), range(300), list("abcd"))


def model(path):
    save_model(path, {"a": torch.zeros(9000)}, {})


WRITERS = {"t.csv": as_csv, "o.csv": as_it_stands, "t.parquet": as_csv, "r.html": page, "d.nc": draws, "m": model}


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS.keys())
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, name, write):
    path = tmp_path / name
    (tmp_path / "source.csv").write_text("a,b\n" + "1,\n" * 9000)
    for old in (False, True):
        if old:
            write(path)
            before = {part: part.read_bytes() for part in tmp_path.rglob("*") if part.is_file() and part.name != "source.csv"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside a fork
            child = os.fork()  # HDF5 used to end the process
        if not child:
            try:
                with no_file_above(20_000), pytest.raises(ValueError, match=f"{name}: .*(too large|No space)") as caught:
                    write(path)
                os._exit(0 if "\n" not in str(caught.value) else 2)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        after = {part: part.read_bytes() for part in tmp_path.rglob("*") if part.is_file() and part.name != "source.csv"}
        assert after == (before if old else {})
    assert sorted(os.listdir(tmp_path)) == sorted([name, "source.csv"])


def test_draws_are_netcdf_with_names_of_any_script(tmp_path):
    from pyro_mnar.imputation.netcdf import read_draws

    values, mask = np.random.default_rng(0).normal(size=(4, 3, 2)), np.arange(6).reshape(3, 2) % 2 == 0
    write_draws(tmp_path / "d.nc", values, mask, ["a", "ü", 3], ["x", "值"], {"x": ["é"]})
    found = read_draws(tmp_path / "d.nc")
    assert (found.x.to_numpy() == values).all() and (found.mask.to_numpy() == mask).all()
    assert found.row.to_numpy().tolist() == ["a", "ü", "3"] and found.column.to_numpy().tolist() == ["x", "值"]
    assert found.sel(draw=2, row="ü", column="值").x == values[2, 1, 1] and "\\u00e9" in found.attrs["levels"]
    write_draws(tmp_path / "d.nc", values, mask, [1, 2**40, -3], ["x", "y"])
    assert read_draws(tmp_path / "d.nc").row.to_numpy().tolist() == [1, 2**40, -3]
