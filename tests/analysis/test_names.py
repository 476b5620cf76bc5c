"""Names of parameters through an analysis of completed tables."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.analysis import analyze

TABLES = [pd.DataFrame(np.random.default_rng(i).normal(size=(30, 2)), columns=["b", "a"]) for i in range(6)]


def means(form):
    """An analysis: column means and their variances, or covariance, as ``form`` says."""

    def estimate(table):
        variance, covariance = table.var() / len(table), table.cov() / len(table)
        turned = variance[::-1], covariance.iloc[::-1, ::-1]  # in another order than the estimates
        return {
            "plain": (table.mean().to_numpy(), variance.to_numpy()),
            "mapping": (table.mean().to_dict(), turned[0].to_dict()),
            "series": (table.mean(), turned[0], 29),
            "covariance": (table.mean(), turned[1]),
            "array": (table.mean(), variance.to_numpy()),
        }[form]

    return estimate


@pytest.mark.parametrize("form", ["mapping", "series", "covariance", "array"])
def test_estimates_by_name_are_pooled_by_name(form):
    pooled, plain = analyze(TABLES, means(form)), analyze(TABLES, means("plain"))
    assert pooled.names == ("b", "a") and plain.names is None and list(pooled.table().index) == ["b", "a"]
    np.testing.assert_allclose(pooled.estimate, plain.estimate)
    np.testing.assert_allclose(pooled.total, plain.total)
    assert (pooled.within_cov is not None) == (form == "covariance") and pooled.complete_dof == (29 if form == "series" else np.inf)


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"got parameters \('a',\) of completed table 1, expected those of table 0, \('b',\)"):
        analyze(TABLES[:2], lambda table: ({"b" if table is TABLES[0] else "a": 1.0}, [1.0]))
    with pytest.raises(ValueError, match=r"got variances of \['x'\] in completed table 0, expected those of \['b'\]"):
        analyze(TABLES, lambda table: ({"b": 1.0}, {"x": 1.0}))
    with pytest.raises(ValueError, match="completed table 0, expected finite numbers"):
        analyze(TABLES, lambda table: ({"b": np.nan}, {"b": 1.0}))
