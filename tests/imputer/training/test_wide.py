"""Tables of more columns than rows: what is left out, and what grows no faster than it must."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.distributions import continuous
from pyro_mnar.imputation import resampling
from pyro_mnar.imputation.ensemble import impute, score_ensemble
from pyro_mnar.imputation.weighted_draws import weighted_draws
from pyro_mnar.imputer.reason_selection import pilots
from pyro_mnar.imputer.training.factors import MOST, factors_of, latents_of
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.model.missing_cells import ColumnGroup
from pyro_mnar.model.selection import SelectionDistribution
from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder
from pyro_mnar.networks.decoders import GaussianDecoder


def table(rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, columns)) + 0.5 * rng.normal(size=(rows, columns))
    return np.where(rng.random(x.shape) < 0.2, np.nan, x)


@pytest.mark.filterwarnings("ignore:.*never seen in the same row")
def test_effects_of_all_columns_on_all_masks_are_left_out_where_they_could_not_pay(monkeypatch):
    monkeypatch.setattr(pilots, "_MANY", 1000)
    imputer = MNARImputer(steps=1, members=1, hidden=(), progress=False)
    for columns, there in ((6, True), (40, False)):
        with nullcontext() if there else pytest.warns(UserWarning, match="whether masks read other columns was not tried: 40 columns"):
            fitted = imputer.fit(table(10, columns))
        assert any(candidate.earlier == "all" for candidate in fitted.candidates_) == there
        assert np.isfinite(fitted.candidates_[0].score) and np.isfinite(fitted.reasons_["ignorable_mean"]).all()
    assert max(p.numel() for p in fitted.members_[0].mechanism.parameters()) < 40 * 40


def related(rows, columns, factors, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, factors)) @ rng.normal(size=(factors, columns)) / factors**0.5 + rng.normal(size=(rows, columns))
    return x, rng.random(x.shape) < 0.7


def test_factors_are_counted():
    found = [factors_of(*related(100, 400, 6, seed)) for seed in range(20)]
    assert np.mean(np.equal(found, 6)) > 0.8 and set(found) <= {5, 6, 7}
    noise = [np.random.default_rng(seed).normal(size=(30, 200)) for seed in range(3)]
    assert [factors_of(x, x > -9) for x in noise] == [1, 1, 1]


def test_latents_are_the_factors_of_many_columns_and_of_fewer_twice_as_many_up_to_a_most(seed):
    x, mask = related(300, 60, 8, seed)
    shown = factors_of(x, mask)
    assert shown > 5 and latents_of(x, mask, 10) == 10 and latents_of(x, mask, 40) == 2 * shown
    x, mask = related(100, 400, 6, seed)
    assert latents_of(x, mask, 2) == factors_of(x, mask)


@pytest.mark.filterwarnings("error")
def test_factors_do_not_hang_on_units_on_what_stands_in_holes_or_on_columns_that_say_nothing(seed):
    rng = np.random.default_rng(seed)
    x, _ = related(100, 400, 6, seed)
    mask = rng.random(x.shape) < np.linspace(0.4, 0.95, 400)
    found = factors_of(x, mask)
    moved = np.where(mask, rng.uniform(-300, 300, 400) + np.exp(2 * rng.normal(size=400)) * x, 1e6)
    assert 5 <= found <= 7 and factors_of(moved, mask) == found
    moved[:, 7], mask[:, 8] = 3.0, False
    assert abs(factors_of(moved, mask) - found) <= 1
    many = rng.normal(size=(200, 60)) @ rng.normal(size=(60, 400))
    assert factors_of(many, many == many) == MOST


@pytest.mark.parametrize(
    ("rows", "columns", "asked", "latents", "layers"),
    [
        (40, 120, {}, 3, ()),
        (99, 20, {}, 6, ()),
        (30, 12, {}, 6, ()),
        (9, 4, {}, 2, ()),
        (100, 20, {}, 10, (128,)),
        (99, 20, {"latent_dim": 5}, 5, ()),
        (99, 20, {"hidden": (8,)}, 6, (8,)),
        (100, 20, {"hidden": ()}, 10, ()),
        (99, 20, {"hidden": np.array([8, 4])}, 6, (8, 4)),
        (20, 6, {"kinds": {0: "semicontinuous"}}, 5, ()),
    ],
)
def test_short_tables_have_no_layers_and_latents_by_the_factors_that_they_show(rows, columns, asked, latents, layers):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, columns)) + 0.5 * rng.normal(size=(rows, columns))
    x[:, 0] = x[:, 0].clip(0) if "kinds" in asked else x[:, 0]
    x[0, 0] = np.nan
    fitted = MNARImputer("none", steps=1, members=1, progress=False, **asked).fit(x).specification_
    assert (fitted.latent_dim, fitted.hidden) == (latents, layers)


def test_rows_count_by_their_weights_for_what_a_short_table_is():
    x, mask = related(60, 20, 3, 0)
    imputer = MNARImputer("none", steps=1, members=1, progress=False)
    holed = np.where(mask, x, np.nan)
    assert [imputer.fit(holed, sample_weight=w).specification_.hidden for w in (None, np.ones(60), np.full(60, 2.0))] == [
        (),
        (),
        (128,),
    ]


def test_short_tables_are_not_learned_by_heart(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 30)) / 3**0.5 + 0.5 * rng.normal(size=(60, 30))
    mask = rng.random(x.shape) < 0.7

    def found(**settings):
        imputer = MNARImputer("none", members=2, progress=False, random_state=seed, **settings).fit(np.where(mask, x, np.nan))
        draws = imputer.impute(np.where(mask, x, np.nan), draws=60).draws.numpy()[:, ~mask]
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        return np.abs(draws.mean(0) - x[~mask]).mean(), ((low <= x[~mask]) & (x[~mask] <= high)).mean()

    (error, covered), (by_heart, hardly) = found(), found(hidden=(128,), latent_dim=10)
    assert error < by_heart and covered > hardly + 0.05 and covered > 0.65


def test_an_encoder_without_network_has_no_numbers_of_pairs_of_columns(tmp_path):
    member = Specification("none", (), (), ("continuous",) * 50, 3, (), members=1).models()[0]
    assert sum(p.numel() for p in member.encoder.parameters()) == 2 * 50 + 2 * 3
    x, mask = related(20, 5, 2, 0)
    imputer = MNARImputer("none", steps=3, members=2, hidden=(), progress=False).fit(np.where(mask, x, np.nan))
    imputer.save(tmp_path / "model")
    again = MNARImputer.load(tmp_path / "model")
    assert np.array_equal(again.transform(x * np.where(mask, 1, np.nan)), imputer.transform(x * np.where(mask, 1, np.nan)))


def test_an_encoder_without_network_is_the_closed_form_for_a_whole_row():
    torch.manual_seed(0)
    decoder = GaussianDecoder(2, 6, hidden=()).double()
    encoder = ConjugateEncoder(decoder, hidden=()).double()
    x = torch.randn(4, 6).double()
    law = encoder(x, torch.ones(4, 6, dtype=torch.bool))
    weight, variance = decoder.linear.weight, decoder.scale(torch.zeros(2)).square()
    precision = weight.T @ (weight / variance.unsqueeze(-1)) + torch.eye(2)
    assert torch.allclose(law.loc, torch.linalg.solve(precision, ((x - decoder.linear.bias) / variance @ weight).T).T)


def test_fewer_rows_at_once_give_the_same_bits(monkeypatch):
    x = torch.from_numpy(table(40, 13)).float()
    mask = ~x.isnan()
    member = Specification("self-masking", tuple(range(13)), ("low",) * 13, ("continuous",) * 13, 3, (8,), members=1).models()[0].eval()
    calls = []
    weigh = resampling.weigh
    for module in ("impute", "weighed_rows", "weighted_draws"):
        name = f"pyro_mnar.imputation.{module}.weigh"
        monkeypatch.setattr(name, lambda bound, x, *rest: calls.append(len(x)) or weigh(bound, x, *rest), raising=False)

    def found():
        calls.clear()
        whole = impute(member, x, mask, draws=3, particles=100, progress=False)
        return whole.completed, whole.draws, *weighted_draws(member, x, mask, 100)

    many = found()
    assert set(calls) == {64}
    monkeypatch.setattr(resampling, "_CELLS", 100 * 13 * 8)
    few = found()
    assert set(calls) == {8}
    assert all(torch.equal(one, other) for one, other in zip(many, few, strict=True))


def test_pilots_are_scored_some_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(resampling, "_CELLS", 100 * 4 * 16)
    seen, log_prob = [], SelectionDistribution.log_prob
    monkeypatch.setattr(SelectionDistribution, "log_prob", lambda law, value: seen.append(len(value)) or log_prob(law, value))
    member = Specification("none", (), (), ("continuous",) * 4, 2, (), members=1).models()[0]
    x = torch.randn(40, 4)
    assert score_ensemble([member], x, x < 1, particles=100).shape == (40,)
    assert seen == [16, 16, 8]


def test_means_of_functions_copy_the_table_no_oftener_for_more_columns(monkeypatch):
    counts, put = [], ColumnGroup.put
    monkeypatch.setattr(ColumnGroup, "put", lambda group, cells, rows: counts.append(rows.numel()) or put(group, cells, rows))
    for columns in (4, 8):
        torch.manual_seed(0)
        law = continuous.Normal(torch.randn(5, 3, columns), torch.ones(columns)).to_event(1)
        rows = torch.randn(3, columns).masked_fill(torch.rand(3, columns) < 0.5, torch.nan)
        cells = SelectionDistribution(law, SelfMasking(columns, direction="high")).conditional(rows)
        functions = {j: (lambda values, j=j: values + j) for j in range(columns)}
        shifted = cells.mean_of(functions)
        hidden = rows.isnan().expand_as(shifted)
        assert torch.allclose(shifted[hidden], (cells.mean + torch.arange(columns))[hidden], atol=1e-4)
        assert not shifted[~hidden].any()
        some = cells.mean_of({1: torch.exp})
        assert torch.equal(some[..., 0], cells.mean[..., 0])
        counts.append("next")
    first, second = counts[: counts.index("next")], counts[counts.index("next") + 1 : -1]
    assert len(first) == len(second)
