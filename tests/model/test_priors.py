"""The prior of a member's parameters against its densities written out, and its anchors."""

import numpy as np
import pytest
import torch
from exact import Z_MAX, z_score
from scipy import stats

from pyro_mnar.distributions import PROBIT, THRESHOLD
from pyro_mnar.mechanisms import CategoryMasking, LinearMasking, SelfMasking, SequentialMasking
from pyro_mnar.mechanisms.prior_scales import ABSENCE, BESIDE_OWN, CATEGORY, EFFECT, EFFECT_DOF, FREE_SLOPE, LOADING, LOG_SLOPE
from pyro_mnar.model import Prior
from pyro_mnar.model.priors import LINE_SKEW, PART_SKEW, SKEW_SPREAD, TRUSTED, TYPICAL_SKEW
from pyro_mnar.networks import GaussianDecoder, SkewWarp

D = 4


@pytest.mark.parametrize("size", [2, 3, 8])
def test_anchors_of_a_parameter_have_the_prior_s_own_mean_and_standard_deviation(size):
    members = Prior.members(size, 30, 20, 10)
    assert len(members) == size
    typical = torch.stack([own.typical for own in members])
    about = torch.stack([own.skew - own.typical for own in members])
    found = {
        "typical": (typical.unsqueeze(-1), TYPICAL_SKEW),
        "skewness about it": (about, (0.0, SKEW_SPREAD)),
        "slopes": (torch.stack([own.slope for own in members]), (0.0, 1.0)),
        "categories": (torch.stack([own.by_level for own in members]), (0.0, CATEGORY[0])),
    }
    shares = stats.norm.ppf((np.arange(size) + 0.5) / size)
    for name, (anchors, (mean, sd)) in found.items():
        width = anchors.shape[1]
        np.testing.assert_allclose(anchors.mean(0), mean, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(anchors.std(0, correction=0), sd, rtol=1e-4, err_msg=name)
        # Midpoints of equal shares, each once, in an order of each parameter's own.
        expected = np.tile(mean + sd * shares[:, None] / shares.std(), width)
        np.testing.assert_allclose(anchors.sort(0).values, expected, rtol=1e-4, atol=1e-5, err_msg=name)
        assert width == 1 or len({tuple(column.argsort().tolist()) for column in anchors.T}) > 1


def test_anchors_of_skewness_are_draws_of_the_stated_prior_typical_one_included():
    """Over many ensembles: the columns' variance is that of both together, and two columns share the typical one."""
    drawn = torch.stack([torch.stack([own.skew for own in Prior.members(8, 3, 0)]) for _ in range(500)]).double()
    off = drawn - TYPICAL_SKEW[0]
    assert float(drawn.mean((0, 1)).sub(TYPICAL_SKEW[0]).abs().max()) < 1e-5
    for product, law in (
        (off[..., 0].square(), TYPICAL_SKEW[1] ** 2 + SKEW_SPREAD**2),
        (off[..., 0] * off[..., 2], TYPICAL_SKEW[1] ** 2),
    ):
        of_ensembles = product.mean(1)
        assert abs(float(z_score(of_ensembles, torch.tensor(law)))) < Z_MAX


def test_where_nothing_is_seen_the_likeliest_parameters_are_the_anchors():
    """So over members they are draws of the prior: skewness, and slopes of free and of known direction."""
    for own in Prior.members(3, D, 3, semicontinuous=[1], transformed=[3]):
        own, (_, warp, mechanism) = own.double(), parts()
        own.typical_skew.data.copy_(own.typical)
        warp.skew.data.copy_(own.skew)
        sign, slopes = mechanism.sign, (LOG_SLOPE[0] + LOG_SLOPE[1] * own.slope).exp()
        mechanism.slope = torch.where(sign == 0, FREE_SLOPE * own.slope, sign * slopes)
        found = own.log_prob(1000, parts()[0], warp, mechanism)
        gradients = torch.autograd.grad(found, [own.typical_skew, warp.skew, mechanism.raw_slope])
        assert max(float(grad.abs().max()) for grad in gradients) < 1e-9


def test_a_single_member_s_anchors_are_the_prior_s_means_and_columns_may_have_no_slope():
    (prior,) = Prior.members(1, 3, 2)
    assert torch.equal(prior.skew, torch.full((3,), TYPICAL_SKEW[0])) and torch.equal(prior.slope, torch.zeros(2))
    assert [prior.slope.shape for prior in Prior.members(2, 3, 0)] == [(0,), (0,)]
    (prior,) = Prior.members(1, 3, 0, semicontinuous=[1], transformed=[2])
    assert torch.equal(prior.skew, torch.tensor([TYPICAL_SKEW[0], PART_SKEW[0], LINE_SKEW[0]]))


def test_semicontinuous_and_transformed_columns_have_skewness_of_their_own_laws():
    members = Prior.members(8, 4, 0, semicontinuous=[0], transformed=[2])
    for place, (mean, sd) in ((0, PART_SKEW), (2, LINE_SKEW)):
        anchors = torch.stack([own.skew[place] for own in members])
        assert anchors.mean().item() == pytest.approx(mean, abs=1e-5)
        assert anchors.std(correction=0).item() == pytest.approx(sd, rel=1e-5)
    own, decoder, warp = members[3].double(), *parts()[:2]
    assert own.typical_skew.item() == pytest.approx(own.typical.item())
    own.typical_skew.data.normal_()
    unseen = normal(own.typical_skew, own.typical, TYPICAL_SKEW[1])
    unseen += normal(warp.skew[0], own.skew[0], PART_SKEW[1]) + normal(warp.skew[2], own.skew[2], LINE_SKEW[1])
    unseen += normal((warp.skew - own.typical_skew)[[1, 3]], (own.skew - own.typical)[[1, 3]], SKEW_SPREAD)
    assert own.log_prob(50, decoder, warp, None).item() == pytest.approx(weights(decoder) + (1 + 50 / TRUSTED) * unseen)
    # With none but such columns the typical skewness is no column's.
    own = Prior.members(3, 4, 0, semicontinuous=range(4))[0].double()
    expected = weights(decoder) + (1 + 50 / TRUSTED) * normal(warp.skew, own.skew, PART_SKEW[1])
    assert own.log_prob(50, decoder, warp, None).item() == pytest.approx(expected)


def parts(hidden=(3, 5), linear=True):
    decoder = GaussianDecoder(2, D, hidden, linear).double()
    warp, mechanism = SkewWarp(D).double(), SelfMasking(D, [0, 2, 3], ["high", "free", "low"], PROBIT).double()
    for module in (decoder, warp, mechanism):
        for parameter in module.parameters():
            parameter.data.normal_()
    return decoder, warp, mechanism


def prior():
    own = Prior.members(3, D, 3)[1].double()
    own.typical_skew.data.normal_()
    return own


def skews(warp, own):
    """The columns' skewness about the typical one, and that about its prior's center, each moved as the anchors say."""
    about = normal(own.typical_skew, own.typical, TYPICAL_SKEW[1])
    return about + normal(warp.skew - own.typical_skew, own.skew - own.typical, SKEW_SPREAD)


def normal(x, loc, scale):
    """Sum of normal log densities less their value at the center: the prior is known up to a constant."""
    x, loc = (torch.as_tensor(part).detach().numpy() for part in (x, loc))
    return (stats.norm.logpdf(x, loc, scale) - stats.norm.logpdf(0, 0, scale)).sum()


def weights(decoder):
    total = 0.0 if decoder.linear is None else normal(decoder.linear.weight, 0.0, 1.0)
    layers = [layer for layer in decoder.net or () if hasattr(layer, "weight")]
    return total + sum(normal(layer.weight, 0.0, layer.weight.shape[1] ** -0.5) for layer in layers)


@pytest.mark.parametrize(("hidden", "linear"), [((3, 5), True), ((3,), False), ((), True)])
@pytest.mark.parametrize("n_rows", [10, 1000])
def test_log_probability_is_the_sum_of_normal_densities_with_unseen_ones_counting_one_row_in_so_many(hidden, linear, n_rows):
    decoder, warp, mechanism = parts(hidden, linear)
    own = prior()
    high, free, low = mechanism.slope.detach().unbind()
    assert high > 0 > low
    unseen = skews(warp, own) + normal(free, FREE_SLOPE * own.slope[1], FREE_SLOPE)
    unseen += normal(torch.stack([high, -low]).log(), LOG_SLOPE[0] + LOG_SLOPE[1] * own.slope[[0, 2]], LOG_SLOPE[1])
    assert own.log_prob(n_rows, decoder, warp, mechanism).item() == pytest.approx(
        weights(decoder) + (1 + n_rows / TRUSTED) * unseen, rel=1e-6
    )


def test_effects_on_masks_of_earlier_columns_are_student_t_or_normal_beside_an_own_value_and_of_the_latent_normal():
    decoder, _, _ = parts()
    mechanism = SequentialMasking(SelfMasking(D, [0, 2], "free", PROBIT), range(D), 2).double()
    for parameter in (mechanism.effects, mechanism.absences, mechanism.loadings):
        parameter.data.normal_()
    own = Prior.members(2, D, 2)[0].double()
    alone = own.log_prob(50, decoder, None, SelfMasking(D, [0, 2], "free", PROBIT).double()).item()
    effects = normal(mechanism.loadings, 0.0, LOADING)
    beside, rest = mechanism.effects[[0, 2]], mechanism.effects[[1, 3]]  # of columns whose own values are read, and of the others
    effects += normal(beside, 0.0, BESIDE_OWN)
    for found, scale in ((rest, EFFECT), (mechanism.absences, ABSENCE)):
        law = stats.t(EFFECT_DOF, scale=scale)
        effects += (law.logpdf(found.detach().numpy()) - law.logpdf(0)).sum()
    assert own.log_prob(50, decoder, None, mechanism).item() == pytest.approx(alone + effects)
    own.start(None, mechanism)


def test_parts_that_a_model_lacks_and_mechanisms_without_slopes_of_their_own_count_nothing():
    decoder, warp, _ = parts()
    own, alone = prior(), pytest.approx(weights(decoder))
    for mechanism in (None, LinearMasking(D), SelfMasking(D, None, "high", THRESHOLD)):
        assert own.log_prob(500, decoder, None, mechanism).item() == alone
    assert own.log_prob(500, decoder, warp, None).item() < weights(decoder)


def test_gradients_are_finite_differences_whatever_the_directions():
    decoder, warp, mechanism = parts()
    own = prior()

    parameters = [warp.skew, mechanism.raw_slope, own.typical_skew]

    def log_prob(*values):
        for parameter, value in zip(parameters, values, strict=True):
            parameter.data.copy_(value.reshape(parameter.shape))
        return own.log_prob(300, decoder, warp, mechanism)

    at = [p.detach().clone().reshape(-1) for p in parameters]
    found = [grad.reshape(-1) for grad in torch.autograd.grad(log_prob(*at), parameters)]
    for which, grad in enumerate(found):
        for i in range(len(grad)):
            up, down = ([p.clone() for p in at] for _ in range(2))
            up[which][i] += 1e-6
            down[which][i] -= 1e-6
            difference = (log_prob(*up) - log_prob(*down)).item() / 2e-6
            assert grad[i].item() == pytest.approx(difference, rel=1e-5, abs=1e-5)
    # Where a free slope starts.
    mechanism.raw_slope.data[1] = 0.0
    (grad,) = torch.autograd.grad(own.log_prob(300, decoder, warp, mechanism), mechanism.raw_slope)
    pull = (1 + 300 / TRUSTED) * own.slope[1] / FREE_SLOPE
    assert grad[1].item() == pytest.approx(pull.item()) and bool(grad.isfinite().all())


def test_categories_effects_are_a_multivariate_t_for_each_column(seed):
    """Against scipy's, and by its meaning: a normal whose variance is drawn for each column."""
    mechanism = CategoryMasking(3, [0, 2], [3, 4]).double()
    own = Prior.members(3, 0, 0, 7)[1].double()
    rng = np.random.default_rng(seed)
    scale, dof = CATEGORY

    def log_prob(values):
        mechanism.by_level.data.copy_(torch.from_numpy(values))
        return own.log_prob(500, decoder, None, mechanism).item() - own.log_prob(500, decoder, None, None).item()

    decoder = parts()[0]
    first, second = rng.normal(size=(2, 7))
    anchor = own.by_level.numpy()
    laws = [
        lambda x, at=at: stats.multivariate_t.logpdf(x[at], anchor[at], scale**2 * np.eye(len(anchor[at])), dof)
        for at in (slice(0, 3), slice(3, 7))
    ]
    expected = sum(law(first) - law(second) for law in laws)
    assert log_prob(first) - log_prob(second) == pytest.approx(expected)
    # One column's effects say nothing of another's.
    mixed = np.r_[first[:3], second[3:]]
    assert log_prob(mixed) - log_prob(second) == pytest.approx(laws[0](first) - laws[0](second))


def test_start_puts_slopes_and_skewness_at_the_anchors_and_leaves_free_slopes_alone():
    decoder, warp, mechanism = parts()
    own, free = prior(), mechanism.slope[1].item()
    own.start(warp, mechanism)
    assert torch.equal(warp.skew, own.skew) and mechanism.slope[1].item() == pytest.approx(free)
    torch.testing.assert_close(
        mechanism.slope[[0, 2]], torch.tensor([1.0, -1.0]).double() * (LOG_SLOPE[0] + LOG_SLOPE[1] * own.slope[[0, 2]]).exp()
    )
    # Then nothing but the weights and the free slope counts.
    own.typical_skew.data.copy_(own.typical)
    rest = weights(decoder) + (1 + 50 / TRUSTED) * normal(free, FREE_SLOPE * own.slope[1], FREE_SLOPE)
    assert own.log_prob(50, decoder, warp, mechanism).item() == pytest.approx(rest)
    own.start(None, None)
    own.start(None, LinearMasking(D))


@pytest.mark.parametrize("spread", ["rows", "coarsened"])
def test_members_of_a_normal_model_have_the_spread_that_is_stated(seed, spread, n_rows=3000):
    """Skewness as the one parameter, known to a row by ``information``: exact minimizers over many members.

    With N bootstrapped rows the formula of the module's docstring; with alpha N it would be the coarsened posterior's.
    """
    size, columns, information = 8, 1000, 0.01
    members = [own.double() for own in Prior.members(size, columns, 0, transformed=range(columns))]
    alpha, precision = TRUSTED / (TRUSTED + n_rows), LINE_SKEW[1] ** -2
    rows = n_rows if spread == "rows" else alpha * n_rows
    warp, decoder, rng = SkewWarp(columns).double(), parts()[0], np.random.default_rng(seed)
    found = []
    for own in members:
        # The penalty is a parabola: one Newton step from 0 is the minimizer.
        warp.skew.data.zero_()
        log_prob = own.log_prob(n_rows, decoder, warp, None)
        (pull,) = torch.autograd.grad(log_prob, warp.skew)
        estimate = torch.from_numpy(rng.normal(size=columns) / np.sqrt(rows * information))
        found.append((n_rows * information * estimate + pull) / (n_rows * information + precision / alpha))
    theta = torch.stack(found)
    seen = alpha * n_rows * information
    posterior = 1 / (seen + precision)
    variance = posterior if spread == "coarsened" else (alpha * seen + precision) * posterior**2
    mean = precision * LINE_SKEW[0] * posterior
    assert abs(float(z_score((theta - mean).mean(0), torch.tensor(0.0)))) < Z_MAX
    assert abs(float(z_score((theta - mean).square().mean(0), torch.tensor(variance)))) < Z_MAX
