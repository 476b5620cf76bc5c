"""Moved completions against closed forms: shifts, exponential tilts, moved mechanisms, tipping points, reference-based rules."""

import math

import numpy as np
import pandas as pd
import pytest
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, Z_MAX
from scipy import special, stats

from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.analysis.reference_based import reference_based
from pyro_mnar.analysis.tipping import tipping_point


def drawn(n=40, m=6, seed=0, missing=0.4):
    """A frame with holes in y, and completions with standard normal values there."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"y": rng.normal(1.0, 1.0, n), "arm": np.arange(n) % 2, "name": "p"}, index=range(100, 100 + n))
    frame.loc[rng.random(n) < missing, "y"] = np.nan
    tables = [frame.assign(y=frame.y.fillna(pd.Series(rng.normal(size=n), frame.index))) for _ in range(m)]
    return frame, Completions(frame, tables)


def mean_of_y(table):
    return table["y"].mean(), 0.02


def test_shift_and_scale_move_imputed_cells_of_chosen_rows_and_nothing_else():
    frame, done = drawn()
    holes, treated = frame.y.isna().to_numpy(), (frame.arm == 1).to_numpy()
    before = [table.copy() for table in done.tables]
    moved = done.shift("y", 2.0, rows=treated).scale("y", 3.0, rows=~treated)
    for old, new in zip(done.tables, moved.tables, strict=True):
        assert (new.y[holes & treated] == old.y[holes & treated] + 2).all() and (
            new.y[holes & ~treated] == old.y[holes & ~treated] * 3
        ).all()
        assert new.y[~holes].to_numpy().tobytes() == frame.y[~holes].to_numpy().tobytes() and (new.name == "p").all()
        assert new.index.equals(frame.index) and list(new.columns) == list(frame.columns)
    assert all(a.equals(b) for a, b in zip(before, done.tables, strict=True))
    own = np.arange(6 * 40).reshape(6, 40) / 7
    assert (done.shift("y", own).values("y") == np.where(holes, done.values("y") + own, done.values("y"))).all()
    array = Completions(frame[["y", "arm"]].to_numpy(), [t[["y", "arm"]].to_numpy() for t in done.tables])
    assert (array.shift(0, 2.0).values(0) == done.shift("y", 2.0).values("y")).all()
    whole = pd.DataFrame({"k": pd.array([1, None, 3], "Int64")})
    assert Completions(whole, [whole.fillna(2)]).shift("k", 0.5).tables[0].k.tolist() == [1, 2.5, 3]


def test_a_shifted_mean_and_its_tipping_delta_are_known(seed):
    frame, done = drawn(seed=seed)
    treated = (frame.arm == 1).to_numpy()
    share = (frame.y.isna().to_numpy() & treated).mean()
    start = analyze(done.tables, mean_of_y)
    path = tipping_point(done, lambda c, d: c.shift("y", d, rows=treated), np.linspace(-20, 20, 9), mean_of_y, progress=False)
    assert path.estimate == pytest.approx(float(start.estimate) + share * path.grids[0])
    reach = float(stats.t.ppf(0.975, start.dof) * start.standard_error)
    # Shifts add no variance between tables, so the margin is |Q + share delta| - reach: two crossings, exactly.
    expected = sorted((sign * reach - float(start.estimate)) / share for sign in (-1, 1))
    inside = [x for x in expected if -20 < x < 20]
    fine = tipping_point(done, lambda c, d: c.shift("y", d, rows=treated), np.linspace(-20, 20, 401), mean_of_y, progress=False)
    assert fine.crossings == pytest.approx(inside, abs=1e-6)
    at = analyze(done.shift("y", inside[0], rows=treated).tables, mean_of_y)
    assert float(at.p_value()) == pytest.approx(0.05, abs=1e-9) and min(map(abs, at.interval())) == pytest.approx(0, abs=1e-9)
    assert not path.refit_due.any() and path.table().shape == (9, 6)


def test_the_tipping_line_of_two_assumptions_is_straight_where_the_estimate_is_linear():
    frame, done = drawn(n=60, missing=0.5)
    one, two = ((frame.arm == k).to_numpy() for k in (0, 1))
    shares = [(frame.y.isna().to_numpy() & rows).mean() for rows in (one, two)]
    grids = (np.linspace(-2, 4, 13), np.linspace(-2, 5, 15))
    path = tipping_point(
        done, lambda c, a, b: c.shift("y", a, rows=one).shift("y", b, rows=two), grids, mean_of_y, null=-3.0, progress=False
    )
    start = analyze(done.tables, mean_of_y)
    a, b = np.meshgrid(*grids, indexing="ij")
    assert path.estimate == pytest.approx(float(start.estimate) + shares[0] * a + shares[1] * b)
    path = tipping_point(done, lambda c, a, b: c.shift("y", a, rows=one).shift("y", b, rows=two), grids, mean_of_y, progress=False)
    reach = float(stats.t.ppf(0.975, start.dof) * start.standard_error)
    assert len(path.crossings) >= 1
    for line in path.crossings:
        level = np.abs(float(start.estimate) + line @ shares)
        assert level == pytest.approx(reach, abs=1e-9)


def test_a_tilted_normal_is_a_shifted_one_with_the_known_number_of_effective_draws(seed):
    rng = np.random.default_rng(seed)
    n, m, scale, delta = 400, 1000, 0.8, 0.7
    center = rng.normal(size=n)
    tables = [np.stack([row, np.arange(n) * 1.0], 1) for row in rng.normal(center, scale, (m, n))]
    holed = np.stack([np.full(n, np.nan), np.arange(n) * 1.0], 1)
    done = Completions(holed, tables)
    tilted = done.tilt(0, delta)
    gap = tilted.values(0).mean(0) - center - delta * scale**2
    # Self-normalized weights are biased by about -delta v (exp(delta^2 v) - 1) / M, here far below the standard error.
    assert abs(gap.mean()) < Z_MAX * gap.std() / math.sqrt(n) + 1e-3
    assert tilted.values(0).std(0).mean() == pytest.approx(scale, rel=0.02)
    # E w^2 / (E w)^2 = exp(delta^2 v)
    assert tilted.effective.mean() == pytest.approx(m * math.exp(-((delta * scale) ** 2)), rel=0.03)
    assert not tilted.refit_due and done.tilt(0, 3.0).refit_due
    assert (tilted.values(1) == done.values(1)).all()


@pytest.mark.parametrize("draws", [2, 5, 20, 40])
def test_too_few_draws_of_a_group_are_said_and_their_tilt_is_short(draws, seed):
    """Eight groups of few draws each of N(0, 1), tilted by one standard deviation: exactly a shift of 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(8 * draws, 400, 1))
    tilted = Completions(np.full((400, 1), np.nan), list(x), np.repeat(range(8), draws)).tilt(0, 1.0)
    assert tilted.refit_due and (tilted.effective <= draws).all()
    assert tilted.values(0).mean() < 0.97
    # However small the tilt: of two draws even a slight one does half of what it should.
    assert Completions(np.full((400, 1), np.nan), list(x), np.repeat(range(8), draws)).tilt(0, 0.01).refit_due


def test_few_tables_of_many_candidates_are_tilted_in_full_and_tilts_add(seed):
    rng = np.random.default_rng(seed)
    n, each, groups = 2000, 400, np.repeat(["0", "1"], 400)
    x = rng.normal(size=(800, n)) + np.where(groups == "1", 3.0, 0.0)[:, None]
    drawn = Candidates(np.zeros((n, 1)), {0: np.arange(n)}, {0: x.ravel()}, groups, np.zeros((800, n)))
    done = Completions(np.full((n, 1), np.nan), drawn.tables(["0"] * 5 + ["1"] * 5), [0] * 5 + [1] * 5, drawn)
    once, twice = done.tilt(0, 1.0), done.tilt(0, 0.4).tilt(0, 0.6)
    for group, own in enumerate((once.values(0)[:5], once.values(0)[5:])):
        # A group keeps its law. Short by 1 / effective number, about e / 400; the tables' own error comes on top.
        assert abs(own.mean() - 3 * group - 1) < math.e / each + Z_MAX / math.sqrt(5 * n) + Z_MAX * math.sqrt(math.e / each / n)
    assert all((a == b).all() for a, b in zip(once.tables, twice.tables, strict=True)) and not once.refit_due
    assert np.median(once.effective) == pytest.approx(each / math.e, rel=0.1)
    assert all((a == b).all() for a, b in zip(done.tilt(0, 0.0).tables, done.tables, strict=True))
    # Shifted tables are all that is left: that they are few is said.
    assert not done.shift(0, 1.0).refit_due and done.shift(0, 1.0).tilt(0, 0.5).refit_due


def test_no_tilt_changes_nothing_and_small_tilts_change_little():
    frame, done = drawn(m=200)
    assert all(a.equals(b) for a, b in zip(done.tilt("y", 0.0).tables, done.tables, strict=True))
    treated = (frame.arm == 1).to_numpy()
    some = done.tilt("y", 1.0, rows=treated)
    assert (some.values("y")[:, ~treated] == done.values("y")[:, ~treated]).all() and np.isinf(some.effective[~treated]).all()
    assert (some.values("y")[:, treated] == done.tilt("y", 1.0).values("y")[:, treated]).all() and (
        some.effective[done.holes("y", treated)] < 200
    ).all()
    steps = [done.tilt("y", d).values("y").mean() for d in np.linspace(0, 0.5, 26)]
    assert (np.diff(steps) >= 0).all() and np.diff(steps).max() < 4 * np.diff(steps).mean()


@pytest.mark.parametrize("moved", [(2.5, 0.3), (0.8, 0.1), (-1.0, 0.2)])
def test_reweighted_draws_are_those_of_the_moved_mechanism(moved, seed):
    """Draws of the extended skew-normal under one slope, re-weighted, have the moments of that under another."""
    row, mask = ROWS[1], MASKS[1]
    free = LAW.ignorable(row, mask)
    (m,), ((v,),) = free.mean, free.cov
    a, c = SLOPE[0], INTERCEPT[0]
    rng, n, size = np.random.default_rng(seed), 300, 800
    k = (a * m + c) / math.sqrt(1 + a * a * v)
    t = stats.truncnorm.rvs(-k, np.inf, size=(size, n), random_state=rng)
    x = m + (a * v * t + math.sqrt(v) * rng.normal(size=(size, n))) / math.sqrt(1 + a * a * v)
    done = Completions(np.full((n, 1), np.nan), list(x[..., None]))
    reweighted = done.reweight(special.log_ndtr(moved[0] * x + moved[1]) - special.log_ndtr(a * x + c))
    assert reweighted.refit_due == (moved[0] < 0)
    if reweighted.refit_due:  # the other direction: draws do not reach there, and that is said
        return
    result = reweighted.values(0)
    slope, intercept = SLOPE.copy(), INTERCEPT.copy()
    slope[0], intercept[0] = moved
    exact = LAW.probit_one(row, mask, slope, intercept)
    means = result.mean(0)
    assert abs(means.mean() - exact.mean[0]) < Z_MAX * means.std() / math.sqrt(n) + 2e-3
    spread = ((result - exact.mean[0]) ** 2).mean(0)
    assert abs(spread.mean() - exact.cov[0, 0]) < Z_MAX * spread.std() / math.sqrt(n) + 2e-3


def test_odds_of_a_category_are_multiplied_and_its_dtype_kept(seed):
    rng = np.random.default_rng(seed)
    n, m = 300, 400
    kind = pd.CategoricalDtype(["low", "high"])
    holed = pd.DataFrame({"grade": pd.Categorical([None] * n, dtype=kind), "k": pd.array([None] * n, "Int64")})
    tables = []
    for _ in range(m):
        high = rng.random(n) < 0.3
        grade = pd.Categorical(np.where(high, "high", "low"), dtype=kind)
        tables.append(pd.DataFrame({"grade": grade, "k": pd.array(np.where(high, 7, 1), "Int64")}))
    tilted = Completions(holed, tables).tilt("grade", math.log(3), category="high")
    high = np.stack([(t.grade == "high").to_numpy() for t in tilted.tables])
    odds = 3 * 0.3 / 0.7
    assert high.mean() == pytest.approx(odds / (1 + odds), abs=Z_MAX * 0.5 / math.sqrt(n * m) * 2 + 2e-3)
    assert tilted.tables[0].dtypes.equals(holed.dtypes) and tilted.tables[0].grade.notna().all()
    # The cells of a row move together.
    assert (np.stack([t.k.to_numpy() == 7 for t in tilted.tables]) == high).all()


def test_draws_are_resampled_within_their_group():
    rng = np.random.default_rng(0)
    groups = [0] * 30 + [1] * 50
    x = rng.normal(size=(80, 20)) + np.array(groups)[:, None] * 100
    tilted = Completions(np.full((20, 1), np.nan), list(x[..., None]), groups).tilt(0, 1.0).values(0)
    assert ((tilted > 50) == (np.array(groups) == 1)[:, None]).all()
    for own in (tilted[:30], tilted[30:] - 100):
        assert own.mean() > 0.5
    free = Completions(np.full((20, 1), np.nan), list(x[..., None])).tilt(0, 1.0).values(0)
    assert (free > 50).all()


def test_reference_based_rules_are_their_definitions(seed):
    """Two visits after a baseline, drop-out before the last; imputed from the known normal law, then moved."""
    rng = np.random.default_rng(seed)
    n = 20_000
    cov = np.array([[1.0, 0.6, 0.5], [0.6, 1.2, 0.8], [0.5, 0.8, 1.5]])
    means = {"drug": np.array([0.0, -1.0, -2.0]), "placebo": np.array([0.0, 0.2, 0.5])}
    arm = np.where(rng.random(n) < 0.5, "drug", "placebo")
    y = np.stack([means[a] for a in arm]) + rng.multivariate_normal(np.zeros(3), cov, n)
    leaves = rng.random(n) < 0.4
    frame = pd.DataFrame(y, columns=["base", "v1", "v2"]).assign(arm=arm)
    holed = frame.copy()
    holed.loc[leaves, "v2"] = np.nan
    holed.loc[:4, "v1"] = np.nan  # seen again later where the patient stays
    slope = np.linalg.solve(cov[:2, :2], cov[:2, 2])
    left = math.sqrt(cov[2, 2] - cov[2, :2] @ slope)
    mu = np.stack([means[a] for a in arm])
    mar = mu[:, 2] + (y[:, :2] - mu[:, :2]) @ slope + left * rng.normal(size=n)
    full = holed.assign(v2=holed.v2.fillna(pd.Series(mar)), v1=frame.v1)
    done = Completions(holed, [full])
    drug = (arm == "drug") & leaves & (np.arange(n) > 4)
    gap = means["placebo"] - means["drug"]
    ways = {"jump": gap[2], "copy": gap[2] - gap[:2] @ slope, "increments": gap[2] - gap[1]}
    for rule, added in ways.items():
        new = reference_based(done, ["base", "v1", "v2"], "arm", "placebo", rule).tables[0]
        shift = new.v2[drug] - full.v2[drug]
        # One shift for a pattern, known up to the error of the groups' estimated means and slopes.
        assert shift.std() < 1e-9 and shift.mean() == pytest.approx(added, abs=0.1)
        rest = ~((arm == "drug") & leaves)
        assert (new.v2[rest] == full.v2[rest]).all() and (new.v1[~leaves] == full.v1[~leaves]).all()
    same = reference_based(done, ["v1", "v2"], "arm", "placebo", "jump", covariates=["base"]).tables[0]
    assert (same.v2[drug] - full.v2[drug]).mean() == pytest.approx(gap[2], abs=0.1)
    for options, said in [
        ({"rule": "odd"}, "rule: got 'odd', expected one of jump, copy, increments"),
        ({"reference": "x"}, "reference: got 'x'"),
        ({"covariates": ["v2"]}, "column 'v2': has holes"),
        ({"group": "site"}, "unknown 'site'"),
    ]:
        with pytest.raises(ValueError, match=said):
            reference_based(done, **({"visits": ["v1", "v2"], "group": "arm", "reference": "placebo"} | options))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda c: c.shift("z", 1.0), "column: got unknown 'z', expected one of y, arm, name"),
        (lambda c: c.shift("name", 1.0), "'name' holds no numbers"),
        (lambda c: c.shift("y", math.nan), "delta: got nan, expected finite"),
        (lambda c: c.scale("y", math.inf), "factor: got inf"),
        (lambda c: c.shift("y", 1.0, rows=[0, 1]), "rows: got int64 of shape .2,., expected bool of shape .40,."),
        (lambda c: c.tilt("y", math.inf), "delta: got inf"),
        (lambda c: c.tilt("y", 1.0, category="odd"), "category: got 'odd'"),
        (lambda c: c.reweight(np.zeros((2, 2))), "log_weights: got shape .2, 2."),
        (lambda c: c.reweight(np.full((6, 40), -np.inf)), "none above zero for row 0"),
        (lambda c: Completions(c.table, []), "tables: got none"),
        (lambda c: Completions(c.table, [c.table[["y"]]]), "tables: got shape .40, 1. in table 0"),
        (lambda c: Completions(c.table, c.tables, [0]), "groups: got 1, expected one for each of 6"),
        (lambda c: tipping_point(c, lambda c, d: c, [1.0, 0.0], mean_of_y), "grid: got .1.0, 0.0., expected at least two"),
        (lambda c: tipping_point(c, lambda c, d: c, [[0, 1], [0, 1], [0, 1]], mean_of_y), "got 3 grids"),
        (lambda c: tipping_point(c, lambda c, d: c.tables, [0, 1], mean_of_y), "adjust: got list"),
        (lambda c: tipping_point(c, lambda c, d: c, [0, 1], lambda t: ([1.0, 2.0], [1.0, 1.0])), "got 2 parameters, expected one"),
        (lambda c: tipping_point(c, lambda c, d: c, [0, 1], lambda t: (math.nan, 1.0)), "of completed table 0, expected finite"),
    ],
)
def test_mistakes_are_named(act, said):
    with pytest.raises(ValueError, match=said):
        act(drawn()[1])


def test_an_estimate_that_passes_the_null_between_two_points_tips_twice():
    """The conclusion stands at both, on either side of the null: a coarse grid is no reason for it to stand in between."""
    table = np.array([[1.0], [2.0], [3.0], [np.nan]] * 5)
    done = Completions(table, [np.where(np.isnan(table), x, table) for x in (3.0, 4.0, 5.0)])

    def mean(completed):
        return completed.mean(), 0.1

    pooled = analyze(done.tables, mean)
    reach = float(pooled.interval()[1] - pooled.estimate)
    exact = [(1 + side * reach - float(pooled.estimate)) / 0.25 for side in (-1, 1)]
    for grid in ([-20.0, -10.0, 0.0], [-20.0, 0.0], list(range(-20, 1))):
        path = tipping_point(done, lambda c, delta: c.shift(0, delta), grid, mean, null=1.0, progress=False)
        assert path.crossings == pytest.approx(exact, abs=1e-9)
        assert path.margin[0] > 0 and path.margin[-1] > 0
    both = tipping_point(
        done, lambda c, one, two: c.shift(0, one).shift(0, two), ([-20.0, 0.0], [-1.0, 0.0]), mean, null=1.0, progress=False
    )
    sums = sorted(float(line.sum(1).mean()) for line in both.crossings)
    assert sums == pytest.approx(exact, abs=1e-9)


ZONES = ["datetime64[ns, Europe/Berlin]", "datetime64[us, America/New_York]", "datetime64[ns]", "datetime64[s]", "datetime64[ms]"]


@pytest.mark.parametrize("dtype", ZONES)
@pytest.mark.parametrize("first", ["2024-02-01", "1969-12-20", "2024-02-01 10:20:31"])
@pytest.mark.parametrize("delta", [0, 1, -40, 60])
def test_dates_are_shifted_by_days_exactly(dtype, first, delta):
    """Of times not a microsecond is lost, by which 00:00 would be the day before; a day of the calendar may have 23 hours or 25."""
    days = pd.Series(pd.date_range(first, periods=80, freq="D" if len(first) == 10 else "37min")).astype("datetime64[us]")
    zone = getattr(pd.Series([], dtype=dtype).dt, "tz", None)
    complete = pd.DataFrame({"day": days.dt.tz_localize(zone).astype(dtype)})
    holes = np.arange(80) % 2 == 0
    done = Completions(complete.mask(holes[:, None]), [complete]).shift("day", delta).tables[0].day
    elapsed = zone is None or len(first) == 10
    moved = days + pd.Timedelta(days=delta) if elapsed else complete.day.dt.tz_convert("UTC") + pd.Timedelta(days=delta)
    there = done.dt.tz_localize(None) if elapsed else done.dt.tz_convert("UTC")
    assert done.dtype == dtype and (done[~holes] == complete.day[~holes]).all()
    assert (there[holes].astype("datetime64[us]" if elapsed else "datetime64[us, UTC]") == moved[holes]).all()


def test_years_that_nanoseconds_do_not_reach_are_shifted():
    complete = pd.DataFrame({"day": pd.Series(["1503-05-01", "1620-02-03", "2024-01-31"]).astype("datetime64[s]")})
    done = Completions(complete.mask([[False], [True], [False]]), [complete]).shift("day", 28)
    assert str(done.tables[0].day[1]) == "1620-03-02 00:00:00"
