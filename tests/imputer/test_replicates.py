"""How often each row was in each member's table, as analyses of a design ask for it."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer, analyze
from pyro_mnar.imputer.tables.given import units_of
from pyro_mnar.infer import ensembles


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(40, 2)), columns=["x", "y"])
    table.loc[rng.random(40) < 0.3, "y"] = np.nan
    return table.assign(school=np.arange(40) // 4)


def quick(**settings):
    return MNARImputer(**{"mechanism": "none", "members": 4, "steps": 3, "hidden": [4], "progress": False} | settings)


@pytest.mark.parametrize("way", ["plain", "weights", "whole", "clusters"])
def test_replicates_are_the_tables_that_members_were_fitted_to(frame, way, monkeypatch, tmp_path):
    given = {
        "plain": {},
        "weights": {"sample_weight": np.linspace(0.5, 1.5, 40)},
        "whole": {"sample_weight": np.tile([1.0, 3.0], 20)},
        "clusters": {"clusters": "school", "sample_weight": np.linspace(0.9, 1.1, 40)},
    }[way]
    trained, seen = ensembles.train, []

    def train(bound, x, mask, *, weights, copies, **options):
        seen.append(np.bincount(copies.numpy(), None if weights is None else weights.numpy(), 40))
        return trained(bound, x, mask, weights=weights, copies=copies, **options)

    monkeypatch.setattr(ensembles, "train", train)
    fitted = quick().fit(frame, **given)
    found = fitted.replicates(frame, **given)
    np.testing.assert_allclose(found * given.get("sample_weight", 1.0), seen, rtol=1e-6)
    assert len({tuple(row) for row in found}) == 4
    fitted.save(tmp_path / "model")
    np.testing.assert_array_equal(MNARImputer.load(tmp_path / "model").replicates(frame, **given), found)
    if way == "clusters":
        assert all(len(set(row[4 * k : 4 * k + 4].round(5))) == 1 for row in found for k in range(10))
        tables = fitted.sample(frame, 8)
        mean = lambda table, design: design.mean(table.y)  # noqa: E731
        by = {"clusters": "school", "replicates": found}
        pooled = analyze(tables, mean, fitted.members_of(8), **by)
        assert pooled.shared is not None and pooled.total > 0


def test_one_model_alone_is_fitted_to_the_table_itself(frame):
    weights = np.linspace(0.5, 1.5, 40)
    fitted = quick(members=1).fit(frame, sample_weight=weights, clusters="school")
    np.testing.assert_array_equal(fitted.replicates(frame, sample_weight=weights, clusters="school"), np.ones((1, 40)))


def test_a_design_that_does_not_fit_is_refused(frame):
    with pytest.raises(ValueError, match="^strata: got unknown column 'town'"):
        quick().fit(frame, strata="town")
    with pytest.raises(ValueError, match="^strata, clusters: got 1 cluster in stratum 0"):
        quick().fit(frame, strata=np.minimum(np.arange(40), 1))
    assert units_of(frame, None, None) is None


def test_a_fit_by_clusters_goes_on_by_the_same_clusters_alone(frame, tmp_path):
    first = quick().fit(frame, clusters="school", checkpoint=tmp_path / "run")
    again = quick().fit(frame, clusters="school", checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(first.transform(frame), again.transform(frame))
    with pytest.raises(ValueError, match="another"):
        quick().fit(frame, checkpoint=tmp_path / "run")
