"""``MNARImputer`` on tables of several kinds of columns: what comes back, what is refused, and what it gains."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from stated import fit_as_stated

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.data import Schema
from pyro_mnar.data.kinds import Bounded, Continuous, Positive
from pyro_mnar.imputation.netcdf import read_draws
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.imputer.words import specification_of
from pyro_mnar.mechanisms import SequentialMasking

QUICK = {"steps": 3, "members": 2, "hidden": (4,), "progress": False}
KINDS = {"pay": "positive", "visits": "count", "share": "bounded:0:100"}
LEVELS = ["low", "mid", "high"]


def pieces(mechanism):
    """The mechanisms of the columns' own values."""
    own = getattr(mechanism, "own", mechanism)
    return list(own.parts) if hasattr(own, "parts") else [own]


def table(n=80, seed=0):
    """A table with every kind of column and holes in each."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    frame = pd.DataFrame(
        {
            "x": z[:, 0] + 0.3 * rng.normal(size=n),
            "pay": np.exp(1 + z[:, 1]),
            "flag": pd.array(z[:, 0] > 0, "boolean"),
            "color": pd.Categorical(np.array(["red", "green", "blue"])[np.digitize(z[:, 1], [-0.5, 0.5])]),
            "visits": pd.array(rng.poisson(np.exp(1 + 0.5 * z[:, 0])), "Int64"),
            "grade": pd.Categorical.from_codes(np.digitize(z[:, 0] - z[:, 1], [-1, 1]), LEVELS, ordered=True),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.rint(50 * z[:, 0]), unit="D"),
            "share": 100 / (1 + np.exp(-z[:, 1])),
            "town": np.where(z[:, 0] + rng.normal(size=n) > 0, "ulm", "bonn"),
        }
    )
    for name in frame:
        frame.loc[rng.random(n) < 0.2, name] = pd.NaT if name == "day" else pd.NA
    return frame


@pytest.fixture(scope="module")
def fitted():
    directions = dict.fromkeys(table(), "free") | {"grade": "low", "flag": "high"}
    return MNARImputer(kinds=KINDS, direction=directions, **QUICK).fit(table())


def check(completed, before):
    """Dtypes, index, observed cells, and that every imputed value is one that its column can have."""
    assert (completed.dtypes == before.dtypes).all() and completed.index.equals(before.index) and completed.notna().all(axis=None)
    for name in before:
        kept = before[name].notna()
        pd.testing.assert_series_equal(completed[name][kept], before[name][kept], check_exact=True)
    assert (completed.pay > 0).all() and completed.share.between(0, 100).all() and (completed.visits >= 0).all()
    assert set(completed.town) <= {"ulm", "bonn"} and (completed.day == completed.day.dt.normalize()).all()
    assert list(completed.grade.cat.categories) == LEVELS and completed.grade.cat.ordered


def test_completed_and_drawn_tables_have_the_columns_dtypes_categories_and_ranges(fitted):
    frame = table()
    check(fitted.transform(frame), frame)
    first, second = fitted.sample(frame, 2)
    check(first, frame)
    assert not first.equals(second) and np.isfinite(fitted.score(frame))


def test_point_imputations_are_the_most_probable_category_the_median_grade_and_a_whole_count(fitted):
    frame = table()
    result = fitted.impute(frame)
    chances, point = result.probabilities, result.completed
    assert chances.shape == (80, 9, 3)
    holes = frame.isna().to_numpy()
    for j in (2, 3, 8):
        own = holes[:, j]
        torch.testing.assert_close(chances[own, j].sum(-1), torch.ones(int(own.sum())))
        assert (point[own, j] == chances[own, j].argmax(-1)).all() and bool((chances[own, j] > 0).sum() > own.sum())
    grade = chances[holes[:, 5], 5].double().cumsum(-1)
    assert (point[holes[:, 5], 5] == (grade < 0.5).sum(-1)).all()
    assert (point[:, 4] == point[:, 4].round()).all() and not chances[:, [0, 1, 4, 6, 7]].any()
    # The draws have the categories as often as the probabilities say.
    draws = fitted.impute(frame, draws=400).draws
    for j in (2, 3, 5, 8):
        for k in range(3):
            share, expected = (draws[:, holes[:, j], j] == k).double().mean(), chances[holes[:, j], j, k].double().mean()
            spread = (chances[holes[:, j], j, k].double() * (1 - chances[holes[:, j], j, k].double())).mean()
            assert abs(share - expected) < 5 * (spread / (400 * holes[:, j].sum())).sqrt() + 0.01


def test_a_saved_mixed_model_is_the_same_model(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    loaded = MNARImputer.load(tmp_path / "m")
    pd.testing.assert_frame_equal(loaded.transform(table(seed=1)), fitted.transform(table(seed=1)), check_exact=True)
    assert loaded.schema_ == fitted.schema_ and loaded.kinds == KINDS
    for (name, values, chances), other in zip(loaded.missingness(5), fitted.missingness(5), strict=True):
        assert name == other[0] and (values == other[1]).all() and (chances == other[2]).all()


def test_missingness_of_levels_is_at_each_level(fitted):
    curves = {name: (values, chances) for name, values, chances in fitted.missingness(7)}
    assert set(curves) == set(table().columns)
    assert curves["color"][0].tolist() == [0, 1, 2] and curves["flag"][0].tolist() == [0, 1] and len(curves["x"][0]) == 7
    assert (np.diff(curves["flag"][1]) > 0).all() and (np.diff(curves["grade"][1]) < 0).all()
    assert (curves["pay"][0] > 0).all()
    member, rows = fitted.members_[0], torch.zeros(3, 9)
    rows[:, 3] = torch.arange(3.0)
    expected = pieces(member.mechanism)[1].table()[:, 0] + effect_of_earlier(member, rows)[:, 3]
    np.testing.assert_allclose(curves["color"][1][0], torch.special.ndtr(expected).detach().numpy(), rtol=1e-5)


def effect_of_earlier(member, rows):
    if not isinstance(member.mechanism, SequentialMasking) or member.mechanism.order is None:
        return torch.zeros_like(rows)
    return member.mechanism.row_effects(member.warp(rows)[0], torch.ones_like(rows, dtype=torch.bool))


def test_a_column_complete_in_training_may_miss_later():
    frame = table()
    whole = frame.assign(color=frame.color.fillna("red"), town=frame.town.fillna("ulm"), visits=frame.visits.fillna(0))
    fitted = MNARImputer(kinds=KINDS, **QUICK).fit(whole)
    check(fitted.transform(frame), frame)
    assert "color" not in {name for name, _, _ in fitted.missingness()}


def test_a_new_category_at_transform_is_named(fitted):
    new = table().astype({"town": object})
    new.loc[3, "town"] = "köln"
    with pytest.raises(
        ValueError, match="column 'town': got new category 'köln' in row 3, expected one of those in training: bonn, ulm"
    ):
        fitted.transform(new)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mechanism": "linear"}, "mechanism: got 'linear' with binary column 'flag', expected auto, self-masking or none"),
        ({"direction": {"color": "high"}}, "direction: got 'high' for categorical column 'color', expected free"),
        ({"direction": "up"}, "direction: got 'up'"),
        ({"order": ["color", "town", "color"]}, "order: got column 'color' twice"),
        ({"kinds": {"z": "count"}}, "kinds: got unknown column 'z'"),
        ({"kinds": {"x": "count"}}, "column 'x': got .* expected whole numbers"),
        ({"kinds": {"color": "odd"}}, "kinds: got 'odd' for column 'color'"),
    ],
)
def test_fit_refuses(settings, said):
    with pytest.raises(ValueError, match=said):
        MNARImputer(**(QUICK | {"kinds": KINDS} | settings)).fit(table())


@pytest.mark.parametrize("names", [["color"], ["flag", "grade"], ["visits"], ["color", "x"]])
def test_tables_of_few_kinds(names):
    frame = table()[names]
    completed = MNARImputer(direction="high", kinds={n: k for n, k in KINDS.items() if n in names}, **QUICK).fit_transform(frame)
    assert completed.notna().all(axis=None) and (completed.dtypes == frame.dtypes).all()


def test_masks_by_category_may_read_what_is_before_them_in_a_stated_order(tmp_path):
    frame = table().assign(x=table().x.fillna(0.0))
    fitted = MNARImputer("self-masking", kinds=KINDS, order=["town", "color"], **QUICK).fit(frame)
    mechanism = fitted.members_[0].mechanism
    assert mechanism.order == (0, 1, 2, 4, 5, 6, 7, 8, 3) and [len(part.columns) for part in pieces(mechanism)] == [6, 2]
    # Of town, a number for each level; color is after it.
    town = mechanism.owner == 8
    assert mechanism.allowed[3, : len(town)][town].tolist() == [True, True] and not mechanism.allowed[8, 3]
    check(fitted.transform(table()), table())  # x missing too
    fitted.save(tmp_path / "m")
    pd.testing.assert_frame_equal(MNARImputer.load(tmp_path / "m").transform(frame), fitted.transform(frame), check_exact=True)


def test_a_row_s_draws_do_not_depend_on_the_table_it_comes_in(fitted):
    """But for the order in which sums over levels are rounded."""
    frame = table()
    whole = fitted.impute(frame, draws=3)
    for rows in ([5, 2, 40], [40, 5, 2], [2], [7, 8, 9, 10]):
        part = fitted.impute(frame.iloc[rows], draws=3)
        for found, expected in ((part.draws, whole.draws[:, rows]), (part.completed, whole.completed[rows])):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(part.probabilities, whole.probabilities[rows], rtol=1e-5, atol=1e-7)


def test_polars_tables_keep_their_dtypes():
    pl = pytest.importorskip("polars")
    frame = table().assign(flag=lambda f: f.flag.astype(object))
    given = pl.DataFrame(
        {
            "x": [None if v != v else v for v in frame.x],
            "flag": pl.Series([None if v is pd.NA else v for v in frame.flag], dtype=pl.Boolean),
            "color": pl.Series([None if v is pd.NA or v != v else v for v in frame.color.astype(object)], dtype=pl.Categorical),
            "grade": pl.Series([None if v != v else v for v in frame.grade.astype(object)], dtype=pl.Enum(LEVELS)),
            "day": pl.Series([None if v is pd.NaT else v.date() for v in frame.day], dtype=pl.Date),
            "town": pl.Series([v if isinstance(v, str) else None for v in frame.town], dtype=pl.String),
        }
    )
    imputer = MNARImputer(**QUICK).fit(given)
    assert [c.kind for c in imputer.schema_.columns] == ["continuous", "binary", "categorical", "ordinal", "date", "categorical"]
    out = imputer.transform(given)
    assert out.schema == given.schema and out.null_count().sum_horizontal().item() == 0
    for name in given.columns:
        kept = given[name].is_not_null()
        assert (out[name].filter(kept) == given[name].filter(kept)).all()


def withheld(n=1500, seed=0):
    """Two categories of four that are withheld five times as often, and numbers that point to them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    logits = z @ np.array([[2.0, 0.0, -2.0, 0.0], [0.0, 2.0, 0.0, -2.0]])
    codes = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    frame = pd.DataFrame(z @ rng.normal(size=(2, 4)) + 0.7 * rng.normal(size=(n, 4)), columns=list("abcd"))
    full = pd.Series(np.array(["p", "q", "r", "s"])[codes])
    hidden = rng.random(n) < np.where(codes < 2, 0.75, 0.15)
    return frame.assign(job=full.where(~hidden)), full, hidden


def test_categories_that_hide_themselves_are_imputed_better_than_by_ignorable_missingness(seed):
    frame, full, hidden = withheld(seed=seed)
    settings = {"steps": 200, "members": 1, "hidden": (16,), "progress": False, "random_state": seed}
    ours, ignorable = (fit_as_stated(MNARImputer(mechanism, **settings), frame) for mechanism in ("self-masking", "none"))
    accuracy, plain = ((imputer.transform(frame).job[hidden] == full[hidden]).mean() for imputer in (ours, ignorable))
    mode = (full[hidden] == frame.job.mode()[0]).mean()
    assert accuracy > plain + 0.01 > mode + 0.05
    ((_, _, chances),) = ours.missingness()
    assert chances[0, :2].min() > chances[0, 2:].max()


def test_the_command_line_takes_kinds_and_says_them(tmp_path, capsys):
    frame = table().drop(columns="day").assign(note="free text", who=[f"p{i}" for i in range(80)])
    frame.to_csv(tmp_path / "t.csv", index=False)
    kinds = [part for name, kind in (KINDS | {"grade": "ordinal:low:mid:high"}).items() for part in ("--kind", f"{name}={kind}")]
    columns = ["--columns", "x,pay,flag,color,visits,grade,share,town"]
    draws = ["--draws-output", str(tmp_path / "d.nc"), "--draws", "2", "--save", str(tmp_path / "m")]
    assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), *kinds, *columns, *draws, "--steps", "3"]) == 0
    said = capsys.readouterr().out
    for line in (
        "taken as positive: pay",
        "bounded: share (0 to 100)",
        "count: visits",
        "binary: flag",
        "ordinal: grade (3)",
        "categorical: color (3), town (2)",
        "color: goes missing",
        "town: goes missing",
    ):
        assert line in said
    before, after = pd.read_csv(tmp_path / "t.csv"), pd.read_csv(tmp_path / "c.csv")
    assert after.notna().all(axis=None) and (after.note == before.note).all() and (after.who == before.who).all()
    assert set(after.color) == set(before.color.dropna()) and set(after.grade) <= set(LEVELS)
    assert '"town": ["bonn", "ulm"]' in read_draws(tmp_path / "d.nc").attrs["levels"]
    again = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c2.csv"), "--model", str(tmp_path / "m")]
    assert main(again) == 0
    assert (tmp_path / "c2.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    capsys.readouterr()
    for extra, message in (
        (["--kind", "x"], "--kind: got 'x', expected COLUMN=KIND"),
        (["--kind", "z=count"], "unknown column 'z'"),
        (["--kind", "x=odd"], "kinds: got 'odd'"),
        (["--model", str(tmp_path / "m"), "--kind", "x=count"], "--kind: got one with --model"),
        (["--kind", "note=categorical"], "column 'note': got 1 level(s), free text"),
        (["--columns", "x,who"], "column 'who': got 'p0' in row 1, expected numbers, or at most 50 categories that repeat"),
    ):
        assert main(["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "n.csv"), *extra]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1 and not (tmp_path / "n.csv").exists()


def test_draws_of_a_positive_column_reach_as_far_as_its_law(seed):
    """Gamma of shape 1/2, missing at random; under the map and prior of raw numbers, .999 was 1.9 to 7 times too far out."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(400, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    full = np.c_[normal[:, 0], stats.gamma(0.5).isf(stats.norm.sf(normal[:, 1]))]
    mask = rng.random(full.shape) > [0.0, 0.3]
    settings = {"mechanism": "none", "members": 1, "hidden": (), "steps": 150, "random_state": seed, "progress": False}
    holed = np.where(mask, full, np.nan)
    drawn = np.stack(MNARImputer(kinds={1: "positive"}, **settings).fit(holed).sample(holed, 200))[:, ~mask[:, 1], 1]
    assert drawn.mean() == pytest.approx(0.5, rel=0.5)
    assert 0.4 < np.quantile(drawn, 0.999) / stats.gamma(0.5).ppf(0.999) < 1.5


def test_logarithms_and_log_odds_have_margins_and_a_prior_of_their_own():
    columns = (
        Continuous("a", "float64"),
        Positive("b", "float64"),
        Bounded("c", "float64", (), (0.0, 1.0)),
    )
    asked = MNARImputer(mechanism="none", members=2, latent_dim=1, hidden=(4,))
    specification, _ = specification_of(asked, Schema(columns), np.ones((5, 3), bool))
    assert specification == Specification("none", (), (), ("continuous", "positive", "bounded"), 1, (4,), members=2)
    for member in specification.models():
        assert member.warp.transformed.tolist() == [1, 2] and member.prior.alike.tolist() == [True, False, False]
