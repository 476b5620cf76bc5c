"""The selection distribution against enumeration, quadrature and the form that samples the missing values."""

import itertools

import numpy as np
import pytest
import torch
from exact import Z_MAX, self_masking, z_score
from scipy import integrate
from torch.distributions import Bernoulli, Categorical, Independent, Normal, Poisson, StudentT

from pyro_mnar.distributions import LOGIT, PROBIT, THRESHOLD, continuous
from pyro_mnar.mechanisms import LinearMasking, MixedMasking, SelfMasking
from pyro_mnar.model import SelectionDistribution

NAN = float("nan")
LOC, SCALE = torch.tensor([0.4, -0.3, 0.1]).double(), torch.tensor([0.8, 0.5, 1.2]).double()
LAWS = {
    "normal": Independent(Normal(LOC, SCALE), 1),
    "student": Independent(StudentT(torch.tensor([2.5, 5.0, 30.0]).double(), LOC, SCALE), 1),
}


def every_mask(n):
    return [torch.tensor(s) for s in itertools.product([False, True], repeat=n)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("link", [LOGIT, PROBIT], ids=lambda link: link.name)
def test_probability_adds_to_one_over_one_cell(law, link):
    base = LAWS[law].base_dist
    cell = Independent(type(base)(**{n: getattr(base, n)[:1] for n in ("df", "loc", "scale") if n in base.arg_constraints}), 1)
    selection = SelectionDistribution(cell, self_masking([3.0], [-0.6], link))
    seen = integrate.quad(
        lambda v: selection.log_prob(torch.tensor([v]).double()).detach().exp().item(), -np.inf, np.inf, epsabs=1e-11
    )[0]
    assert seen + selection.log_prob(torch.tensor([NAN]).double()).exp().item() == pytest.approx(1, abs=2e-8)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("link", [LOGIT, PROBIT], ids=lambda link: link.name)
@pytest.mark.parametrize("slope", [0.0, 0.5, 3.0, 50.0, 500.0, -3.0])
def test_collapsed_probability_is_the_mean_of_the_sampled_form(law, link, slope):
    mechanism = self_masking([slope, NAN, -slope], [0.2 - 0.4 * slope, 0.0, 0.1], link)
    value = torch.tensor([NAN, NAN, 0.3 if slope >= 0 else -0.3]).double()
    mask = value.isfinite()
    x = torch.where(mask, value, LAWS[law].sample((100_000,)))
    sampled = mechanism(x).log_prob(mask).exp() * LAWS[law].base_dist.log_prob(x)[..., mask].sum(-1).exp()
    exact = SelectionDistribution(LAWS[law], mechanism).log_prob(value).exp()
    # At slope 0 the sampled form has no variance at all.
    if slope == 0:
        torch.testing.assert_close(sampled, exact.expand_as(sampled), rtol=1e-7, atol=0)
    else:
        assert abs(z_score(sampled, exact)) < Z_MAX


def finite_cells():
    probs = torch.tensor([0.3, 0.8, 0.55]).double()
    yield "bernoulli by probs", Bernoulli(probs), 2
    yield "bernoulli by logits", Bernoulli(logits=probs.logit()), 2
    table = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]]).double()
    yield "categorical by probs", Categorical(table), 3
    yield "categorical by logits", Categorical(logits=table.log()), 3


@pytest.mark.parametrize(("cells", "size"), [c[1:] for c in finite_cells()], ids=[c[0] for c in finite_cells()])
@torch.no_grad()
def test_cells_of_finite_support_agree_with_enumeration(cells, size):
    mechanism = self_masking([1.3, NAN, -0.7], [-0.4, 0.0, 0.2], LOGIT)
    selection = SelectionDistribution(Independent(cells, 1), mechanism)
    rows = torch.tensor(list(itertools.product(range(size), repeat=3))).double()
    log_rows = cells.log_prob(rows).sum(-1)
    total = 0.0
    for mask in every_mask(3):
        joint = (log_rows + mechanism(rows).log_prob(mask)).exp()
        seen = {tuple(torch.where(mask, row, -1.0).tolist()) for row in rows}
        for pattern in sorted(seen):
            row = torch.tensor(pattern).double()
            chosen = (rows[:, mask] == row[mask]).all(-1)
            exact = joint[chosen].sum()
            log_prob = selection.log_prob(torch.where(mask, row, torch.nan))
            torch.testing.assert_close(log_prob, exact.log())
            total += float(exact) if bool(mask[1]) else 0.0
            modeled = ~mask & torch.tensor([True, False, True])
            mean = (joint[chosen].unsqueeze(-1) * rows[chosen]).sum(0) / exact
            torch.testing.assert_close(selection.conditional(torch.where(mask, 0.0, torch.nan).double()).mean[modeled], mean[modeled])
    # Column 1 is never modeled: its masks carry no probability, so that only the rows that show it add up to one.
    assert total == pytest.approx(1)


@pytest.mark.parametrize(("cells", "size"), [c[1:] for c in finite_cells()], ids=[c[0] for c in finite_cells()])
@torch.no_grad()
def test_draws_of_cells_of_finite_support_have_the_right_rates(cells, size):
    mechanism = self_masking([1.3, NAN, -0.7], [-0.4, 0.0, 0.2], LOGIT)
    draws = SelectionDistribution(Independent(cells, 1), mechanism).conditional(torch.full((3,), torch.nan).double()).sample((20_000,))
    values = torch.arange(size).double()
    weight = torch.stack([cells.log_prob(v.expand(3)).exp() * mechanism(v.expand(3)).log_missing.exp() for v in values])
    weight[:, 1] = torch.stack([cells.log_prob(v.expand(3)).exp()[1] for v in values])
    for v, w in zip(values, weight / weight.sum(0), strict=True):
        assert float(z_score((draws == v).double(), w).abs().max()) < Z_MAX


@pytest.mark.parametrize("law", LAWS)
def test_samples_punch_holes_at_the_rate_of_the_integral(law):
    mechanism = self_masking([2.0, NAN, -1.0], [0.1, 0.0, -0.5], LOGIT)
    selection = SelectionDistribution(LAWS[law], mechanism)
    draws = selection.sample((40_000,))
    missing = draws.isnan().double()
    assert not bool(missing[:, 1].any())
    for j in (0, 2):
        only = torch.zeros(3).double().index_fill(0, torch.tensor([j]), NAN)
        parts = selection.log_prob(only), SelectionDistribution(LAWS[law], mechanism).log_prob(torch.zeros(3).double())
        # p(hole in j) = ratio of the row with the hole to the row without, times that cell's seen density.
        seen = LAWS[law].base_dist.log_prob(torch.zeros(3).double())[j] + mechanism(torch.zeros(3).double()).log_observed[j]
        assert abs(z_score(missing[:, j], (parts[0] - parts[1] + seen).exp())) < Z_MAX


@pytest.mark.parametrize("law", LAWS)
def test_conditional_mean_is_the_mean_of_conditional_draws_and_of_punched_holes(law):
    mechanism = self_masking([2.0, NAN, -1.0], [0.1, 0.0, -0.5], PROBIT)
    selection = SelectionDistribution(LAWS[law], mechanism)
    conditional = selection.conditional(torch.full((3,), torch.nan).double())
    draws = conditional.sample((40_000,))
    x = LAWS[law].sample((80_000,))
    missing = ~mechanism(x).sample()
    for j in (0, 1, 2):
        # tanh: a Student-t of 2.5 degrees of freedom has no variance to speak of.
        holes = x[missing[:, j], j] if j != 1 else x[:, j]
        a, b = draws[:, j].tanh(), holes.tanh()
        assert abs((a.mean() - b.mean()) / (a.var() / len(a) + b.var() / len(b)).sqrt()) < Z_MAX
        if law == "normal" or j == 2:
            assert abs(z_score(draws[:, j], conditional.mean[j])) < Z_MAX


def test_threshold_conditional_is_a_cut_normal_and_observed_values_beyond_it_are_impossible():
    mechanism = SelfMasking(1, direction="high", link=THRESHOLD).double()
    mechanism.initialize(torch.tensor([[0.2], [0.9], [5.0]]).double(), torch.tensor([[True], [True], [False]]))
    selection = SelectionDistribution(Independent(Normal(LOC[:1], SCALE[:1]), 1), mechanism)
    tail = 1 - Normal(LOC[0], SCALE[0]).cdf(torch.tensor(0.9).double())
    torch.testing.assert_close(selection.log_prob(torch.tensor([NAN]).double()), tail.log())
    # The largest observed value is itself the threshold, and possible.
    at, beyond = torch.tensor([0.9]).double(), torch.tensor([0.91]).double()
    torch.testing.assert_close(selection.log_prob(at), Normal(LOC[0], SCALE[0]).log_prob(at[0]))
    assert selection.log_prob(beyond) == -torch.inf
    assert float(selection.conditional(torch.tensor([torch.nan])).sample((1000,)).min()) >= 0.9


def test_filler_of_holes_reaches_neither_value_nor_gradient():
    loc = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    mechanism = self_masking([2.0, NAN, -1.0], [0.1, 0.0, -0.5])
    value = torch.randn(4, 3).double()
    value[0, 0] = value[1, 1] = value[2, 2] = NAN
    value[3] = NAN
    total = SelectionDistribution(Independent(Normal(loc, 1.0), 1), mechanism).log_prob(value).sum()
    total.backward()
    assert bool(total.isfinite()) and bool(loc.grad.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in mechanism.parameters())
    # A hole in a column without a mechanism says nothing about its mean; one in a modeled column does.
    assert loc.grad[1, 1] == 0 and loc.grad[3, 1] == 0 and loc.grad[0, 0] != 0 and loc.grad[3, 2] != 0


def test_without_a_mechanism_holes_add_nothing():
    selection = SelectionDistribution(LAWS["normal"])
    value = torch.tensor([0.5, NAN, -1.0]).double()
    expected = Normal(LOC, SCALE).log_prob(torch.tensor([0.5, 0.0, -1.0]).double())[[0, 2]].sum()
    torch.testing.assert_close(selection.log_prob(value), expected)
    assert bool(selection.sample((10,)).isfinite().all())


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("link", [LOGIT, PROBIT], ids=lambda link: link.name)
def test_slope_zero_is_missing_completely_at_random(law, link):
    mechanism = self_masking([0.0, NAN, 0.0], [0.3, 0.0, -0.8], link)
    for mask in every_mask(3):
        value = torch.where(mask, LAWS[law].sample(), torch.nan)
        masks = mechanism(torch.zeros(3).double()).log_prob(mask)
        ignorable = SelectionDistribution(LAWS[law]).log_prob(value)
        torch.testing.assert_close(SelectionDistribution(LAWS[law], mechanism).log_prob(value), ignorable + masks, rtol=1e-7, atol=1e-7)
        mean = SelectionDistribution(LAWS[law], mechanism).conditional(torch.where(mask, 0.0, torch.nan).double()).mean
        torch.testing.assert_close(mean, torch.where(mask, 0.0, LAWS[law].mean), rtol=1e-4, atol=1e-4)


def test_columns_that_another_mask_reads_are_left_to_their_own_site():
    alone, reading = self_masking([2.0, NAN, NAN], [0.1, 0.0, 0.0]), LinearMasking(3, [2]).double()
    mixed = MixedMasking(alone, reading)
    # Column 2's mask reads column 0, so neither is integrated out; column 1 has no mechanism.
    assert mixed.own_scores() == []
    assert mixed.coupled().tolist() == [True, False, True]
    value = torch.tensor([NAN, 0.3, NAN]).double()
    ignorable = SelectionDistribution(LAWS["normal"]).log_prob(value)
    torch.testing.assert_close(SelectionDistribution(LAWS["normal"], mixed).log_prob(value), ignorable)
    torch.testing.assert_close(
        SelectionDistribution(LAWS["normal"], mixed).conditional(value).mean, torch.where(value.isnan(), LAWS["normal"].mean, 0.0)
    )


def test_a_self_masking_column_that_nobody_reads_is_still_integrated_out_in_a_mixture():
    class ReadsColumnOne(LinearMasking):
        def __init__(self):
            super().__init__(3, [2])
            self.couplings = torch.zeros(3, 3, dtype=torch.bool).index_put((torch.tensor(2), torch.tensor(1)), torch.tensor(True))

    alone = self_masking([2.0, -1.0, NAN], [0.1, 0.4, 0.0])
    mixed = MixedMasking(alone, ReadsColumnOne().double())
    assert [own.columns.tolist() for own in mixed.own_scores()] == [[0]]
    assert mixed.coupled().tolist() == [False, True, True]
    value = torch.tensor([NAN, NAN, NAN]).double()
    only = SelectionDistribution(LAWS["normal"], self_masking([2.0, NAN, NAN], [0.1, 0.0, 0.0])).log_prob(value)
    torch.testing.assert_close(SelectionDistribution(LAWS["normal"], mixed).log_prob(value), only)


def test_self_masking_has_no_coupled_columns_and_linear_masking_has_all_its_own():
    assert not bool(SelfMasking(3).coupled().any())
    assert LinearMasking(3, [0, 2]).coupled().tolist() == [True, False, True]


@pytest.mark.parametrize("law", LAWS)
def test_expand_and_leading_dimensions_repeat_the_same_law(law):
    mechanism = self_masking([2.0, NAN, -1.0], [0.1, 0.0, -0.5])
    selection = SelectionDistribution(LAWS[law], mechanism)
    value = torch.tensor([0.2, NAN, NAN]).double()
    wide = selection.expand((4, 2))
    assert wide.batch_shape == (4, 2) and wide.event_shape == (3,)
    torch.testing.assert_close(wide.log_prob(value), selection.log_prob(value).expand(4, 2))
    assert wide.sample().shape == (4, 2, 3) and selection.sample((5, 6)).shape == (5, 6, 3)
    conditional = wide.conditional(value)
    assert conditional.mean.shape == (4, 2, 3) and conditional.sample((7,)).shape == (7, 4, 2, 3)


def test_equal_uniforms_give_equal_draws_and_observed_cells_are_given_as_0():
    selection = SelectionDistribution(LAWS["normal"], self_masking([2.0, NAN, -1.0], [0.1, 0.0, -0.5]))
    uniforms = torch.rand(2, 3, 3, dtype=torch.float64)
    masked = selection.conditional(torch.full((3,), torch.nan).double()).from_uniforms(uniforms)
    seen = selection.conditional(torch.zeros(3).double()).from_uniforms(uniforms)
    assert torch.equal(masked, selection.conditional(torch.full((3,), torch.nan).double()).from_uniforms(uniforms))
    assert bool((seen == 0).all()) and bool((masked != 0).all())


def test_decoders_that_are_no_row_of_cells_are_refused():
    with pytest.raises(ValueError, match="decoder: got Normal of event shape"):
        SelectionDistribution(Normal(LOC, SCALE))
    with pytest.raises(ValueError, match="decoder: got .* of event shape"):
        SelectionDistribution(Independent(Normal(LOC.expand(2, 3), SCALE), 2))


def test_masks_of_cells_that_have_no_integral_are_left_to_their_own_site():
    counts, mechanism = Independent(Poisson(torch.ones(3).double()), 1), self_masking([1.0, NAN, NAN], [0.0, 0.0, 0.0])
    value = torch.tensor([1.0, NAN, 2.0]).double()
    alone, masked = SelectionDistribution(counts), SelectionDistribution(counts, mechanism)
    assert torch.equal(masked.log_prob(value), alone.log_prob(value)) and not bool(masked.integrated.any())
    torch.testing.assert_close(masked.conditional(value).mean, torch.tensor([0.0, 1.0, 0.0]).double())
    with pytest.raises(TypeError, match="Poisson.*no inverse distribution function"):
        masked.conditional(value).sample()


BROADCASTS = [((3,), (7, 3)), ((7, 3), (5, 7, 3)), ((4, 1, 3), (7, 3)), ((4, 7, 3), (3,)), ((7, 3), (5, 1, 3))]


@pytest.mark.parametrize("link", [LOGIT, PROBIT, THRESHOLD], ids=lambda link: link.name)
@pytest.mark.parametrize(
    ("ours", "torch_own"), [(continuous.Normal, Normal), (continuous.StudentT, StudentT)], ids=["normal", "student"]
)
@pytest.mark.parametrize(("rows", "given"), BROADCASTS)
def test_rows_and_laws_broadcast_and_torch_s_laws_give_the_same(link, ours, torch_own, rows, given):
    mechanism = SelfMasking(3, [0, 2], "high", link).double()
    value = torch.where(torch.rand(rows) < 0.5, -torch.rand(rows).double(), NAN)
    parameters = [torch.tensor([2.5, 5.0, 30.0]).double()] * (torch_own is StudentT) + [torch.randn(given).double(), SCALE]
    shape = torch.broadcast_shapes(rows, given)
    found = SelectionDistribution(Independent(ours(*parameters), 1), mechanism).log_prob(value)
    one_by_one = [
        SelectionDistribution(Independent(torch_own(*own), 1), mechanism).log_prob(row)
        for row, *own in zip(*(t.expand(shape).reshape(-1, 3) for t in (value, *parameters)), strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(one_by_one).reshape(shape[:-1]), rtol=1e-9, atol=1e-12)


def test_uniforms_that_all_cells_share_draw_what_each_s_own_would():
    torch.manual_seed(0)
    decoder = Independent(Normal(torch.randn(5, 8, 3), torch.rand(3) + 0.5), 1)
    law = SelectionDistribution(decoder, SelfMasking(3, [0, 1], "high", PROBIT))
    holed = torch.where(torch.rand(8, 3) < 0.5, torch.randn(8, 3), torch.nan)
    shared = torch.rand(5, 1, 1, 3).clamp_min(1e-6).expand(5, 8, 3, 3)
    with torch.no_grad():
        conditional = law.conditional(holed)
        assert torch.equal(conditional.from_uniforms(shared), conditional.from_uniforms(shared.contiguous()))


def test_cells_of_no_row_and_a_mechanism_of_another_width_are_refused():
    cells = Normal(torch.zeros(5, 4), 1.0)
    for wrong, said in ((cells, r"Normal of event shape \(\)"), (Independent(cells, 2), r"Independent of event shape \(5, 4\)")):
        with pytest.raises(ValueError, match=f"^decoder: got {said}, expected cells independent in one dimension, such as"):
            SelectionDistribution(wrong)
    for width in (3, 5):
        with pytest.raises(ValueError, match=f"^mechanism: made for {width} columns, expected 4"):
            SelectionDistribution(Independent(cells, 1), SelfMasking(width, direction="high"))
