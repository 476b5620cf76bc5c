"""Designs against closed forms, the jackknife and statsmodels: means, least squares, logit models, in strata and clusters."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pyro_mnar.analysis import Design, analyze, regression
from pyro_mnar.analysis.regressions import regression_in
from pyro_mnar.data.kinds import Binary, Categorical, Continuous, Ordinal
from pyro_mnar.data.kinds.angle import Angle


def sample(seed, n=240, clusters=24):
    rng = np.random.default_rng(seed)
    school = rng.integers(0, clusters, n)
    frame = pd.DataFrame({"x": rng.normal(size=n), "school": school, "stratum": np.where(school < clusters // 2, "lo", "hi")})
    frame["w"] = rng.uniform(1, 8, n)
    effect = rng.normal(size=clusters)[school]
    frame["y"] = 1 + frame.x + 0.5 * effect + rng.normal(size=n) * (1 + frame.w / 8)
    frame["yes"] = (frame.y + rng.logistic(size=n) > 1).map({True: "yes", False: "no"})
    frame["town"] = rng.choice(["a", "b", "c"], n)
    return frame


@pytest.mark.parametrize("seed", range(3))
def test_without_weights_strata_and_clusters_it_is_the_ordinary_mean(seed):
    y = np.random.default_rng(seed).normal(size=30)
    estimate, variance, dof = Design(np.full(30, 40.0)).mean(y)
    assert (estimate, variance, dof) == pytest.approx((y.mean(), y.var(ddof=1) / 30, 29))


@pytest.mark.parametrize("seed", range(3))
def test_in_strata_it_is_the_textbooks_stratified_mean(seed):
    """Cochran 1977, "Sampling Techniques", theorem 5.3: sum W_h^2 s_h^2 / n_h, for weights N_h / n_h."""
    rng = np.random.default_rng(seed)
    sizes, population = [12, 20, 9], np.array([500.0, 90.0, 900.0])
    y = [rng.normal(h, 1 + h, n) for h, n in enumerate(sizes)]
    share = population / population.sum()
    strata, weights = np.repeat(["a", "b", "c"], sizes), np.repeat(population / sizes, sizes)
    estimate, variance, dof = Design(weights, strata).mean(np.concatenate(y))
    exact = sum(w**2 * own.var(ddof=1) / len(own) for w, own in zip(share, y, strict=True))
    assert (estimate, variance, dof) == pytest.approx((sum(w * own.mean() for w, own in zip(share, y, strict=True)), exact, 38))


def test_clusters_of_one_size_are_means_of_clusters():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(8, 5)) + rng.normal(size=(8, 1))
    estimate, variance, dof = Design(clusters=np.repeat(np.arange(8), 5)).mean(y.ravel())
    assert (estimate, variance, dof) == pytest.approx((y.mean(), y.mean(1).var(ddof=1) / 8, 7))


@pytest.mark.parametrize("outcome", ["y", "logit(yes)"])
@pytest.mark.parametrize("seed", range(2))
def test_linearization_is_near_the_stratified_jackknife(seed, outcome):
    """Another way to the same variance: leave out one cluster at a time, weights of its stratum raised (Wolter 2007, section 4.5)."""
    frame = sample(seed, 1200, 60)
    own = regression(outcome, ["x", "C(town)"])
    estimate, variance, dof = own(frame, Design.of(frame, "w", "stratum", "school"))
    total = 0.0
    for _, stratum in frame.groupby("stratum"):
        schools = stratum.school.unique()
        for school in schools:
            w = np.where(frame.school == school, 0.0, frame.w * np.where(frame.stratum == stratum.stratum.iloc[0], 1.0, 1.0))
            inside = (frame.stratum == stratum.stratum.iloc[0]) & (frame.school != school)
            kept = frame[w > 0].assign(w=(w * np.where(inside, len(schools) / (len(schools) - 1), 1.0))[w > 0])
            total += (len(schools) - 1) / len(schools) * (own(kept, Design.of(kept, "w"))[0] - estimate) ** 2
    assert variance == pytest.approx(total, rel=0.08) and dof == 60 - 2 + 1 - 4


@pytest.mark.parametrize("seed", range(2))
def test_statsmodels_has_the_same_clustered_variance(seed):
    sm = pytest.importorskip("statsmodels.api")
    frame = sample(seed)
    x = sm.add_constant(frame[["x"]])
    clusters = len(frame.school.unique())
    settings = {"cov_type": "cluster", "cov_kwds": {"groups": frame.school, "use_correction": False}}
    design = Design.of(frame, "w", clusters="school")
    by_wls = sm.WLS(frame.y, x, frame.w).fit(**settings)
    estimate, variance, _ = regression("y", ["x"])(frame, design)
    assert (estimate, variance) == pytest.approx((by_wls.params["x"], by_wls.bse["x"] ** 2 * clusters / (clusters - 1)), rel=1e-8)
    by_logit = sm.Logit((frame.yes == "yes").astype(float), x).fit(disp=False, **settings)
    estimate, variance, _ = regression("logit(yes)", ["x"])(frame, Design.of(frame, clusters="school"))
    assert (estimate, variance) == pytest.approx((by_logit.params["x"], by_logit.bse["x"] ** 2 * clusters / (clusters - 1)), rel=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_a_logit_model_of_two_groups_is_the_log_odds_ratio(seed):
    frame = sample(seed)
    counts = pd.crosstab(frame.yes, frame.town == "b").to_numpy().astype(float)
    estimate, variance, dof = regression("logit(yes)", ["town:b"])(frame)
    exact = np.log(counts[1, 1] * counts[0, 0] / (counts[0, 1] * counts[1, 0]))
    assert (estimate, variance, dof) == pytest.approx((exact, (1 / counts).sum(), 238))
    turned = regression("logit(yes:no)", ["town:b"])(frame)
    assert turned[:2] == pytest.approx((-exact, variance))


def test_logs_factors_and_levels():
    frame = sample(0).assign(e=lambda f: np.exp(f.x))
    assert regression("y", ["log(e)"])(frame) == pytest.approx(regression("y", ["x"])(frame))
    apart = [frame[frame.town == town] for town in "abc"]
    means = [own.y.mean() for own in apart]
    assert regression("y", ["town:c", "town:b"])(frame)[0] == pytest.approx(means[2] - means[0])
    within = frame.assign(y=frame.y - frame.groupby("town").y.transform("mean"), x=frame.x - frame.groupby("town").x.transform("mean"))
    assert regression("y", ["x", "C(town)"])(frame)[0] == pytest.approx(stats.linregress(within.x, within.y).slope)
    odd = frame.rename(columns={"x": "log(y)", "town": "a:b"})
    assert regression("y", ["log(y)"])(odd) == pytest.approx(regression("y", ["x"])(frame))
    with pytest.raises(ValueError, match=r"log\(x\): got -.*, expected numbers above 0"):
        regression("y", ["log(x)"])(frame)
    with pytest.raises(ValueError, match=r"C\(town\): has 2 coefficients"):
        regression("y", ["C(town)"])(frame)
    with pytest.raises(ValueError, match="3 different values, expected 2"):
        regression("logit(town)", ["x"])(frame)
    with pytest.raises(ValueError, match="apart without doubt"):
        regression("logit(yes)", ["same"])(frame.assign(same=(frame.yes == "yes") * 1.0))


def test_analyze_gives_the_design_to_the_estimate():
    frame = sample(1)
    tables = [frame, frame.assign(y=frame.y + 1)]
    names = {"weights": "w", "strata": "stratum", "clusters": "school"}
    pooled = analyze(tables, lambda table, design: design.mean(table.y), **names)
    center, variance, dof = Design.of(frame, **names).mean(frame.y)
    assert (float(pooled.estimate), float(pooled.within), pooled.complete_dof) == pytest.approx((center + 0.5, variance, dof))
    arrays = analyze(tables, regression("y", ["x"]), **{key: frame[name].to_numpy() for key, name in names.items()})
    assert float(arrays.within) == pytest.approx(regression("y", ["x"])(frame, Design.of(frame, **names))[1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": [1.0, 0.0, 1.0, 1.0]}, "weights: got 0 in row 1"),
        ({"weights": [1.0, np.nan, 1.0, 1.0]}, "weights: got nan in row 1"),
        ({"strata": ["a", None, "a", "a"]}, "strata: got none in row 1"),
        ({"clusters": [1.0, 1.0, np.nan, 2.0]}, "clusters: got none in row 2"),
        ({"strata": ["a", "a", "b", "a"]}, "got 1 cluster in stratum b"),
        ({"clusters": ["a", "a", "a", "a"]}, "got 1 cluster in the table"),
        ({"weights": [1.0] * 4, "strata": ["a"] * 3}, "strata: got shape"),
        ({}, "design: got no weights, strata or clusters"),
    ],
)
def test_what_is_no_design(given, message):
    with pytest.raises(ValueError, match=message):
        Design(**given)


def test_clusters_of_one_name_in_two_strata_are_two():
    design = Design(strata=["a", "a", "b", "b"], clusters=[1, 2, 1, 2])
    assert design.dof == 2
    with pytest.raises(ValueError, match="weights: got unknown column 'z', expected one of x"):
        Design.of(pd.DataFrame({"x": [1.0, 2.0]}), "z")


COLUMNS = [
    Continuous("y, eur", "float64"),
    Continuous("x", "float64"),
    Binary("smoker", "str", ("no", "yes")),
    Categorical("town", "str", ("n", "s", "w")),
    Ordinal("grade", "str", ("lo", "hi")),
    Angle("way", "float64"),
]


@pytest.mark.parametrize(
    ("word", "about"),
    [
        ("y, eur=x", "coefficient of x on y, eur"),
        ("log(y, eur)=log(x),C(town),grade", "coefficient of log(x) on log(y, eur)"),
        ("logit(smoker)=x,town:s", "coefficient of x on logit(smoker)"),
        ("logit(town:s)=grade,y, eur", "coefficient of grade on logit(town:s)"),
        ("y, eur=C(smoker)", "coefficient of C(smoker) on y, eur"),
        ("x=town:s", "coefficient of town:s on x"),
        ("smoker:yes=x", "coefficient of x on smoker:yes"),
    ],
)
def test_regressions_as_they_are_written(word, about):
    assert regression_in(word, COLUMNS).about == about


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("x", "--regress: got 'x', expected OUTCOME=TERM"),
        ("z=x", "--regress: got 'z=x', expected OUTCOME=TERM"),
        ("x=z", "got unknown column 'z'"),
        ("x=town", r"got categorical column 'town', expected columns of numbers or ordered levels \(or C\(town\), or town:LEVEL\)"),
        ("town=x", "got categorical column 'town'"),
        ("x=log(grade)", "got ordinal column 'grade'"),
        ("x=town:q", "got level 'q' of column 'town', expected one of its levels"),
        ("logit(town)=x", "got logit of categorical column 'town'"),
        ("logit(x)=grade", "got logit of continuous column 'x'"),
        ("x=C(town)", r"got C\(town\) as the first term, expected one coefficient \(town:LEVEL\)"),
        ("x=way", "got angle column 'way'"),
    ],
)
def test_what_is_no_regression_is_named(word, message):
    with pytest.raises(ValueError, match=message):
        regression_in(word, COLUMNS)


@pytest.mark.parametrize("terms", [["a", "b", "t"], ["b", "town:p", "town:q"], ["b", "town:s"], ["b", "C(town)"]])
def test_coefficients_that_no_data_tell_apart_are_refused(terms):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": 3e6 + 1e6 * rng.normal(size=50), "b": rng.normal(size=50), "y": rng.normal(size=50)})
    frame = frame.assign(t=frame.a + frame.b, town=rng.choice(["p", "q"], 50))  # of t the rounding alone is left, whose inverse exists
    with pytest.raises(ValueError, match=r"one is constant or a sum of others, expected none to be"):
        regression("y", terms, {"town": ["p", "q", "s"]})(frame)
    with pytest.raises(ValueError, match=r"--regress: got 'y=a,b,a', in which a stands twice"):
        regression_in("y=a,b,a", [Continuous(name, "float64") for name in "aby"])
