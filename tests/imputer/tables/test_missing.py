"""Values that are stated to stand for missing ones are holes wherever a table is given, of whatever type; a declared level is none."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.data.stated_holes import without

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
N = 60
RNG = np.random.default_rng(0)
OTHER = RNG.normal(size=N)
GONE = np.arange(N) % 7 == 2
AGES = RNG.integers(20, 80, N)
QUICK = {"steps": 2, "members": 1, "progress": False, "mechanism": "none"}


def coded(values, code):
    return [code if gone else value for value, gone in zip(values, GONE, strict=True)]


@pytest.mark.parametrize("missing", [[-9], -9, ["-9"], {"age": [-9]}, {"age": -9.0}, ["?", -9]])
@pytest.mark.parametrize(
    "series",
    [
        pd.Series(coded(AGES, -9)),
        pd.Series(coded(AGES, -9)).astype("float32"),
        pd.Series(coded(AGES, -9)).astype("Int16"),
        pd.Series(coded(AGES, -9)).astype(pd.SparseDtype("int64", 0)),
        pd.Series(pd.array(coded(AGES.tolist(), -9), dtype=pd.ArrowDtype(pa.int32()))),
        pd.Series(coded([str(age % 3) for age in AGES], " -9 ")),
        pd.Series(coded([str(age % 3) for age in AGES], "-9.0"), dtype="category"),
    ],
    ids=lambda series: str(series.dtype),
)
def test_codes_are_filled_and_the_type_stays(series, missing):
    frame = pd.DataFrame({"age": series, "b": OTHER})
    before = frame.copy()
    completed = MNARImputer(missing=missing, **QUICK).fit_transform(frame)
    assert completed.age.dtype == frame.age.dtype
    assert completed.age[~GONE].tolist() == frame.age[~GONE].tolist()
    assert not completed.age[GONE].astype(object).isin([-9, " -9 ", "-9.0"]).any() and completed.notna().all().all()
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("series", "missing", "holes"),
    [
        # As numbers of fewer digits hold it, of whatever library.
        *[(pd.Series([0.1, 0.2, 0.3], dtype=kind), "0.1", [0]) for kind in ("float32", "float16", "Float32", "Sparse[float32]")],
        (pd.Series(pd.array([0.1, 0.2, None], dtype=pd.ArrowDtype(pa.float32()))), 0.1, [0, 2]),
        (pd.Series([0.1, 0.2, 0.3], dtype="float16"), 1e39, []),
        (pd.Series([1, 200, 255], dtype="uint8"), 255, [2]),
        (pd.Series([2**64 - 1, 7], dtype="uint64"), 7, [1]),
        (pd.Series([True, False, True]), 1, []),
        (pd.Series(pd.to_datetime(["1900-01-01", "2020-05-01"])), "1900-01-01", [0]),
        (pd.Series(pd.to_datetime(["1900-01-01 12:00", "2020-05-01 00:00"])), "1900-01-01", []),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_what_a_stated_value_is_in_a_column_s_own_type(series, missing, holes):
    found = without(series, [missing])
    assert np.flatnonzero(found.isna()).tolist() == holes
    assert found.drop(index=holes).tolist() == series.drop(index=holes).tolist()


@pytest.mark.parametrize("dtype", [np.int64, np.float32, object])
def test_codes_of_an_array(dtype):
    X = np.c_[coded(AGES, -9), np.arange(N) % 11 - 9].astype(dtype)
    completed = MNARImputer(missing={0: [-9]}, **QUICK).fit_transform(X)
    assert completed[~GONE].tolist() == X[~GONE].tolist() and (completed[GONE, 0].astype(float) > 0).all()


def test_a_code_is_of_its_column_and_a_declared_level_is_none():
    frame = pd.DataFrame({"age": coded(AGES, -9.0), "t": np.where(np.arange(N) % 9 == 1, -9.0, OTHER), "g": np.resize([1, 2, 9], N)})
    imputer = MNARImputer(missing={"age": [-9], "g": [9, 2]}, kinds={"g": "ordinal:1:2:9"}, **QUICK)
    completed = imputer.fit_transform(frame)
    assert completed[["t", "g"]].equals(frame[["t", "g"]]) and (completed.age > 0).all()


def test_a_saved_model_knows_its_codes(tmp_path):
    frame = pd.DataFrame({"age": coded(AGES, -9.0), "b": OTHER, "c": coded(np.resize(["x", "y"], N), "?")})
    for missing in ({"age": (np.int64(-9),), "c": "?"}, [-9, "?"]):
        imputer = MNARImputer(missing=missing, **QUICK).fit(frame)
        imputer.save(tmp_path / "model")
        loaded = MNARImputer.load(tmp_path / "model")
        pd.testing.assert_frame_equal(loaded.transform(frame), imputer.transform(frame))
        assert (loaded.transform(frame).age > 0).all()


@pytest.mark.parametrize(("missing", "said"), [({"aeg": [-9]}, "unknown column 'aeg'"), ([True], "got True"), ([[1]], "got \\[1\\]")])
def test_what_cannot_be_stated_is_refused(missing, said):
    with pytest.raises(ValueError, match=said):
        MNARImputer(missing=missing, **QUICK).fit(pd.DataFrame({"age": coded(AGES, -9), "b": OTHER}))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_of_the_command_line_for_one_column_and_kept_with_the_model(tmp_path, capsys, ending):
    frame = pd.DataFrame({"a,g=e": coded(AGES, -99), "t": np.where(np.arange(N) % 9 == 1, -99.0, OTHER)})
    table, out, model = (str(tmp_path / name) for name in (f"t.{ending}", f"c.{ending}", "model"))
    frame.to_csv(table, index=False) if ending == "csv" else frame.to_parquet(table)
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    quick = ["--mechanism", "none", "--steps", "2", "--jobs", "1"]
    assert main(["impute", table, "--output", out, "--missing", "a,g=e=-99.0", "--save", model, *quick]) == 0
    assert f"'-99' in a,g=e ({GONE.sum()})" in capsys.readouterr().out
    first = read(out)
    assert first.t.equals(frame.t) and first.dtypes.equals(frame.dtypes) and (first["a,g=e"] > 0).all()
    assert main(["impute", table, "--output", out, "--model", model, "--jobs", "1"]) == 0
    assert read(out).equals(first)


def test_a_number_stands_for_missing_however_it_is_written(tmp_path, capsys):
    lines = [f"{('-99,0', ' -99 ', '-99')[i % 3] if GONE[i] else f'{x:.1f}'.replace('.', ',')};{i % 5}" for i, x in enumerate(OTHER)]
    (tmp_path / "t.csv").write_text("a;b\n" + "\n".join(lines) + "\n")
    arguments = ["--missing", "-99", "--separator", ";", "--decimal", ",", "--mechanism", "none", "--steps", "2", "--jobs", "1"]
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), *arguments]) == 0
    assert "-99" not in (tmp_path / "c.csv").read_text() and "' -99 ' in a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("agee=-9", "--missing: got unknown column 'agee' in 'agee=-9', expected COLUMN=WORD with a column such as age"),
        ("job=?", "such as age, b"),  # of two columns none is like it
    ],
)
def test_a_misspelt_column_is_refused_with_the_nearest_ones(tmp_path, capsys, word, said):
    pd.DataFrame({"age": coded(AGES, -9), "b": OTHER}).to_csv(tmp_path / "t.csv", index=False)
    command = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--steps", "1", "--missing", word]
    assert main(command) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "c.csv").exists()


@pytest.mark.parametrize(
    "option",
    [
        ["--direction", "agee=high"],
        ["--kind", "agee=count"],
        ["--limit", "agee<3"],
        ["--columns", "agee"],
        ["--order", "agee,b"],
        ["--ignorable", "agee"],
        ["--missing", "agee=3"],
    ],
    ids=lambda option: option[0],
)
def test_every_option_that_names_a_column_refuses_one_that_is_none(tmp_path, capsys, option):
    pd.DataFrame({"age": [1.5, 2.25, None, 4.125], "b": [1.0, 2.0, 3.5, 4.0]}).to_csv(tmp_path / "t.csv", index=False)
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--steps", "1", *option]) == 2
    said = capsys.readouterr().err
    assert "agee" in said and "age" in said.replace("agee", "") and not (tmp_path / "c.csv").exists()
