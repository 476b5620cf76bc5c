"""Margins on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.cli.main import main
from pyro_mnar.cli.margins import margins_asked

QUICK = ["--mechanism", "none", "--steps", "3", "--jobs", "1"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["a:mean=3"], {"a": {"mean": 3.0}}),
        (["a:mean=3:0.5"], {"a": {"mean": (3.0, 0.5)}}),
        (["a:mean=3±0.5"], {"a": {"mean": (3.0, 0.5)}}),
        (["a:b:quantile:.5=1e3"], {"a:b": {"quantile": {0.5: 1000.0}}}),
        (["c:share:x=y=.2:.01", "c:share:z=.1"], {"c": {"share": {"x=y": (0.2, 0.01), "z": 0.1}}}),
    ],
)
def test_words_and_what_they_say(words: list[str], found: object) -> None:
    assert margins_asked(words, ["a", "a:b", "c"]) == found


def test_decimal_commas() -> None:
    assert margins_asked(["a:mean=3,5:0,5"], ["a"], ",") == {"a": {"mean": (3.5, 0.5)}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["d:mean=3"], "with one of the columns a"),
        (["a=3"], "expected COLUMN:mean=NUMBER"),
        (["a:mean=x"], "expected COLUMN:mean=NUMBER"),
        (["a:mean=3:4:5"], "expected COLUMN:mean=NUMBER"),
        (["a:mode=3"], "expected COLUMN:mean=NUMBER"),
        (["a:share=.2"], "expected COLUMN:mean=NUMBER"),
        (["a:quantile:half=3"], "expected COLUMN:mean=NUMBER"),
        (["a:mean=3", "a:mean=4"], "got two for column 'a'"),
        (["a:share:x=.3", "a:share:x=.4"], "got two for column 'a'"),
        (["a:mean=3", "a:share:x=.4"], "got two for column 'a'"),
    ],
)
def test_bad_words_are_named(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match="^--margin: ") as caught:
        margins_asked(words, ["a"])
    assert message in str(caught.value)


def test_a_margin_is_met_said_saved_and_reported(tmp_path: Path, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    frame = pd.DataFrame({"pay": np.exp(3 + 0.5 * x).round(2), "x": x.round(3)})
    frame.loc[rng.random(80) < 0.4, "pay"] = np.nan
    path, out = tmp_path / "t.csv", tmp_path / "c.csv"
    frame.to_csv(path, index=False)
    words = [
        "impute",
        str(path),
        "--output",
        str(out),
        "--kind",
        "pay=positive",
        "--margin",
        "pay:mean=25",
        "--save",
        str(tmp_path / "m"),
    ]
    assert main([*words, "--report", str(tmp_path / "r.html"), *QUICK]) == 0
    said = capsys.readouterr().out
    assert "pay: To have a mean of 25, where the data alone give" in said and "missing values must be" in said
    assert "pay: To have a mean of 25" in (tmp_path / "r.html").read_text()
    assert pd.read_csv(out).pay.mean() == pytest.approx(25, abs=0.01)
    again = ["impute", str(path), "--output", str(tmp_path / "d.csv"), "--model", str(tmp_path / "m"), "--jobs", "1"]
    assert main(again) == 0
    assert (tmp_path / "d.csv").read_text() == out.read_text()
    capsys.readouterr()
    assert main([*again, "--margin", "pay:mean=25"]) == 2
    assert "--margin: got one with --model" in capsys.readouterr().err
    for bad, message in (("pay:mean=1", "would then have a mean of"), ("x:mean=0", "has no holes")):
        new = tmp_path / "e.csv"
        assert main(["impute", str(path), "--output", str(new), "--kind", "pay=positive", "--margin", bad, *QUICK]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1 and not new.exists()
