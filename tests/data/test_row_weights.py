"""Weights of rows in the units of columns: whole numbers are repeated rows; what are no weights is named by row."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer, analyze
from pyro_mnar.analysis import Completions
from pyro_mnar.data import TableCodec, sampling_weights
from pyro_mnar.data.row_weights import effective_rows, row_weights, warn_of_scale
from pyro_mnar.imputer.training.specification import Specification

KINDS = {"spent": "semicontinuous", "share": "proportion:0:1", "visits": "count", "grade": "ordinal:lo:mid:hi", "way": "angle:360"}


def frame(seed, n=60):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    table = pd.DataFrame({"plain": x[:, 0], "dose": np.exp(x[:, 1])})
    table["spent"] = np.where(rng.random(n) < 0.4, 0.0, np.exp(x[:, 2]))
    table["share"] = np.clip(0.5 + 0.4 * x[:, 0], 0, 1)
    table["visits"] = rng.poisson(3.0, n)
    table["grade"] = rng.choice(["lo", "mid", "hi"], n)
    table["town"] = rng.choice(["a", "b", "c"], n)
    table["way"] = rng.uniform(0, 360, n)
    holes = rng.random(table.shape) < 0.2
    return table.astype({"visits": float}).mask(holes), rng.integers(1, 6, n).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_units_and_cells_are_those_of_repeated_rows(seed):
    table, counts = frame(seed)
    rows = np.arange(len(table)).repeat(counts.astype(int))
    codec, values, mask = TableCodec.learn(table, KINDS)
    ours, theirs = codec.scaled_by(values, mask, counts), codec.scaled_by(values[rows], mask[rows])
    np.testing.assert_allclose(ours.scaling.center, theirs.scaling.center, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(ours.scaling.scale, theirs.scaling.scale, rtol=1e-14)
    assert np.abs(ours.scaling.center - codec.scaling.center).max() > 0.01
    kinds = tuple(column.kind for column in codec.columns)
    spec = Specification("none", (), (), kinds, 2, (4,), 1)
    weighted = spec.in_units(theirs, values, mask, counts).cells
    for own, repeated in zip(weighted, spec.in_units(theirs, values[rows], mask[rows]).cells, strict=True):
        assert own.keys() == repeated.keys()
        for name in own:
            assert own[name] == (pytest.approx(repeated[name], rel=1e-12) if repeated[name] != [None, None] else repeated[name])
    for j, column in enumerate(codec.columns):
        if column.real and column.ordered:
            for sign in (1.0, -1.0):
                share = column.cut_share(sign, values[rows, j], mask[rows, j])
                assert column.cut_share(sign, values[:, j], mask[:, j], counts) == pytest.approx(share, rel=1e-12)


def test_moments_are_numpys_weighted_ones_on_any_scale():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(50, 1)), rng.uniform(0.1, 5, 50)
    codec, numbers, mask = TableCodec.learn(np.column_stack([values, values**2]))
    for factor in (1.0, 1e-6, 1e12):
        scaling = codec.scaled_by(numbers, mask, factor * weights).scaling
        mean = np.average(values[:, 0], weights=weights)
        assert scaling.center[0] == pytest.approx(mean, rel=1e-12)
        assert scaling.scale[0] == pytest.approx(np.average((values[:, 0] - mean) ** 2, weights=weights) ** 0.5, rel=1e-12)


def test_sampling_weights_add_to_what_they_tell():
    """One person in forty of some and one in ten of others: n_eff = (sum w)^2 / sum w^2, by hand (30 * 40 + 70 * 10)^2 / ..."""
    weights = np.array([40.0] * 30 + [10.0] * 70)
    assert effective_rows(weights) == pytest.approx(1900**2 / (30 * 1600 + 70 * 100))
    ours = sampling_weights(weights)
    assert ours.sum() == pytest.approx(effective_rows(weights)) and np.square(ours).sum() == pytest.approx(ours.sum())
    assert ours[0] / ours[-1] == pytest.approx(4.0)
    np.testing.assert_allclose(sampling_weights(1e-9 * weights), ours, rtol=1e-12)
    assert sampling_weights(np.full(7, 40.0)).tolist() == [1.0] * 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 0, 1], "sample_weight: got 0 in row b"),
        ([1, 1, -3], "sample_weight: got -3 in row c"),
        ([np.nan, 1, 1], "sample_weight: got nan in row a"),
        ([1, np.inf, 1], "sample_weight: got inf in row b"),
        ([1, 1], "sample_weight: got 2, expected 3"),
        ([[1], [1], [1]], "sample_weight: got shape"),
        (["x", 1, 1], "sample_weight: got values that are no numbers"),
    ],
)
def test_what_are_no_weights_is_named(given, message):
    with pytest.raises(ValueError, match=message) as error:
        row_weights(given, 3, ["a", "b", "c"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("weights", "warned"),
    [
        ([1.0, 2, 3], False),
        ([0.5, 1.5, 1.0], False),
        (sampling_weights([1.0, 2, 30]).tolist(), False),
        ([0.2, 0.3, 0.5], True),
        ([40.5, 12.0, 3.0], True),
        ([4000.0, 1200, 3000], True),
    ],
)
def test_a_sum_that_is_hardly_a_number_of_rows_is_doubted(weights, warned, recwarn):
    warn_of_scale(np.array(weights))
    assert (len(recwarn) == 1) == warned


def test_a_series_in_another_order_than_the_table_is_refused():
    """It would be read by position, each row with another's number; labels that are none of the table's say nothing."""
    table = pd.DataFrame({"y": [1.0, 2.0, np.nan, 4.0], "z": [1.0, 3.0, 2.0, 0.0]}, index=list("abcd"))
    weights, other = pd.Series([1.0, 2.0, 3.0, 4.0], index=list("dbca")), pd.Series([1.0, 2.0, 3.0, 4.0])
    done = Completions(table, [table.fillna(value) for value in (3.0, 5.0)])
    imputer = MNARImputer("none", members=1, steps=1, hidden=(4,), progress=False)

    def mean(completed, design):
        return design.mean(completed.y)

    for call, name in (
        (lambda given: imputer.fit(table, sample_weight=given), "sample_weight"),
        (lambda given: imputer.fit(table, strata=given > 2), "strata"),
        (lambda given: imputer.fit(table, clusters=given), "clusters"),
        (lambda given: analyze(done.tables, mean, weights=given), "weights"),
        (lambda given: done.shift("y", 1.0, rows=given > 2), "rows"),
    ):
        call(weights.loc[table.index]), call(other)
        with pytest.raises(ValueError, match=f"^{name}: got the rows' labels in another order"):
            call(weights)
