"""Rubin's rules against tables worked by hand, identities and their own simulated truth."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import BayesianRidge, LinearRegression

from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.rubin import pool


def test_a_table_worked_by_hand_in_fractions_is_reproduced():
    """Four estimates of a mean with 30 degrees of freedom: B = 5/3, W = 5/4, so T = 5/4 + 5/4 5/3 = 10/3."""
    pooled = pool([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 1.0, 1.0], complete_dof=30)
    share, increase, of_draws = Fraction(5, 8), Fraction(5, 3), 3 / Fraction(5, 8) ** 2
    of_table = (1 - share) * 30 * Fraction(31, 33)
    dof = 1 / (1 / of_draws + 1 / of_table)
    fmi = (increase + 2 / (of_draws + 3)) / (1 + increase)
    exact = {
        "estimate": Fraction(5, 2),
        "within": Fraction(5, 4),
        "between": Fraction(5, 3),
        "total": Fraction(10, 3),
        "missing_share": share,
        "dof": dof,
    }
    for name, value in {**exact, "fraction_missing": fmi, "relative_efficiency": 1 / (1 + fmi / 4)}.items():
        assert float(getattr(pooled, name)) == pytest.approx(float(value), rel=1e-12)
    reach = stats.t.ppf(0.975, float(dof)) * math.sqrt(10 / 3)
    assert pooled.interval() == pytest.approx((2.5 - reach, 2.5 + reach))


def test_what_the_formulas_say_is_what_their_definitions_say(seed):
    rng = np.random.default_rng(seed)
    q, root = rng.normal(size=(7, 3)), rng.normal(size=(7, 3, 3))
    u = root @ root.swapaxes(1, 2)
    pooled = pool(q, u, complete_dof=50)
    b = sum(np.outer(row, row) for row in q - q.mean(0)) / 6
    assert pooled.estimate == pytest.approx(q.mean(0)) and pooled.draws == 7
    assert pooled.covariance == pytest.approx(u.mean(0) + 8 / 7 * b)
    assert pooled.total == pytest.approx(np.diag(pooled.covariance))
    # Any linear combination is pooled as itself.
    weight = rng.normal(size=3)
    alone = pool(q @ weight, np.einsum("i,mij,j->m", weight, u, weight))
    assert alone.total == pytest.approx(weight @ pooled.covariance @ weight) and alone.estimate == pytest.approx(
        weight @ pooled.estimate
    )
    # Parameters do not see each other, with variances or covariances.
    single = pool(q[:, 1], u[:, 1, 1], complete_dof=50)
    for name in ("estimate", "total", "dof", "fraction_missing", "relative_efficiency"):
        assert getattr(pool(q, np.diagonal(u, axis1=1, axis2=2), complete_dof=50), name)[1] == pytest.approx(getattr(single, name))
        assert getattr(pooled, name)[1] == pytest.approx(getattr(single, name))
    # The p-value is where the interval ends.
    p = float(single.p_value())
    low, high = single.interval(1 - p)
    assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-9) and single.p_value(single.estimate) == 1


def test_nothing_missing_is_the_complete_analysis_and_large_tables_are_rubins_own():
    pooled = pool([2.0, 2.0, 2.0], [0.25, 0.25, 0.25], complete_dof=20)
    assert pooled.total == 0.25 and pooled.fraction_missing == 0 and pooled.relative_efficiency == 1
    assert pooled.dof == pytest.approx(20 * 21 / 23)  # Barnard and Rubin's limit
    assert pool([2.0, 2.0], [0.25, 0.25]).dof == math.inf and pooled.draws_needed() == 2
    large = pool([1.0, 2.0, 4.0], [1.0, 1.0, 1.0])
    r = 4 / 3 * np.var([1, 2, 4], ddof=1)
    assert large.dof == pytest.approx(2 * (1 + 1 / r) ** 2)
    assert pool([1.0, 2.0, 4.0], [1.0, 1.0, 1.0], complete_dof=1e9).dof == pytest.approx(float(large.dof))
    assert pool([1.0, 3.0], [0.0, 0.0]).fraction_missing == pytest.approx(1)


def test_the_wald_test_of_one_parameter_is_its_t_test_and_of_several_keeps_its_size(seed):
    one = pool(np.array([[1.0], [1.5], [0.7], [2.0], [1.1], [1.3]]), np.full((6, 1, 1), 0.2))
    statistic, dof, p = one.wald()
    assert statistic == pytest.approx(float(one.estimate[0] ** 2 / one.total[0])) and 0 < p < 1
    r = float(one.missing_share[0] / (1 - one.missing_share[0]))
    assert dof == pytest.approx(4 + (1 + (1 - 2 / 5) / r) ** 2)
    rng = np.random.default_rng(seed)
    k, m, within, between, rejected = 3, 20, np.array([[1.0, 0.4, 0], [0.4, 1, 0], [0, 0, 2.0]]), 0.5, 0
    repetitions = 2000
    for _ in range(repetitions):
        center = rng.multivariate_normal(np.zeros(k), within * (1 + between))
        q = rng.multivariate_normal(center, within * between, size=m)
        rejected += pool(q, np.repeat(within[None], m, 0)).wald()[2] < 0.05
    assert abs(rejected / repetitions - 0.05) < 4.5 * math.sqrt(0.05 * 0.95 / repetitions) + 0.005


def test_intervals_of_exact_imputations_cover_with_few_draws_and_small_tables(seed):
    """Mean of n normals of known variance, some missing completely at random, imputed from their exact posterior."""
    rng = np.random.default_rng(seed)
    n, seen, m, repetitions = 40, 20, 5, 4000
    x = rng.normal(size=(repetitions, seen))
    mean = x.mean(1, keepdims=True)
    center = mean + rng.normal(size=(repetitions, m)) / math.sqrt(seen)
    holes = center + rng.normal(size=(repetitions, m)) / math.sqrt(n - seen)
    q = (seen * mean + (n - seen) * holes) / n
    pooled = pool(q.T, np.full((m, repetitions), 1 / n))
    low, high = pooled.interval()
    assert abs(np.mean((low < 0) & (high > 0)) - 0.95) < 4.5 * math.sqrt(0.0475 / repetitions) + 0.005
    # Half of the rows are missing, and so is half of the information.
    many = pool(rng.normal(0, 1 / math.sqrt(n), (2000, 1)), np.full((2000, 1), 1 / n))
    assert float(many.fraction_missing[0]) == pytest.approx(0.5, abs=0.06)


def test_nested_draws_are_pooled_by_their_two_variances(seed):
    rng = np.random.default_rng(seed)
    q, root = rng.normal(size=(4, 5, 3)) + rng.normal(size=(4, 1, 3)), rng.normal(size=(20, 3, 3))
    u = root @ root.swapaxes(1, 2)
    groups = np.repeat(["a", "b", "c", "d"], 5)
    pooled = pool(q.reshape(20, 3), u, groups=groups, complete_dof=60)
    means = q.mean(1)
    between = np.cov(means, rowvar=False)
    within = sum(np.cov(part, rowvar=False) for part in q) / 4
    total = u.mean(0) + (1 + 1 / 4) * between + (1 - 1 / 5) * within
    assert pooled.covariance == pytest.approx(total) and pooled.total == pytest.approx(np.diag(total))
    assert pooled.estimate == pytest.approx(q.mean((0, 1))) and pooled.draws == 20 and pooled.sizes == (5, 5, 5, 5)
    b, w, t = (1 + 1 / 4) * np.diag(between), (1 - 1 / 5) * np.diag(within), np.diag(total)
    rate = (b / t) ** 2 / 3 + (w / t) ** 2 / 16
    share = (b + w) / t
    assert pooled.missing_share == pytest.approx(share)
    assert pooled.dof == pytest.approx(1 / (rate + 1 / ((1 - share) * 60 * 61 / 63)))
    r = share / (1 - share)
    assert pooled.fraction_missing == pytest.approx((r + 2 / (1 / rate + 3)) / (1 + r))
    # In any order, by any names; with variances alone; and any linear combination as itself.
    order = rng.permutation(20)
    again = pool(q.reshape(20, 3)[order], np.diagonal(u, axis1=1, axis2=2)[order], groups=groups[order], complete_dof=60)
    weight = rng.normal(size=3)
    combined = pool(q.reshape(20, 3) @ weight, np.einsum("i,mij,j->m", weight, u, weight), groups=np.repeat(range(4), 5))
    assert combined.total == pytest.approx(weight @ total @ weight)
    for name in ("estimate", "total", "dof", "fraction_missing"):
        assert getattr(again, name) == pytest.approx(getattr(pooled, name))
    # The test of one parameter is its t test, as far as the degrees of freedom of B and W together go.
    one = pool(q[..., :1].reshape(20, 1), u[:, :1, :1], groups=groups)
    assert one.wald()[0] == pytest.approx(float(one.estimate[0] ** 2 / one.total[0]))
    added = (b[0] + w[0]) ** 2 / (b[0] ** 2 / 3 + w[0] ** 2 / 16)
    few, many = added * (1 + 1 / r[0]) ** 2, 4 + (added - 4) * (1 + (1 - 2 / added) / r[0]) ** 2
    assert one.wald()[1] == pytest.approx(many if added > 4 else few)


def test_one_draw_a_member_and_one_member_are_rubins_rules():
    q, u = np.array([1.0, 2.5, 0.3, 1.7]), np.array([0.5, 0.4, 0.6, 0.5])
    plain = pool(q, u)
    for groups in (["x", "y", "z", "w"], [0, 0, 0, 0]):
        same = pool(q, u, groups=groups)
        assert same.sizes is None and same.total == plain.total and same.dof == plain.dof
    with pytest.raises(ValueError, match="groups: got 2, expected one for each of 4 completed tables"):
        pool(q, u, groups=[0, 1])


@pytest.mark.parametrize("sizes", [(5, 5, 5, 5), (3, 3, 3, 3, 2, 2, 2, 2), (2, 2, 1, 1, 1, 1, 1, 1)])
def test_intervals_of_nested_draws_cover_and_of_draws_taken_for_independent_do_not(sizes, seed):
    """A complete-data variance of .3, parameters' of .5 and, given those, imputations' of .2."""
    rng = np.random.default_rng(seed)
    repetitions, groups = 8000, np.repeat(np.arange(len(sizes)), sizes)
    # What is observed has the truth, 0, within the three together.
    center = rng.normal(0, 1, repetitions)
    refit = center + math.sqrt(0.5) * rng.normal(size=(len(sizes), repetitions))
    q = refit[groups] + math.sqrt(0.2) * rng.normal(size=(len(groups), repetitions))
    u = np.full(q.shape, 0.3)
    nested, flat = pool(q, u, groups=groups), pool(q, u)
    # T estimates the estimate's variance without bias: 1, and what few members and draws add.
    share = sum((n / sum(sizes)) ** 2 for n in sizes)
    expected = 1 + 0.5 * share + 0.2 / sum(sizes)
    assert nested.total.mean() == pytest.approx(expected, abs=4.5 * nested.total.std() / math.sqrt(repetitions))
    cover = [np.mean(np.abs(p.estimate) < (p.interval()[1] - p.estimate)) for p in (nested, flat)]
    assert cover[0] > 0.95 - 4.5 * math.sqrt(0.0475 / repetitions) - 0.006
    assert cover[1] < cover[0] - (0.01 if min(sizes) > 1 else 0)
    # Few members say badly how far apart they are: more draws of them would not help, and that is said.
    assert np.median(nested.dof) < np.median(flat.dof)
    k = int(np.argsort(nested.fraction_missing)[repetitions // 2])
    one = [pool(q[:, k], u[:, k], groups=g) for g in (groups, None)]
    assert one[0].draws_needed() > one[1].draws_needed()


@pytest.mark.parametrize(("fmi", "variation", "needed"), [(0.5, 0.05, 51), (0.3, 0.05, 19), (0.3, 0.1, 6)])
def test_draws_needed_tend_to_the_quadratic_rule_of_von_hippel(fmi, variation, needed):
    m = 10**9  # a pilot that knows the fraction of missing information
    between = np.array(fmi / (1 + 1 / m))
    pooled = Pooled(np.array(0.0), np.array(1 - fmi), between, m)
    assert abs(pooled.draws_needed(variation) - needed) <= 1
    pilot = Pooled(np.array(0.0), np.array(1 - fmi), between, 20)
    upper = stats.logistic.cdf(stats.logistic.ppf(pilot.fraction_missing) + stats.norm.ppf(0.975) * math.sqrt(2 / 20))
    assert pilot.draws_needed(variation) == math.ceil(1 + upper**2 / (2 * variation**2)) > needed


def test_the_rule_holds_the_variation_of_the_standard_error(seed):
    rng = np.random.default_rng(seed)
    fmi, variation = 0.4, 0.08
    m = math.ceil(1 + 0.5 * (fmi / variation) ** 2)
    q = rng.normal(0, math.sqrt(fmi), (m, 20_000))
    errors = pool(q, np.full(q.shape, 1 - fmi)).standard_error
    assert errors.std() / errors.mean() == pytest.approx(variation, rel=0.1)


class Results:
    """What a fitted statsmodels result looks like from outside."""

    df_resid = 12.0

    def __init__(self, params, cov):
        import pandas as pd

        self.params, self._cov = pd.Series(params, ["const", "age"]), pd.DataFrame(cov)

    def cov_params(self):
        return self._cov


def test_fitted_results_are_read_for_what_they_say():
    rng = np.random.default_rng(0)
    q, u = rng.normal(size=(4, 2)), np.repeat(np.diag([0.5, 0.2])[None], 4, 0)
    pooled, plain = pool([Results(a, b) for a, b in zip(q, u, strict=True)]), pool(q, u, complete_dof=12)
    assert pooled.names == ("const", "age") and (pooled.table() == plain.table().to_numpy()).all().all()
    assert pool([Results(a, b) for a, b in zip(q, u, strict=True)], complete_dof=100).complete_dof == 100
    x, y = rng.normal(size=(4, 30, 2)), rng.normal(size=(4, 30))
    ridges = [BayesianRidge().fit(a, b) for a, b in zip(x, y, strict=True)]
    assert pool(ridges).estimate == pytest.approx(np.mean([r.coef_ for r in ridges], 0))
    assert pool(ridges).covariance.shape == (2, 2)
    lines = [LinearRegression().fit(a, b) for a, b in zip(x, y, strict=True)]
    with pytest.raises(TypeError, match="LinearRegression has no covariance"):
        pool(lines)
    assert pool(lines, np.full((4, 2), 0.1)).within == pytest.approx([0.1, 0.1])


def test_analyses_of_completed_tables_are_pooled_and_failures_name_the_table():
    tables = [np.array([1.0, 2.0, x]) for x in (3.0, 4.0, 8.0)]
    pooled = analyze(tables, lambda t: (t.mean(), t.var(ddof=1) / 3, 2))
    assert pooled.complete_dof == 2 and pooled.estimate == pytest.approx(np.mean([t.mean() for t in tables]))
    assert analyze(tables, lambda t: Results([t[2], 1.0], np.eye(2))).estimate == pytest.approx([5, 1])
    for broken, said in [
        (lambda t: 1 / (t[2] - 4), "failed on completed table 1 .ZeroDivisionError"),
        (lambda t: (t[2] if t[2] > 3.5 else math.nan, 1.0), "of completed table 0, expected finite"),
        (lambda t: (1.0, 2.0, 3.0, 4.0), "got 4 values of completed table 0"),
        (lambda t: 1.0, "variances: got none"),
    ]:
        with pytest.raises(ValueError, match=said), np.errstate(divide="raise"):
            analyze([t.tolist() if "ZeroDivision" in said else t for t in tables], broken)


@pytest.mark.parametrize(
    ("estimates", "variances", "options", "said"),
    [
        ([1.0], [1.0], {}, "got 1 analyses, expected at least 2"),
        ([1.0, 2.0], [1.0, math.nan], {}, "variances: got .nan"),
        ([1.0, math.inf], [1.0, 1.0], {}, "estimates: got .inf"),
        ([1.0, 2.0], [1.0, -1.0], {}, "variances: got -1.0, expected 0 or more"),
        ([1.0, 2.0], [1.0, 1.0, 1.0], {}, "variances: got shape .3,. for estimates of shape .2,."),
        ([[1.0, 2.0]] * 3, np.ones((3, 2, 3)), {}, "expected .M,., .M, P., or covariances"),
        ([1.0, 2.0], [1.0, 1.0], {"complete_dof": 0}, "complete_dof: got 0"),
        ([[1.0], [1.0, 2.0]], [1.0, 1.0], {}, "estimates: got values that are no numbers or differ in shape"),
    ],
)
def test_mistakes_are_named(estimates, variances, options, said):
    with pytest.raises(ValueError, match=said):
        pool(estimates, variances, **options)
    with pytest.raises(ValueError, match="got variances alone"):
        pool([1.0, 2.0], [1.0, 1.0]).wald()
    with pytest.raises(ValueError, match="level: got 2"):
        pool([1.0, 2.0], [1.0, 1.0]).interval(2)
