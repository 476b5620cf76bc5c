"""What a command line's tables and options hold: names with any marks, pipes, formulas, dates and times as they are written."""

import errno
import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.cli.main import main
from pyro_mnar.data.files.reading import read_source

N = 60
RNG = np.random.default_rng(0)
GONE = np.arange(N) % 7 == 2
QUICK = ["--mechanism", "none", "--steps", "2", "--jobs", "1"]


def write(path, **columns):
    frame = pd.DataFrame(columns | {"b": RNG.normal(size=N).round(3)})
    frame.to_csv(path, index=False)
    return frame


@pytest.mark.parametrize("name", ["a,b", "x=y", "x:y", " lead", "k=1:2", 'q"q'])
def test_names_with_marks_can_be_given_to_every_option_of_sensitivity(tmp_path, capsys, name):
    level = np.where(GONE, None, np.resize(["u", "v", "w"], N))
    frame = pd.DataFrame({name: np.where(GONE, np.nan, RNG.normal(size=N)), f"{name}2": level, "b": RNG.normal(size=N)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    out, model = str(tmp_path / "p.csv"), str(tmp_path / "m")
    table = str(tmp_path / "t.csv")
    assert main(["impute", table, "--output", str(tmp_path / "c.csv"), "--save", model, *QUICK]) == 0
    run = ["sensitivity", table, "--model", model, "--output", out, "--draws", "16", "--jobs", "1"]
    for options in (
        ["--regress", f"b={name}", "--shift", f"{name}=-1:1:2", "--rows", f"{name}2=u"],
        ["--regress", f"{name}=b", "--scale", f"{name}=.5:1:2"],
        ["--mean", name, "--shift", f"{name}=-1:1:2"],
        ["--mean", f"{name}2=v", "--odds", f"{name}2:v=.5:2:3"],
    ):
        assert main([*run, *options]) == 0, capsys.readouterr().err
    assert pd.read_csv(out).columns[0] == f"odds ratio of imputed {name}2 = v"


def test_formulas_are_escaped_where_that_is_asked_for(tmp_path, capsys):
    left = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "-7.5", "plain", "\tx", "＝1"]
    write(tmp_path / "t.csv", **{"=name": np.where(GONE, np.nan, RNG.normal(size=N)), "text": np.resize(left, N)})
    out, table = tmp_path / "c.csv", str(tmp_path / "t.csv")
    assert main(["impute", table, "--output", str(out), "--columns", "=name,b", *QUICK]) == 0
    plain = read_source(out)
    assert plain.header[0] == "=name" and plain.cells["text"][:8] == left
    assert main(["impute", table, "--output", str(out), "--columns", "=name,b", "--escape-formulas", *QUICK]) == 0
    safe = read_source(out)
    assert safe.header[0] == "'=name"
    assert safe.cells["text"][:8] == ["'" + x if x not in ("-7.5", "plain") else x for x in left]
    # Numbers below 0 stay numbers.
    assert safe.cells["'=name"] == plain.cells["=name"] and any(cell.startswith("-") for cell in plain.cells["=name"])
    assert main(["impute", table, "--output", str(tmp_path / "c.parquet"), "--escape-formulas", *QUICK]) == 2
    assert "--escape-formulas: got output" in capsys.readouterr().err
    pd.read_csv(table).to_parquet(tmp_path / "t.parquet")
    arguments = ["--output", str(out), "--columns", "=name,b", "--escape-formulas", *QUICK]
    assert main(["impute", str(tmp_path / "t.parquet"), *arguments]) == 0
    assert read_source(out).header == safe.header and read_source(out).cells["text"] == safe.cells["text"]


@pytest.mark.script
def test_a_reader_that_left_is_no_error(tmp_path):
    write(tmp_path / "t.csv", a=np.ones(N))
    command = [sys.executable, "-m", "pyro_mnar", "impute", str(tmp_path / "t.csv"), "--output", "-"]
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=200, check=False)
    os.close(writer)
    assert found.returncode == 141 and found.stderr == b""


def test_a_full_device_for_standard_output_is_one_line(tmp_path, monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write(tmp_path / "t.csv", a=np.ones(N))
    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["impute", str(tmp_path / "t.csv"), "--output", "-"]) == 2
    assert capsys.readouterr().err.strip().endswith("No space left on device")


def test_standard_output_has_the_encoding_of_the_table(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_bytes("ü,b\n1,2\n2,\n3,4\n".encode("cp1252"))
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["impute", str(tmp_path / "t.csv"), "--output", "-", "--encoding", "cp1252", *QUICK]) == 0
    assert stream.buffer.getvalue().startswith("ü,b\n".encode("cp1252"))


@pytest.mark.parametrize(
    ("kind", "words"), [("angle:24", ["23:10", "0:30", "01:15"]), ("angle:24", ["23:10:30", "00:30:05", "01:15:00"])]
)
def test_times_and_dates_that_are_all_missing_at_transform_are_filled_as_training_had_them(tmp_path, kind, words):
    write(tmp_path / "t.csv", x=np.where(GONE, "", np.resize(words, N)))
    pd.DataFrame({"x": "", "b": [1.0, 2.0]}).to_csv(tmp_path / "new.csv", index=False)
    out, model = str(tmp_path / "c.csv"), str(tmp_path / "m")
    assert main(["impute", str(tmp_path / "t.csv"), "--output", out, "--kind", f"x={kind}", "--save", model, *QUICK]) == 0
    assert main(["impute", str(tmp_path / "new.csv"), "--output", out, "--model", model, "--jobs", "1"]) == 0
    assert all(cell.count(":") == words[0].count(":") for cell in read_source(out).cells["x"])


def test_dates_that_are_all_missing_at_transform_are_whole_days(tmp_path, capsys):
    days = pd.date_range("2020-01-01", periods=N).strftime("%Y-%m-%d")
    write(tmp_path / "t.csv", x=np.where(GONE, "", days))
    pd.DataFrame({"x": "", "b": [1.0, 2.0]}).to_csv(tmp_path / "new.csv", index=False)
    out, model = str(tmp_path / "c.csv"), str(tmp_path / "m")
    assert main(["impute", str(tmp_path / "t.csv"), "--output", out, "--kind", "x=date", "--save", model, *QUICK]) == 0
    assert main(["impute", str(tmp_path / "new.csv"), "--output", out, "--model", model, "--jobs", "1"]) == 0
    assert all(len(cell) == len("2020-01-01") for cell in read_source(out).cells["x"]), read_source(out).cells["x"]


def test_a_text_among_dates_is_named_with_its_row(tmp_path, capsys):
    write(tmp_path / "t.csv", x=np.where(GONE, "", np.where(np.arange(N) == 4, "?", "2020-01-01")))
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--kind", "x=date", *QUICK]) == 2
    assert "column 'x': got '?' in row 5, expected dates such as 2024-12-31 (--missing '?'" in capsys.readouterr().err


def test_a_copy_does_not_say_that_nothing_is_missing_where_a_column_left_out_has_holes(tmp_path, capsys):
    write(tmp_path / "t.csv", x=np.where(GONE, "", [f"name {i}" for i in range(N)]))
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv")]) == 0
    assert "in the columns that are used" in capsys.readouterr().out


def test_a_logarithm_of_no_number_above_zero_is_refused_before_any_work(tmp_path, capsys):
    write(tmp_path / "t.csv", dose=np.where(GONE, np.nan, np.arange(N) % 5))
    run = ["report", str(tmp_path / "t.csv"), "--output", str(tmp_path / "r.html"), "--regress", "log(dose)=b", *QUICK]
    assert main(run) == 2 and not (tmp_path / "r.html").exists()
    assert "--regress: log(dose): got 0 in row 1, expected numbers above 0\n" in capsys.readouterr().err


def test_a_weight_of_texts_is_named(tmp_path, capsys):
    write(tmp_path / "t.csv", a=np.where(GONE, np.nan, RNG.normal(size=N)), wt=np.resize(["p", "q"], N))
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--weight", "wt", *QUICK]) == 2
    assert "--weight: column 'wt': got 'p' in row 1, expected numbers above zero\n" in capsys.readouterr().err


def test_a_row_without_a_whole_number_gets_one_from_a_saved_model(tmp_path):
    write(tmp_path / "t.csv", age=pd.array(np.where(GONE, None, RNG.integers(20, 60, N)), "Int64"))
    run = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--save", str(tmp_path / "m"), *QUICK]
    assert main(run) == 0
    (tmp_path / "n.csv").write_text("age,b\n,0.5\n")
    new = ["impute", str(tmp_path / "n.csv"), "--output", str(tmp_path / "d.csv"), "--model", str(tmp_path / "m"), "--jobs", "1"]
    assert main(new) == 0
    assert (tmp_path / "d.csv").read_text().splitlines()[1].split(",")[0].isdecimal()


def test_a_table_without_holes_has_what_was_asked_for_and_is_held_against_what_is_known(tmp_path, capsys):
    frame = write(tmp_path / "t.csv", a=np.arange(N))
    run = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), *QUICK]
    assert main([*run, "--draws-output", str(tmp_path / "d.csv"), "--draws", "2"]) == 0
    draws = pd.read_csv(tmp_path / "d.csv")
    assert draws[".imp"].unique().tolist() == [0, 1, 2] and draws.iloc[N : 2 * N, 2:].reset_index(drop=True).equals(frame)
    assert main([*run, "--rule", "a >= 3"]) == 0
    said = capsys.readouterr().out
    assert "is a copy" in said and "Note: rules: Observed values of 3 rows break the rule a >= 3" in said
    assert main([*run, "--rule", "a >= c"]) == 2 and main([*run, "--limit", "a<3"]) == 2
    assert "which has no holes" in capsys.readouterr().err


def test_points_beside_a_decimal_comma_and_short_rows_are_said(tmp_path, capsys):
    pay = ["" if gone else f"{900 + 7 * i:,}".replace(",", ".") for i, gone in enumerate(GONE)]
    rows = [f"{own};{i % 9},5;0.{i}" for i, own in enumerate(pay)]
    (tmp_path / "t.csv").write_text("\n".join(["pay;b;c", *rows[:5], "950;1,5", *rows[5:]]) + "\n")
    form, model = ["--separator", ";", "--decimal", ",", "--jobs", "1"], str(tmp_path / "m")
    run = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), *form]
    assert main([*run, "--save", model, *QUICK[:4]]) == 0 and main([*run, "--model", model]) == 0
    said = capsys.readouterr()
    assert said.err.count("pay: 1.005 is read") == 2 and "if points are for thousands" in said.err and "c: " not in said.err
    assert said.out.count("Note: rows shorter than the header: 1, whose last cells are read as missing (lines 7)") == 2
    (tmp_path / "t.csv").write_text("a,\n1,2,3\n")
    assert main([*run[:4], "--jobs", "1"]) == 2
    assert "more values than the header has names ('a', ''), expected as many" in capsys.readouterr().err


def test_empty_lines_of_a_single_column_are_said(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("\na\n\n1\n2\n\n\n4\n5\n\n")
    run = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), *QUICK]
    assert main(run) == 0
    assert (
        'Note: empty lines: 3, which are no rows (lines 3, 6, 7); a hole of the only column is written NA or ""'
        in capsys.readouterr().out
    )
