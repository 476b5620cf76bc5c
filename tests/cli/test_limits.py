"""Limits on the command line: the grammar, cells that say them, what is written and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.cli.limits import limits_asked
from pyro_mnar.cli.main import main

NAMES = ["lead", "lead<x", "age", "low", "high", "a..b", "b: c"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("lead<0.5", {"lead": ("<", 0.5)}),
        ("lead<=low", {"lead": ("<=", "low")}),
        ("lead>=1e3", {"lead": (">=", 1000.0)}),
        ("lead>largest", {"lead": (">", "largest")}),
        ("lead<x<3", {"lead<x": ("<", 3.0)}),
        ("lead", {"lead": "cells"}),
        ("age:low..high", {"age": ("low", "high")}),
        ("age:0..a..b", {"age": (0.0, "a..b")}),
        ("b: c:0...5", {"b: c": (0.0, ".5")}),
        ("age>2020-01-01", {"age": (">", "2020-01-01")}),
    ],
)
def test_grammar(word: str, expected: dict[str, Any]) -> None:
    found = limits_asked([word], NAMES)
    if word == "b: c:0...5":
        assert found["b: c"][0] == 0.0 and float(found["b: c"][1]) == 0.5
    else:
        assert found == expected
    assert limits_asked(["lead<0,5"], NAMES, ",") == {"lead": ("<", 0.5)}


@pytest.mark.parametrize(
    ("words", "message"),
    [(["zinc<1"], "got 'zinc<1'"), (["lead<"], "got 'lead<'"), (["age:1"], "got 'age:1'"), (["lead<1", "lead>2"], "got two")],
)
def test_other_words_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^--limit: {message}"):
        limits_asked(words, NAMES)


def table(folder: Path, separator: str = ",", decimal: str = ".") -> tuple[Path, pd.DataFrame]:
    """Write a table with limits in cells, and return its path and what stands in it."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=90)
    lead = np.exp(0.8 * z + 0.3 * rng.normal(size=90))
    cells = [f"{v:.3f}" for v in lead]
    frame = pd.DataFrame(
        {"lead": cells, "income": (50 + 20 * z).round(1).astype(str), "x": (z + 0.5 * rng.normal(size=90)).round(3).astype(str)}
    )
    frame.loc[lead < 0.5, "lead"] = "<0.5"
    frame.loc[lead > 3, "lead"] = "> 3"
    frame.loc[::29, "lead"] = ""
    frame.loc[50 + 20 * z > 70, "income"] = ""
    frame["top"] = "70"
    frame.loc[3, "top"] = ""
    if decimal != ".":
        frame = frame.map(lambda cell: cell.replace(".", decimal))
    path = folder / "t.csv"
    frame.to_csv(path, index=False, sep=separator)
    return path, frame


QUICK = ["--steps", "3", "--jobs", "1"]


@pytest.mark.parametrize(("separator", "decimal"), [(",", "."), (";", ",")])
def test_cells_and_columns_say_limits(tmp_path: Path, capsys: Any, separator: str, decimal: str) -> None:
    path, frame = table(tmp_path, separator, decimal)
    form = ["--separator", separator, "--decimal", decimal]
    words = ["--limit", "lead", "--limit", "income>=top", "--kind", "lead=positive", "--save", str(tmp_path / "m"), *form]
    assert main(["impute", str(path), "--output", str(tmp_path / "c.csv"), *words, *QUICK]) == 0
    said = capsys.readouterr().out
    limited = int(frame.lead.str.startswith(("<", ">")).sum())
    assert f"Known limits: {limited} of {limited + int((frame.lead == '').sum())} holes of lead lie as the cells say" in said
    assert "Read as missing" not in said
    done = pd.read_csv(tmp_path / "c.csv", sep=separator, dtype=str, keep_default_na=False)
    numbers = done.map(lambda cell: float(cell.replace(decimal, ".")) if cell else np.nan)
    assert (numbers.lead[frame.lead.str.startswith("<")] < 0.5).all() and (numbers.lead[frame.lead.str.startswith(">")] > 3).all()
    assert (numbers.income[(frame.income == "") & (frame.top != "")] >= 70).all()
    assert done.top.tolist() == frame.top.tolist()  # passed through, hole and all
    seen = ~frame.lead.str.startswith(("<", ">")) & (frame.lead != "")
    assert done.lead[seen].tolist() == frame.lead[seen].tolist()
    again = ["impute", str(path), "--output", str(tmp_path / "d.csv"), "--model", str(tmp_path / "m"), *form, "--jobs", "1"]
    assert main(again) == 0
    assert (tmp_path / "d.csv").read_text() == (tmp_path / "c.csv").read_text()
    assert main([*again, "--limit", "lead"]) == 2
    assert "--limit: got one with --model" in capsys.readouterr().err


def test_undeclared_limits_are_named(tmp_path: Path, capsys: Any) -> None:
    path, _ = table(tmp_path)
    assert main(["impute", str(path), "--output", str(tmp_path / "c.csv"), *QUICK]) == 2
    assert "--limit 'lead' if cells hold limits" in capsys.readouterr().err
    assert not (tmp_path / "c.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "income<x..y"], "expected a value of it, a column of the table"),
        (["--limit", "x<0"], "limits: got one for column 'x', which has no holes"),
        (["--limit", "income:9..5"], "limits: got 9 and 5 for column 'income' in row 1, expected the lower one first"),
        (["--limit", "top<3"], "limits: got one for column 'top', whose observed values do not vary"),
    ],
)
def test_bad_limits_write_nothing(tmp_path: Path, capsys: Any, words: list[str], message: str) -> None:
    path, _ = table(tmp_path)
    assert main(["impute", str(path), "--output", str(tmp_path / "c.csv"), "--limit", "lead", *words, *QUICK]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "c.csv").exists()
