"""Rules and cells that do not exist on the command line: what is read, what is written and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.cli.main import main
from pyro_mnar.cli.rules import not_applicable_asked


def written(folder: Path) -> tuple[Path, pd.DataFrame]:
    """Write a table and return its path and the cells, as text."""
    rng = np.random.default_rng(0)
    low = 70 + 10 * rng.normal(size=70)
    frame = pd.DataFrame({"sex": np.where(rng.random(70) < 0.5, "male", "female"), "low": low.round(1)})
    frame["high"] = (low + np.abs(10 * rng.normal(size=70))).round(1)
    frame["births"] = np.where(frame.sex == "male", -8, rng.poisson(2, 70))
    cells = frame.astype(str)
    for name in ("low", "high"):
        cells.loc[rng.random(70) < 0.3, name] = ""
    cells.loc[(frame.sex == "female") & (rng.random(70) < 0.3), "births"] = ""
    path = folder / "table.csv"
    cells.to_csv(path, index=False)
    return path, cells


def test_tables_obey_and_codes_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, cells = written(tmp_path)
    output, model = tmp_path / "c.csv", tmp_path / "model"
    quick = ["--steps", "8", "--mechanism", "none", "--jobs", "1"]
    asked = ["--rule", "high >= low", "--not-applicable", "births=-8"]
    assert main(["impute", str(path), "--output", str(output), *quick, *asked, "--save", str(model)]) == 0
    said = capsys.readouterr().out
    done = pd.read_csv(output, dtype=str, keep_default_na=False)
    men = cells.sex == "male"
    assert (done.births[men] == "-8").all() and ((done == cells) | (cells == "")).all(axis=None) and (done != "").all(axis=None)
    assert (done.high.astype(float) >= done.low.astype(float)).all()
    holes = int((cells == "").to_numpy().sum())
    assert f"{holes} of {cells.size} cells imputed" in said and f"Not applicable: {men.sum()} of 70 cells of births" in said
    assert "Rules that every imputed value obeys: high >= low" in said
    again = tmp_path / "again.csv"
    assert main(["impute", str(path), "--output", str(again), "--model", str(model), "--jobs", "1"]) == 0
    assert again.read_bytes() == output.read_bytes()


def test_codes_of_any_text_leave_a_column_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, cells = written(tmp_path)
    men, rng = cells.sex == "male", np.random.default_rng(1)
    cells["births"] = cells.births.replace("-8", "NA")  # a word that else is a hole
    cells["smokes"] = np.where(men, "does not apply", rng.integers(0, 2, 70).astype(str))  # text beside 0 and 1
    cells["pay"] = np.where(men, "-8", rng.integers(20, 60, 70).astype(str))  # a number that else stands for missing
    cells["iron"] = [
        f"-8,{i % 2}" if man else f"{value:.1f}".replace(".", ",")
        for i, (man, value) in enumerate(zip(men, rng.normal(size=70), strict=True))
    ]
    for name in ("smokes", "pay", "iron"):
        cells.loc[~men & (rng.random(70) < 0.2), name] = ""
    cells = cells.drop(columns=["low", "high"])
    cells.to_csv(path, sep=";", index=False)
    form, output, model = ["--separator", ";", "--decimal", ",", "--jobs", "1"], tmp_path / "c.csv", tmp_path / "model"
    codes = ("births=NA", "smokes=does not apply", "pay=-8", "iron=-8,0", "iron=-8,1")
    asked = [*(word for code in codes for word in ("--not-applicable", code)), "--missing", "-8", "--kind", "births=count", *form]
    quick = ["--steps", "3", "--mechanism", "none"]
    assert main(["impute", str(path), "--output", str(output), *asked, *quick, "--save", str(model)]) == 0
    said = capsys.readouterr().out
    done = pd.read_csv(output, sep=";", dtype=str, keep_default_na=False)
    assert ((done == cells) | (cells == "")).all(axis=None) and (done != "").all(axis=None)
    for name in ("births", "smokes", "pay", "iron"):
        assert f"{men.sum()} of 70 cells of {name}" in said
    assert "taken as binary: smokes" in said and "taken as continuous: pay, iron" in said and "taken as count: births" in said
    assert set(done.smokes[~men]) == {"0", "1"} and done.pay.str.fullmatch(r"-?\d+").all() and "Read as missing" not in said
    again = tmp_path / "again.csv"
    assert main(["impute", str(path), "--output", str(again), "--model", str(model), *form]) == 0
    assert again.read_bytes() == output.read_bytes()


def test_a_code_that_stands_nowhere_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = written(tmp_path)
    asked = ["--not-applicable", "births=-9", "--steps", "2", "--mechanism", "none", "--jobs", "1"]
    assert main(["impute", str(path), "--output", str(tmp_path / "c.csv"), *asked]) == 0
    assert "Note: not_applicable: -9 stands in no cell of column 'births'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--rule", "high >= lo"], "rules: got 'high >= lo', which goes wrong at 'lo' (character 9), expected a column of the table"),
        (["--rule", "high > low", "--rule", "low > high"], "contradict one another"),
        (["--not-applicable", "births"], "--not-applicable: got 'births', expected COLUMN: CONDITION"),
        (["--not-applicable", "births: sex =="], "not_applicable: got 'sex =='"),
        (["--not-applicable", "births: sex == 'man'"], "a level of column 'sex' (female, male)"),
    ],
)
def test_refused_in_a_line(asked: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = written(tmp_path)
    output = tmp_path / "c.csv"
    assert main(["impute", str(path), "--output", str(output), "--steps", "2", "--jobs", "1", *asked]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not output.exists()


def test_words() -> None:
    names = ["a", "a b", "c"]
    assert not_applicable_asked(["a b: c == 'x'", "a=1", "a = two"], names) == {"a b": "c == 'x'", "a": [1.0, "two"]}
    for words in (["d=1"], ["a"], ["a:"], ["a=1", "a: c == 'x'"], ["a: c == 'x'", "a: c == 'y'"]):
        with pytest.raises(ValueError, match="^--not-applicable: got"):
            not_applicable_asked(words, names)
