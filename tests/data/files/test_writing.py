"""Tables on disk: exact, whole or not at all, and every mistake said in one line."""

import os
import stat

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.data import check_ending, check_writable, read_table, write_table


@pytest.mark.parametrize("ending", [".csv", ".CSV", ".parquet", ".Parquet"])
def test_floats_round_trip_bit_for_bit(tmp_path, ending, seed):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**64, 4000, dtype=np.uint64).view(np.float64)
    frame = pd.DataFrame({"a": bits[np.isfinite(bits)]})
    frame["b"] = np.where(rng.random(len(frame)) < 0.3, np.nan, rng.normal(size=len(frame)))
    frame["n"] = rng.integers(-(2**63), 2**63 - 1, len(frame))
    frame.loc[0, "a"] = -0.0
    path = tmp_path / f"t{ending}"
    write_table(frame, path)
    back = read_table(path)
    assert list(back.columns) == list(frame.columns) and (back.dtypes == frame.dtypes).all()
    for name in frame:
        kept = frame[name].notna()
        assert (back[name].notna() == kept).all()
        assert back[name][kept].to_numpy().tobytes() == frame[name][kept].to_numpy().tobytes()


def test_the_text_of_a_csv_is_read_as_python_reads_it(tmp_path):
    texts = ["0.1", "1e-320", "123456789.123456789123", "2.2250738585072011e-308", "9007199254740993.0", "-0.0"]
    (tmp_path / "t.csv").write_text("a\n" + "\n".join(texts) + "\n")
    assert read_table(tmp_path / "t.csv").a.to_numpy().tobytes() == np.array([float(text) for text in texts]).tobytes()


def test_labels_are_written_when_asked_for(tmp_path):
    frame = pd.DataFrame({"a": [1, 2]}, index=["r", "s"])
    write_table(frame, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().split() == ["a", "1", "2"]
    write_table(frame, tmp_path / "t.csv", index=True)
    assert (tmp_path / "t.csv").read_text().split() == [",a", "r,1", "s,2"]
    write_table(frame, tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").index) == ["r", "s"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", None, "no such file"),
        ("t.csv", "", "the file is empty"),
        ("t.csv", "\n\n", "No columns"),
        ("t.csv", "a,b\n", "has no rows"),
        ("t.csv", "a,b,a\n1,2,3\n", "column 'a' stands more than once"),
        ("t.csv", "\ufeff\na,a\n1,2\n", "column 'a' stands more than once"),
        ("t.csv", "a,b\n1,2\n3,4,5\n", "Expected 2 fields in line 3, saw 3"),
        ("t.csv", "a,b\n1,2,3\n4,5,6\n", "more values than the header"),
        ("t.csv", "a,b\n1,2\n2,oops\n3,4\n", r"column 'b': got 'oops' in row 2 \(line 3 of the file\)"),
        ("t.csv", 'n,b\n"p\nq",1\n\n   \nr,oops\ns,3\n', r"got 'oops' in row 2 \(line 6 of the file\)"),
        ("t.csv", 'b\n""\noops\n3\n4\n', r"got 'oops' in row 2 \(line 3 of the file\)"),
        ("t.csv", b"a\n\xe9\n", "can't decode.*--encoding cp1252"),
        ("t.csv", "a\tb\n1\t2\n".encode("utf-16"), "can't decode.*--encoding utf-16"),
        ("t.csv", 'a,b\n1,2\n"3,4\n5,\n', "a quote that opens in the row of line 3 is not closed"),
        ("t.csv", 'a,"b\n1,2\n', "a quote that opens in the row of line 1 is not closed"),
        ("t.csv", 'a\n1\n"' + "2" * 200_000 + "\n", r"field larger than field limit .*, in line 3 \(is a quote not closed\?\)"),
        ("t.csv", "sep=;\na;b\n1;2\n", r"line 1 is 'sep=;', .*delete that line, and give --separator ';'"),
        ("t.csv", "sep=,\na,b\n1,2\n", r"line 1 is 'sep=,', .*\(delete that line\)"),
        ("t.parquet", "no parquet", "t.parquet: "),
        ("t.parquet", b"PAR1junkPAR1", "t.parquet: "),
        ("t.xlsx", "x", "got ending '.xlsx', expected one of .csv, .parquet"),
        ("t", "x", "got ending '', expected one of .csv, .parquet"),
        ("n" * 300 + ".csv", None, "no such file"),
    ],
)
def test_reading_refuses(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=said) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_a_folder_and_repeated_names_in_parquet_are_refused(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        read_table(tmp_path / "t.csv")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table([[1.0], [2.0]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="column 'a' stands more than once"):
        read_table(tmp_path / "t.parquet")


def test_text_columns_holes_and_long_whole_numbers_are_read(tmp_path):
    (tmp_path / "t.csv").write_text(f"name,half,n,long\nx,1,1,{10**30}\ny,oops,,2\nNone,2,3,\nz,oops,NA,{10**30}\n")
    frame = read_table(tmp_path / "t.csv")
    assert frame.name.isna().tolist() == [False, False, True, False]  # as pandas has it
    assert frame.half.tolist() == ["1", "oops", "2", "oops"]
    np.testing.assert_array_equal(frame.n, [1, np.nan, 3, np.nan])
    np.testing.assert_array_equal(frame.long, [1e30, 2, np.nan, 1e30])


class Broken(pd.DataFrame):
    def to_csv(self, path, **_):
        path.write_text("half")
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("frame", "name", "said"),
    [
        (Broken({"a": [1.0]}), "t.csv", "cannot be written .No space left"),
        (pd.DataFrame({"a": [1, "x"]}), "t.parquet", "Could not convert"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, frame, name, said):
    (tmp_path / name).write_text("old")
    with pytest.raises(ValueError, match=said) as caught:
        write_table(frame, tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "old"


def test_an_interrupt_leaves_nothing(tmp_path):
    class Interrupted(pd.DataFrame):
        def to_csv(self, path, **_):
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(Interrupted({"a": [1.0]}), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_permissions_are_those_of_any_new_file(tmp_path):
    write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "t.csv").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_a_link_is_followed_and_permissions_of_what_is_replaced_stay(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real.csv").write_text("old")
    (tmp_path / "folder" / "real.csv").chmod(0o640)
    (tmp_path / "t.csv").symlink_to(tmp_path / "folder" / "real.csv")
    write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").is_symlink() and (tmp_path / "folder" / "real.csv").read_text() == "a\n1\n"
    assert stat.S_IMODE((tmp_path / "folder" / "real.csv").stat().st_mode) == 0o640
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["real.csv"]


def test_what_could_not_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    check_writable(tmp_path / "t.csv")
    for path, said in [
        (tmp_path, "is a folder"),
        (tmp_path / "absent" / "t.csv", "no such folder"),
        (tmp_path / ("n" * 300), "too long"),
    ]:
        with pytest.raises(ValueError, match=said):
            check_writable(path)
    with pytest.raises(ValueError, match="expected one of .csv, .parquet"):
        check_ending("t.xlsx")
    # The tests may run as root, to whom every folder is open.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="permission denied"):
        check_writable(tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []
