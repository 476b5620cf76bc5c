"""The prior of a member's parameters against its densities written out, and its anchors."""

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_mnar.models import (
    PROBIT,
    THRESHOLD,
    CategoryMasking,
    GaussianDecoder,
    LinearMasking,
    Prior,
    SelfMasking,
    SequentialMasking,
    SkewWarp,
)
from pyro_mnar.models.priors import (
    ABSENCE,
    CATEGORY,
    EFFECT,
    FREE_SLOPE,
    LOADING,
    LOG_SLOPE,
    PART_SKEW,
    SKEW_SPREAD,
    TRUSTED,
    TYPICAL_SKEW,
)

D = 4


@pytest.mark.parametrize("size", [2, 3, 8])
def test_anchors_have_the_prior_s_own_mean_and_standard_deviation(size):
    members = Prior.members(size, 30, 20)
    assert len(members) == size
    for name, law, width in (("skew", (TYPICAL_SKEW[0], SKEW_SPREAD), 30), ("log_slope", LOG_SLOPE, 20)):
        anchors = torch.stack([getattr(prior, name) for prior in members])
        assert anchors.shape == (size, width)
        np.testing.assert_allclose(anchors.mean(0), law[0], atol=1e-5)
        np.testing.assert_allclose(anchors.std(0, correction=0), law[1], rtol=1e-5)
        # Midpoints of equal shares, each once, in an order of each column's own.
        shares = stats.norm.ppf((np.arange(size) + 0.5) / size)
        np.testing.assert_allclose(anchors.sort(0).values, np.tile(law[0] + law[1] * shares[:, None] / shares.std(), width), rtol=1e-5)
        assert len({tuple(column.argsort().tolist()) for column in anchors.T}) > 1


def test_a_single_member_s_anchors_are_the_prior_s_means_and_columns_may_have_no_slope():
    (prior,) = Prior.members(1, 3, 2)
    assert torch.equal(prior.skew, torch.full((3,), TYPICAL_SKEW[0])) and torch.equal(prior.log_slope, torch.full((2,), LOG_SLOPE[0]))
    assert [prior.log_slope.shape for prior in Prior.members(2, 3, 0)] == [(0,), (0,)]
    (prior,) = Prior.members(1, 3, 0, semicontinuous=[1])
    assert torch.equal(prior.skew, torch.tensor([TYPICAL_SKEW[0], PART_SKEW[0], TYPICAL_SKEW[0]]))


def test_semicontinuous_columns_have_skewness_of_their_own_law():
    members = Prior.members(8, 4, 0, semicontinuous=[0, 2])
    anchors = torch.stack([own.skew for own in members])
    laws = [PART_SKEW, (TYPICAL_SKEW[0], SKEW_SPREAD)] * 2
    np.testing.assert_allclose(anchors.mean(0), [loc for loc, _ in laws], atol=1e-5)
    np.testing.assert_allclose(anchors.std(0, correction=0), [scale for _, scale in laws], rtol=1e-5)
    own, decoder, warp = members[3].double(), *parts()[:2]
    typical = own.skew[[1, 3]].mean()
    assert own.typical_skew.item() == pytest.approx(typical.item())
    own.typical_skew.data.normal_()
    unseen = normal(own.typical_skew, typical, TYPICAL_SKEW[1]) + normal(warp.skew[[0, 2]], own.skew[[0, 2]], PART_SKEW[1])
    unseen += normal((warp.skew - own.typical_skew)[[1, 3]], (own.skew - typical)[[1, 3]], SKEW_SPREAD)
    assert own.log_prob(50, decoder, warp, None).item() == pytest.approx(weights(decoder) + (1 + 50 / TRUSTED) * unseen)
    # With none but such columns nothing is typical.
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
    assert own.typical_skew.item() == pytest.approx(own.skew.mean().item())  # where it starts
    own.typical_skew.data.normal_()
    return own


def skews(warp, own):
    """The columns' skewness about the typical one, and that about its prior's centre, each moved as the anchors say."""
    typical = own.skew.mean()
    about = normal(own.typical_skew, typical, TYPICAL_SKEW[1])
    return about + normal(warp.skew - own.typical_skew, own.skew - typical, SKEW_SPREAD)


def normal(x, loc, scale):
    """Sum of normal log densities less their value at the centre: the prior is known up to a constant."""
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
    unseen = skews(warp, own) + normal(free, 0.0, FREE_SLOPE)
    unseen += normal(torch.stack([high, -low]).log(), own.log_slope[[0, 2]], LOG_SLOPE[1])
    assert own.log_prob(n_rows, decoder, warp, mechanism).item() == pytest.approx(
        weights(decoder) + (1 + n_rows / TRUSTED) * unseen, rel=1e-10
    )


def test_effects_on_masks_of_earlier_columns_and_of_the_latent_are_normal_about_none():
    decoder, _, _ = parts()
    mechanism = SequentialMasking(SelfMasking(D, [0, 2], "free", PROBIT), range(D), 2).double()
    for parameter in (mechanism.effects, mechanism.absences, mechanism.loadings):
        parameter.data.normal_()
    own = Prior.members(2, D, 2)[0].double()
    alone = own.log_prob(50, decoder, None, SelfMasking(D, [0, 2], "free", PROBIT).double()).item()
    effects = (
        normal(mechanism.effects, 0.0, EFFECT) + normal(mechanism.absences, 0.0, ABSENCE) + normal(mechanism.loadings, 0.0, LOADING)
    )
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
    assert grad[1] == 0 and bool(grad.isfinite().all())


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
    torch.testing.assert_close(mechanism.slope[[0, 2]], torch.tensor([1.0, -1.0]).double() * own.log_slope[[0, 2]].exp())
    # Then nothing but the weights and the free slope counts.
    own.typical_skew.data.copy_(own.skew.mean())
    rest = weights(decoder) + (1 + 50 / TRUSTED) * normal(free, 0.0, FREE_SLOPE)
    assert own.log_prob(50, decoder, warp, mechanism).item() == pytest.approx(rest)
    own.start(None, None)
    own.start(None, LinearMasking(D))
