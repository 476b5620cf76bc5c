"""``--instrument`` on the command line: taken, told with its strength, kept in the saved model, in the report; refused by name."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main

QUICK = ["--steps", "2", "--jobs", "1"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, z, noise = rng.normal(size=(3, 120))
    frame = pd.DataFrame({"x": x, "y": x + noise, "z": z}).round(3)
    frame.loc[frame.y + 2 * frame.z > 0.8, "y"] = np.nan
    frame.to_csv("t.csv", index=False)
    return frame


def test_an_instrument_is_taken_told_and_kept(table, capsys, tmp_path):
    assert main(["impute", "t.csv", "--output", "c.csv", "--save", "m", "--report", "r.html", "--instrument", "z", *QUICK]) == 0
    said = capsys.readouterr().out
    fitted = MNARImputer.load("m")
    assert fitted.instrument == ["z"] and fitted.specification_.alone == (2,)
    (row,) = fitted.instruments_.to_dict("records")
    assert row["column"] == "y" and row["instrument"] == "z" and row["f"] > 10
    sentence = f"Declared instrument z of y going missing: partial F {row['f']:.3g}"
    assert sentence in said and sentence in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("word", "message"), [("w", "unknown column 'w'"), ("y", "y"), ("x,z,y", "y")])
def test_what_is_no_instrument_is_refused_in_one_line_and_nothing_is_written(table, capsys, tmp_path, word, message):
    assert main(["impute", "t.csv", "--output", "c.csv", "--instrument", word, *QUICK]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "instrument" in said[0] and message in said[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]
