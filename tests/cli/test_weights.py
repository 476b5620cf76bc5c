"""``--weight``, ``--strata``, ``--cluster`` and draws below one another, on the command line."""

import csv
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.analysis import Design, analyze, regression
from pyro_mnar.cli.main import main
from pyro_mnar.data import sampling_weights
from pyro_mnar.imputer import replicates
from pyro_mnar.imputer.replicates import as_analyzed, replicates_of
from pyro_mnar.imputer.tables.given import learned, units_of
from pyro_mnar.report.digits import pooled_numbers
from pyro_mnar.report.levers import every
from pyro_mnar.report.report import ignorable_of

COMMAND_MODELS = 8
QUICK = ["--steps", "2", "--jobs", "1"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    n = 60
    x = rng.normal(size=n)
    frame = pd.DataFrame({"x": x.round(2), "pay": (x + rng.normal(size=n)).round(2), "weight": np.where(x > 0, 40.5, 10.0)})
    frame["region"] = np.where(rng.random(n) < 0.5, "N", "S")
    frame["school"] = rng.integers(0, 10, n)
    frame.loc[frame.pay > 0.8, "pay"] = np.nan
    frame.to_csv("t.csv", index=False)
    return frame


def test_the_column_of_weights_is_no_part_of_the_model_and_no_doubt(table, capsys):
    command = ["impute", "t.csv", "--output", "c.csv", "--save", "m", *QUICK]
    assert main([*command, "--weight", "weight", "--strata", "region", "--cluster", "school"]) == 0
    said = capsys.readouterr().out
    assert "may be a weight" not in said and "Estimates are of the population that was sampled" in said
    design = Design.of(table, "weight", "region", "school")
    assert design.in_words() in said
    fitted = MNARImputer.load("m")
    assert list(fitted.codec_.layout.names) == ["x", "pay", "region", "school"]
    weights = sampling_weights(table.weight)
    own = MNARImputer(steps=2, members=COMMAND_MODELS, progress=False).fit(table.drop(columns="weight"), sample_weight=weights)
    assert own.codec_.scaling.to_json() == fitted.codec_.scaling.to_json()
    by_design = {"sample_weight": weights, "strata": table.region, "clusters": table.school}
    own = MNARImputer(steps=2, members=COMMAND_MODELS, progress=False).fit(table.drop(columns="weight"), **by_design)
    for member, same in zip(fitted.members_, own.members_, strict=True):
        for name, found in member.state_dict().items():
            torch.testing.assert_close(found, same.state_dict()[name], msg=name)
    completed = pd.read_csv("c.csv")
    assert completed.weight.tolist() == table.weight.tolist()
    assert main(["impute", "t.csv", "--output", "c.csv", *QUICK]) == 0
    assert "may be a weight" in capsys.readouterr().out


def test_sensitivity_takes_the_design(table, capsys):
    command = ["impute", "t.csv", "--output", "c.csv", "--save", "m", "--weight", "weight", *QUICK]
    assert main(command) == 0
    design = ["--weight", "weight", "--strata", "region", "--cluster", "school"]
    moved = ["sensitivity", "t.csv", "--output", "p.csv", "--model", "m", "--draws", "16", "--shift", "pay=0:1:2", "--jobs", "1"]
    fitted = MNARImputer.load("m")
    given = table.drop(columns="weight").set_axis(range(1, 61))
    done = fitted.completions(given, 16)
    names = {"weights": table.weight, "strata": table.region, "clusters": table.school}
    for word, own in (
        (["--mean", "pay"], lambda t, d: d.mean(t.pay)),
        (["--regress", "pay=x,C(region)"], regression("pay", ["x", "C(region)"])),
    ):
        assert main([*moved, *word, *design]) == 0
        path = pd.read_csv("p.csv")
        pooled = analyze(done.tables, own, done.groups, **{key: value.to_numpy() for key, value in names.items()})
        low, high = pooled.interval()
        assert path.iloc[0][["estimate", "lower", "upper"]].tolist() == pytest.approx([float(pooled.estimate), float(low), float(high)])
    capsys.readouterr()


@pytest.fixture
def counted(monkeypatch):
    """What is computed of members' replicates, a place for each time."""
    found = []
    monkeypatch.setattr(replicates, "replicates_of", lambda *given: found.append(replicates_of(*given)) or found[-1])
    return found


def test_estimates_of_a_fit_with_weights_are_those_of_its_replicates(table, capsys, tmp_path, counted):
    design = ["--weight", "weight", "--strata", "region", "--cluster", "school", *QUICK]
    own = table.drop(columns="weight").set_axis(range(1, 61))
    by_design = {
        "sample_weight": sampling_weights(table.weight),
        "strata": table.region.to_numpy(),
        "clusters": table.school.to_numpy(),
    }
    fitted = MNARImputer(steps=2, progress=False).fit(own, **by_design)
    names = {"weights": table.weight, "strata": table.region, "clusters": table.school}
    sample = {key: value.to_numpy() for key, value in names.items()}
    often = fitted.replicates(own, **by_design)
    plain = ignorable_of(fitted, learned(fitted, own, {}, by_design["sample_weight"], units_of(own, *list(by_design.values())[1:])))
    assert (plain.replicates(own, **by_design) == often).all()  # of the model without a mechanism the same
    counted.clear()

    done = fitted.completions(own, 40)
    assert (
        main(["sensitivity", "t.csv", "--output", "p.csv", "--draws", "40", "--shift", "pay=0:1:2", "--regress", "pay=x", *design]) == 0
    )
    slope = regression("pay", ["x"])
    pooled = analyze(done.tables, slope, done.groups, **sample, replicates=often)
    path, (low, high) = pd.read_csv("p.csv"), pooled.interval()
    assert path.iloc[0][["estimate", "lower", "upper"]].tolist() == pytest.approx([float(pooled.estimate), float(low), float(high)])
    plain = analyze(done.tables, slope, done.groups, **sample).interval()
    assert abs(float(plain[0]) - float(low)) > 1e-3 * float(high - low)  # which Rubin's rules alone do not give

    done = every(fitted.completions(own, 160))
    assert main(["report", "t.csv", "--output", "r.html", "--regress", "pay=x", *design]) == 0
    assert len(counted) == 2  # of this and of the command before
    pooled = analyze(done.tables, slope, done.groups, **sample, replicates=often)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    cells = [cell if isinstance(cell, str) else f"{cell:.4g}" for cell in pooled_numbers(pooled)]
    assert re.search(".*?".join(f">{re.escape(cell)}<" for cell in cells), page, re.DOTALL) and "members' replicates" in unescape(page)

    assert main(["impute", "t.csv", "--output", "c.csv", "--report", "i.html", *design]) == 0
    assert len(counted) == 3
    drawn = list(fitted.impute(own, draws=160).draws[:, :, 1].numpy())
    pooled = analyze(drawn, lambda values, rows: rows.mean(values), fitted.members_of(160), **sample, replicates=often)
    said, (low, high) = capsys.readouterr().out, pooled.interval()
    pay = fitted.codec_.columns[1]
    assert f"{pay.in_words(float(pooled.estimate))} ({pay.in_words(float(low))} to {pay.in_words(float(high))})" in said


def test_replicates_take_four_members_with_several_draws_each():
    design, often = Design([1.0, 2.0, 3.0]), np.ones((8, 3))
    assert set(as_analyzed(design, often, [0, 0, 1, 1, 2, 2, 3, 3])) == {"weights", "strata", "clusters", "replicates"}
    for groups in ([0, 1, 2, 3], [0, 0, 1, 1, 2, 2], None):
        assert set(as_analyzed(design, often, groups)) == {"weights", "strata", "clusters"}
    assert as_analyzed(None, often, [0, 0, 1, 1, 2, 2, 3, 3]) == {}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"weight": 0}, [], "--weight: column 'weight': got 0 in row 3"),
        ({"weight": -1}, [], "--weight: column 'weight': got -1 in row 3"),
        ({"weight": None}, [], "--weight: column 'weight': got none in row 3"),
        ({}, ["--strata", "z"], "--strata: got unknown column 'z'"),
        ({"region": None}, ["--strata", "region"], "--strata: column 'region': got none in row 3"),
        ({"region": "only"}, ["--strata", "region"], "got 1 cluster in stratum only"),
        ({}, ["--columns", "x,pay,weight"], "--weight: got column 'weight', which is asked for as part of the model"),
        ({}, ["--kind", "weight=positive"], "--weight: got column 'weight', which is asked for as part of the model"),
    ],
)
def test_bad_weights_are_one_line_and_nothing_is_written(table, change, options, message, tmp_path, capsys):
    for name, value in change.items():
        table[name] = table[name].astype(object)
        table.loc[2, name] = value
    table.to_csv("t.csv", index=False)
    before = sorted(tmp_path.iterdir())
    assert main(["impute", "t.csv", "--output", "c.csv", "--weight", "weight", *options, *QUICK]) == 2
    assert message in capsys.readouterr().err and sorted(tmp_path.iterdir()) == before


def test_draws_as_one_csv_keep_every_observed_cell_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    lines = [["id", "a", "flag", "note"]]
    lines += [[f"00{i}", "?" if i % 5 == 0 else f"{rng.normal():.3f}0", ["TRUE", "FALSE", ""][i % 3], 'x, "y"'] for i in range(30)]
    with open("t.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    command = ["impute", "t.csv", "--output", "c.csv", "--missing", "?", "--columns", "a,flag", "--draws", "3", *QUICK]
    assert main([*command, "--draws-output", "d.csv"]) == 0
    with open("d.csv", newline="") as file:
        header, *found = list(csv.reader(file))
    assert header == [".imp", ".id", *lines[0]] and len(found) == 4 * 30
    for draw in range(4):
        own = found[30 * draw : 30 * (draw + 1)]
        assert [row[:2] for row in own] == [[str(draw), str(i)] for i in range(1, 31)]
        for given, row in zip(lines[1:], own, strict=True):
            for j, cell in enumerate(given):
                if cell in ("?", ""):
                    assert row[2 + j] == "" if draw == 0 else row[2 + j] not in ("?", "")
                else:
                    assert row[2 + j] == cell
    holes = [[row[3] for row in found[30 * draw : 30 * (draw + 1)] if row[2] == "000"] for draw in (1, 2, 3)]
    assert holes[0] != holes[1] and {row[4] for row in found[30:]} == {"TRUE", "FALSE"}
    assert main([*command, "--draws-output", "d.parquet"]) == 0
    frame = pd.read_parquet("d.parquet")
    assert frame[".imp"].tolist() == [int(row[0]) for row in found] and frame.loc[frame[".imp"] == 0, "a"].isna().sum() == 6
    assert frame.note.tolist() == [row[5] for row in found]


def test_draws_as_one_parquet_have_the_files_types(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    given = pa.table(
        {
            "n": pa.array([None if i % 4 == 0 else int(k) for i, k in enumerate(rng.poisson(5, 40))], pa.int16()),
            "x": pa.array(rng.normal(size=40), pa.float32()),
            "who": pa.array([f"p{i}" for i in range(40)]),
        }
    )
    pq.write_table(given, "t.parquet")
    assert main(["impute", "t.parquet", "--output", "c.parquet", "--draws", "2", "--draws-output", "d.parquet", *QUICK]) == 0
    found = pq.read_table("d.parquet")
    assert found.schema.names == [".imp", ".id", "n", "x", "who"] and found.schema.field("n").type == pa.int16()
    assert found.slice(0, 40).select(["n", "x", "who"]).equals(given)
    for k in (1, 2):
        own = found.slice(40 * k, 40).column("n").to_pylist()
        seen = given.column("n").to_pylist()
        assert all(value is not None and known in (None, value) for value, known in zip(own, seen, strict=True))


def test_a_column_that_is_called_imp_is_refused_before_any_work(table, capsys):
    table.rename(columns={"x": ".imp"}).to_csv("t.csv", index=False)
    assert main(["impute", "t.csv", "--output", "c.csv", "--draws-output", "d.csv", *QUICK]) == 2
    assert "has a column '.imp'" in capsys.readouterr().err
