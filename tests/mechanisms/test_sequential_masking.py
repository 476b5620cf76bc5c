"""Masks in an order, given earlier columns as far as they are seen and the row's latent: against quadrature."""

import itertools

import numpy as np
import pytest
import torch
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, Z_MAX, LinearGaussian, PosteriorEncoder, self_masking, z_score
from pyro import poutine
from scipy import special, stats
from torch.distributions import Independent, Normal

from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.training import parameter_groups
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.mechanisms import CategoryMasking, LatentMasking, MixedMasking, SelfMasking, SequentialMasking
from pyro_mnar.mechanisms.latent_masking import GivenLatent
from pyro_mnar.model import MNAR, SelectionDistribution
from pyro_mnar.networks import (
    CategoryHead,
    CountHead,
    GaussianEncoder,
    MixedDecoder,
    NormalHead,
    OrdinalHead,
    SemicontinuousHead,
    SkewWarp,
)

ORDERS = list(itertools.permutations(range(3)))
EVERY_MASK = [np.array(s) for s in itertools.product([False, True], repeat=3)]
#: x_j = weight_j z + bias_j + noise_j e.
THREE = LinearGaussian(np.array([[0.8], [-0.5], [0.6]]), np.array([0.4, -0.3, 0.1]), np.array([0.8, 0.5, 1.2]))
ROW = np.array([0.7, -0.9, 1.3])
A, C = np.array([1.4, -0.8, 0.0]), np.array([0.3, -0.2, 0.1])
# Entries of columns that are not before another are never to be read.
R = np.array([[50.0, 0.7, -0.4], [1.1, 50.0, 0.3], [-0.6, 0.9, 50.0]])
G = np.array([[50.0, -1.2, 0.8], [0.5, 50.0, 1.5], [2.0, -0.7, 50.0]])
W = np.array([0.5, -0.9, 0.7])
NODES = np.linspace(-7, 7, 141)
CDF = {"probit": special.ndtr, "logit": special.expit}


def three(order, latent, link):
    made = SequentialMasking(SelfMasking(3, None, ["high", "free", "none"], link), order, int(latent)).double()
    with torch.no_grad():
        made.own.slope = torch.tensor(A)
        made.own.offset.copy_(torch.tensor(C))
        if order is not None:
            made.effects.copy_(torch.tensor(R))
            made.absences.copy_(torch.tensor(G))
        if latent:
            made.loadings.copy_(torch.tensor(W).unsqueeze(-1))
    return made


def quadrature(mask, order, latent, link, z, shift=(0, 0, 0)):
    """log p(x_obs, s | z) of ROW, and mean and mean square of its missing cells given z and s, each z (Z,) alone."""
    total, mean, square = np.zeros(len(z)), np.zeros((len(z), 3)), np.zeros((len(z), 3))
    for place, j in enumerate(order):
        u = shift[j] + sum(R[j, k] * ROW[k] if mask[k] else G[j, k] for k in order[:place])
        u = C[j] + u + W[j] * z * latent
        loc = THREE.weight[j, 0] * z + THREE.bias[j]
        if mask[j]:
            total += stats.norm.logpdf(ROW[j], loc, THREE.noise[j]) + np.log(CDF[link.name](-A[j] * ROW[j] - u))
        else:
            step = np.linspace(-16, 16, 1201)
            x = loc[:, None] + THREE.noise[j] * step
            weight = stats.norm.pdf(step) * CDF[link.name](A[j] * x + u[:, None]) * (step[1] - step[0])
            total += np.log(weight.sum(1))
            mean[:, j], square[:, j] = ((weight * x**power).sum(1) / weight.sum(1) for power in (1, 2))
    return total, mean, square


def near(found, expected, tolerance=1e-6):
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=tolerance, atol=tolerance)


@torch.no_grad()
def traced(model, mask, **latents):
    """The site x of rows like ROW at given latents."""
    rows = torch.tensor(ROW).expand(len(latents["z"]), 3)
    with poutine.condition(data=latents):
        trace = poutine.trace(model.model).get_trace(rows, torch.tensor(mask).expand(rows.shape))
    trace.compute_log_prob()
    return trace.nodes["x"]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
@pytest.mark.parametrize("latent", [False, True], ids=["columns", "columns and latent"])
@pytest.mark.parametrize("link", [PROBIT, LOGIT], ids=lambda link: link.name)
def test_every_mask_has_the_probability_and_the_missing_cells_the_law_of_the_formula(order, latent, link):
    model = MNAR(THREE.decoder(), PosteriorEncoder(THREE), three(order, latent, link))
    z, cell = torch.tensor(NODES).unsqueeze(-1), np.log(NODES[1] - NODES[0])
    for mask in EVERY_MASK:
        site = traced(model, mask, z=z)
        expected, mean, square = quadrature(mask, order, latent, link, NODES)
        # As a mixture of probits the logit is right to 3e-9, whatever it is.
        near(site["log_prob"].exp(), np.exp(expected), 1e-8)
        holed = torch.where(torch.tensor(mask), torch.tensor(ROW), torch.nan).expand(len(z), 3)
        with torch.no_grad():
            missing = site["fn"].conditional(holed)
            if link is PROBIT:
                near(site["log_prob"], expected)
                near(missing.mean[:, ~mask], mean[:, ~mask])
            log_joint = expected + stats.norm.logpdf(NODES) + cell
            weight = np.exp(log_joint - special.logsumexp(log_joint))
            found = torch.tensor(weight) @ missing.mean
            near(found[~mask], (weight @ mean)[~mask])
            draws = missing.sample((1000,))[:, 50:91:10][..., ~mask]
        if not mask.all():
            assert float(z_score(draws, torch.tensor(mean[50:91:10, ~mask])).abs().max()) < Z_MAX
            assert float(z_score(draws.square(), torch.tensor(square[50:91:10, ~mask])).abs().max()) < Z_MAX + 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@torch.no_grad()
def test_a_latent_of_the_masks_own_adds_to_the_others(order):
    mechanism = LatentMasking(three(order, True, PROBIT), 1, []).double()
    mechanism.net[0].weight.copy_(torch.tensor([[0.5], [-0.4], [0.9]]))
    model = MNAR(THREE.decoder(), PosteriorEncoder(THREE), mechanism)
    z, z_m = torch.randn(2, 7, 1).double()
    for mask in EVERY_MASK:
        site = traced(model, mask, z=z, z_m=z_m)
        for i in range(7):  # the masks' own latent adds to the score as it is
            shift = np.array([0.5, -0.4, 0.9]) * float(z_m[i])
            expected, mean, _ = quadrature(mask, order, True, PROBIT, z[i].numpy(), shift)
            assert float(site["log_prob"][i]) == pytest.approx(expected[0], abs=1e-7)
            holed = torch.where(torch.tensor(mask), torch.tensor(ROW), torch.nan).expand(7, 3)
            found = site["fn"].conditional(holed).mean[i]
            near(found[~mask], mean[0, ~mask])


@torch.no_grad()
def test_masks_may_read_that_earlier_columns_are_missing_and_not_what_they_hold():
    bare = SequentialMasking(SelfMasking(3, None, ["high", "free", "none"], PROBIT), (0, 1, 2), values=False).double()
    full = three((0, 1, 2), False, PROBIT)
    bare.load_state_dict(full.state_dict())
    full.effects.zero_()
    rows = torch.randn(20, 3).double()
    for mask in torch.tensor(np.array(EVERY_MASK)):
        assert torch.equal(bare(rows).cell_log_prob(mask.expand(20, 3)), full(rows).cell_log_prob(mask.expand(20, 3)))
    near(bare.effects_of_columns(), 0.5 * torch.tensor(G).abs().tril(-1))


def mixed(order=(4, 1, 0, 3, 2), latent_dim=2, own=True):
    """Masks of a semicontinuous, a binary, a count and a category column and a normal one between them."""
    kinds = ["high", "free", "low", "free"] if own else "none"
    mechanism = SelfMasking(5, [0, 1, 2, 3], kinds, PROBIT)
    if own:
        mechanism = MixedMasking(mechanism, CategoryMasking(5, [4], [3], PROBIT))
    return SequentialMasking(mechanism, order, latent_dim, {4: 3}).double()


def mixed_decoder():
    heads = [
        SemicontinuousHead([0], [-0.7], [0.3]),
        OrdinalHead([1], [[0.7, 0.3]], [-0.3], [0.5]),
        NormalHead([2]),
        CountHead([3], [2.0], [7.0], [-0.8], [0.4]),
        CategoryHead([4], [[0.5, 0.3, 0.2]]),
    ]
    made = MixedDecoder(2, heads, [4]).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def randomized(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


@torch.no_grad()
def test_numbers_enter_by_their_value_and_categories_by_an_effect_of_each_level():
    mechanism, order = randomized(mixed()), (4, 1, 0, 3, 2)
    x = mixed_decoder()(torch.randn(50, 2).double()).sample()
    mask = torch.rand(50, 5) < 0.5
    found = mechanism.row_effects(torch.where(mask, x, torch.nan), mask)
    for i, (place, j) in itertools.product(range(50), enumerate(order)):
        score = 0.0
        for k in order[:place]:
            effect = mechanism.effects[j, k + int(x[i, k]) if k == 4 else k] * (1.0 if k == 4 else x[i, k])
            score = score + (effect if mask[i, k] else mechanism.absences[j, k])
        assert float(found[i, j]) == pytest.approx(float(score))


@torch.no_grad()
def test_all_masks_have_probability_one_together_and_are_drawn_with_theirs():
    decoder, mechanism = mixed_decoder(), randomized(mixed())
    z = torch.randn(4, 2).double()
    law = mechanism(decoder(z).sample(), mechanism.effects_of(z))
    masks = torch.tensor(list(itertools.product([False, True], repeat=5)))
    probability = torch.stack([law.log_prob(mask).exp() for mask in masks])
    torch.testing.assert_close(probability.sum(0), torch.ones(4).double())
    drawn = law.sample((20_000,))
    for mask, chance in zip(masks, probability, strict=True):
        found = (drawn == mask).all(-1).double()
        # Where few are expected the normal bound is none.
        enough = (20_000 * chance > 20) & (20_000 * (1 - chance) > 20)
        error = (chance * (1 - chance) / 20_000).sqrt()
        assert bool((((found.mean(0) - chance) / error).abs()[enough] < Z_MAX).all())


@torch.no_grad()
def test_sampled_rows_have_holes_as_the_density_says():
    law, grid = Independent(Normal(torch.tensor(THREE.bias), torch.tensor(THREE.noise)), 1), torch.linspace(-9, 9, 2001).double()
    selection = SelectionDistribution(law, three((2, 0, 1), False, LOGIT))
    holes = selection.sample((40_000,)).isnan()
    nothing = selection.log_prob(torch.full((3,), torch.nan).double()).exp()
    assert abs(z_score(holes.all(-1).double(), nothing)) < Z_MAX
    for j in range(3):
        rows = torch.full((2001, 3), torch.nan).double().index_copy(-1, torch.tensor([j]), grid.unsqueeze(-1))
        only = torch.arange(3) != j
        assert abs(z_score((holes == only).all(-1).double(), torch.trapezoid(selection.log_prob(rows).exp(), grid))) < Z_MAX


@pytest.mark.parametrize("warped", [False, True], ids=["plain", "warped"])
@pytest.mark.parametrize("link", [PROBIT, LOGIT], ids=lambda link: link.name)
def test_masks_that_read_what_is_seen_alone_leave_imputations_as_without_a_mechanism(link, warped, seed):
    x, mask = torch.tensor(ROWS), torch.tensor(MASKS)
    warp = SkewWarp(4).double() if warped else None
    if warp is not None:
        warp.skew.data.copy_(torch.tensor([0.4, -0.3, 0.2, 0.0]))
    mechanism = randomized(SequentialMasking(SelfMasking(4, None, "none", link), [2, 0, 3, 1]).double())
    given = {"draws": 5, "particles": 200, "seed": seed, "progress": False}
    found, ignorable = (impute(MNAR(LAW.decoder(), PosteriorEncoder(LAW), m, warp), x, mask, **given) for m in (mechanism, None))
    near(found.completed, ignorable.completed)
    near(found.draws, ignorable.draws)


def test_at_random_masks_of_columns_of_several_kinds_leave_imputations_alone_too(seed):
    decoder, encoder = mixed_decoder(), GaussianEncoder(2, 5, [4]).double()
    x = decoder(torch.randn(30, 2).double()).sample()
    mask, given = torch.rand(30, 5) < 0.6, {"draws": 5, "particles": 200, "seed": seed, "progress": False}
    mechanism = randomized(mixed(latent_dim=0, own=False))
    found, ignorable = (impute(MNAR(decoder, encoder, m), x, mask, **given) for m in (mechanism, None))
    near(found.completed, ignorable.completed)
    near(found.draws, ignorable.draws)


def model_of_several_kinds(rows=40):
    model = MNAR(mixed_decoder(), GaussianEncoder(2, 5, [4]), randomized(mixed())).double()
    return model, model.decoder(torch.randn(rows, 2).double()).sample().detach(), torch.rand(rows, 5) < 0.6


def test_gradients_reach_every_term_and_no_later_column():
    model, x, mask = model_of_several_kinds(150)  # so many that every level is seen
    IWELBO(model, 4).log_weights(torch.where(mask, x, torch.nan), mask).sum().backward()
    mechanism = model.mechanism
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    grads = torch.cat([mechanism.effects.grad, mechanism.absences.grad], -1)
    assert bool((grads != 0).eq(mechanism.allowed).all()) and int(mechanism.allowed.sum()) == 18 + 10
    assert bool((mechanism.loadings.grad != 0).all())
    own = mechanism.own.parts
    assert all(bool((p.grad != 0).all()) for part in own for p in part.parameters())


def test_the_whole_mechanism_is_trained_at_its_own_rate_with_a_latent_of_its_own_or_not():
    model, _, _ = model_of_several_kinds()
    for mechanism in (model.mechanism, LatentMasking(model.mechanism)):
        fast = parameter_groups(MNAR(model.decoder, model.encoder, mechanism), 1e-3, 1e-1, 0.3)[-1]
        assert fast["lr"] == 1e-1 and fast["weight_decay"] == 0
        assert {id(p) for p in fast["params"]} == {id(p) for p in model.mechanism.parameters()}


@torch.no_grad()
def test_particles_and_rows_are_each_as_alone():
    model, x, mask = model_of_several_kinds()
    holed, mechanism = torch.where(mask, x, torch.nan), model.mechanism
    z = torch.randn(3, 40, 2).double()
    together = SelectionDistribution(model.decoder(z), GivenLatent(mechanism, mechanism.effects_of(z)))
    uniforms = torch.rand(3, 40, 5, 3).double()
    log_prob, missing = together.log_prob(holed), together.conditional(holed)
    assert log_prob.shape == (3, 40) and missing.sample((2,)).shape == (2, 3, 40, 5)
    mean, draws = missing.mean, missing.from_uniforms(uniforms)
    for k, i in [(0, 0), (1, 17), (2, 39)]:
        own = z[k, i : i + 1]
        alone = SelectionDistribution(model.decoder(own), GivenLatent(mechanism, mechanism.effects_of(own)))
        row = alone.conditional(holed[i : i + 1])
        torch.testing.assert_close(log_prob[k, i], alone.log_prob(holed[i : i + 1])[0])
        hidden = ~mask[i]
        torch.testing.assert_close(mean[k, i][hidden], row.mean[0][hidden])
        torch.testing.assert_close(draws[k, i][hidden], row.from_uniforms(uniforms[k, i : i + 1])[0][hidden])


def test_chains_draw_from_the_posterior_that_quadrature_gives():
    order, mask = (2, 0, 1), np.array([False, True, False])
    model = MNAR(THREE.decoder(), PosteriorEncoder(THREE), three(order, True, PROBIT))
    log_joint, mean, _ = quadrature(mask, order, True, PROBIT, NODES)
    log_joint = log_joint + stats.norm.logpdf(NODES)
    weight = np.exp(log_joint - special.logsumexp(log_joint))
    x, holes = torch.tensor(ROW).expand(12, 3), torch.tensor(mask).expand(12, 3)
    posterior = sample_posterior(model, x, holes, chains=1, draws=200, warmup=60, progress=False)
    draws = posterior.x.mean((0, 1))
    # Twelve equal rows with streams of their own: their means are independent.
    for j in (0, 2):
        assert abs(z_score(draws[:, j], weight @ mean[:, j])) < Z_MAX
    nuts = sample_posterior(model, x[:2], holes[:2], chains=1, draws=10, warmup=5, method="nuts", progress=False)
    assert bool(nuts.x.isfinite().all())


@pytest.mark.parametrize("latent", [False, True], ids=["alone", "with a latent of the masks' own"])
@torch.no_grad()
def test_missing_rates_are_given_all_other_masks_and_latents_that_the_guide_draws(latent):
    mechanism = three((2, 0, 1), True, PROBIT)
    outer = LatentMasking(mechanism, 1, []) if latent else mechanism
    model = MNAR(THREE.decoder(), GaussianEncoder(1, 3, [4]), outer).double()
    if latent:
        randomized(model.mechanism.net)
    x, mask = torch.randn(5, 7, 3).double(), torch.rand(7, 3) < 0.5
    torch.manual_seed(3)
    found = model.missing_rate(x, mask)
    torch.manual_seed(3)
    z = model.encoder(x, mask.expand(x.shape)).sample()

    def chance(own_mask):
        """Of the masks of all three columns together."""
        score = torch.tensor(A) * x + torch.tensor(C) + mechanism.effects_of(z) + mechanism.row_effects(x, own_mask)
        if latent:  # which is averaged over for each mask by itself
            score = score + model.mechanism.net(model.mechanism.points).reshape(-1, 1, 1, 3)
        cells = torch.special.ndtr(torch.where(own_mask, -score, score))
        return (cells.mean(0) if latent else cells).prod(-1)

    for j in range(3):
        hidden, seen = (mask.index_fill(-1, torch.tensor([j]), s) for s in (False, True))
        near(found[..., j], chance(hidden) / (chance(hidden) + chance(seen)))
    if not latent:
        all_seen = mechanism.row_effects(x, torch.ones_like(x, dtype=torch.bool))
        near(model.missing_rate(x), torch.special.ndtr(torch.tensor(A) * x + torch.tensor(C) + all_seen))


def test_without_terms_it_is_the_mechanism_of_own_values():
    own = self_masking(SLOPE, INTERCEPT)
    rows, mask = torch.tensor(ROWS), torch.tensor(MASKS)
    bare, order = SequentialMasking(own).double(), SequentialMasking(own, [3, 1, 0, 2], 2).double()
    for mechanism in (bare, order):  # whose effects start at none
        torch.testing.assert_close(mechanism(rows).log_prob(mask), own(rows).log_prob(mask))
        assert mechanism.columns.tolist() == own.columns.tolist() and not bool(mechanism.couplings.any())
    assert not bare.reads_latent and order.reads_latent and len(list(bare.parameters())) == 2


@pytest.mark.long
def test_maximum_likelihood_on_diggle_and_kenward_s_dropout_finds_slope_and_last_mean():
    """Fifty simulated trials of three visits, left by the value not seen and by the last one seen; the slopes are free."""
    bias, loading, noise = torch.tensor([0.0, 0.3, 0.6]), torch.tensor([0.7, 0.7, 0.7]), torch.tensor([1.0, 1.0, 1.0])
    nodes = torch.linspace(-4.5, 4.5, 25).double()  # the trapezoid rule; of too few Gauss-Hermite points the estimates are biased
    z, log_weight = nodes.unsqueeze(-1), (-0.5 * nodes.square()).log_softmax(0)
    slope, effect = 1.5, -0.5
    found = []
    for trial in range(50):
        generator = torch.Generator().manual_seed(1000 + trial)
        n = 3000
        x = bias + loading * torch.randn(n, 1, generator=generator) + noise * torch.randn(n, 3, generator=generator)
        x, mask = x.double(), torch.ones(n, 3, dtype=torch.bool)
        for j in (1, 2):
            score = -1.0 + slope * x[:, j] + effect * x[:, j - 1]
            mask[:, j] = mask[:, j - 1] & (torch.rand(n, generator=generator) >= torch.special.ndtr(score))
        decoder = LinearGaussian(
            loading.numpy()[:, None].astype(float), bias.numpy().astype(float), noise.numpy().astype(float)
        ).decoder()
        mechanism = SequentialMasking(SelfMasking(3, [1, 2], "free", PROBIT), [0, 1, 2]).double()
        mechanism.absences.requires_grad_(False)[2, 1] = 20.0  # who left stays away
        holed, parameters = (
            torch.where(mask, x, torch.nan),
            [p for m in (decoder, mechanism) for p in m.parameters() if p.requires_grad],
        )
        with torch.no_grad():
            mechanism.own.offset.fill_(-1.0)
            mechanism.own.slope = 1.0  # from 0 the same is found, after more steps
        search = torch.optim.LBFGS(parameters, max_iter=300, line_search_fn="strong_wolfe", tolerance_change=1e-8)

        def loss(search=search, decoder=decoder, mechanism=mechanism, holed=holed):
            search.zero_grad()
            selection = SelectionDistribution(decoder(z.unsqueeze(1)), mechanism)
            value = -(selection.log_prob(holed) + log_weight.unsqueeze(-1)).logsumexp(0).mean()
            value.backward()
            return value

        search.step(loss)
        found.append(torch.cat([mechanism.own.slope.detach(), decoder.linear.bias.detach()[-1:]]))
    estimates = torch.stack(found)
    z_scores = z_score(estimates, torch.tensor([slope, slope, float(bias[-1])]).double())
    assert float(z_scores.abs().max()) < 3.5, (estimates.mean(0), estimates.std(0), z_scores)
