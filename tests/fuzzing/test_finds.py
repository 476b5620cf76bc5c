"""What the campaigns found, each as a test of its own."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from hostile_models import bases
from promises import check_imputer

from pyro_mnar import MNARImputer
from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.files.arrow import filled_column
from pyro_mnar.data.kinds.angle import Angle
from pyro_mnar.data.kinds.dates import Date, days_of
from pyro_mnar.data.kinds.numbers import as_decimal
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.distributions.continuous import PrecisionNormal
from pyro_mnar.distributions.discrete import CountCells
from pyro_mnar.imputer.points import summands
from pyro_mnar.imputer.saving.model_files import load_model, save_model

SETTINGS = {"steps": 1, "members": 1, "hidden": (4,), "progress": False, "mechanism": "none"}
EPOCH = date(1970, 1, 1).toordinal()


@pytest.mark.parametrize("name", [True, False, 2.5, None, float("nan")])
def test_a_column_name_that_is_neither_text_nor_a_whole_number_is_named(name):
    """Of pandas, True as a name chooses rows: "Item wrong length 1 instead of 6"."""
    table = pd.DataFrame({"a": [0.0, 1, 2, 3, None, 5], "b": [1.0, 3, 2, 5, 4, 6]})
    table.columns = pd.Index([name, 7], dtype=object)
    with pytest.raises((ValueError, TypeError), match=f"got column name {name!r}|feature names"):
        MNARImputer(**SETTINGS).fit(table)


def test_a_constant_that_a_column_of_another_table_cannot_hold_is_named():
    """A column that was always "a" in training, and of numbers later."""
    table = pd.DataFrame({"x": np.arange(6.0), "k": ["a"] * 6})
    imputer = MNARImputer(**SETTINGS).fit(table)
    with pytest.raises(ValueError, match="column 'k': got dtype float64, expected one that holds 'a'"):
        imputer.transform(table.assign(k=[1.0] + [np.nan] * 5))


def test_a_constant_of_another_type_than_a_columns_categories_is_named():
    """It became one of the categories, whose dtype was then none; of the same type it does."""
    table = pd.DataFrame({"x": np.arange(6.0), "k": [7.0] * 6, "c": ["a"] * 6})
    imputer = MNARImputer(**SETTINGS).fit(table)
    with pytest.raises(ValueError, match="column 'k': got dtype category, expected one that holds 7.0"):
        imputer.transform(table.assign(k=pd.Series(["u", None, "v", "u", "u", "u"], dtype="category")))
    done = imputer.transform(table.assign(c=pd.Series(["u", None, "v", "u", "u", "u"], dtype="category")))
    assert done["c"].tolist() == ["u", "a", "v", "u", "u", "u"] and list(done["c"].cat.categories) == ["u", "v", "a"]


def test_a_column_of_no_name_of_polars_is_not_lost():
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"": [1.0, None, 2.5, 3.5, 0.5, 7.0], "b": [8, 6, 10, 0, 1, 4]})
    assert check_imputer(table, SETTINGS) == "filled"


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_dates_that_nanoseconds_cannot_store_are_dates(unit):
    times = pd.Series(np.array(["3021-02-03", "1021-05-06", "2000-01-01", "NaT"] * 3, dtype=f"datetime64[{unit}]"))
    assert days_of(times).tolist()[:3] == [date(*day).toordinal() - EPOCH for day in ((3021, 2, 3), (1021, 5, 6), (2000, 1, 1))]
    filled = Date("when", str(times.dtype)).fill(
        times.copy(), times.isna().to_numpy(), np.array([date(3065, 3, 4).toordinal() - EPOCH, 1e9, -1e9])
    )
    assert filled.dtype == times.dtype and filled.notna().all() and str(filled.iloc[3]) == "3065-03-04 00:00:00"
    table = pd.DataFrame({"when": times, "x": np.arange(12.0)})
    assert check_imputer(table, SETTINGS) == "filled"


def test_imputed_dates_stay_within_what_the_column_can_store():
    """A date of 2263, of nanoseconds, was an error that named no column."""
    series = pd.Series(pd.to_datetime(["2262-01-01", None, None])).astype("datetime64[ns]")
    filled = Date("when", "datetime64[ns]").fill(series.copy(), series.isna().to_numpy(), np.array([2e5, -2e5]))
    assert filled.iloc[1].year == 2262 and filled.iloc[2].year == 1677 and filled.iloc[0] == series.iloc[0]
    text = pd.Series(["2020-01-01", None])
    assert Date("when", "object").fill(text, text.isna().to_numpy(), np.array([1e12])).iloc[1].startswith("9999-")


def test_imputed_numbers_beyond_double_precision_warn_of_nothing_from_inside():
    codec = TableCodec.fit(np.array([[0.0], [0.3], [1.0]]), {0: "proportion"})
    far = summands(replace(codec, scaling=Scaling(np.array([1e308]), np.array([1e308]))))[0]
    assert far(torch.tensor([30.0, -30.0])).tolist() == pytest.approx([1.0, 0.0])
    assert np.isinf(Scaling(np.array([1e308]), np.array([1e308])).invert(np.array([[30.0]]))).all()


def test_a_precision_that_is_none_is_no_crash():
    law = PrecisionNormal.of(torch.ones(2, 2), torch.stack([torch.eye(2), -torch.eye(2)]))
    assert law.loc[0].tolist() == [1.0, 1.0] and law.loc[1].isnan().all()
    assert law.log_prob(torch.zeros(2)).isnan().tolist() == [False, True]


def test_counts_of_no_mean_are_no_crash():
    law = CountCells(torch.tensor([[torch.nan], [1.0]]), torch.tensor([0.0]), torch.zeros(1), torch.ones(1))
    values, log_probs = law.table()
    assert len(values) > 10 and abs(float(log_probs[:, 1, 0].exp().sum()) - 1) < 1e-4


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return bases(tmp_path_factory.mktemp("bases"))


def changed(path, value):
    """What sets an entry of a description; None takes it away."""

    def change(description):
        *parents, last = path
        for key in parents:
            description = description[key]
        if value is None:
            del description[last]
        else:
            description[last] = value

    return change


#: By name, the model and what is said of it that is not so; each was loaded, and failed afterwards.
LIES = {
    "a cell's step": ("masked", changed(["specification", "cells", 4, "step"], [])),
    "candidates": ("plain", changed(["candidates", 0], "nan")),
    "a point": ("plain", changed(["settings", "point"], True)),
    "a seed below 0": ("mixed", changed(["settings", "random_state"], -1000000)),
    "no column of reasons": ("plain", changed(["reasons", "beyond"], None)),
    "reasons that are no words": ("plain", changed(["reasons", "evidence"], [3])),
    "a modeled column, a word": ("mixed", changed(["specification", "columns", 0], "angle")),
    "a modeled column that is not there": ("masked", changed(["specification", "columns", 0], 14)),
    "a period": ("mixed", changed(["codec", "schema", 6, "period"], [24.0])),
    "a constant that is a list": ("masked", changed(["codec", "layout", "constants", 0, 1], ["x"])),
    "an unknown mechanism": ("mixed", changed(["specification", "mechanism"], "enon")),
    "kinds that are a number": ("mixed", changed(["settings", "kinds"], 6)),
    "a bound that no number reaches": ("mixed", changed(["codec", "schema", 8, "bounds", 1], 1e308)),
    "a tolerance that no number holds": ("plain", changed(["settings", "tolerance"], 10**400)),
    "a history": ("plain", changed(["histories", 0, "evaluations", 0, "train"], "x")),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_model_whose_words_do_not_fit_is_refused_when_it_is_loaded(models, tmp_path, lie):
    base, change = LIES[lie]
    (folder,) = (folder for folder, _ in models if folder.name == base)
    tensors, description = load_model(folder)
    change(description)
    save_model(tmp_path / "m", tensors, description)
    with pytest.raises(ValueError, match=f"{tmp_path / 'm'}: not a usable model"):
        MNARImputer.load(tmp_path / "m")


@pytest.mark.parametrize("most", [1.7e308, -1.4e308, 1e301])
def test_numbers_whose_draws_could_be_none_are_refused_by_name(most):
    frame = pd.DataFrame({"c0": [np.nan] * 4 + [0.0, 1.0, 2.0, most], "c1": np.arange(8.0)})
    with pytest.raises(ValueError, match="column 'c0': got 1.*, expected numbers within 1e\\+300"):
        MNARImputer(steps=1, members=1, progress=False).fit(frame)


def test_a_column_of_a_dtype_that_no_kind_has_is_refused_by_name_though_it_is_empty():
    frame = pd.DataFrame({"c0": [0.0, 1.0], "c2": np.array([np.nan + 1j * np.nan] * 2)})
    with pytest.raises(ValueError, match="column 'c2': got None, dtype complex128"):
        MNARImputer(steps=1, members=1, progress=False).fit(frame)


def test_what_is_declared_is_believed_also_of_imputed_values():
    x = np.abs(np.random.default_rng(0).normal(size=(60, 2)))
    x[:30, 0] = np.nan
    asked = {"mechanism": "none", "steps": 1, "members": 1, "progress": False}
    with pytest.warns(UserWarning, match="below 0, where no observed one is"):
        MNARImputer(**asked).fit(x).sample(x, 20)
    MNARImputer(**asked, kinds={0: "continuous"}).fit(x).sample(x, 20)


@pytest.mark.parametrize("kinds", [6, "positive", ["positive"], ""])
def test_kinds_that_are_no_mapping_are_refused_by_name(kinds):
    frame = pd.DataFrame({"a": [0.0, np.nan, 2.0], "b": np.arange(3.0)})
    with pytest.raises(TypeError, match="kinds: got .*, expected a mapping from columns to words"):
        MNARImputer(kinds=kinds, steps=1, members=1, progress=False).fit(frame)


def test_bounds_whose_distance_no_number_holds_are_refused_by_name():
    frame = pd.DataFrame({"a": [0.0, np.nan, 2.0], "b": np.arange(3.0)})
    with pytest.raises(ValueError, match="column 'a': got bounds .*, expected two finite numbers below 1e\\+300"):
        MNARImputer(kinds={"a": "bounded:-1e308:1e308"}, steps=1, members=1, progress=False).fit(frame)


def test_a_value_that_is_none_in_the_columns_units_is_named_and_nothing_overflows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": 1e-20 * rng.normal(size=30), "b": rng.normal(size=30)})
    frame.loc[::7, "b"] = np.nan
    imputer = MNARImputer(steps=2, members=1, progress=False).fit(frame)
    frame.loc[0, "a"] = 1e299
    with pytest.warns(UserWarning, match="1e\\+299 in row 0 of column 'a': more than 30 standard deviations"):
        completed = imputer.transform(frame)
    assert completed.loc[0, "a"] == 1e299 and np.isfinite(completed["b"]).all()


def test_an_angle_of_no_direction_warns_of_nothing_from_inside():
    turned = Angle("hour", "float64", period=24.0).off_line(np.array([np.inf, 25.0, -np.inf]))
    assert np.isnan(turned[[0, 2]]).all() and turned[1] == 1.0


@pytest.mark.parametrize("dtype", ["category", "datetime64[s]", "timedelta64[s]"])
def test_an_empty_column_whose_type_has_no_0_cannot_stay_filled_with_0(dtype):
    frame = pd.DataFrame({"a": [0.0, np.nan, 2.0], "b": pd.Series([None] * 3).astype(dtype)})
    with pytest.raises(ValueError, match=f"keep_empty_features: got True and column 'b' of type {dtype[:8]}"):
        MNARImputer(**SETTINGS, keep_empty_features=True).fit(frame)


@pytest.mark.parametrize(("dtype", "zero"), [("boolean", False), ("Int64", 0), ("Float32", 0), ("string", 0), (None, 0)])
def test_an_empty_column_of_another_type_stays_filled_with_0(dtype, zero):
    frame = pd.DataFrame({"a": [0.0, np.nan, 2.0], "b": pd.Series([None] * 3, dtype=dtype)})
    completed = MNARImputer(**SETTINGS, keep_empty_features=True).fit_transform(frame)
    assert completed["b"].tolist() == [zero] * 3


@pytest.mark.parametrize("dtype", ["float16", "float32", "Float32"])
def test_a_draw_that_the_column_s_type_cannot_hold_is_the_largest_that_it_can(dtype):
    """Of float16 that is 65504: cells beyond came back infinite."""
    most = float(np.finfo(dtype.lower()).max)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": most * rng.uniform(0.9, 0.99, 60) * rng.choice([-1, 1], 60), "b": rng.normal(size=60)})
    frame.loc[::2, "a"] = np.nan
    imputer = MNARImputer(**SETTINGS, kinds={"a": "continuous"}).fit(frame.astype({"a": dtype}))
    drawn = np.array([table["a"].to_numpy(float) for table in imputer.sample(frame.astype({"a": dtype}), 20)])
    assert np.isfinite(drawn).all() and np.abs(drawn).max() == most
    if dtype != "Float32":
        x = frame.to_numpy().astype(dtype)
        array = np.array(MNARImputer(**SETTINGS, kinds={0: "continuous"}).fit(x).sample(x, 20))
        assert array.dtype == dtype and np.isfinite(array).all() and np.abs(array).max() == most


def test_imputed_decimals_stay_within_their_digits():
    """A draw of -10.00 in a column of three digits: polars' and Arrow's own errors, after the fit."""
    polars, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    cells = [None, Decimal("-9.45"), None, None, None]
    for table in (
        polars.DataFrame({"x": [0.0] * 5, "d": polars.Series(cells, dtype=polars.Decimal(3, 2))}),
        pd.DataFrame({"x": [0.0] * 5, "d": pd.Series(cells, dtype=pd.ArrowDtype(pa.decimal128(3, 2)))}),
    ):
        assert check_imputer(table, SETTINGS) == "filled"
        drawn = MNARImputer(**SETTINGS).fit(table).sample(table, 20)
        assert max(abs(value) for whole in drawn for value in whole["d"]) <= Decimal("9.99")
    assert as_decimal(1e30, 2, precision=38) == Decimal(f"{1e30:.2f}") and as_decimal(1e40, 2, 38) == Decimal("9" * 36 + ".99")


def test_decimals_of_parquet_stay_within_their_digits():
    pa = pytest.importorskip("pyarrow")
    column = pa.chunked_array([pa.array([Decimal("-9.45"), None, None], pa.decimal128(3, 2))])
    filled = filled_column(column, pd.Series([0.0, -10.0, Decimal("12")]), np.array([False, True, True]), "d")
    assert filled.to_pylist() == [Decimal("-9.45"), Decimal("-9.99"), Decimal("9.99")] and filled.type == column.type
    nothing = pa.chunked_array([pa.nulls(2)])
    assert filled_column(nothing, pd.Series([0.0, 0.0]), np.array([True, True]), "n").to_pylist() == [0.0, 0.0]
    assert filled_column(nothing, pd.Series(["a", "b"]), np.array([True, True]), "n").to_pylist() == ["a", "b"]


@pytest.mark.parametrize("word", ["Null", "Int8", "Boolean", "String", "Time", "Binary", "Decimal", "Float32"])
def test_an_empty_column_of_polars_that_is_kept_has_zeros(word):
    """One of no type at all was polars' own error after the fit, one of text had the words "0.0"."""
    polars = pytest.importorskip("polars")
    dtype = polars.Decimal(4, 1) if word == "Decimal" else getattr(polars, word)
    table = polars.DataFrame({"x": [0.0, 1, 2, 3, None], "e": polars.Series([None] * 5, dtype=dtype)})
    done = MNARImputer(**SETTINGS, keep_empty_features=True).fit_transform(table)
    numbers = dtype.is_numeric() or dtype == polars.Boolean
    assert done["e"].dtype == (dtype if numbers else polars.Float64) and not any(done["e"])


def test_an_empty_column_of_arrow_that_is_kept_has_zeros():
    pa = pytest.importorskip("pyarrow")
    for kind in (pa.null(), pa.bool_(), pa.decimal128(4, 1), pa.int64()):
        table = pd.DataFrame({"x": [0.0, 1, 2, 3, None], "e": pd.Series([None] * 5, dtype=pd.ArrowDtype(kind))})
        assert check_imputer(table, SETTINGS | {"keep_empty_features": True}) == "filled"


def test_a_year_of_polars_that_python_has_not_comes_back():
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"x": [0.0, 1, 2, 3, None], "t": polars.Series([0, 9, -(10**14), 7, None]).cast(polars.Datetime("ms"))})
    assert check_imputer(table, SETTINGS) == "filled"


def test_declared_levels_that_nobody_has_are_categories_of_the_completed_column():
    table = pd.DataFrame({"x": [0.0, 1, 2, 3, 4], "k": pd.Series([None] * 4 + ["a"], dtype="category")})
    settings = SETTINGS | {"kinds": {"k": "ordinal:a:b:c"}}
    assert check_imputer(table, settings) == "filled"
    assert list(MNARImputer(**settings).fit_transform(table)["k"].cat.categories) == ["a", "b", "c"]


def test_declared_levels_that_an_enum_of_polars_has_not_are_among_its_own():
    """A draw of one of them was polars' own error, after the fit."""
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"x": [0.0, 1, 2, 3, 4], "k": polars.Series([None] * 4 + ["a"], dtype=polars.Enum(["a"]))})
    settings = SETTINGS | {"kinds": {"k": "ordinal:a:b:c"}}
    drawn = MNARImputer(**settings).fit(table).sample(table, 20)
    assert all(whole["k"].dtype == polars.Enum(["a", "b", "c"]) for whole in drawn)
    assert {level for whole in drawn for level in whole["k"]} == {"a", "b", "c"}


@pytest.mark.parametrize("kind", ["continuous", "positive", "bounded:0:9", "semicontinuous", "proportion"])
def test_a_column_of_categories_that_is_declared_numbers_gets_what_is_new_among_them(kind):
    """pandas' own error, after the fit: "Cannot setitem on a Categorical with a new category"."""
    cells = pd.Series([0.1, 0.2, 0.3, 0.3, 0.4, 0.5, None, None], dtype="category")
    table = pd.DataFrame({"x": np.arange(8.0), "k": cells})
    settings = SETTINGS | {"kinds": {"k": kind}}
    assert check_imputer(table, settings) == "filled"
    done = MNARImputer(**settings).fit(table).sample(table, 1)[0]["k"]
    assert done.dtype == "category" and list(done.cat.categories[:5]) == [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize("dtype", ["category", object])
@pytest.mark.parametrize("kept", [2001, "2001-02-03", date(2001, 2, 3), pd.Timestamp("2001-02-03 04:05")])
def test_declared_dates_among_categories_and_objects(kept, dtype):
    """New dates among categories were pandas' own error after the fit; whole numbers among objects a warning from inside."""
    others = [value for value in [kept, kept + 1 if isinstance(kept, int) else kept] for _ in range(3)]
    table = pd.DataFrame({"x": np.arange(8.0), "t": pd.Series([*others, None, None], dtype=dtype)})
    assert check_imputer(table, SETTINGS | {"kinds": {"t": "date"}}) == "filled"


@pytest.mark.parametrize("value", [1, 1j, float("inf"), True, 2.5])
@pytest.mark.parametrize("dtype", ["category", object])
def test_numbers_that_are_no_dates_are_named(value, dtype):
    table = pd.DataFrame({"x": np.arange(4.0), "t": pd.Series([value, None, value, value], dtype=dtype)})
    with pytest.raises((ValueError, TypeError), match="column 't'"):
        MNARImputer(**SETTINGS, kinds={"t": "date"}).fit(table)


def test_dates_in_text_and_in_numbers_are_told_apart():
    table = pd.DataFrame({"x": np.arange(4.0), "t": pd.Series(["2020-01-01", 20200102, None, "2020-01-03"], dtype=object)})
    with pytest.raises(ValueError, match="column 't': got 20200102 in row 1 and others that are no numbers"):
        MNARImputer(**SETTINGS, kinds={"t": "date"}).fit(table)


@pytest.mark.parametrize("table", [np.zeros((5, 2), complex), [[0j, 0.0]] * 5])
def test_complex_arrays_are_named_in_one_line(table):
    with pytest.raises(ValueError, match=r"^X: got complex numbers.*Complex data not supported\)$"):
        MNARImputer(**SETTINGS).fit(table)


@pytest.mark.parametrize("name", ["a\0", "*", "^.*$", "^b", "", " "])
def test_names_that_polars_takes_for_more_than_names(name):
    """At a zero byte it panicked, with an exception that is no Exception; by * and regular expressions it cast all columns."""
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({name: [0.0, 1, 2, None], "b": [1, 2, None, 3], "c": [0.5, None, 1.5, 2.0], "e": [None] * 4})
    assert check_imputer(table, SETTINGS) == "filled"


@pytest.mark.parametrize("scale", [1e30, 1.0, 1e-12])
def test_one_value_beside_the_one_that_repeats_has_units_of_its_size(scale):
    """Its deviation is 0, for which 1 stood: of 1e30 the loss was infinite, of 1e-12 draws were a thousand million times too large."""
    table = pd.DataFrame({"d": [0.0, 0, 0, 0, 5 * scale, 5 * scale, 5 * scale, None, None], "x": np.arange(9.0)})
    settings = SETTINGS | {"kinds": {"d": "semicontinuous"}}
    assert check_imputer(table, settings) == "filled"
    drawn = MNARImputer(**settings).fit(table).sample(table, 50)
    assert max(whole["d"].abs().max() for whole in drawn) < 20 * scale
