"""The command line as its users meet it: results, words, and one line for each mistake."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.data import read_table
from pyro_mnar.imputation.netcdf import read_draws

QUICK = ["--steps", "5"]


def holed(n=60, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)) * [1, 10, 100], columns=["a", "b", "c"])
    frame.loc[frame.a > frame.a.quantile(0.7), "a"] = np.nan
    return frame


@pytest.fixture
def table(tmp_path):
    holed().to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_a_csv_is_completed_and_explained(table, tmp_path, capsys):
    output = tmp_path / "c.csv"
    assert main(["impute", str(table), "--output", str(output), "--direction", "high", *QUICK]) == 0
    before, after = read_table(table), read_table(output)
    seen = before.notna().to_numpy()
    assert list(after.columns) == ["a", "b", "c"] and after.notna().all().all() and (after.dtypes == before.dtypes).all()
    assert after.to_numpy()[seen].tobytes() == before.to_numpy()[seen].tobytes()
    said = capsys.readouterr().out
    assert "whatever reason the data support" in said and "a: goes missing by its own value (large values go missing)" in said
    assert "no data decide" in said and "--ignorable" in said and "if missing at random" in said and "Estimated means" in said


def test_text_columns_pass_through_and_parquet_keeps_index_and_dtypes(tmp_path):
    frame = holed()
    frame.insert(1, "who", [f"p{i}" for i in range(len(frame))])
    frame["b"] = frame.b.astype("float32")
    frame.index = pd.Index(range(100, 100 + len(frame)), name="id")
    frame.to_parquet(tmp_path / "t.parquet")
    command = ["impute", str(tmp_path / "t.parquet"), "--output", str(tmp_path / "c.parquet"), "--columns", "a,b,c", *QUICK]
    assert main(command) == 0
    after = pd.read_parquet(tmp_path / "c.parquet")
    assert (after.dtypes == pd.read_parquet(tmp_path / "t.parquet").dtypes).all()
    assert after.index.equals(frame.index) and list(after.columns) == list(frame.columns)
    assert (after.who == frame.who).all() and after.notna().all().all() and (after.b == frame.b).all()


def test_a_saved_model_imputes_new_rows_and_the_same_rows_alike(table, tmp_path):
    model, first, again, draws = (str(tmp_path / name) for name in ("m", "c1.csv", "c2.csv", "d.nc"))
    assert main(["impute", str(table), "--output", first, "--save", model, "--seed", "3", *QUICK]) == 0
    assert main(["impute", str(table), "--output", again, "--model", model, "--draws", "4", "--draws-output", draws]) == 0
    assert (tmp_path / "c1.csv").read_bytes() == (tmp_path / "c2.csv").read_bytes()
    data = read_draws(draws)
    assert dict(data.sizes) == {"draw": 4, "row": 60, "column": 3}
    seen = read_table(table).notna().to_numpy()
    assert (data.mask.to_numpy() == seen).all()
    assert (data.x.to_numpy()[:, seen] == read_table(table).to_numpy()[seen]).all()
    assert data.x.to_numpy()[:, ~seen].std(0).min() > 0


def test_more_processes_change_nothing(table, tmp_path, capsys):
    outputs = [str(tmp_path / name) for name in ("c1.csv", "c2.csv")]
    for jobs, output in zip("12", outputs, strict=True):
        assert main(["impute", str(table), "--output", output, "--jobs", jobs, "--mechanism", "none", *QUICK]) == 0
    first, second = (pd.read_csv(output) for output in outputs)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert main(["impute", str(table), "--output", outputs[0], "--jobs", "0"]) == 2
    assert "--jobs: got 0, expected at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("mechanism", ["none", "linear", "neural"])
def test_other_mechanisms_run(table, tmp_path, mechanism, capsys):
    assert main(["impute", str(table), "--output", str(tmp_path / "c.csv"), "--mechanism", mechanism, *QUICK]) == 0
    assert {"none": "(ignorable)", "linear": "log-odds linear", "neural": "small network"}[mechanism] in capsys.readouterr().out


def test_directions_go_to_their_columns(tmp_path, capsys):
    frame = holed()
    frame.loc[5:9, "b"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    command = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), *QUICK]
    assert main([*command, "--direction", "a=high", "--direction", "b=low"]) == 0
    said = capsys.readouterr().out
    for name, which in (("a", "large"), ("b", "small")):
        assert any(
            f"  {name}: goes missing by its own value ({which} values" in line and "(stated)" in line for line in said.splitlines()
        )


def test_an_order_goes_to_the_model(tmp_path, capsys):
    frame = holed()
    frame.loc[5:9, "b"], frame.loc[7:20, "c"] = np.nan, np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    command = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--save", str(tmp_path / "m"), *QUICK]
    assert main([*command, "--order", "c, a,b"]) == 0
    loaded = MNARImputer.load(tmp_path / "m")
    assert loaded.order == ["c", "a", "b"] and {member.mechanism.order for member in loaded.members_} == {(2, 0, 1)}
    assert main([*command, "--order", "c,z"]) == 2
    assert "order: got unknown column 'z', expected some of a, b, c" in capsys.readouterr().err


def test_columns_never_seen_together_are_named(tmp_path, capsys):
    frame = holed()
    frame.loc[::2, "b"], frame.loc[1::2, "c"] = np.nan, np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    first = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv")]
    assert main([*first, "--mechanism", "none", "--save", str(tmp_path / "m"), *QUICK]) == 0
    assert "Note: b and c: never seen in the same row" in capsys.readouterr().out
    assert main([*first, "--model", str(tmp_path / "m")]) == 0
    assert "never seen" not in capsys.readouterr().out  # that is about what was learned from


def test_what_is_ignorable_can_be_named(tmp_path, capsys):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
    frame.iloc[::3, 0], frame.iloc[1::3, 1] = np.nan, np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--ignorable", "b, ", *QUICK]) == 2
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--ignorable", "b", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "  a: goes missing" in said and "  b: goes missing" not in said


def test_nothing_missing_is_a_note_and_a_copy(tmp_path, capsys):
    pd.DataFrame({"a": [0.1, 0.2]}).to_csv(tmp_path / "t.csv", index=False)
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv")]) == 0
    assert "Nothing is missing" in capsys.readouterr().out
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param("a,b\n1,2\n,3\n4,5.5\n", id="fewer rows than a batch"),
        pytest.param("a\n1\n\n2.5\n3\n4\n".replace("\n\n", '\n""\n'), id="one column"),
        pytest.param("a,b\n1,7\n2,7\n,7\n4,7\n", id="a constant column"),
    ],
)
def test_small_tables_are_completed(tmp_path, rows):
    (tmp_path / "t.csv").write_text(rows)
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), *QUICK]) == 0
    assert pd.read_csv(tmp_path / "c.csv").notna().all().all()


@pytest.mark.parametrize(
    ("text", "extra", "said"),
    [
        (None, [], "t.csv: no such file"),
        ("", [], "t.csv: the file is empty"),
        ("a,b\n", [], "t.csv: has no rows"),
        ("a,a\n1,2\n", [], "'a' stands more than once"),
        ("a,b\n1,inf\n,2\n", [], "column 'b': got an infinite value in row 1"),
        ("a,b\n1,x\n2,2\n3,4\n", [], "column 'b': got 'x' in row 1"),
        ("a,b\n1,x\n,y\n", ["--columns", "a,b"], "column 'b': got 'x' in row 1"),
        ("a,b\n1,2\n", ["--save", "m"], "got 1 row, expected at least 2"),
        ("a,b\n1,\n2,3\n", ["--mechanism", "odd"], "expected one of auto, self-masking, linear, neural, none"),
        ("a,b\n1,\n2,3\n", ["--direction", "up"], "expected one of high, low, free, none"),
        ("a,b\n1,\n2,3\n", ["--direction", "z=high"], "unknown column 'z'"),
        ("a,b\n1,\n2,3\n", ["--mechanism", "linear", "--direction", "high"], "only with auto or self-masking"),
        ("a,b\n1,\n2,3\n", ["--order", "b,a,b"], "order: got column 'b' twice"),
        ("a,b\n1,\n2,3\n", ["--mechanism", "neural", "--order", "b"], "order: got one with mechanism 'neural'"),
        ("a,b\n1,\n2,3\n", ["--columns", "a,z"], "columns: got unknown column 'z'"),
        ("a,b\n1,\n2,3\n", ["--ignorable", "z"], "ignorable: got unknown column 'z'"),
        ("a,b\n1,\n2,3\n", ["--model", "absent"], "absent: no such folder"),
        ("a,b\n1,\n2,3\n", ["--output", "t.csv"], "--output: got t.csv, which is the table that is read"),
        ("a,b\n1,\n2,3\n", ["--report", "r.html", "--save", "r.html"], "--report: got r.html, which is --save as well"),
        ("a;b\n1;\n2;3\n", [], "one column called 'a;b'"),
        ("a,b\n1,\n2,3\n", ["--separator", ";;"], "expected two different characters"),
        ("a,b\n1,?\n2,3\n3,4\n", [], "(--missing '?' if it stands for a missing value)"),
        ("a,b\n1,\n2,3\n", ["--draws", "3"], "--draws: got no --draws-output"),
        ("a,b\n1,\n2,3\n", ["--draws-output", "d.txt"], "expected .nc"),
        ("a,b\n1,\n2,3\n", ["--save", "absent/m"], "no folder absent"),
        ("a,b\n1,\n2,3\n", ["--steps", "0"], "--steps: got 0"),
        ("a,b\n1,\n2,3\n", ["--output", "absent/c.csv"], "no such folder absent"),
        ("a,b\n1,\n2,3\n", ["--output", "c.xlsx"], "expected one of .csv, .parquet"),
        ("a,b\n1,\n2,3\n", ["--draws", "0", "--draws-output", "d.nc"], "--draws: got 0"),
        ("a,b\n1,x\n2,\n3,x\n4,x\n", ["--kind", "b=categorical"], "column 'b': got 1 level(s), x, expected at least 2"),
        ("a,b\n1,x\n2,\n3,x\n4,x\n", ["--kind", "b=binary"], "column 'b': got 1 level(s)"),
        ("a,b\n1,-2\n2,\n3,4\n", ["--kind", "b=count"], "column 'b': got -2 in row 1, expected whole numbers from 0"),
        ("a,b\n1,2.5\n2,\n3,4\n", ["--kind", "b=count"], "column 'b': got 2.5 in row 1"),
        ("a,b\n1,120\n2,\n3,4\n", ["--kind", "b=bounded:0:100"], "column 'b': got 120 in row 1, expected numbers from 0 to 100"),
        ("a,b\n1,0\n2,\n3,4\n", ["--kind", "b=positive"], "column 'b': got 0 in row 1, expected numbers above 0"),
        ("a,b\n1,lo\n2,\n3,odd\n4,hi\n", ["--kind", "b=ordinal:lo:hi"], "'odd' in row 3"),
        ("a,b\n1,\n2,3\n", ["--kind", "z=count"], "--kind: got unknown column 'z'"),
        ("a,b\n1,\n2,3\n", ["--kind", "b=count", "--kind", "b=positive"], "--kind: got two for column 'b', expected one"),
        ("a,b\n1,\n2,3\n", ["--direction", "b=high", "--direction", "b=low"], "--direction: got two for column 'b', expected one"),
        ("a,b\n1,\n2,3\n", ["--columns", "a,b,a"], "columns: got column 'a' twice, expected each once"),
        ("a,b\n1,\n2,3\n", ["--ignorable", "b,b"], "ignorable: got column 'b' twice"),
        ("a,b\n1,\n2,3\n", ["--seed", "-1"], "--seed: got -1, expected a whole number from 0 to 2**32 - 1"),
        ("a,b\n1,\n2,3\n", ["--model", "absent", "--keep-partial"], "--keep-partial: got one with --model"),
        ("a,b\n1,\n2,3\n", ["--label", "a"], "--label: got one for t.csv, expected it only for Parquet"),
        ("a,b\n1,\n", ["--weight", "a"], "--weight: weights: got 1 row, expected at least 2"),
        ("a,b\n1,\n2,3\n", ["--kind", "count"], "--kind: got 'count', expected COLUMN=KIND"),
        ("a,b\n1,\n2,3\n4,5\n", ["--report", "r.html", "--regress", "a=z"], "--regress: got 'a=z'"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, text, extra, said):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    output = [] if "--output" in extra else ["--output", "c.csv"]
    assert main(["impute", "t.csv", *output, *extra]) == 2
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and "Traceback" not in err and out == ""
    assert [p.name for p in tmp_path.iterdir()] == ([] if text is None else ["t.csv"])


def test_columns_that_differ_from_the_models_are_named(table, tmp_path, capsys):
    model = str(tmp_path / "m")
    assert main(["impute", str(table), "--output", str(tmp_path / "c.csv"), "--save", model, *QUICK]) == 0
    holed().rename(columns={"b": "z"}).to_csv(tmp_path / "new.csv", index=False)
    capsys.readouterr()
    assert main(["impute", str(tmp_path / "new.csv"), "--output", str(tmp_path / "n.csv"), "--model", model]) == 2
    err = capsys.readouterr().err
    assert "lacks the model's column(s) b" in err and "does not know z" in err and "new.csv" in err
    assert not (tmp_path / "n.csv").exists()


def test_what_cannot_be_used_is_said_and_passed_through(tmp_path, monkeypatch, capsys):
    """A column without values, a constant one with holes, names; codes that are declared missing; holes in words are counted."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = [
        f'{i:03d}x,,{"" if i % 5 == 1 else "u"},{-99 if i % 7 == 2 else round(rng.normal(), 3)},{"NA" if i % 6 == 0 else i % 3},"{i},5"'
        for i in range(40)
    ]
    (tmp_path / "t.csv").write_text('name,empty,same,"income, eur",kids,far\n' + "\n".join(lines) + "\n")
    command = ["impute", "t.csv", "--output", "c.csv", "--mechanism", "none", "--steps", "3", "--jobs", "1"]
    assert main([*command, "--missing", "income, eur=-99", "--ignorable", "income, eur"]) == 0
    out, err = capsys.readouterr()
    assert "Read as missing, beside empty cells: '-99' in income, eur (6), 'NA' in kids (7)" in out
    assert "name: passed through" in err and "in row 1," in err and "empty: has no value" in err and "same: always u; holes are" in err
    before, after = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in ("t.csv", "c.csv"))
    assert (after[["name", "empty", "far"]] == before[["name", "empty", "far"]]).all().all() and (after.same == "u").all()
    gone = before.kids == "NA"
    assert (after.kids[~gone] == before.kids[~gone]).all() and after.kids[gone].str.fullmatch(r"-?\d+").all()
    assert "-99" not in after["income, eur"].tolist()
    assert (tmp_path / "t.csv").read_text().count("\n") == (tmp_path / "c.csv").read_text().count("\n")


def test_pipes_carry_tables_and_nothing_else(monkeypatch, capsys):
    import io
    import sys

    text = "a;b\n" + "".join(f"{i % 7 + 0.5};{'' if i % 5 == 0 else i % 4}\n".replace(".", ",") for i in range(40))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    options = ["--separator", ";", "--decimal", ",", "--mechanism", "none", "--steps", "3", "--jobs", "1"]
    assert main(["impute", "-", "--output", "-", *options]) == 0
    out, err = capsys.readouterr()
    rows = [line.split(";") for line in out.splitlines()]
    assert rows[0] == ["a", "b"] and len(rows) == 41 and all(row[1].isdigit() for row in rows[1:]) and rows[1][0] == "0,5"
    assert "8 of 80 cells imputed" in err


@pytest.mark.parametrize("closed", [["1"], ["2"], ["1", "2"], ["0", "1", "2"]], ids=" ".join)
def test_closed_streams_lose_what_is_printed_and_nothing_else(tmp_path, closed):
    """Python has no stream then: an AttributeError once all was written, and errors among the results."""
    (tmp_path / "t.csv").write_text("a,b\n1,2\n,3\n2,5\n4,4\n5,1\n")

    def run(table, output, *closed):
        close = " ".join(f"{descriptor}>&-" for descriptor in closed)
        command = f'"{sys.executable}" -m pyro_mnar impute {table} --output {output} --steps 2 --mechanism none {close}'
        return subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)

    done = run("t.csv", "o.csv", *closed)
    assert done.returncode == 0 and read_table(tmp_path / "o.csv").notna().all(axis=None)
    assert ("1" in closed or "pyro-mnar" not in done.stdout) and ("2" in closed or "Error" not in done.stderr)
    if "0" in closed:
        done = run("-", "p.csv", "0")
        assert done.returncode == 2 and done.stderr == "pyro-mnar: table: got -, expected a file, since standard input is closed\n"
    if "1" in closed:
        done = run("t.csv", "-", *closed)
        assert done.returncode == 2 and done.stdout == ""
        assert "2" in closed or done.stderr == "pyro-mnar: output: got -, expected a file, since standard output is closed\n"


def test_a_pipe_of_a_name_is_refused_with_how_to_read_it(tmp_path, capsys):
    name = tmp_path / "p.csv"
    os.mkfifo(name)
    assert main(["impute", str(name), "--output", str(tmp_path / "o.csv")]) == 2
    said = f"{name}: is no ordinary file, expected a table (`pyro-mnar impute - < {name}` reads a pipe)"
    assert capsys.readouterr().err == f"pyro-mnar: {said}\n"
