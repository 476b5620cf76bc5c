"""The model as a pair, with warped margins: exact evidence, the coupled form in the table's units, and where it starts."""

import numpy as np
import pytest
import torch
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, Z_MAX, PosteriorEncoder, log_self_masking, self_masking, z_score
from pyro import poutine
from scipy import special

from pyro_mnar.distributions import PROBIT
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.mechanisms import LinearMasking, MixedMasking, SelfMasking
from pyro_mnar.model import MNAR, Prior
from pyro_mnar.networks import ConjugateEncoder, GaussianDecoder, SkewWarp

SKEW = np.array([0.7, -0.4, 0.0, 1.1])
X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)
# Written out again: y and log dy/dx of the rows.
BENT = np.arcsinh(ROWS) - SKEW
Y, LOG_SLOPE = np.sinh(BENT), np.log(np.cosh(BENT) / np.sqrt(1 + ROWS**2))


def skewed():
    warp = SkewWarp(4).double()
    with torch.no_grad():
        warp.skew.copy_(torch.tensor(SKEW))
    return warp


@torch.no_grad()
def log_weights(particles, mechanism=None, inflate=2.0):
    model = MNAR(LAW.decoder(), PosteriorEncoder(LAW, inflate), mechanism, skewed())
    return IWELBO(model, particles).log_weights(torch.where(MASK, X, torch.nan), MASK)


def evidence(log_prob, rows=range(5)):
    """Exact log p(x_obs, s) of some rows from the law of their warped values, and the Jacobian of what is seen."""
    return torch.tensor([log_prob(Y[i], MASKS[i]) + (LOG_SLOPE[i] * MASKS[i]).sum() for i in rows]).double()


def test_weights_of_warped_rows_are_constant_at_the_exact_posterior_of_the_warped_values():
    exact = evidence(lambda y, m: LAW.ignorable(y, m).log_prob)
    torch.testing.assert_close(log_weights(10, inflate=1.0), exact.expand(10, 5))


def test_weights_of_warped_rows_are_unbiased_under_probit_self_masking():
    exact = evidence(lambda y, m: LAW.probit(y, m, SLOPE, INTERCEPT))
    log_w = log_weights(50_000, self_masking(SLOPE, INTERCEPT))
    assert float(z_score((log_w - exact).exp(), 1.0).abs().max()) < Z_MAX


def coupled():
    """A LinearMasking of columns 0 and 1 that reads their own values alone, so that it is self-masking in the sampled form."""
    both = LinearMasking(4, [0, 1]).double()
    with torch.no_grad():
        both.score.weight.copy_(torch.eye(2, 4).double() * torch.tensor(SLOPE[:2]).unsqueeze(-1))
        both.score.bias.copy_(torch.tensor(INTERCEPT[:2]))
    return both


def test_weights_of_warped_rows_are_unbiased_where_the_missing_values_are_sampled():
    slope, rows = np.where(np.arange(4) < 2, SLOPE, np.nan), [1, 2]
    exact = evidence(lambda y, m: LAW.grid(y, m, log_self_masking(m, slope, INTERCEPT, "logit")).log_prob, rows)
    log_w = log_weights(100_000, coupled())[:, rows]
    assert float(z_score((log_w - exact).exp(), 1.0).abs().max()) < Z_MAX


def test_completed_rows_are_in_the_table_s_units_and_their_masks_scored_on_warped_values():
    mechanism, warp = MixedMasking(coupled(), self_masking([np.nan, np.nan, np.nan, 0.7], [0, 0, 0, -0.5], PROBIT)), skewed()
    model = MNAR(LAW.decoder(), PosteriorEncoder(LAW), mechanism, warp).double()
    with torch.no_grad():
        trace = poutine.trace(model.model).get_trace(torch.where(MASK, X, torch.nan), MASK)
        complete, z, noise = (trace.nodes[name]["value"] for name in ("complete", "z", "noise"))
        assert torch.equal(complete[MASK], X[MASK])
        y = model.decoder(z).base_dist.loc + torch.tensor(LAW.noise) * noise
        torch.testing.assert_close(complete[~MASK], warp.inverse(y)[~MASK])
        trace.compute_log_prob()
        # The linear mechanism may read column 3, which is therefore scored on its sampled values too.
        score = torch.where(MASK, -1.0, 1.0) * (
            torch.tensor([*SLOPE[:2], 0.0, 0.7]) * warp(complete)[0] + torch.tensor([*INTERCEPT[:2], 0.0, -0.5])
        )
        expected = torch.nn.functional.logsigmoid(score[:, :2]).sum(-1) + torch.special.log_ndtr(score[:, 3])
        torch.testing.assert_close(trace.nodes["mask"]["log_prob"], expected)


def test_missing_rate_is_that_of_the_warped_value():
    model = MNAR(LAW.decoder(), PosteriorEncoder(LAW), self_masking(SLOPE, INTERCEPT), skewed())
    found = model.missing_rate(X).detach().numpy()
    modeled = ~np.isnan(SLOPE)
    np.testing.assert_allclose(found[:, modeled], special.ndtr(SLOPE * Y + INTERCEPT)[:, modeled], rtol=1e-9)
    bare = MNAR(LAW.decoder(), PosteriorEncoder(LAW), self_masking(SLOPE, INTERCEPT))
    np.testing.assert_allclose(bare.missing_rate(X).detach().numpy()[:, modeled], special.ndtr(SLOPE * ROWS + INTERCEPT)[:, modeled])


DIRECTIONS = ["high", "low", "free", "free"]
MIRRORED = ["low", "high", "free", "free"]


def table():
    """Four related columns; 0 and 2 lose large values, 1 small ones, 3 some at random."""
    x = torch.randn(500, 1).double() * torch.tensor([1.0, -1.0, 1.0, 1.0]).double() + 0.5 * torch.randn(500, 4).double()
    seen = [x[:, 0] < 0.7, x[:, 1] > -0.5, x[:, 2] < 0.3, torch.arange(500) % 5 > 0]
    return x, torch.stack(seen, -1)


def started(x, mask, directions=DIRECTIONS, warp=None, prior=None):
    decoder = GaussianDecoder(2, 4, [8])
    model = MNAR(decoder, ConjugateEncoder(decoder, [8]), SelfMasking(4, None, directions, PROBIT), warp, prior).double()
    model.initialize(torch.where(mask, x, torch.nan), mask)
    mechanism = model.mechanism
    return [
        p.detach().clone()
        for p in (model.decoder.linear.bias, -mechanism.intercept / mechanism.slope, mechanism.slope, mechanism.offset)
    ]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_start_moves_with_the_columns(sign):
    x, mask = table()
    mask[:, 3] = x[:, 3] < 0.5
    shift, scale = torch.tensor([3.0, -1.0, 0.5, 100.0]).double(), sign * torch.tensor([0.5, 2.0, 1.5, 0.8]).double()
    mean, middle, slope, offset = started(x, mask)
    moved = started(shift + scale * x, mask, DIRECTIONS if sign > 0 else MIRRORED)
    torch.testing.assert_close(moved[0], shift + scale * mean)
    # Where half go missing.
    torch.testing.assert_close(moved[1], shift + scale * middle)
    torch.testing.assert_close(moved[2], sign * slope)
    torch.testing.assert_close(moved[3], offset)
    # The columns that point to a direction suppose that they reach beyond what is seen.
    seen = torch.where(mask, x, torch.nan).nanmean(0)
    assert torch.sign(mean - seen).tolist() == [1, -1, 1, 1] and torch.sign(slope).tolist() == [1, -1, 1, 1]


def test_start_under_a_warp_is_that_of_the_warped_columns():
    x, mask = table()
    warp = skewed()
    torch.testing.assert_close(started(x, mask, warp=warp), started(warp(x)[0].detach(), mask))
    assert warp.skew.tolist() == pytest.approx(SKEW.tolist())


def test_start_with_a_prior_is_at_its_anchors_with_the_rest_as_they_make_it():
    x, mask = table()
    prior = Prior.members(2, 4, 4)[0].double()
    warp, anchored = SkewWarp(4).double(), SkewWarp(4).double()
    mean, middle, slope, offset = started(x, mask, warp=warp, prior=prior)
    assert torch.equal(warp.skew, prior.skew)
    torch.testing.assert_close(slope[:2], torch.tensor([1.0, -1.0]).double() * (0.9 + 0.8 * prior.slope[:2]).exp())
    anchored.load_state_dict(warp.state_dict())
    others = started(x, mask, warp=anchored)
    torch.testing.assert_close([mean, middle, slope[2:], offset], [others[0], others[1], others[2][2:], others[3]])


def test_log_prior_is_the_prior_s_and_zero_without_one():
    decoder, mechanism, warp = GaussianDecoder(2, 4, [8]), SelfMasking(4, None, DIRECTIONS, PROBIT), SkewWarp(4)
    (prior,) = Prior.members(1, 4, 4)
    model = MNAR(decoder, ConjugateEncoder(decoder, [8]), mechanism, warp, prior)
    assert torch.equal(model.log_prior(70), prior.log_prob(70, decoder, warp, mechanism))
    assert MNAR(decoder, ConjugateEncoder(decoder, [8]), mechanism, warp).log_prior(70).item() == 0
