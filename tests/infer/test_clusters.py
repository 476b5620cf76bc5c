"""Members' tables where rows were sampled by clusters: what they tell of a total is its linearized variance."""

import numpy as np
import torch

from pyro_mnar.analysis import Design
from pyro_mnar.infer import ensembles
from pyro_mnar.infer.clusters import by_clusters
from pyro_mnar.infer.history import History

STRATA = np.repeat(["a", "b", "c"], [8, 12, 10])
CLUSTERS = np.array([0, 0, 0, 0, 1, 1, 1, 1, *np.repeat([2, 3, 4], 4), *np.repeat([5, 6, 7, 8, 9], 2)])


def test_a_total_varies_between_members_by_its_linearized_variance():
    rng = np.random.default_rng(0)
    design = Design(rng.uniform(1, 5, 30), STRATA, CLUSTERS)
    y = rng.normal(size=30) + CLUSTERS
    totals = np.array([by_clusters(design.units, seed) @ (design.weights * y) for seed in range(4000)])
    exact = design.covariance((design.weights * y)[:, None])[0, 0]
    apart = (totals - design.weights @ y) ** 2
    assert abs(totals.mean() - design.weights @ y) < 4 * (exact / 4000) ** 0.5
    assert abs(apart.mean() - exact) < 4 * apart.std() / 4000**0.5


def test_every_seed_has_a_table_of_its_own():
    units = np.array([np.zeros(100, int), np.arange(100)])
    assert len({tuple(by_clusters(units, seed)) for seed in range(50)}) == 50


def test_members_are_fitted_to_whole_clusters(monkeypatch):
    units, seen = torch.from_numpy(Design(strata=STRATA, clusters=CLUSTERS).units), []
    x = torch.arange(30.0).unsqueeze(-1)

    def train(bound, x, mask, *, weights, **options):
        seen.append((x[:, 0], weights))
        return History([], 0, "steps")

    monkeypatch.setattr(ensembles, "train", train)
    members = [torch.nn.Linear(1, 1) for _ in range(3)]
    weights = torch.linspace(1, 2, 30)
    ensembles.fit(members, x, x > -1, weights=weights, units=units, seed=5, progress=False)
    for i, (rows, own) in enumerate(seen):
        counts = by_clusters(units.numpy(), ensembles.member_seed(5, i))
        np.testing.assert_array_equal(rows, np.flatnonzero(counts))
        torch.testing.assert_close(own, weights[rows.long()] * torch.from_numpy(counts)[rows.long()].float())
        for cluster in range(10):
            assert len(set(counts[cluster == CLUSTERS])) == 1


def test_units_are_places_of_strata_and_of_clusters_within_them():
    units = Design(strata=["u", "v", "u", "v"], clusters=["x", "x", "y", "y"]).units
    assert units[0].tolist() == [0, 1, 0, 1]
    assert len(set(units[1])) == 4  # cluster x of u is another than that of v
