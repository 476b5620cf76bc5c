"""Pyro's own MCMC object in ArviZ: draws, divergences, exact log likelihoods."""

from functools import partial
from types import SimpleNamespace

import arviz
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, PosteriorEncoder, self_masking
from pyro.infer import MCMC, NUTS

from pyro_mnar.diagnostics import trees
from pyro_mnar.diagnostics.arviz import to_arviz
from pyro_mnar.infer.shared import SharedLatents
from pyro_mnar.mcmc.langevin import Langevin
from pyro_mnar.model import MNAR

X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)
LABELS, COLUMNS = ["ann", "bob", "cat", "dan", "eve"], ["age", "income", "size", "debt"]


def run(kernel, *args, draws=20, chains=1):
    mcmc = MCMC(kernel, draws, 10, num_chains=chains, disable_progbar=True)
    mcmc.run(*args)
    return mcmc


@pytest.fixture(scope="module")
def module():
    return MNAR(LAW.decoder(), PosteriorEncoder(LAW), self_masking(SLOPE, INTERCEPT)).double().requires_grad_(False)


@pytest.fixture(scope="module", params=[NUTS, Langevin])
def mcmc(request, module):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return run(request.param(module.model), X, MASK)


def test_draws_statistics_and_data_are_there_under_their_labels(mcmc, module):
    tree = to_arviz(mcmc, module, X, MASK, rows=LABELS, columns=COLUMNS)
    assert sorted(tree.groups()) == ["log_likelihood", "observed_data", "posterior", "sample_stats"]
    assert tree.posterior.z.dims == ("chain", "draw", "row", "z_dim_1")
    np.testing.assert_array_equal(tree.posterior.z, mcmc.get_samples(group_by_chain=True)["z"])
    assert tree.observed_data.x.dims == ("row", "column") and tree.observed_data.x.sel(row="eve", column="debt") == ROWS[4, 3]
    np.testing.assert_array_equal(tree.observed_data.x, np.where(MASKS, ROWS, np.nan))
    np.testing.assert_array_equal(tree.observed_data["mask"], MASKS)
    told = mcmc.diagnostics()
    assert float(tree.sample_stats.acceptance_rate[0]) == pytest.approx(told["acceptance rate"]["chain 0"])
    assert tree.sample_stats.diverging.dims == ("chain", "draw")
    assert np.flatnonzero(tree.sample_stats.diverging[0]).tolist() == told["divergences"]["chain 0"]
    assert len(arviz.summary(tree)) == 10


def test_the_log_likelihood_is_that_of_each_row_at_each_draw(mcmc, module):
    tree = to_arviz(mcmc, module, X, MASK, rows=LABELS)
    assert list(tree.log_likelihood) == ["x"] and tree.log_likelihood.x.dims == ("chain", "draw", "row")
    with torch.no_grad():
        for i, z in enumerate(mcmc.get_samples()["z"]):
            trace = pyro.poutine.trace(pyro.poutine.condition(module.model, {"z": z})).get_trace(X, MASK)
            trace.compute_log_prob()
            np.testing.assert_allclose(tree.log_likelihood.x[0, i], trace.nodes["x"]["log_prob"])


def own_model(x):
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with pyro.plate("people", len(x), dim=-1):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        pyro.factor("penalty", -loc.sum(-1).square())
        pyro.sample("y", dist.Normal(loc.sum(-1), scale), obs=x)


def test_any_model_is_converted_its_plates_are_dimensions_and_factors_no_data():
    x = torch.randn(3)
    mcmc = run(NUTS(own_model, max_tree_depth=3), x)
    tree = to_arviz(mcmc, partial(own_model, x))
    assert tree.posterior.scale.dims == ("chain", "draw") and tree.posterior["loc"].dims == ("chain", "draw", "people", "loc_dim_1")
    assert list(tree.log_likelihood) == ["y"] == list(tree.observed_data) and tree.observed_data.y.dims == ("people",)
    samples = mcmc.get_samples()
    expected = dist.Normal(samples["loc"].sum(-1), samples["scale"].unsqueeze(-1)).log_prob(x)
    np.testing.assert_allclose(tree.log_likelihood.y[0], expected, rtol=1e-6)
    alone = to_arviz(mcmc)
    assert sorted(alone.groups()) == ["posterior", "sample_stats"] and alone.posterior["loc"].shape == (1, 20, 3, 2)


def test_a_model_of_shared_latents_is_converted_too():
    class Mean(torch.nn.Module):
        def shared(self):
            return pyro.sample("mean", dist.Normal(0.0, 1.0))

        def model(self, x, mask, mean):
            with pyro.plate("rows", len(x), dim=-1):
                pyro.sample("x", dist.Normal(mean, 1.0).expand([4]).mask(mask).to_event(1), obs=x)

        def guide(self, x, mask, mean):
            pass

    model = SharedLatents(Mean(), 1, seed=0)
    tree = to_arviz(run(NUTS(model, max_tree_depth=3), X.float(), MASK), model, X.float(), MASK)
    assert tree.posterior["mean"].shape == (1, 20)


def test_divergences_of_several_chains_are_put_at_their_draws():
    samples = {"z": torch.randn(2, 6, 3)}
    told = {"divergences": {"chain 0": [], "chain 1": [0, 4]}, "acceptance rate": {"chain 0": 0.9, "chain 1": 0.5}}
    mcmc = MCMC(NUTS(own_model), 6, 0, num_chains=1)
    mcmc._samples = samples
    mcmc.get_samples = lambda group_by_chain: samples
    mcmc.diagnostics = lambda: told
    tree = to_arviz(mcmc)
    np.testing.assert_array_equal(tree.sample_stats.diverging, [[False] * 6, [True, False, False, False, True, False]])
    np.testing.assert_array_equal(tree.sample_stats.acceptance_rate, [0.9, 0.5])


def test_what_cannot_be_converted_is_refused_by_name(mcmc, module):
    with pytest.raises(ValueError, match="result: got an MCMC without draws"):
        to_arviz(MCMC(NUTS(own_model), 6, 0))
    with pytest.raises(ValueError, match="rows, columns: got labels without x and mask"):
        to_arviz(mcmc, rows=LABELS)
    with pytest.raises(ValueError, match="rows: got 5 labels, expected 4"):
        to_arviz(mcmc, module, X[:4], MASK[:4], rows=LABELS)
    with pytest.raises(TypeError, match="mask: got torch.float64"):
        to_arviz(mcmc, module, X, MASK.double())
    with pytest.raises(ValueError, match="codec: got one with Pyro's MCMC"):
        to_arviz(mcmc, module, X, MASK, codec=SimpleNamespace())

    def mixture(x):
        pyro.sample("kind", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        pyro.sample("x", dist.Normal(pyro.sample("z", dist.Normal(0.0, 1.0)), 1.0), obs=x)

    chain = run(NUTS(mixture, max_tree_depth=2), torch.tensor(0.3))
    with pytest.raises(ValueError, match="site 'kind' of the model: not among the draws, which are of z"):
        to_arviz(chain, partial(mixture, torch.tensor(0.3)))


def test_arviz_1_gets_a_tree(mcmc, module, monkeypatch):
    monkeypatch.setattr(trees, "version", lambda name: "1.0.0")
    tree = to_arviz(mcmc, module, X, MASK)
    assert type(tree).__name__ == "DataTree" and set(tree.children) == {"log_likelihood", "observed_data", "posterior", "sample_stats"}
