"""The imputer with rules: nothing imputed breaks one, whatever is filled in, saved, analyzed or read in batches."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.rules.known_words import known_in_words
from pyro_mnar.imputer.rules.ruled_draws import open_rows
from pyro_mnar.imputer.tables.given import given

QUICK: dict[str, Any] = {"members": 2, "steps": 8, "progress": False, "hidden": (8,), "latent_dim": 2, "mechanism": "none"}
RULES = ["systolic >= diastolic", "a + b == total", "start <= end", "if smoker == 'no': cigarettes == 0", "grade != 'b' or a <= 3"]


def simulated(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Return a table with rules of many kinds and holes at random."""
    rng = np.random.default_rng(seed)
    diastolic = 70 + 10 * rng.normal(size=n)
    a, b = rng.poisson(3, n), rng.poisson(4, n)
    smoker = np.where(rng.random(n) < 0.5, "no", "yes")
    start = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.rint(30 + 20 * rng.normal(size=n)), unit="D")
    table = pd.DataFrame(
        {
            "systolic": diastolic + np.abs(5 + 12 * rng.normal(size=n)),
            "diastolic": diastolic,
            "a": a,
            "b": b,
            "total": a + b,
            "smoker": smoker,
            "cigarettes": np.where(smoker == "no", 0.0, np.rint(10 + 5 * rng.normal(size=n)).clip(1)),
            "start": start,
            "end": start + pd.to_timedelta(rng.poisson(5, n), unit="D"),
            "grade": np.where(a <= 3, rng.choice(["a", "b", "c"], n), rng.choice(["a", "c"], n)),
        }
    )
    for name in ("a", "b", "total"):
        table[name] = table[name].astype("Int64")
    for name in table:
        table.loc[rng.random(n) < 0.25, name] = None
    return table


def violations(table: pd.DataFrame) -> int:
    """Return how many rows break a rule, by pandas' own comparisons."""
    wrong = (table.systolic < table.diastolic) | (table.a + table.b != table.total) | (table.start > table.end)
    wrong |= (table.smoker == "no") & (table.cigarettes != 0)
    return int((wrong | (table.grade == "b") & (table.a > 3)).sum())


@pytest.fixture(scope="module")
def fitted() -> tuple[MNARImputer, pd.DataFrame]:
    table = simulated()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MNARImputer(rules=RULES, **QUICK).fit(table), table


@pytest.mark.filterwarnings("ignore:X. column", "ignore:rules. fewer")
def test_every_value_obeys(fitted: tuple[MNARImputer, pd.DataFrame], tmp_path: Path) -> None:
    imputer, table = fitted
    assert len(open_rows(given(imputer, table))) > 10
    imputer.save(tmp_path / "model")
    again = MNARImputer.load(tmp_path / "model")
    assert list(again.rules or ()) == RULES
    drawn = imputer.sample(table, 4)
    filled = []
    for point in ("mean", "median", "draw"):
        filled.append(imputer.set_params(point=point).transform(table))
    imputer.set_params(point="mean")
    for own in [*drawn, *filled, *imputer.completions(table, 4).tables]:
        assert violations(own) == 0 and not own.isna().any(axis=None)
        seen = table.notna()
        assert ((own == table) | ~seen).all(axis=None)
    pd.testing.assert_frame_equal(again.transform(table), filled[0])
    # A row is the same in any company.
    pd.testing.assert_frame_equal(
        imputer.transform(table.iloc[10:25])[["systolic", "total"]], filled[0].iloc[10:25][["systolic", "total"]]
    )
    assert any("tied together" in line for line in known_in_words(given(imputer, table)))


def test_a_rule_of_one_cell_is_the_limit() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 3))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 0] + np.abs(x[:, 1]), "c": x[:, 2]})
    frame.loc[rng.random(80) < 0.3, "b"] = np.nan
    by_rule = MNARImputer(rules=["b >= a"], kinds={"a": "continuous"}, **QUICK).fit(frame)
    by_limit = MNARImputer(limits={"b": (">=", "a")}, kinds={"a": "continuous"}, **QUICK).fit(frame)
    one, other = given(by_rule, frame), given(by_limit, frame)
    assert one.limits is not None and other.limits is not None
    assert (one.limits == other.limits).all() and (one.within_ends == other.within_ends).all()
    hidden = frame.b.isna().to_numpy()
    for point in ("mean", "draw"):
        left, right = (imputer.set_params(point=point).impute(frame, draws=3) for imputer in (by_rule, by_limit))
        assert (left.completed.numpy()[hidden, 1] >= frame.a[hidden]).all()
        assert (left.draws == right.draws).all() and (left.completed == right.completed).all()


def test_the_posterior_given_the_rule_is_that_of_a_cut_normal() -> None:
    # Two independent normals, both missing: given a - b >= 0 the means are m +- s / sqrt(pi).
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400), "c": rng.normal(size=400)})
    frame.loc[:19, ["a", "b"]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer = MNARImputer(rules=["a >= b"], **QUICK | {"steps": 150}).fit(frame)
        plain = MNARImputer(**QUICK | {"steps": 150}).fit(frame)
        free, ruled = (one.impute(frame, draws=400).draws.numpy()[:, :20, :2] for one in (plain, imputer))
    assert (ruled[..., 0] >= ruled[..., 1]).all()
    # Of the draws without the rule those that obey are draws given it.
    obeys = free[..., 0] >= free[..., 1]
    kept = free[obeys]
    assert 0.3 < obeys.mean() < 0.7
    error = np.sqrt(kept.var(0) / len(kept) + ruled.reshape(-1, 2).var(0) / ruled[..., 0].size)
    assert (np.abs(kept.mean(0) - ruled.reshape(-1, 2).mean(0)) < 5 * error + 0.02).all()
    assert abs((ruled[..., 0] - ruled[..., 1]).mean() - 2 / np.sqrt(np.pi)) < 0.15


def test_what_is_observed_is_left_alone_and_named() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(size=40), "c": rng.normal(size=40)}, index=[f"r{i}" for i in range(40)])
    frame["b"] = frame.a + 1
    frame.loc["r3", "b"] = frame.loc["r3", "a"] - 1
    frame.loc["r5", "b"] = np.nan
    with pytest.warns(UserWarning, match=r"1 rows break the rule a <= b, and stand as they are \(rows r3\)"):
        filled = MNARImputer(rules=["a <= b"], **QUICK).fit_transform(frame)
    assert filled.loc["r3", "b"] == frame.loc["r3", "b"] and filled.loc["r5", "b"] >= frame.loc["r5", "a"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["a < b", "b < a"], "contradict one another"),
        (["a <= bb"], "expected a column of the table, such as b"),
        (["a * b < 1"], "linear in the columns"),
        (["b == 99", "b <= a"], "leave column 'b' no value in row"),
    ],
)
def test_refused_before_fitting(rules: list[str], message: str) -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(20, 2)), columns=["a", "b"])
    frame.loc[4, "b"] = np.nan
    imputer = MNARImputer(rules=rules, **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=f"^rules: .*{message}"):
            imputer.fit(frame)
    assert not hasattr(imputer, "members_")


def test_mechanisms_stay_beside_rules() -> None:
    # Limits say why a value is missing; a rule does not, and the column keeps its mechanism.
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 3))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 0] + np.abs(x[:, 1]), "c": x[:, 0] + 0.3 * x[:, 2]})
    frame.loc[frame.b > 1, "b"] = np.nan
    settings = QUICK | {"mechanism": "auto", "members": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer = MNARImputer(rules=["b >= a"], direction={"b": "high"}, **settings).fit(frame)
    assert imputer.specification_.own == {1: "high"}
    assert "large values go missing" in imputer.reasons_.loc["b", "reason"]


@pytest.mark.filterwarnings("ignore:X. column", "ignore:rules. fewer")
def test_record_batches_obey_and_keep_what_does_not_exist() -> None:
    pa = pytest.importorskip("pyarrow")
    from pyro_mnar import impute_batches

    table = simulated()
    absent = {"systolic": "smoker == 'yes'"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer = MNARImputer(rules=RULES, not_applicable=absent, **QUICK).fit(table)
    named = pa.Table.from_pandas(table.assign(id=range(len(table))), preserve_index=False)
    batches = [list(impute_batches(imputer, named.to_batches(size), label="id")) for size in (17, 60)]
    one, other = (pa.Table.from_batches(part).to_pandas() for part in batches)
    pd.testing.assert_frame_equal(one, other)
    yes = np.array(table.smoker == "yes")
    assert one.systolic[yes].equals(table.systolic[yes]) and one.drop(columns="systolic").notna().all(axis=None)
    assert str(named.schema.field("a").type) == "int64"
    assert violations(one.assign(systolic=np.where(yes, np.inf, one.systolic))) == 0


@pytest.mark.parametrize("kind", ["timestamp[us]", "date32[day]"])
def test_dates_of_record_batches_obey_as_fine_as_they_are_written(kind: str) -> None:
    # By observed values a batch of one row would have its dates in whole days, and another one in seconds.
    pa = pytest.importorskip("pyarrow")
    from pyro_mnar import impute_batches

    table, rules = simulated()[["start", "end", "systolic"]], ["start < end", "end - start <= 9"]
    table.loc[::7, "start"] += pd.Timedelta(hours=7)
    table.loc[::11, "end"] += pd.Timedelta(hours=20)
    table = table[~(table.start >= table.end) & ~(table.end - table.start > pd.Timedelta(days=9))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer = MNARImputer(rules=rules, **QUICK).fit(table)
        named = pa.Table.from_pandas(table.assign(id=range(len(table))), preserve_index=False)
        types = {"timestamp[us]": pa.timestamp("us"), "date32[day]": pa.date32()}
        for j, name in enumerate(("start", "end")):
            named = named.set_column(j, name, named.column(name).cast(types[kind], safe=False))
        batches = [list(impute_batches(imputer, named.to_batches(size), label="id")) for size in (1, 60)]
    one, other = map(pa.Table.from_batches, batches)
    assert one.equals(other) and str(one.schema.field("end").type) == kind
    start, end = (pd.Series(pd.to_datetime(one.column(name).to_pandas())) for name in ("start", "end"))
    holes = table.start.isna().to_numpy() | table.end.isna().to_numpy()
    assert bool(((start < end) & (end - start <= pd.Timedelta(days=9)))[holes].all())
