"""What ArviZ is given: groups, labels, likelihoods by exact values, replicates by theirs; ArviZ's functions run on it."""

import warnings
from dataclasses import replace

import arviz
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, Z_MAX, PosteriorEncoder, self_masking, z_score
from own_model import GammaRate
from scipy import special, stats
from torch import nn

from pyro_mnar.data import Scaling
from pyro_mnar.diagnostics.arviz import to_arviz
from pyro_mnar.imputation import resampling
from pyro_mnar.imputation.importance import sample_importance, weight_table
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.mechanisms import LinearMasking, SelfMasking
from pyro_mnar.mechanisms.mixed_masking import MixedMasking
from pyro_mnar.model import MNAR, SelectionDistribution
from pyro_mnar.model.tilts import EnergyTilt

X, MASK = torch.from_numpy(ROWS), torch.from_numpy(MASKS)
LABELS, COLUMNS = ["ann", "bob", "cat", "dan", "eve"], ["age", "income", "size", "debt"]
GROUPS = ["constant_data", "log_likelihood", "observed_data", "posterior", "posterior_predictive", "prior_predictive", "sample_stats"]


def mnar(mechanism=None):
    return MNAR(LAW.decoder(), PosteriorEncoder(LAW), mechanism).double()


MODEL = mnar(self_masking(SLOPE, INTERCEPT))


def importance(model=MODEL, x=X, mask=MASK, **settings):
    return sample_importance(model, x, mask, progress=False, **settings)


@pytest.fixture(scope="module")
def chains():
    return sample_posterior(MODEL, X, MASK, chains=2, draws=60, warmup=60, progress=False)


@pytest.fixture(scope="module", params=["mcmc", "importance"])
def data(request, chains):
    draws = chains if request.param == "mcmc" else importance(draws=60, chains=2)
    return draws, to_arviz(draws, MODEL, X, MASK, rows=LABELS, columns=COLUMNS)


class Components(nn.Module):
    """A discrete latent that is summed out beside one that is drawn."""

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            kind = pyro.sample("kind", dist.Bernoulli(x.new_tensor(0.5)), infer={"enumerate": "parallel"})
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            cells = dist.Normal(z + kind.unsqueeze(-1) + x.new_zeros(x.shape[-1]), 1.0).to_event(1)
            pyro.sample("x", SelectionDistribution(cells), obs=torch.where(mask, x, torch.nan))

    def guide(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))


def test_a_model_that_sums_a_latent_out_has_the_groups_that_need_no_drawing_of_its_sites():
    tree = to_arviz(importance(Components(), draws=6), Components(), X, MASK)
    assert sorted(tree.groups()) == ["constant_data", "observed_data", "posterior", "sample_stats"]
    assert {"z", "kind", "x_mis"} == set(tree.posterior.data_vars)


def test_draws_without_what_they_are_of_are_refused():
    draws = importance(draws=4)
    for given in ((), (MODEL,), (MODEL, X)):
        with pytest.raises(TypeError, match="^module, x, mask: got none, expected those that the draws are of"):
            to_arviz(draws, *given)


def test_every_group_is_there_and_missing_cells_are_labeled_by_row_and_column(data):
    draws, tree = data
    assert sorted(tree.groups()) == GROUPS
    posterior = tree.posterior
    assert posterior.z.dims == ("chain", "draw", "row", "z_dim_0") and posterior.x_mis.dims == ("chain", "draw", "cell")
    assert posterior.sizes["cell"] == (~MASK).sum() == 8
    for i, j in (~MASK).nonzero().tolist():
        cell = posterior.x_mis.sel(cell=f"{LABELS[i]}, {COLUMNS[j]}")
        np.testing.assert_array_equal(cell, draws.x[:, :, i, j])
    assert tree.constant_data.cell_row.values[0] == "bob" and tree.constant_data.cell_column.values[0] == "age"
    np.testing.assert_array_equal(tree.observed_data.x, np.where(MASKS, ROWS, np.nan))
    np.testing.assert_array_equal(tree.observed_data.mask, MASKS)
    assert tree.observed_data.x.sel(row="eve", column="debt") == ROWS[4, 3]
    for group, n_chains in (("posterior_predictive", 2), ("prior_predictive", 1)):
        replicates = tree[group]
        assert replicates.x.shape == replicates["mask"].shape == (n_chains, 60, 5, 4)
        np.testing.assert_array_equal(np.isnan(replicates.x), ~replicates["mask"])
        # Nothing is said of the masks of column "size": they are the data's.
        np.testing.assert_array_equal(replicates["mask"].sel(column="size"), np.broadcast_to(MASKS[:, 2], (n_chains, 60, 5)))


def test_statistics_of_all_rows_and_of_each(chains):
    tree = to_arviz(chains, MODEL, X, MASK)
    stats_, diverging = tree.sample_stats, chains.diverging.clone()
    np.testing.assert_allclose(stats_.energy, chains.energy.sum(-1))
    np.testing.assert_allclose(stats_.acceptance_rate, chains.acceptance.mean(-1))
    np.testing.assert_array_equal(stats_.row_step_size, chains.step_size)
    np.testing.assert_array_equal(stats_.row_energy, chains.energy)
    diverging[0, 3, 2] = True
    lost = to_arviz(replace(chains, diverging=diverging), MODEL, X, MASK).sample_stats
    assert int(lost.diverging.sum()) == 1 and bool(lost.diverging[0, 3]) and bool(lost.row_diverging[0, 3, 2])


def test_importance_weights_and_their_pareto_k(monkeypatch):
    raw = []
    smooth = resampling.smooth
    monkeypatch.setattr(resampling, "smooth", lambda log_w: smooth(raw.append(log_w) or log_w))
    draws = importance(chains=3, draws=20, particles=300)
    stats_ = to_arviz(draws, MODEL, X, MASK, rows=LABELS).sample_stats
    assert dict(stats_.sizes) == {"chain": 3, "particle": 300, "row": 5}
    np.testing.assert_allclose(1 / np.square(np.exp(stats_.log_weight)).sum("particle"), stats_.importance_ess, rtol=1e-9)
    for chain in range(3):
        for i, row in enumerate(LABELS):
            # This guide's draws have no inverse distribution function, so rows come one at a time.
            theirs, k = arviz.psislw(raw[5 * chain + i][:, 0].numpy())
            own = stats_.sel(row=row, chain=chain)
            np.testing.assert_allclose(np.exp(own.log_weight), np.exp(theirs), atol=1e-8)
            assert float(own.pareto_k) == pytest.approx(float(k), abs=1e-6)


def test_the_log_likelihood_is_that_of_what_was_seen(data):
    """By hand: a missing cell counts by its integrated mask, an observed one by its density and its mask."""
    draws, tree = data
    z = draws.latents["z"].numpy()
    mean, noise = z @ LAW.weight.T + LAW.bias, LAW.noise
    modeled, slope = ~np.isnan(SLOPE), np.nan_to_num(SLOPE)
    seen = stats.norm.logpdf(ROWS, mean, noise) + np.where(modeled, special.log_ndtr(-(slope * ROWS + INTERCEPT)), 0)
    hidden = np.where(modeled, special.log_ndtr((slope * mean + INTERCEPT) / np.sqrt(1 + slope**2 * noise**2)), 0)
    exact = np.where(MASKS, seen, hidden).sum(-1)
    np.testing.assert_allclose(tree.log_likelihood.x, exact, rtol=1e-9)


def test_no_number_depends_on_what_fills_the_holes(chains):
    filled = [to_arviz(chains, MODEL, torch.where(MASK, X, filler), MASK) for filler in (0.0, torch.nan, 1e6)]
    for other in filled[1:]:
        for group in GROUPS:
            for name, variable in filled[0][group].data_vars.items():
                np.testing.assert_array_equal(variable, other[group][name])


def test_the_table_s_units(chains):
    scaling = Scaling(np.array([1.0, -2.0, 0.0, 5.0]), np.array([2.0, 0.5, 3.0, 1.0]))
    plain, scaled = (to_arviz(chains, MODEL, X, MASK, codec=given) for given in (None, scaling))
    for group in ("posterior_predictive", "prior_predictive", "observed_data"):
        np.testing.assert_allclose(scaled[group].x, scaling.invert(plain[group].x.values))
    center, scale = (np.broadcast_to(v, MASKS.shape)[~MASKS] for v in (scaling.center, scaling.scale))
    np.testing.assert_allclose(scaled.posterior.x_mis, plain.posterior.x_mis * scale + center)
    difference = scaled.log_likelihood.x - plain.log_likelihood.x
    np.testing.assert_allclose(difference[0, 0], -(MASKS * np.log(scaling.scale)).sum(1), rtol=1e-9)


def test_replicates_of_the_prior_have_the_model_s_own_moments(seed):
    """Against the law itself: missing rates, and means of what is seen, by the extended skew-normal."""
    x, mask = torch.zeros(1, 4).double(), torch.zeros(1, 4, dtype=torch.bool)
    mask[0, 2] = True
    tree = to_arviz(importance(x=x, mask=mask, draws=4000, chains=1, seed=seed), MODEL, x, mask, seed=seed)
    made, seen = (torch.from_numpy(tree.prior_predictive[name].values[0, :, 0]) for name in ("x", "mask"))
    sd = np.sqrt(np.diag(LAW.cov))
    for j in (0, 1, 3):
        rate = stats.norm.cdf((SLOPE[j] * LAW.bias[j] + INTERCEPT[j]) / np.sqrt(1 + SLOPE[j] ** 2 * sd[j] ** 2))
        assert abs(z_score(1 - seen[:, j].double(), rate)) < Z_MAX
        grid = np.linspace(-9, 9, 4001) * sd[j] + LAW.bias[j]
        weight = stats.norm.pdf(grid, LAW.bias[j], sd[j]) * special.ndtr(-(SLOPE[j] * grid + INTERCEPT[j]))
        own = made[seen[:, j], j]
        assert abs(z_score(own, (weight * grid).sum() / weight.sum())) < Z_MAX
    # The mask of a column without mechanism is the data's, and its values have the column's own mean.
    assert bool(seen[:, 2].all()) and abs(z_score(made[:, 2], LAW.bias[2])) < Z_MAX


def test_replicates_of_the_posterior_are_given_the_row_s_latents(seed):
    draws = importance(draws=400, chains=2, seed=seed)
    made = to_arviz(draws, mnar(), X, MASK, seed=seed).posterior_predictive
    assert "mask" not in made  # nothing was said of it
    x = torch.from_numpy(made.x.values)
    assert torch.equal(x.isfinite(), MASK.expand_as(x))
    off = (x - (draws.latents["z"] @ torch.from_numpy(LAW.weight).T + torch.from_numpy(LAW.bias)))[..., MASK].flatten(0, 1)
    noise = torch.from_numpy(np.broadcast_to(LAW.noise, MASKS.shape)[MASKS])
    assert (z_score(off, 0.0).abs() < Z_MAX).all() and (z_score(off.square(), noise**2).abs() < Z_MAX).all()


def test_a_coupled_mechanism_s_masks_are_replicated_whole(seed):
    """A mask that reads another column: the other column is seen, so the replicated mask follows its replicate."""
    linear = LinearMasking(4, [0]).double()
    with torch.no_grad():
        linear.score.weight.zero_()[0, 2] = 8.0
        linear.score.bias.zero_()
    model = mnar(MixedMasking(linear, SelfMasking(4, [1]).double()))
    tree = to_arviz(importance(model, draws=200, chains=1, seed=seed), model, X, MASK)
    made = tree.prior_predictive
    seen, reads = made["mask"].values[0, ..., 0].ravel(), made.x.values[0, ..., 2].ravel()
    assert (~seen)[reads > 0.5].mean() > 0.95 and (~seen)[reads < -0.5].mean() < 0.05
    assert tree.posterior.noise.dims == ("chain", "draw", "row", "noise_dim_0") and tree.log_likelihood.x.notnull().all()


def test_any_model_is_converted_and_a_row_s_draws_are_its_own(seed):
    x, mask = torch.tensor([[3.0, 0.0], [0.1, 0.0]]), torch.tensor([[True, False]] * 2)
    draws = importance(GammaRate(), x, mask, draws=50, labels=["a", "b"], seed=seed)
    tree = to_arviz(draws, GammaRate(), x, mask)
    exact = stats.norm.logpdf(x[:, 0], draws.latents["rate"], 1)
    np.testing.assert_allclose(tree.log_likelihood.x, exact, rtol=1e-4)
    assert tree.posterior_predictive.x.shape == (4, 50, 2, 2) and bool(tree.posterior_predictive.x.notnull().all())
    alone = importance(GammaRate(), x[1:], mask[1:], draws=50, labels=["b"], seed=seed)
    assert torch.equal(alone.x[:, :, 0], draws.x[:, :, 1]) and torch.equal(alone.log_weights[..., 0], draws.log_weights[..., 1])
    assert torch.equal(alone.latents["rate"][..., 0], draws.latents["rate"][..., 1])


def test_of_a_tilted_model_nothing_is_replicated():
    class Square(nn.Module):
        def forward(self, x):
            return 0.1 * x.square().sum(-1)

    model = MNAR(LAW.decoder(), PosteriorEncoder(LAW), self_masking(SLOPE, INTERCEPT), tilt=EnergyTilt(Square())).double()
    draws = importance(model, draws=10, chains=2)
    tree = to_arviz(draws, model, X, MASK)
    assert sorted(tree.groups()) == ["constant_data", "observed_data", "posterior", "sample_stats"]
    np.testing.assert_array_equal(tree.posterior.x_mis, draws.x[:, :, ~MASK])


def test_importance_draws_have_the_exact_moments(seed):
    n = 40
    x, mask = X[1].repeat(n, 1), MASK[1].repeat(n, 1)
    draws = importance(x=x, mask=mask, draws=50, chains=2, particles=1000, seed=seed)
    exact = LAW.probit_one(ROWS[1], MASKS[1], SLOPE, INTERCEPT)
    values = draws.x[..., 0]
    # A row's draws of one chain share particles; rows and chains do not.
    means, squares = values.mean(1).flatten(), (values - exact.mean[0]).square().mean(1).flatten()
    assert abs(z_score(means, exact.mean[0])) < Z_MAX and abs(z_score(squares, exact.cov[0, 0])) < Z_MAX
    assert torch.equal(draws.x[..., 1:], x[:, 1:].expand(2, 50, n, 3)) and not (draws.log_weights[0] == draws.log_weights[1]).any()
    assert draws.latents["z"].shape == (2, 50, n, 2) and draws.log_weights.shape == (2, 1000, n)


def quietly(run, *arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ 0.23 uses what Matplotlib 3.11 deprecates
        return run(*arguments, **settings)


def test_arviz_s_summaries_and_plots_run_on_it(data):
    from matplotlib import pyplot

    draws, tree = data
    table = arviz.summary(tree)
    assert len(table) == 5 * 2 + 8 and "x_mis[bob, age]" in table.index
    exact = float(draws.x[:, :, 1, 0].mean())
    assert table.loc["x_mis[bob, age]", "mean"] == pytest.approx(exact, abs=1e-3)
    assert float(arviz.ess(tree).x_mis.min()) > 10 and float(arviz.rhat(tree).z.max()) < 1.5
    for plot in (arviz.plot_trace, arviz.plot_rank, arviz.plot_forest):
        quietly(plot, tree, var_names=["x_mis"])
    quietly(arviz.plot_trace, tree.sel(row="bob"))
    if "energy" in tree.sample_stats:
        quietly(arviz.plot_energy, tree)
    quietly(arviz.loo, tree)  # it runs; what it says is for draws over parameters only
    pyplot.close("all")


def test_netcdf_and_back(data, tmp_path):
    _, tree = data
    tree.to_netcdf(str(tmp_path / "d.nc"), engine="h5netcdf")
    back = arviz.from_netcdf(str(tmp_path / "d.nc"), engine="h5netcdf")
    assert sorted(back.groups()) == GROUPS
    for group in GROUPS:
        for name, variable in tree[group].variables.items():
            np.testing.assert_array_equal(variable, back[group][name], err_msg=f"{group} {name}")
    assert back.posterior.x_mis.sel(cell="dan, income").shape == (2, 60)


def test_a_table_without_holes_has_no_missing_cells_to_show():
    mask = torch.ones_like(MASK)
    tree = to_arviz(importance(mask=mask, draws=5), MODEL, X, mask)
    assert "x_mis" not in tree.posterior and "constant_data" not in tree.groups()
    assert len(arviz.summary(tree)) == 10


def test_one_row_and_one_chain():
    tree = to_arviz(importance(x=X[1:2], mask=MASK[1:2], draws=30, chains=1), MODEL, X[1:2], MASK[1:2])
    assert tree.posterior.x_mis.shape == (1, 30, 1) and np.isnan(arviz.rhat(tree).x_mis).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": ["a"]}, "rows: got 1 labels, expected 5"),
        ({"rows": ["a", "b", "c", "d", "a"]}, "rows: got 'a' more than once"),
        ({"rows": [1, 2, 3, 4, "1"]}, "rows: got '1' more than once"),
        ({"columns": ["a", "b", "a", "c"]}, "columns: got 'a' more than once"),
        # Different rows and columns whose cells are of one name.
        ({"rows": ["r", "r, a", "s", "t", "r, b"], "columns": ["b", "c", "a, b", "a, c"]}, None),
        ({"rows": ["p", "r", "r, a", "t", "u"], "columns": ["a, b", "b", "c", "d"]}, "rows, columns: got 'r, a, b' more than once"),
    ],
)
def test_labels_that_collide_are_refused(chains, wrong, said):
    if said is None:
        to_arviz(chains, MODEL, X, MASK, **wrong)
        return
    with pytest.raises(ValueError, match=said):
        to_arviz(chains, MODEL, X, MASK, **wrong)


@pytest.mark.parametrize("name", ["row", "x_mis", "chain"])
def test_a_latent_with_a_name_that_is_taken_is_refused(name):
    x, mask = torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool)
    draws = importance(GammaRate(name), x, mask, draws=5)
    with pytest.raises(ValueError, match=f"got a latent site '{name}'"):
        to_arviz(draws, GammaRate(name), x, mask)


def test_draws_of_other_rows_are_refused(chains):
    with pytest.raises(ValueError, match="x: got shape"):
        to_arviz(chains, MODEL, X[:3], MASK[:3])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"draws": 0}, "draws: got 0"),
        ({"chains": 0}, "chains: got 0"),
        ({"particles": 50}, "particles: got 50"),
        ({"labels": ["a"]}, "labels: got 1 labels, expected 5"),
        ({"mask": MASK.double()}, "mask: got"),
        ({"x": X[:0], "mask": MASK[:0]}, "x: got no rows"),
    ],
)
def test_importance_sampling_refuses(wrong, said):
    with pytest.raises((TypeError, ValueError), match=said):
        importance(**wrong)


def test_weights_row_by_row_the_least_reliable_first():
    draws = importance(draws=5, particles=200)
    bad = replace(draws, pareto_k=torch.tensor([[0.1, 0.9, 0.3, -1.0, 0.7]] * 4))
    table = weight_table(bad, LABELS)
    assert table.index.tolist() == ["bob", "eve", "cat", "ann", "dan"] and table.unreliable.tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert table.ess["ann"] == pytest.approx(float(draws.ess.mean(0)[0]))
    with pytest.raises(ValueError, match="rows: got 2"):
        weight_table(draws, ["a", "b"])
