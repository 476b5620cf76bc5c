"""``MNARImputer`` as scikit-learn wants its estimators: every check of its own, and the places where it is used."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyro_mnar import MNARImputer

QUICK = {"steps": 2, "members": 1, "hidden": (4,), "progress": False}
#: Weights of 0 are refused, by name; that whole numbers are repeated rows is in ``test_weights.py``, to optimizer noise.
REFUSED = {
    f"check_sample_weight_equivalence_on_{table}_data": "a weight of 0 is an error, and training is stochastic"
    for table in ("dense", "sparse")
}


@pytest.mark.filterwarnings("ignore:X. nothing is missing:UserWarning")
@parametrize_with_checks([MNARImputer(**QUICK)], expected_failed_checks=lambda _: REFUSED)
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)


def holed(n=60, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)), columns=["a", "b", "c"])
    frame.loc[frame.a > frame.a.quantile(0.7), "a"] = np.nan
    return frame


def test_in_a_pipeline_a_column_transformer_and_a_grid_search_over_processes():
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    frame = holed().assign(note="x")
    some = ColumnTransformer([("imputed", MNARImputer(**QUICK), ["a", "b"])], remainder="drop", verbose_feature_names_out=False)
    model = make_pipeline(some.set_output(transform="pandas"), LinearRegression())
    assert np.isfinite(model.fit(frame, frame.c).predict(frame)).all()
    assert list(model[:-1].get_feature_names_out()) == ["a", "b"]
    search = GridSearchCV(MNARImputer(**QUICK), {"latent_dim": [1, 2]}, n_jobs=2, cv=2)
    search.fit(frame[["a", "b", "c"]])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all() and np.isfinite(search.transform(frame[["a", "b", "c"]])).all(
        axis=None
    )


def test_a_pickled_and_a_cloned_imputer():
    import pickle

    from sklearn.base import clone

    frame = holed()
    fitted = MNARImputer(direction={"a": "high"}, **QUICK).fit(frame)
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.transform(frame), fitted.transform(frame), check_exact=True)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "members_")
    pd.testing.assert_frame_equal(copy.fit_transform(frame), fitted.transform(frame), check_exact=True)


def test_random_state():
    frame = holed()

    def imputed(state):
        return MNARImputer(random_state=state, **QUICK).fit_transform(frame).a.to_numpy()

    assert (imputed(np.random.RandomState(3)) == imputed(np.random.RandomState(3))).all()
    assert (imputed(np.random.RandomState(3)) != imputed(np.random.RandomState(4))).any()
    assert (imputed(None) != imputed(None)).any()
    fitted = MNARImputer(random_state=None, **QUICK).fit(frame)
    pd.testing.assert_frame_equal(fitted.transform(frame), fitted.transform(frame), check_exact=True)


def test_indicators_say_what_was_missing():
    frame = holed()
    imputer = MNARImputer(add_indicator=True, **QUICK).fit(frame)
    assert list(imputer.get_feature_names_out()) == ["a", "b", "c", "missingindicator_a"]
    out = imputer.transform(frame)
    assert list(out.columns) == list(imputer.get_feature_names_out()) and (out.missingindicator_a == frame.a.isna()).all()
    array = MNARImputer(add_indicator=True, **QUICK).fit_transform(frame.to_numpy())
    assert array.shape == (60, 4) and array.dtype == np.float64 and (array[:, 3] == frame.a.isna()).all()


@pytest.mark.parametrize("make", [lambda f: f, lambda f: f.to_numpy()], ids=["frame", "array"])
def test_columns_without_a_value_are_left_out_or_filled_with_zero(make):
    frame = holed().assign(b=np.nan)
    with pytest.warns(UserWarning, match="left out: (b|1)$"):
        dropped = MNARImputer(**QUICK).fit(make(frame))
    assert np.shape(dropped.transform(make(frame))) == (60, 2) and len(dropped.get_feature_names_out()) == 2
    kept = MNARImputer(keep_empty_features=True, **QUICK).fit(make(frame))
    out = np.asarray(kept.transform(make(frame)))
    assert out.shape == (60, 3) and (out[:, 1] == 0).all() and list(kept.get_feature_names_out())[1] in ("b", "x1")
    # What a later table has there is kept.
    later = np.asarray(kept.transform(make(frame.assign(b=[7.0] + 59 * [np.nan]))))
    assert later[0, 1] == 7 and (later[1:, 1] == 0).all()


def test_set_output_and_tables_whose_names_differ_from_training():
    frame = holed()
    imputer = MNARImputer(**QUICK).fit(frame)
    with pytest.raises(ValueError, match="should match those that were passed during fit"):
        imputer.transform(frame[["c", "b", "a"]])
    out = MNARImputer(**QUICK).set_output(transform="pandas").fit_transform(frame.to_numpy())
    assert list(out.columns) == ["x0", "x1", "x2"]
    with pytest.warns(UserWarning, match="fitted without feature names"):
        named = MNARImputer(**QUICK).fit(frame.to_numpy()).transform(frame)
    assert list(named.columns) == ["a", "b", "c"] and named.notna().all(axis=None)


def test_polars_in_and_out():
    pl = pytest.importorskip("polars")
    frame = holed()
    table = pl.DataFrame({"a": frame.a.to_numpy(), "b": frame.b.astype("float32").to_numpy(), "n": [2**60 + 1, None, *range(-29, 29)]})
    imputer = MNARImputer(**QUICK).fit(table)
    out = imputer.transform(table)
    assert isinstance(out, pl.DataFrame) and out.schema == table.schema and out.null_count().sum_horizontal().item() == 0
    assert out["n"][0] == 2**60 + 1 and not out["a"].is_nan().any() and (out["b"] == table["b"]).all()
    assert all(isinstance(draw, pl.DataFrame) for draw in imputer.sample(table, 2))
    assert isinstance(MNARImputer(**QUICK).set_output(transform="polars").fit_transform(frame), pl.DataFrame)
