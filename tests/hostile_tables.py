"""Strategies for tables that nobody would want: odd values, dtypes, names, indexes, settings and CSV texts."""

import datetime
import string
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

#: Words that are holes, numbers, codes, formulas or none of these, according to who reads them.
WORDS = [
    "a",
    "b",
    "NA",
    "None",
    "nan",
    "",
    " ",
    "?",
    ".",
    "-99",
    "7,5",
    "1,200",
    "50 %",
    "$40",
    "1e999",
    "=1+1",
    'q"q',
    "l\nl",
    "n\0",
    "ünï",
    "<b>",
]
_FEW = st.sampled_from(["a", "b", "c"])
_TEXT = st.one_of(_FEW, st.sampled_from(WORDS), st.text(max_size=4))
_NEAR = st.floats(-3, 3).map(lambda x: round(x, 3))
_EDGES = st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1e-300, 1e-30, 1e15, 1e15 + 1, 1e38, 1e154, 1e300, -1.7e308, np.inf, -np.inf])
_WHOLE = st.integers(-5, 50)
_CODED = st.sampled_from([1.5, 2.5, 2.0, 3.25, -99.0, 999.0])
_DAYS = st.integers(-4000, 30000).map(lambda day: datetime.datetime(1970, 1, 1) + datetime.timedelta(days=day))
_ODD = st.sampled_from([10**400, (1,), b"x", Decimal("1.50"), 1j])
_ANY = st.one_of(st.none(), st.booleans(), _WHOLE, _NEAR, _TEXT, _DAYS, _ODD)

#: Values and dtype of columns, by what they are called here.
COLUMNS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "numbers": (_NEAR, "float64"),
    "any numbers": (st.floats(allow_nan=True), "float64"),
    "edges": (st.one_of(_EDGES, _NEAR), "float64"),
    "codes": (_CODED, "float64"),
    "counts": (st.integers(0, 6).map(float), "float64"),
    "zeros": (st.one_of(st.just(0.0), st.floats(0.1, 9)), "float64"),
    "single": (st.floats(width=32, allow_nan=False), "float32"),
    "half": (st.floats(-60000, 60000, width=16), "float16"),
    "whole": (_WHOLE, "int64"),
    "bytes": (st.integers(-128, 127), "int8"),
    "long": (st.integers(-(2**63), 2**63 - 1), "Int64"),
    "unsigned": (st.integers(0, 2**64 - 1), "UInt64"),
    "nullable": (_WHOLE, "Int64"),
    "nullable single": (_NEAR, "Float32"),
    "truths": (st.booleans(), "bool"),
    "nullable truths": (st.booleans(), "boolean"),
    "complex": (st.complex_numbers(max_magnitude=9), "complex128"),
    "objects": (_ANY, object),
    "number objects": (st.one_of(_WHOLE, _NEAR, st.just(np.float32(3)), st.just(10**30)), object),
    "decimals": (st.integers(-999, 999).map(lambda i: Decimal(i) / 100), object),
    "dates": (_DAYS.map(lambda day: day.date()), object),
    "texts": (_TEXT, object),
    "few texts": (_FEW, "str"),
    "words": (st.sampled_from(WORDS), "str"),
    "levels": (_FEW, "category"),
    "word levels": (st.sampled_from(WORDS[:6]), "category"),
    "number levels": (st.sampled_from([1, 2, 2.5]), "category"),
    "date levels": (st.sampled_from([pd.Timestamp(2020, 1, i) for i in (1, 2, 3)]), "category"),
    "grades": (st.sampled_from(["lo", "mid", "hi"]), pd.CategoricalDtype(["lo", "mid", "hi", "never"], ordered=True)),
    "times": (_DAYS, "datetime64[ns]"),
    "far times": (st.integers(-(10**11), 10**11).map(lambda s: np.datetime64(s, "s")), "datetime64[s]"),
    "zoned": (_DAYS, pd.DatetimeTZDtype("ns", "Europe/Paris")),
    "spans": (st.integers(0, 99).map(lambda h: pd.Timedelta(hours=h)), "timedelta64[ns]"),
    "periods": (st.integers(0, 99).map(lambda i: pd.Period(ordinal=i, freq="M")), "period[M]"),
    "intervals": (st.integers(0, 9).map(lambda i: pd.Interval(i, i + 1)), "interval"),
    "sparse": (st.one_of(st.just(0.0), _NEAR), pd.SparseDtype("float64")),
    "arrow whole": (_WHOLE, pd.ArrowDtype(pa.int64())),
    "arrow single": (_NEAR, pd.ArrowDtype(pa.float32())),
    "arrow truths": (st.booleans(), pd.ArrowDtype(pa.bool_())),
    "arrow texts": (_FEW, pd.ArrowDtype(pa.string())),
    "arrow times": (_DAYS, pd.ArrowDtype(pa.timestamp("us"))),
    "arrow dates": (_DAYS.map(lambda day: day.date()), pd.ArrowDtype(pa.date32())),
    "arrow decimals": (st.integers(-999, 999).map(lambda i: Decimal(i) / 100), pd.ArrowDtype(pa.decimal128(20, 2))),
    "arrow levels": (_FEW, pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
}
_ROWS, _WIDTHS = [12, 9, 6, 16, 5, 3, 2, 12, 9] * 4 + [1, 0], [2, 3, 3, 2, 4, 1] * 6 + [0]
_PLAIN = st.sampled_from(
    ["numbers", "whole", "nullable", "levels", "grades", "few texts", "counts", "truths", "times", "zeros", "codes"]
)
_NUMERIC = ["numbers", "any numbers", "edges", "codes", "counts", "zeros", "single", "half", "whole", "bytes", "truths", "sparse"]
_NAMES = st.one_of(
    st.sampled_from(["", " ", "a,b", "x=y", "<b>", "ünï\n", "x0", "missingindicator_c0", "c1", "$x$", 'q"']), st.text(max_size=3)
)
_OTHER_NAMES = st.sampled_from([0, 1, 2.5, None, ("a", 1), True, pd.Timestamp(2020, 1, 1), float("nan"), -1])
KINDS = [
    "continuous",
    "positive",
    "bounded:0:100",
    "bounded:-1e308:1e308",
    "bounded:5:1",
    "semicontinuous",
    "semicontinuous:0",
    "count",
]
KINDS += [
    "binary",
    "categorical",
    "ordinal",
    "ordinal:a:b:c",
    "date",
    "nonsense",
    "angle:24",
    "proportion",
    "proportion:0:100",
    "ordinal:",
]


@st.composite
def columns(draw: Any, rows: int, kinds: st.SearchStrategy[str]) -> pd.Series:
    """A column of ``rows`` values of one kind, some, none or all of them missing."""
    values, dtype = COLUMNS[draw(kinds)]
    if draw(st.integers(0, 15)) == 15:
        values = st.just(draw(values))  # constant
    cells = draw(st.lists(values, min_size=rows, max_size=rows))
    share = draw(st.sampled_from([0, 3, 3, 6, 0, 3, 6, 9, 0, 3, 3, 6, 10]))
    holes = [share > 0 and draw(st.integers(1, 10)) <= share for _ in cells]
    cells = [None if hole else cell for cell, hole in zip(cells, holes, strict=True)]
    if isinstance(dtype, pd.ArrowDtype):
        return pd.Series(pd.array(pa.array(cells, dtype.pyarrow_dtype), dtype=dtype))
    if any(holes) and dtype in ("int64", "int8", "bool"):
        dtype = "float64" if draw(st.booleans()) else object
    series = pd.Series(cells, dtype=object)
    if dtype == "interval":
        return pd.Series(pd.arrays.IntervalArray(cells)) if any(cell is not None for cell in cells) else series
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.to_datetime(series).dt.tz_localize("UTC").astype(dtype)
    if dtype == "datetime64[s]":
        return pd.Series(np.array([np.datetime64("NaT") if cell is None else cell for cell in cells], dtype="datetime64[s]"))
    if isinstance(dtype, pd.SparseDtype):
        return series.astype("float64").astype(dtype)
    return series.astype(dtype)


@st.composite
def tables(draw: Any) -> tuple[Any, dict[str, Any]]:
    """A table, as a frame, an array, lists or of polars, and the settings of an imputer of a few steps, some of them wrong."""
    rows, width = draw(st.sampled_from(_ROWS)), draw(st.sampled_from(_WIDTHS))
    form = draw(st.sampled_from(["frame", "frame", "frame", "frame", "polars", "array", "lists"]))
    if form in ("array", "lists") and draw(st.integers(0, 5)):
        kinds = st.sampled_from(_NUMERIC)
    else:
        kinds = st.one_of(_PLAIN, _PLAIN, _PLAIN, st.sampled_from(sorted(COLUMNS)))
    parts = [draw(columns(rows, kinds)) for _ in range(width)]
    frame = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=range(rows))
    names: list[Any] = [f"c{j}" for j in range(width)]
    naming = draw(st.integers(0, 11))
    if naming >= 9:
        names = draw(st.lists(_OTHER_NAMES if naming == 11 else _NAMES, min_size=width, max_size=width, unique_by=repr))
    if naming == 8 and width:
        names[0] = names[-1]
    frame.columns = pd.Index(names, tupleize_cols=False, dtype=object if naming == 11 else None)
    frame.index = _index(draw(st.integers(0, 15)), rows)
    settings = draw(imputers(names))
    if form == "array":
        return frame.to_numpy(), settings
    if form == "lists":
        return frame.to_numpy().tolist(), settings
    if form == "polars":
        import polars as pl

        try:
            return pl.from_pandas(frame.reset_index(drop=True)), settings
        except Exception:  # a table that polars cannot hold
            return frame, settings
    return frame, settings


def _index(how: int, rows: int) -> Any:
    odd = {
        0: [f"r{i}" for i in range(rows)],
        1: [0] * rows,
        2: pd.MultiIndex.from_arrays([[i // 2 for i in range(rows)], range(rows)]),
        3: pd.date_range("2020", periods=rows),
        4: np.array([np.nan if i % 3 == 0 else i for i in range(rows)]),
        5: pd.Index([None, "a"] * rows, dtype=object)[:rows],
        6: pd.Categorical(["a"] * rows),
        7: np.arange(rows) * 10**15,
    }
    return odd.get(how, range(rows))


@st.composite
def imputers(draw: Any, names: list[Any]) -> dict[str, Any]:
    """Settings of an imputer for a table of these columns."""
    settings: dict[str, Any] = {"steps": draw(st.integers(1, 3)), "members": 1, "hidden": (4,), "progress": False}
    settings["mechanism"] = draw(st.sampled_from(["none"] * 6 + ["linear", "neural", "self-masking"]))
    one = st.sampled_from(names) if names else st.just("c0")
    if settings["mechanism"] == "self-masking":
        settings["direction"] = draw(st.sampled_from(["high", "low", "free"]))
    further = {
        "kinds": st.tuples(one, st.sampled_from(KINDS)).map(lambda pair: dict([pair])),
        "point": st.sampled_from(["median", "draw", "mode"]),
        "add_indicator": st.just(True),
        "keep_empty_features": st.just(True),
        "order": st.lists(one, max_size=3),
        "ignorable": st.lists(one, max_size=2),
        "latent_dim": st.sampled_from([1, 3, 20, 0]),
        "batch_size": st.sampled_from([1, 2, 0]),
        "members": st.just(2),
        "mechanism": st.just("auto"),
    }
    for name in draw(st.lists(st.sampled_from(sorted(further)), max_size=2, unique=True)) if draw(st.booleans()) else []:
        settings[name] = draw(further[name])
    return settings


#: Cells of a CSV as they may stand there, by what the column is.
_CELLS = {
    "numbers": _NEAR.map(str),
    "whole": _WHOLE.map(str),
    "spelled": st.sampled_from(["007", "1.50", "+3", "1e3", "2.", ".5", "-0", " 4", "5 ", "12345678901234567890"]),
    "edges": st.sampled_from(["1e308", "1e-320", "inf", "-Infinity", "1e999", "0", "9" * 400, "1.25"]),
    "truths": st.sampled_from(["True", "FALSE", "true"]),
    "levels": _FEW,
    "words": st.sampled_from(WORDS),
    "dates": _DAYS.map(lambda day: str(day.date())),
    "texts": st.text(string.printable, max_size=5),
    "anything": st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
}
_BITES = [b'"', b",", b"\n", b"\r", b"\0", b"\xff\xfe", b"'", b";", b"1e999", b"=1+1", b"\xef\xbb\xbf", b"9" * 400]


@st.composite
def csvs(draw: Any) -> tuple[list[str], list[list[str]], list[str]]:
    """A header, rows of texts, and options of ``pyro-mnar impute``."""
    rows, width = draw(st.sampled_from([1, 2, 3, 6, 12, 12])), draw(st.sampled_from([1, 2, 2, 3, 4]))
    cells = []
    for _ in range(width):
        kind = _CELLS[draw(st.sampled_from(["numbers", "whole", "levels", *_CELLS]))]
        share = draw(st.sampled_from([0, 2, 4, 9, 10]))
        own = draw(st.lists(kind, min_size=rows, max_size=rows))
        gone = draw(st.sampled_from(["", "NA", "-99", " "]))
        cells.append([gone if share and draw(st.integers(1, 10)) <= share else cell for cell in own])
    header = [f"c{j}" for j in range(width)]
    if draw(st.integers(0, 5)) == 5:
        header = [draw(_NAMES) for _ in header]
    given: list[str] = ["--mechanism", draw(st.sampled_from(["none", "none", "none", "linear"]))]
    name = draw(st.sampled_from(header))
    further = [
        [],
        [],
        [],
        ["--kind", f"{name}={draw(st.sampled_from(KINDS))}"],
        ["--missing", draw(st.sampled_from(["-99", "?", f"{name}=-99", f"{name}="]))],
        ["--columns", name],
        ["--point", draw(st.sampled_from(["median", "draw"]))],
        ["--ignorable", name],
        ["--direction", f"{name}=high"],
        ["--decimal", ","],
    ]
    return header, [list(row) for row in zip(*cells, strict=True)], given + draw(st.sampled_from(further))


@st.composite
def damages(draw: Any) -> list[tuple[int, int, int]]:
    """What :func:`damaged` does to a file: a place in 1/1000, a way and a number, for each harm."""
    return draw(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 5), st.integers(0, 255)), max_size=4))


def damaged(content: bytes, harms: list[tuple[int, int, int]]) -> bytes:
    """Return ``content`` with bytes changed, inserted, left out or repeated."""
    data = bytearray(content)
    for place, way, number in harms:
        at = place * len(data) // 1000
        if way == 0 and data:
            data[at] = number
        elif way in (1, 2):
            data[at:at] = _BITES[number % len(_BITES)]
        elif way == 3:
            del data[at : at + 1 + number % 9]
        elif way == 4:
            data = data[: at + 1]
        else:
            data += data[:at]
    return bytes(data)
