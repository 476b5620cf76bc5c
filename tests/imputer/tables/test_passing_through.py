"""Columns that a model is not of: constants, empty ones, names; and names that are taken."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main


def imputer(**settings):
    return MNARImputer("none", **({"members": 1, "steps": 2, "hidden": (4,), "progress": False} | settings))


def frame(rows=40):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(rows, 2)), columns=["a", "b"])
    table.loc[::4, "a"] = np.nan
    return table


@pytest.mark.parametrize("value", [1e-6, 7, "x", True])
def test_a_constant_column_is_filled_with_its_value(tmp_path, value):
    table = frame().assign(k=value)
    table["k"] = table.k.astype(object) if isinstance(value, (str, bool)) else table.k
    table.loc[1::4, "k"] = None
    fitted = imputer().fit(table)
    assert [column.name for column in fitted.schema_.columns] == ["a", "b"]
    for back in (fitted.transform(table), *fitted.sample(table, 2)):
        assert list(back.columns) == ["a", "b", "k"] and (back.k == value).all() and back.k.dtype == table.k.dtype
    assert list(fitted.get_feature_names_out()) == ["a", "b", "k"]
    fitted.save(tmp_path / "m")
    again = MNARImputer.load(tmp_path / "m")
    assert again.transform(table).equals(fitted.transform(table))
    other = table.assign(k=table.k.where(table.index > 10, None))  # other rows, and others missing
    assert (again.transform(other).k == value).all()
    marked = imputer(add_indicator=True).fit_transform(table)
    assert (marked.missingindicator_k == table.k.isna()).all() and (marked.missingindicator_a == table.a.isna()).all()


def test_of_an_array_too_and_what_is_observed_later_stays():
    x = np.c_[frame().to_numpy(), np.where(np.arange(40) % 4 == 1, np.nan, 3.0)]
    fitted = imputer().fit(x)
    assert (fitted.transform(x)[:, 2] == 3).all()
    x[0, 2] = 8.0
    assert fitted.transform(x)[:2, 2].tolist() == [8.0, 3.0]


def test_an_indicator_never_takes_a_columns_name():
    table = frame().assign(missingindicator_a=np.random.default_rng(1).normal(size=40))
    with pytest.raises(ValueError, match="add_indicator: got a column that is called 'missingindicator_a' already"):
        imputer(add_indicator=True).fit(table)


def test_text_that_looks_like_numbers_is_doubted_by_name():
    table = frame().assign(v=np.arange(40) % 5)
    with pytest.warns(UserWarning, match="column 'v': text such as '0' is taken for categories and looks like numbers"):
        imputer().fit(table.assign(v=table.v.astype(str)))


def test_negative_values_of_a_column_without_any_are_said():
    table = frame(200).assign(age=np.abs(np.random.default_rng(1).normal(0, 10, 200)))
    table.loc[::3, "age"] = np.nan
    fitted = imputer().fit(table)
    with pytest.warns(UserWarning, match="column 'age': .* imputed values are below 0.*declare it positive"):
        fitted.sample(table, 4)


def test_what_is_said_of_a_constant_or_an_empty_column_is_no_mistake():
    table = frame().assign(k=7.0, empty=np.nan)
    table.loc[1::4, "k"] = np.nan
    said = {"mechanism": "auto", "direction": {"a": "high"}, "members": 1, "steps": 2, "hidden": (4,), "progress": False}
    expected = MNARImputer(order=["b", "a"], **said).fit(table[["a", "b"]]).transform(table[["a", "b"]])
    with pytest.warns(UserWarning, match="left out: empty"):
        fitted = MNARImputer(order=["k", "b", "empty", "a"], ignorable=["k"], **said).fit(table)
    pd.testing.assert_frame_equal(fitted.transform(table)[["a", "b"]], expected, check_exact=True)
    with pytest.warns(UserWarning, match="direction: got a word for column 'k', which does not vary; it is not used") as found:
        MNARImputer(**said | {"direction": {"a": "high", "k": "low"}}).fit(table.drop(columns="empty"))
    assert [w.filename for w in found] == [__file__]
    for setting in ("order", "ignorable"):
        with pytest.raises(ValueError, match=f"{setting}: got unknown column 'z'"):
            MNARImputer(**said | {setting: ["k", "z"]}).fit(table.drop(columns="empty"))


@pytest.mark.parametrize("frame", [True, False])
def test_of_columns_that_are_all_constant_the_holes_get_their_values(frame, tmp_path, capsys):
    table = pd.DataFrame({"a": [1.0, np.nan, 1.0, 1.0], "b": [1.7e308, 1.7e308, np.nan, np.nan]})
    whole = pd.DataFrame({"a": [1.0] * 4, "b": [1.7e308] * 4})
    completed = MNARImputer(steps=2, members=1, progress=False).fit_transform(table if frame else table.to_numpy())
    assert np.array_equal(np.asarray(completed), whole.to_numpy())
    table.to_csv(tmp_path / "t.csv", index=False)
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--jobs", "1"]) == 0
    assert pd.read_csv(tmp_path / "c.csv").equals(whole) and "which is what its holes got" in capsys.readouterr().out
