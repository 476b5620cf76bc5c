"""Latents that all rows share: densities, NUTS and an outer ELBO against closed forms and quadrature."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import LAW, MASKS, ROWS, SLOPE, Z_MAX, PosteriorEncoder, self_masking
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from scipy import special, stats
from torch import nn

from pyro_mnar.distributions import PROBIT
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.shared import RandomParameters, SharedLatents
from pyro_mnar.infer.streams import seeded
from pyro_mnar.mcmc.convergence import ess
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR, SelectionDistribution

PRIOR, NOISE, TRUTH = 2.0, 0.8, 0.7
X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)


class Mean(nn.Module):
    """Rows around one mean that all share, holes at random or by the value itself."""

    def __init__(self, mechanism=None):
        super().__init__()
        self.mechanism = mechanism

    def shared(self):
        return pyro.sample("mean", dist.Normal(torch.zeros(()).double(), PRIOR))

    def model(self, x, mask, mean):
        with pyro.plate("rows", len(x), dim=-1):
            law = dist.Normal(mean.unsqueeze(-1).expand(*mean.shape, x.shape[1]), NOISE).to_event(1)
            pyro.sample("x", SelectionDistribution(law, self.mechanism), obs=torch.where(mask, x, torch.nan))

    def guide(self, x, mask, mean):
        pass


def table(n=60):
    x = TRUTH + NOISE * torch.randn(n, 2).double()
    return x, torch.rand(n, 2) < 0.7


def conjugate(x, mask):
    """Mean and standard deviation of the posterior, and the log evidence."""
    seen = x[mask]
    precision = 1 / PRIOR**2 + len(seen) / NOISE**2
    cov = NOISE**2 * torch.eye(len(seen)).double() + PRIOR**2
    evidence = dist.MultivariateNormal(torch.zeros(len(seen)).double(), cov).log_prob(seen)
    return float(seen.sum() / NOISE**2 / precision), precision**-0.5, float(evidence)


def nuts(model, x, mask, draws=400):
    mcmc = MCMC(NUTS(model), draws, 100, disable_progbar=True)
    mcmc.run(x, mask)
    return mcmc.get_samples()


def z_scores(draws, mean, deviation):
    """Of the draws' mean and variance, by their effective sample size."""
    scores = []
    for value, exact in ((draws, mean), ((draws - mean).square(), deviation**2)):
        size = float(ess(value.reshape(1, -1, 1)))
        scores.append(abs(float((value.mean() - exact) / (value.std() / math.sqrt(size)))))
    return max(scores)


def test_the_outer_model_s_density_is_the_joint_of_shared_latents_and_table():
    x, mask = table()
    trace = poutine.trace(poutine.condition(SharedLatents(Mean(), 3), {"mean": torch.tensor(0.4).double()})).get_trace(x, mask)
    expected = dist.Normal(0.0, PRIOR).log_prob(torch.tensor(0.4).double()) + dist.Normal(0.4, NOISE).log_prob(x[mask]).sum()
    torch.testing.assert_close(trace.log_prob_sum(), expected)
    assert [name for name, site in trace.nodes.items() if site["type"] == "sample"] == ["mean", "rows"]


def test_nuts_has_the_conjugate_posterior_with_holes_at_random():
    x, mask = table()
    mean, deviation, _ = conjugate(x, mask)
    assert z_scores(nuts(SharedLatents(Mean(), 1, seed=0), x, mask)["mean"], mean, deviation) < Z_MAX


def test_nuts_has_the_posterior_by_quadrature_with_holes_by_the_value_itself():
    slope, intercept = 1.5, -1.0
    x, _ = table(80)
    mask = torch.rand(80, 2) > torch.special.ndtr(slope * x + intercept)
    mechanism = SelfMasking(2, direction="free", link=PROBIT).double().requires_grad_(False)
    mechanism.slope = torch.full((2,), slope).double()
    mechanism.offset.copy_(torch.full((2,), intercept).double())
    grid = np.linspace(-1, 3, 4001)
    seen, missing = x[mask].numpy(), int((~mask).sum())
    log_density = stats.norm.logpdf(grid, 0, PRIOR) + stats.norm.logpdf(seen[:, None], grid, NOISE).sum(0)
    log_density += missing * special.log_ndtr((slope * grid + intercept) / math.sqrt(1 + slope**2 * NOISE**2))
    weights = np.exp(log_density - special.logsumexp(log_density))
    mean = float(weights @ grid)
    deviation = math.sqrt(weights @ (grid - mean) ** 2)
    draws = nuts(SharedLatents(Mean(mechanism), 1, seed=0), x, mask)["mean"]
    assert z_scores(draws, mean, deviation) < Z_MAX
    # What the holes say is not little: without the mechanism the posterior is elsewhere.
    assert abs(conjugate(x, mask)[0] - mean) > 2 * deviation


@pytest.mark.parametrize("batch", [None, 20])
def test_an_outer_elbo_has_the_conjugate_posterior_and_with_it_the_evidence(batch):
    x, mask = table()
    mean, deviation, evidence = conjugate(x, mask)
    model = SharedLatents(Mean(), 1)
    guide = AutoNormal(model)
    svi = SVI(model, guide, pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.99}), Trace_ELBO())
    try:
        for _ in range(400):
            if batch is None:
                svi.step(x, mask)
            else:
                rows = torch.randperm(len(x))[:batch]
                svi.step(x[rows], mask[rows], n_rows=len(x))
        loc, scale = guide.locs.mean.detach(), guide.scales.mean.detach()
        loss = Trace_ELBO(num_particles=200).loss(model, guide, x, mask)
    finally:
        pyro.clear_param_store()
    assert abs(float(loc) - mean) < (0.2 if batch is None else 1.0) * deviation
    assert abs(math.log(float(scale) / deviation)) < (0.2 if batch is None else 0.5)
    # The gap to the evidence is the divergence of the guide, which is normal as the posterior is.
    gap = math.log(deviation / float(scale)) + (float(scale) ** 2 + (float(loc) - mean) ** 2) / (2 * deviation**2) - 0.5
    assert -loss == pytest.approx(evidence - gap, abs=0.1)


def mnar():
    made = MNAR(LAW.decoder(), PosteriorEncoder(LAW), self_masking(SLOPE, np.zeros(4)))
    return made, {"decoder.linear.bias": dist.Normal(torch.zeros(4).double(), 1.0).to_event(1)}


def test_random_parameters_are_put_into_the_module_and_leave_it_as_it_was():
    made, priors = mnar()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    weights = RandomParameters(made, priors)
    value = {"decoder.linear.bias": torch.tensor([0.5, -0.5, 0.1, 0.0]).double().requires_grad_()}
    with seeded(3):
        ours = IWELBO(weights, 5)(X, MASK, value).sum()
    (slope,) = torch.autograd.grad(ours, list(value.values()))
    other = weights.at(value)
    with seeded(3):
        theirs = IWELBO(other, 5)(X, MASK).sum()
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(slope, torch.autograd.grad(theirs, other.decoder.linear.bias)[0])
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_nuts_runs_over_weights_and_its_potential_is_the_same_at_every_call():
    made, priors = mnar()
    model = SharedLatents(RandomParameters(made, priors), 10, seed=0)
    value = {"decoder.linear.bias": torch.zeros(4).double()}
    totals = [poutine.trace(poutine.condition(model, value)).get_trace(X, MASK).log_prob_sum() for _ in range(2)]
    assert torch.equal(*totals)
    fresh = SharedLatents(RandomParameters(made, priors), 10)
    totals = [poutine.trace(poutine.condition(fresh, value)).get_trace(X, MASK).log_prob_sum() for _ in range(2)]
    assert not torch.equal(*totals)
    mcmc = MCMC(NUTS(model, max_tree_depth=3), 5, 5, disable_progbar=True)
    mcmc.run(X, MASK)
    assert mcmc.get_samples()["decoder.linear.bias"].shape == (5, 4)


def test_priors_of_no_parameter_or_another_shape_are_refused_by_name():
    made, _ = mnar()
    with pytest.raises(ValueError, match="priors: got 'decoder.bias', expected names of parameters, which are .*decoder.linear.weight"):
        RandomParameters(made, {"decoder.bias": dist.Normal(0.0, 1.0)})
    for law in (dist.Normal(0.0, 1.0), dist.Normal(0.0, 1.0).expand([4])):
        with pytest.raises(ValueError, match=r"priors: got one of batch shape .* expected event shape \(4,\)"):
            RandomParameters(made, {"decoder.linear.bias": law})


def test_a_shared_latent_inside_the_model_is_refused_and_told_where_to_go():
    class Inside(Mean):
        def model(self, x, mask):
            super().model(x, mask, self.shared())

        def guide(self, x, mask):
            pass

    with pytest.raises(ValueError, match="site 'mean' of the model: got no plate.*SharedLatents"):
        IWELBO(Inside(), 2)(*table())
