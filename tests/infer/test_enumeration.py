"""Discrete latents summed out: the evidence and posterior of mixtures of normals, exactly."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import Z_MAX, z_score
from torch import nn

from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputation.importance import sample_importance
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.mcmc.posterior import sample_posterior

SUMMED = {"enumerate": "parallel"}
SHARES = torch.tensor([0.2, 0.5, 0.3]).double()
MEANS = torch.tensor([[-2.0, 1.0], [0.5, 0.0], [2.0, -1.0]]).double()
X = torch.tensor([[0.3, -0.5], [1.2, 0.4], [-1.6, 1.1], [2.4, 0.0]]).double()
MASK = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1]]).bool()
NOISE, SPREAD = 0.7, 0.8


class Mixture(nn.Module):
    """x = mean of the row's component + z + noise, z normal where ``spread`` is, else none."""

    def __init__(self, spread=SPREAD, marked=True):
        super().__init__()
        self.spread, self.infer = spread, SUMMED if marked else {}
        self.means = nn.Parameter(MEANS.clone())
        self.loc, self.scale = nn.Parameter(torch.tensor(0.3).double()), nn.Parameter(torch.tensor(1.1).double())

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            kind = pyro.sample("kind", dist.Categorical(SHARES), infer=self.infer)
            loc = self.means[kind]
            if self.spread:
                loc = loc + pyro.sample("z", dist.Normal(torch.zeros(()).double(), self.spread)).unsqueeze(-1)
            cells = dist.Normal(loc, NOISE)
            pyro.sample("x", cells.mask(mask).to_event(1), obs=torch.where(mask, x, 0.0))
            pyro.deterministic("complete", torch.where(mask, x, loc), event_dim=1)

    def guide(self, x, mask):
        if self.spread:
            with pyro.plate("rows", len(x), dim=-1):
                pyro.sample("z", dist.Normal(self.loc, self.scale))


def components(x=X, mask=MASK, means=MEANS, spread=SPREAD):
    """log p(k, x_obs), (3, N), and E[z | k, x_obs]."""
    joint, centers = [], []
    for share, mean in zip(SHARES, means, strict=True):
        rows = []
        for row, seen in zip(x, mask, strict=True):
            n = int(seen.sum())
            cov = NOISE**2 * torch.eye(n).double() + spread**2
            rows.append((share.log() + dist.MultivariateNormal(mean[seen], cov).log_prob(row[seen]), row[seen] - mean[seen], cov))
        joint.append(torch.stack([row[0] for row in rows]))
        centers.append(torch.stack([spread**2 * torch.linalg.solve(cov, res).sum() for _, res, cov in rows]))
    return torch.stack(joint), torch.stack(centers)


def test_the_bound_of_a_mixture_without_other_latents_is_its_evidence():
    joint, _ = components(spread=0.0)
    torch.testing.assert_close(IWELBO(Mixture(spread=0.0), 2)(X, MASK).detach(), joint.logsumexp(0))


def test_the_gradient_of_a_mixture_without_other_latents_is_its_evidence_s():
    module, means = Mixture(spread=0.0), MEANS.clone().requires_grad_()
    (-4 * IWELBO(module, 2).loss(X, MASK)).backward()
    components(means=means, spread=0.0)[0].logsumexp(0).sum().backward()
    torch.testing.assert_close(module.means.grad, means.grad)


def test_weights_beside_other_latents_are_unbiased():
    with torch.no_grad():
        log_w = IWELBO(Mixture(), 100_000).log_weights(X, MASK)
    assert float(z_score((log_w - components()[0].logsumexp(0)).exp(), 1.0).abs().max()) < Z_MAX


def test_doubly_reparameterised_gradient_beside_a_summed_latent_is_the_plain_one():
    found = []
    rows, seen = X[:1].expand(4000, -1), MASK[:1].expand(4000, -1)
    for estimator in ("iwae", "dreg"):
        each = []
        for _ in range(30):
            module = Mixture()
            IWELBO(module, 4, estimator).loss(rows, seen).backward()
            each.append(torch.stack([module.loc.grad, module.scale.grad]))
        found.append(torch.stack(each))
    error = sum(part.var(0) / len(part) for part in found).sqrt()
    assert float(((found[0].mean(0) - found[1].mean(0)) / error).abs().max()) < Z_MAX
    assert bool((found[1].var(0) < found[0].var(0)).all())


class TwoKinds(nn.Module):
    """Two discrete latents, the second's law read off the first."""

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            a = pyro.sample("a", dist.Bernoulli(torch.tensor(0.3).double()), infer=SUMMED)
            b = pyro.sample("b", dist.Categorical(torch.stack([SHARES, SHARES.flip(0)])[a.long()]), infer=SUMMED)
            pyro.sample("x", dist.Normal(a.unsqueeze(-1) + MEANS[b], NOISE).to_event(1), obs=x)

    def guide(self, x, mask):
        pass


def test_two_latents_are_summed_out_together():
    expected = []
    for a, chance in ((0, 0.7), (1, 0.3)):
        for b, share in enumerate((SHARES, SHARES.flip(0))[a]):
            expected.append(math.log(chance) + share.log() + dist.Normal(a + MEANS[b], NOISE).to_event(1).log_prob(X))
    torch.testing.assert_close(IWELBO(TwoKinds(), 5)(X, MASK), torch.stack(expected).logsumexp(0))


@pytest.mark.parametrize("method", ["importance", "mcmc"])
def test_imputed_values_are_the_mixture_s_posterior_means(method):
    joint, z = components()
    weights = joint.softmax(0)
    exact = (weights.unsqueeze(-1) * (MEANS.unsqueeze(1) + z.unsqueeze(-1))).sum(0)
    result = impute(Mixture(), X, MASK, particles=20_000, draws=0, method=method, progress=False)
    holes = ~MASK
    # The values' standard deviation is below 2, and the effective draws are above the tolerance's square.
    size = result.ess[holes.any(-1)].min()
    assert float((result.completed - exact)[holes].abs().max()) < 4.5 * 2 / math.sqrt(size)


def test_drawn_kinds_have_their_posterior_shares():
    weights = components()[0].softmax(0).T
    draws = sample_importance(Mixture(), X, MASK, draws=4000, chains=1, particles=4000, progress=False).latents["kind"]
    for k in range(3):
        p = weights[:, k]
        assert float((((draws == k).double().mean((0, 1)) - p) / (p * (1 - p) / 1500).sqrt()).abs().max()) < Z_MAX


def test_chains_sum_out_the_kinds_and_draw_them_afterwards():
    joint, z = components()
    weights = joint.softmax(0)
    posterior = sample_posterior(Mixture(), X, MASK, chains=4, draws=250, warmup=150, progress=False)
    assert posterior.summed_out == ("kind",) and set(posterior.latents) == {"kind", "z"}
    assert posterior.latents["kind"].shape == (4, 250, 4)
    ess = posterior.ess()
    mean = posterior.latents["z"].mean((0, 1))
    error = posterior.latents["z"].flatten(0, 1).std(0) / ess.sqrt()
    assert float(((mean - (weights * z).sum(0)) / error).abs().max()) < Z_MAX
    for k in range(3):
        share = (posterior.latents["kind"] == k).double().mean((0, 1))
        p = weights[k]
        assert float(((share - p) / (p * (1 - p) / ess).sqrt()).abs().max()) < Z_MAX


def test_training_a_mixture_raises_its_exact_evidence():
    module = Mixture(spread=0.0)
    with torch.no_grad():
        module.means.mul_(0.3)
    draws = MEANS[torch.multinomial(SHARES, 300, replacement=True)]
    x, mask = draws + NOISE * torch.randn(300, 2).double(), torch.rand(300, 2) < 0.8
    mask[:, 0] = True
    before = components(x, mask, module.means.detach(), 0.0)[0].logsumexp(0).mean()
    fit(IWELBO(module, 1), x, mask, steps=80, lr=5e-2, weight_decay=0.0, progress=False, mechanism_lr=1e-1)
    after = components(x, mask, module.means.detach(), 0.0)[0].logsumexp(0).mean()
    truth = components(x, mask, MEANS, 0.0)[0].logsumexp(0).mean()
    assert after > before + 0.1 and after > truth - 0.01


def test_an_unmarked_discrete_latent_is_refused_and_told_how():
    for call in (IWELBO(Mixture(marked=False), 2), lambda x, mask: sample_posterior(Mixture(marked=False), x, mask, progress=False)):
        with pytest.raises(ValueError, match=r"site 'kind'.*infer=\{'enumerate': 'parallel'\}"):
            call(X, MASK)


def test_values_that_cannot_be_listed_are_refused_by_name():
    class Counted(TwoKinds):
        def model(self, x, mask):
            with pyro.plate("rows", len(x), dim=-1):
                pyro.sample("count", dist.Poisson(torch.tensor(2.0)), infer=SUMMED)

    with pytest.raises(ValueError, match="site 'count' of the model: Poisson cannot be enumerated"):
        IWELBO(Counted(), 2)(X, MASK)


def test_plain_pyro_reads_the_same_mark():
    module = Mixture()
    trained = pyro.infer.TraceEnum_ELBO(num_particles=1000, vectorize_particles=True, max_plate_nesting=1)
    with torch.no_grad():
        theirs = -trained.loss(module.model, module.guide, X, MASK)
        ours = IWELBO(module, 1)
        each = torch.stack([ours(X, MASK).sum() for _ in range(500)])
    assert abs(each.mean() - theirs) < Z_MAX * each.std() * (1 / 500 + 1 / 1000) ** 0.5
