"""Every kind of column through the same checks: words, inference, reading and writing, the line and its slope, means, JSON.

A new kind is one row here.
"""

import json
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.data import Schema, TableCodec
from pyro_mnar.data.kinds import KINDS
from pyro_mnar.data.kinds.table import declared
from pyro_mnar.imputer.training.specification import head_of
from pyro_mnar.networks.head import Head

N = 60
RNG = np.random.default_rng(0)
GRADES = ["low", "mid", "high"]


class Row(NamedTuple):
    """A kind, the word that declares it, values of it, and the word that is inferred from these."""

    kind: str
    word: str
    values: pd.Series
    inferred: str
    wrong: object  # a value that is none of the kind, in a column that would take it; None where any is


ROWS = [
    Row("continuous", "continuous", pd.Series(RNG.normal(size=N)), "continuous", None),
    Row("positive", "positive", pd.Series(RNG.lognormal(size=N)), "continuous", 0.0),
    Row("bounded", "bounded:-2:6", pd.Series(RNG.uniform(-2, 6, N)), "continuous", 6.5),
    Row("semicontinuous", "semicontinuous", pd.Series(np.where(np.arange(N) < 25, 0.0, 1 + RNG.random(N))), "semicontinuous", -0.5),
    Row(
        "proportion",
        "proportion:0:100",
        pd.Series(np.select([np.arange(N) < 9, np.arange(N) > 50], [0.0, 100.0], RNG.uniform(1, 99, N))),
        "continuous",
        -0.5,
    ),
    Row("binary", "binary", pd.Series(RNG.random(N) < 0.4).astype("boolean"), "binary", None),
    Row("categorical", "categorical", pd.Series(RNG.choice(["a", "b", "c"], N)), "categorical", "z"),
    Row("ordinal", "ordinal:low:mid:high", pd.Series(pd.Categorical(RNG.choice(GRADES, N), GRADES, ordered=True)), "ordinal", None),
    Row("count", "count", pd.Series(RNG.poisson(3, N)).astype("Int64"), "continuous", -1),
    Row("date", "date", pd.Series(pd.Timestamp("2020-02-27") + pd.to_timedelta(RNG.integers(0, 99, N), "D")), "date", None),
    Row("angle", "angle:24", pd.Series(RNG.uniform(0, 24, N)), "continuous", None),
]
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.kind)


def frame_of(row):
    """The column with holes beside one of numbers."""
    values = row.values.copy()
    values.iloc[[3, 30, 40]] = None
    return pd.DataFrame({"own": values, "other": np.arange(float(N))})


def codec_of(row):
    return TableCodec.fit(frame_of(row), {"own": row.word})


def test_every_kind_has_a_row_and_a_head():
    assert [row.kind for row in ROWS] == list(KINDS) and all(issubclass(head_of(kind), Head) for kind in KINDS)
    assert all(re.split(r"[:\[]", kind.form)[0] == word == kind.kind for word, kind in KINDS.items())


@each
def test_words_and_dtypes_say_it_and_json_keeps_it(row):
    frame = frame_of(row)
    column = Schema.of(frame, kinds={"own": row.word}).columns[0]
    assert column.kind == row.kind and type(column) is KINDS[row.kind]
    assert Schema.of(frame).columns[0].kind == row.inferred
    codec = codec_of(row)
    again = TableCodec.from_json(json.loads(json.dumps(codec.to_json())))
    assert again.schema == codec.schema and again.layout == codec.layout
    assert (again.scaling.center == codec.scaling.center).all() and (again.scaling.scale == codec.scaling.scale).all()


@each
def test_words_with_more_than_they_take_are_refused(row):
    values = row.values.to_numpy(object)
    if row.kind != "ordinal":  # which takes any number of levels
        with pytest.raises(ValueError, match=f"kinds: got '{row.kind}:1:2:x' for column 'own', expected"):
            declared("own", f"{row.kind}:1:2:x", "object", values)


@each
def test_a_table_goes_there_and_back_bit_for_bit(row):
    frame, codec = frame_of(row), codec_of(row)
    values, mask = codec.read(frame)
    assert (mask == frame.notna().to_numpy()).all()
    x, seen = codec.encode(frame)
    assert (seen == mask).all() and (x[~mask] == 0).all() and np.isfinite(x).all()
    np.testing.assert_allclose(codec.invert(x)[mask], values[mask], rtol=1e-12, atol=1e-9)
    completed = codec.decode(codec.invert(x), frame)
    assert completed.notna().all(axis=None) and (completed.dtypes == frame.dtypes).all()
    assert completed.own[mask[:, 0]].equals(frame.own[mask[:, 0]])
    # What was filled in is of the kind: it is read, and not refused.
    filled = codec.read(completed)[0]
    np.testing.assert_allclose(filled[~mask], codec.invert(x)[~mask], atol=0.5 if row.kind == "date" else 1e-9)


@each
def test_any_values_of_a_model_are_possible_ones_of_the_table(row):
    codec = codec_of(row)
    wild = codec.invert(np.random.default_rng(1).normal(size=(3, 50, 2)) * 30)
    assert wild.shape == (3, 50, 2) and np.isfinite(wild).all()
    codec.columns[0].check(np.minimum(wild[..., 0].ravel(), 1000), range(150))
    np.testing.assert_array_equal(codec.inside(wild), wild)


@each
def test_a_value_that_is_none_of_the_kind_is_refused_by_row(row):
    if row.wrong is not None:
        frame = frame_of(row)
        frame.loc[7, "own"] = row.wrong
        with pytest.raises(ValueError, match=r"column 'own': got .* in row 7, expected"):
            codec_of(row).read(frame)


@each
def test_the_log_jacobian_is_the_slope_of_a_model_s_values(row):
    """Of kinds with a density; of probabilities it is 0."""
    codec = codec_of(row)
    values, mask = codec.read(frame_of(row))
    only = mask & np.array([True, False])
    found = codec.log_jacobian(values, only)
    assert (found[~mask[:, 0]] == 0).all()
    if not codec.columns[0].real:
        assert (found == 0).all()
        return
    at_mass = np.isin(values[:, 0], {"semicontinuous": [0.0], "proportion": [0.0, 100.0]}.get(row.kind, []))
    assert (found[at_mass] == 0).all()
    step = np.array([1e-6, 0.0])
    slope = (codec.apply(values + step, mask) - codec.apply(values - step, mask))[:, 0] / 2e-6
    some = mask[:, 0] & ~at_mass
    np.testing.assert_allclose(found[some], np.log(slope[some]), atol=1e-4)


@each
def test_means_of_summands_are_means_in_the_table_s_units(row):
    """Exact of any values of a model, with a mean that is taken of what they stand for; of levels places are averaged."""
    codec = codec_of(row)
    x = 4 * np.random.default_rng(2).normal(size=(500, 2))  # far enough to meet the value that repeats
    column, center, scale = codec.columns[0], codec.scaling.center[0], codec.scaling.scale[0]
    summed = column.summand(x[:, 0], center, scale)
    if column.circular:  # a direction, made of what is summed and the sines
        turns = np.exp(1j * x[:, 0]).mean()
        assert summed.mean() == pytest.approx(turns.real)
        mean = np.angle(np.exp(2j * np.pi * codec.invert(x)[:, 0] / column.period).mean()) % (2 * np.pi) * column.period / (2 * np.pi)
        assert codec.means(np.array([[np.angle(turns), 0.0]]))[0, 0] == pytest.approx(mean)
        return
    if column.linear:
        assert (summed == x[:, 0]).all()
        mean = codec.scaling.invert(x)[:, 0].mean()
    else:
        mean = codec.invert(x)[:, 0].mean()
    found = np.array([[summed.mean(), 0.0]])
    np.testing.assert_allclose(codec.means(found)[0, 0], mean, rtol=1e-9)


@each
def test_levels_have_a_typical_one_and_all_kinds_have_words(row):
    codec = codec_of(row)
    column, (values, mask) = codec.columns[0], codec.read(frame_of(row))
    assert column.in_words(values[0, 0]) and isinstance(column.detail, str)
    assert column.cut_share(1.0, values[:, 0], mask[:, 0]) == pytest.approx(3 / N, abs=0.1)
    if column.levels:
        share = np.array([[0.4, 0.25, 0.35][: len(column.levels)]])
        assert column.typical(share).tolist() == [1 if row.kind == "ordinal" else 0]
        assert column.written(np.array([1.0])).tolist() == [column.levels[1]]
    cell = column.cell(values[mask[:, 0], 0], codec.scaling.center[0], codec.scaling.scale[0])
    head = head_of(row.kind)([0], **{name: [value] for name, value in cell.items()})
    law = head(head.start.expand(4, -1))
    assert np.isfinite(float(law.log_prob(law.sample()).detach().sum()))
    json.dumps(cell)
