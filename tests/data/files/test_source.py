"""Tables as they stand in their files: what was observed or left out comes back as it stood, and what was read as a hole is counted."""

import datetime
import decimal
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyro_mnar.data.files.reading import read_source
from pyro_mnar.data.texts import StrayTextError, as_series

LINES = [
    "id,code,flag,kids,spelled,none,left",
    "9007199254740993,007,True,2,2.0,None,NA",
    ",010,,0,2.50,Low,x y",
    "12,,FALSE,,,None,  1 ",
]


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8"), (";", "cp1252"), ("\t", "utf-8-sig")])
def test_a_csv_comes_back_but_for_its_holes(tmp_path, separator, encoding):
    text = "\n".join(line.replace(",", separator) for line in [*LINES, '3,"é",True,1,7,High,"a\nb"']) + "\n"
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    source = read_source(tmp_path / "t.csv", separator=separator, encoding=encoding)
    part = source.frame(["id", "flag", "kids", "spelled", "none"], levels={"none": ["None", "Low", "High"]})
    assert part.dtypes.astype(str).tolist() == ["Int64", "boolean", "Int64", "float64", "object"]
    assert part.id.dropna().tolist() == [9007199254740993, 12, 3] and part.none.tolist() == ["None", "Low", "None", "High"]
    filled = part.fillna({"id": 5, "flag": False, "kids": 3, "spelled": 0.1})
    source.write(str(tmp_path / "c.csv"), filled, part.isna())
    before, after = (
        pd.read_csv(io.StringIO(t), sep=separator, dtype=str, keep_default_na=False)
        for t in (text, (tmp_path / "c.csv").read_bytes().decode(encoding))
    )
    holes = pd.DataFrame(False, before.index, before.columns)
    holes[part.columns] = part.isna().to_numpy()
    assert after.mask(holes, "").equals(before.mask(holes, ""))
    assert [after.to_numpy()[i, j] for i, j in zip(*np.nonzero(holes.to_numpy()), strict=True)] == ["5", "FALSE", "3", "0.1"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_levels_and_line_ends_are_those_of_the_file(tmp_path, line_end):
    rows = ['sex,"gr\nade",flag,spike,size', "01,1.0,true,0.00,2", "02,+2,FALSE,,1e3", ",,,1.5,", "02,,true,0.00,"]
    text = line_end.join(rows) + line_end
    (tmp_path / "t.csv").write_bytes(text.encode())
    source = read_source(tmp_path / "t.csv")
    part = source.frame()
    filled = part.fillna({"sex": 1, "gr\nade": 2.0, "flag": False, "spike": 0.0, "size": 1000.0})
    source.write(str(tmp_path / "c.csv"), filled, part.isna())
    expected = [*rows[:2], "02,+2,FALSE,0.00,1e3", "01,+2,FALSE,1.5,1e3", "02,+2,true,0.00,1e3"]
    assert (tmp_path / "c.csv").read_bytes().decode() == line_end.join(expected) + line_end


def test_words_that_are_read_as_holes_are_counted_and_a_declared_level_is_none():
    cells = ["None", "Low", "", "NA", "None", "High", "-99"]
    series, found = as_series("drink", cells, missing=["-99"])
    assert series.isna().tolist() == [True, False, True, True, True, False, True] and found == {"None": 2, "": 1, "NA": 1, "-99": 1}
    series, found = as_series("drink", cells, levels=["None", "Low", "High"])
    assert series.isna().tolist() == [False, False, True, True, False, False, False] and found == {"": 1, "NA": 1}


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["1", "2"], "int64", [1, 2]),
        (["1", ""], "Int64", [1, None]),
        (["1", "2.5"], "float64", [1.0, 2.5]),
        (["9223372036854775808", "1"], "float64", [2.0**63, 1.0]),
        (["1" * 400, "1"], "float64", [np.inf, 1.0]),
        (["true", "False"], "bool", [True, False]),
        (["1_000", "2_000"], "object", ["1_000", "2_000"]),
        (["7,5", "8,0"], "object", ["7,5", "8,0"]),
        ([" 3 ", "4"], "int64", [3, 4]),
        (["nan", " "], "float64", [None, None]),
    ],
)
def test_cells_are_what_they_say(cells, dtype, values):
    series = as_series("a", cells)[0]
    assert str(series.dtype) == dtype and [None if pd.isna(v) else v for v in series.tolist()] == values


@pytest.mark.parametrize(
    ("cells", "options", "dtype", "holes"),
    [
        (["1", "9", "2"], {"missing": ["9.0", "2"], "levels": ["1", "9"]}, "Int64", [2]),
        (["1", "2"], {"levels": ["1", "2", "many"]}, "object", []),
        (["True", "False"], {"levels": ["True", "False", "unsure"]}, "object", []),
        (["-9223372036854775808", "9223372036854775807"], {}, "int64", []),
        (["-9223372036854775809", "1"], {}, "float64", []),
        (["1", "x"], {}, "object", []),
        ([*map(str, range(30)), *"abcdefghijk"], {}, "object", []),
    ],
)
def test_what_levels_and_texts_beside_numbers_make_of_a_column(cells, options, dtype, holes):
    series = as_series("a", cells, **options)[0]
    assert str(series.dtype) == dtype and np.flatnonzero(series.isna()).tolist() == holes


@pytest.mark.parametrize("cells", [["1", "x", "2"], [*map(str, range(30)), *"abcdefghij"]])
def test_a_few_texts_among_numbers_are_a_mistake_of_the_file(cells):
    with pytest.raises(StrayTextError) as caught:
        as_series("a", cells)
    assert cells[caught.value.row] == caught.value.text and not caught.value.text.isdigit()


def test_decimal_commas_are_read_and_written(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n7,5;1\n;2\n8,25;3\n")
    source = read_source(tmp_path / "t.csv", separator=";", decimal=",")
    frame = source.frame()
    assert frame.a.dropna().tolist() == [7.5, 8.25]
    source.write(str(tmp_path / "c.csv"), frame[["a"]].fillna(0.5), frame[["a"]].isna())
    assert (tmp_path / "c.csv").read_text() == "a;b\n7,5;1\n0,5;2\n8,25;3\n"


def test_another_separator_or_encoding_is_doubted(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1;\n;2\n")
    with pytest.raises(ValueError, match="one column called 'a;b'.*--separator ';'"):
        read_source(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes("a\né\n".encode("cp1252"))
    with pytest.raises(ValueError, match="--encoding cp1252"):
        read_source(tmp_path / "t.csv")


def test_text_behind_a_closed_quote_in_the_last_row_is_read_as_it_stands(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n1,2\n3,"x"y\n\n')
    assert read_source(tmp_path / "t.csv").cells == {"a": ["1", "3"], "b": ["2", "xy"]}


def test_only_columns_that_are_used_are_judged(tmp_path):
    (tmp_path / "t.csv").write_text("ticket,a\nA/5 1,1\n2,2\n3,\n")
    source = read_source(tmp_path / "t.csv")
    assert source.frame(["a"]).a.dropna().tolist() == [1, 2]
    with pytest.raises(
        ValueError, match=r"column 'ticket': got 'A/5 1' in row 1 \(line 2 of the file\), expected a number \(--missing"
    ):
        source.frame()
    # Many different texts among numbers are no mistake: the column is one of text.
    assert as_series("ticket", [f"A/5 {i}" if i % 4 == 0 else str(i) for i in range(60)])[0].dtype == object


def test_parquet_keeps_its_types_and_metadata(tmp_path):
    day, half = datetime.date(2020, 1, 1), datetime.time(1, 2)
    table = pa.table(
        {
            "n": pa.array([2**53 + 1, None, 3], pa.int64()),
            "small": pa.array([1, None, 3], pa.uint8()),
            "money": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("2.25")], pa.decimal128(7, 2)),
            "day": pa.array([day, None, day], pa.date32()),
            "word": pa.array(["x", None, "y"]).dictionary_encode(),
            "x": pa.array([0.5, float("nan"), 2.0], pa.float32()),
            "time": pa.array([half, None, half], pa.time32("ms")),
            "list": pa.array([[1], None, [2, 3]], pa.list_(pa.int16())),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    source = read_source(tmp_path / "t.parquet")
    names = ["n", "small", "money", "day", "word", "x"]
    part = source.frame(names)
    assert str(part.n.dtype) == "Int64" and part.n[0] == 2**53 + 1
    filled = part.copy()
    for name, value in zip(names, [7, 9, decimal.Decimal("3.5"), day, "y", 1.5], strict=True):
        filled.loc[1, name] = value
    source.write(str(tmp_path / "c.parquet"), filled, part.isna())
    back = pq.read_table(tmp_path / "c.parquet")
    assert back.schema.types == pq.read_schema(tmp_path / "t.parquet").types and back.schema.metadata == source.arrow.schema.metadata
    assert back.column("n").to_pylist() == [2**53 + 1, 7, 3] and back.column("money").to_pylist()[1] == decimal.Decimal("3.50")
    assert back.column("day").to_pylist()[1] == day and back.column("word").to_pylist() == ["x", "y", "y"]
    assert back.column("time").to_pylist() == [half, None, half] and back.column("list").to_pylist() == [[1], None, [2, 3]]
    assert back.column("x").to_pylist() == [0.5, 1.5, 2.0]
    codes = source.frame(["n", "x"], {"n": ["3", "2"], "x": ["2"]})
    assert codes.n.isna().tolist() == [False, True, True] and codes.x.isna().tolist() == [False, True, True]
