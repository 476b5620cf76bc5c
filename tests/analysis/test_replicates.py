"""Weights that have to do with the values: intervals by members' replicates against the spread of the estimates."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import analyze
from pyro_mnar.analysis import Design, pool, regression

MEMBERS, DRAWS, ROWS = 8, 3, 200


def weighted_line(x, y, weights):
    """Coefficients of weighted least squares and the residuals' weighted standard deviation."""
    design = np.column_stack([np.ones_like(x), x])
    b = np.linalg.solve(design.T @ (weights[:, None] * design), design.T @ (weights * y))
    return b, np.sqrt(weights @ (y - design @ b) ** 2 / weights.sum())


def imputed(seed):
    """A table whose small x have large weights and are seen, whose large x have small weights and mostly lack y: completed tables of
    weighted bootstraps, with the weights and how often each member had each row."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=ROWS)
    y, weights = x + rng.normal(size=ROWS), np.where(x < 0, 10.0, 1.0)
    missing = (x > 0) & (rng.random(ROWS) < 0.8)
    counts, tables = rng.multinomial(ROWS, np.full(ROWS, 1 / ROWS), MEMBERS), []
    for own in counts:
        b, scale = weighted_line(x[~missing], y[~missing], (weights * own)[~missing])
        for _ in range(DRAWS):
            tables.append(pd.DataFrame({"x": x, "y": np.where(missing, b[0] + b[1] * x + scale * rng.normal(size=ROWS), y)}))
    return tables, weights, counts


def test_variances_by_replicates_are_those_of_the_estimates_and_rubins_are_short():
    groups, line, found = [i // DRAWS for i in range(MEMBERS * DRAWS)], regression("y", ["x"]), []
    for seed in range(150):
        tables, weights, counts = imputed(seed)
        plain = analyze(tables, line, groups, weights=weights)
        own = analyze(tables, line, groups, weights=weights, replicates=counts)
        assert own.estimate == plain.estimate and own.within == plain.within
        found.append([float(own.estimate), float(own.total), float(plain.total), float(own.interval()[0]), float(own.interval()[1])])
    estimate, total, rubin, low, high = np.array(found).T
    spread = (estimate - 1.0) ** 2
    gap = lambda t: (spread - t).mean() / ((spread - t).std() / len(t) ** 0.5)  # noqa: E731
    assert gap(rubin) > 3 and abs(gap(total)) < 3
    assert ((low <= 1) & (high >= 1)).mean() > 0.95 - 3 * (0.95 * 0.05 / len(low)) ** 0.5


def test_a_shared_error_that_is_the_draws_own_variance_is_rubins_rule():
    rng = np.random.default_rng(0)
    q, groups = rng.normal(size=(24, 2)), np.repeat(np.arange(6), 4)
    u = np.tile(np.eye(2) * 3.0, (24, 1, 1))
    plain = pool(q, u, groups=groups)
    # Moves b - a that lie along a, so that their covariance is W.
    means = np.stack([q[groups == g].mean(0) for g in range(6)])
    own = pool(q, u, groups=groups, replicated=q + (means - means.mean(0))[groups] * (plain.own / plain.between))
    np.testing.assert_allclose(own.shared, plain.own)
    np.testing.assert_allclose(own.total, plain.total)
    np.testing.assert_allclose(np.diagonal(own.covariance), own.total)
    # T = U + (1 + 1/G) B + (1 - 1/n) W + 2 (C - W).
    twice = pool(q, u, groups=groups, replicated=q + (means - means.mean(0))[groups] * (2 * plain.own / plain.between))
    np.testing.assert_allclose(twice.total, plain.total + 2 * plain.own)


def test_degrees_of_freedom_are_of_the_variance_of_normal_members():
    rng, members, between, move, c = np.random.default_rng(1), 8, 0.5, 1.5, 0.6
    law = np.linalg.cholesky([[between, c], [c, move]])
    found = []
    for _ in range(2000):
        a, d = law @ rng.normal(size=(2, members))
        q = np.repeat(a, 2) + np.tile([1.0, -1.0], members) * 1e-6  # hardly any W
        found.append(pool(q, np.full(2 * members, move), groups=np.repeat(range(members), 2), replicated=q + np.repeat(d, 2)))
    totals = np.array([float(one.total) for one in found])
    at = pool(q, np.full(2 * members, move), groups=np.repeat(range(members), 2), replicated=q)
    known = np.array([between, c, float(totals.mean())])
    k = 1 + 1 / members
    varies = (2 * (k * known[0] + 2 * known[1]) ** 2 + 4 * (known[0] * move - known[1] ** 2)) / (members - 1)
    assert at.shared == pytest.approx(0, abs=1e-12)
    assert totals.mean() == pytest.approx(move + k * between + 2 * c, rel=0.03)
    assert totals.var() == pytest.approx(varies, rel=0.15)


def test_a_replicate_of_a_design_counts_rows_as_often():
    design, y = Design([1.0, 2.0, 4.0], clusters=["a", "b", "c"]), np.array([1.0, 5.0, 2.0])
    assert design.replicate([2, 0, 1]).mean(y)[0] == pytest.approx(10 / 6)
    assert design.mean(y)[0] == pytest.approx(19 / 7)


@pytest.mark.parametrize(
    ("groups", "options", "said"),
    [
        (None, {"weights": [1.0, 2.0]}, r"^replicates: got 4, expected groups of 8 tables"),
        ([0, 1] * 4, {}, "^replicates: got some without a design"),
        ([0, 9] * 4, {"weights": [1.0, 2.0]}, "^replicates: got 4, expected groups of 8 tables among 0 to 3"),
        ([0, 1] * 4, {"weights": [1.0, 2.0]}, r"^replicated: got shape \(8,\) in 2 groups"),
        (range(8), {"weights": [1.0, 2.0], "replicates": np.ones((8, 2))}, r"^replicated: got shape \(8,\) in 8 groups"),
        (
            [0, 1] * 4,
            {"weights": [1.0, 2.0], "replicates": np.ones((4, 3))},
            r"^replicates: got shape \(4, 3\), expected \(members, 2\)",
        ),
    ],
)
def test_replicates_that_do_not_fit_are_refused(groups, options, said):
    tables = [np.array([[1.0], [x]]) for x in range(8)]
    mean = lambda table, design: design.mean(table[:, 0])  # noqa: E731
    with pytest.raises(ValueError, match=said):
        analyze(tables, mean, groups, **({"replicates": np.ones((4, 2))} | options))


def test_draws_needed_where_replicates_leave_less_than_the_variance_within():
    rng = np.random.default_rng(0)
    q, groups = rng.normal(size=24), np.repeat(np.arange(6), 4)
    u = np.full(24, 3.0)
    means = np.array([q[groups == g].mean() for g in range(6)])
    plain = pool(q, u, groups=groups)
    # Moves b - a against a, so that C is negative: T is below U, and no share of it is due to missing values.
    pooled = pool(q, u, groups=groups, replicated=q - 1.2 * (means - means.mean())[groups])
    assert float(pooled.shared) < 0 and float(pooled.total) < float(pooled.within) and float(pooled.missing_share) == 0
    assert 2 <= pooled.draws_needed() < 10_000
    assert pooled.draws_needed(0.1) < pooled.draws_needed(0.05) and plain.draws_needed() > 0
