"""Mixed tables: cells of several kinds in one row, held against enumeration and quadrature."""

import numpy as np
import pytest
import torch
from exact import Z_MAX, even, z_score
from scipy import special, stats

from pyro_mnar import IWELBO, impute
from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.distributions.continuous import PrecisionNormal
from pyro_mnar.mechanisms import CategoryMasking, MixedMasking, SelfMasking, SequentialMasking
from pyro_mnar.model import MNAR, SelectionDistribution
from pyro_mnar.networks import (
    CategoryHead,
    ConjugateEncoder,
    CountHead,
    MixedDecoder,
    NormalHead,
    OrdinalHead,
    SemicontinuousHead,
    SkewWarp,
)

#: Columns 0 and 4 normal, 1 binary, 2 ordinal of three levels, 3 and 6 categories, 5 a count.
D = 7
FIRST, STEP = {1: -0.3, 2: -0.25, 5: -0.8}, {1: 0.5, 2: 0.25, 5: 0.4}


def decoder(hidden=(4,)):
    heads = [
        NormalHead([0, 4]),
        OrdinalHead([1, 2], [[0.7, 0.3], [0.2, 0.5, 0.3]], [FIRST[1], FIRST[2]], [STEP[1], STEP[2]]),
        CategoryHead([6, 3], [[0.25] * 4, [0.6, 0.3, 0.1]]),
        CountHead([5], [2.0], [7.0], [FIRST[5]], [STEP[5]]),
    ]
    made = MixedDecoder(2, heads, hidden).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def masking(link=PROBIT, order=None):
    own = MixedMasking(
        SelfMasking(D, [5, 0, 1, 2], ["high", "free", "free", "low"], link),
        CategoryMasking(D, [3, 6], [3, 4], link),
    )
    made = (own if order is None else SequentialMasking(own, order, levels={6: 4, 3: 3})).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def rows(n, warp=None, seed=0):
    """Rows drawn from a decoder, as values of each kind."""
    made = decoder()
    with torch.no_grad():
        return made, made(torch.randn(n, 2).double()).sample()


def values_of(j, count=400):
    """The values a finite column takes; for the count, all that have any probability."""
    levels = {1: 2, 2: 3, 3: 3, 6: 4, 5: count}[j]
    return FIRST.get(j, 0.0) + STEP.get(j, 1.0) * torch.arange(levels).double()


def test_a_row_s_law_is_the_product_of_its_columns_and_each_finite_column_s_adds_to_one():
    made, x = rows(20)
    law = made(torch.randn(5, 20, 2).double())
    cells = law.base_dist.log_prob(x)
    assert law.batch_shape == (5, 20) and law.event_shape == (D,) and cells.shape == (5, 20, D)
    torch.testing.assert_close(cells.sum(-1), law.log_prob(x))
    for j in (1, 2, 3, 5, 6):
        total = 0
        for value in values_of(j):
            moved = x.index_fill(-1, torch.tensor([j]), float(value))
            changed = law.base_dist.log_prob(moved)
            assert torch.equal(changed[..., [k for k in range(D) if k != j]], cells[..., [k for k in range(D) if k != j]])
            total = total + changed[..., j].exp()
        torch.testing.assert_close(total, torch.ones(5, 20).double(), rtol=1e-9, atol=1e-9)
    assert law.expand((3, 5, 20)).log_prob(x).shape == (3, 5, 20)


def test_each_kind_s_law_is_the_textbook_one():
    made = decoder(hidden=())
    z = torch.randn(9, 2).double()
    eta = made.linear(z).detach().numpy()
    law, x = made(z).base_dist, torch.zeros(9, D).double()
    lowest, gaps = made.heads[1].lowest.detach().numpy(), special.log1p(np.exp(made.heads[1].raw_gaps.detach().numpy()))
    for value in range(3):
        x[:, 2], x[:, 6], x[:, 3], x[:, 5] = FIRST[2] + STEP[2] * value, value, value, FIRST[5] + STEP[5] * value
        found = law.log_prob(x).detach().exp().numpy()
        cuts = np.array([-np.inf, lowest[1], lowest[1] + gaps[1, 0], np.inf])
        np.testing.assert_allclose(found[:, 2], special.expit(cuts[value + 1] - eta[:, 3]) - special.expit(cuts[value] - eta[:, 3]))
        np.testing.assert_allclose(found[:, 6], special.softmax(eta[:, 4:8], -1)[:, value])
        np.testing.assert_allclose(found[:, 3], special.softmax(eta[:, 8:11], -1)[:, value])
        size, cap = made.heads[3].log_size().detach().exp().numpy(), np.log(24)
        mean = np.exp(cap - np.log1p(np.exp(cap - eta[:, 11])))
        np.testing.assert_allclose(found[:, 5], stats.nbinom.pmf(value, size, size / (size + mean)), rtol=1e-6)
    x[:, 1] = FIRST[1] + STEP[1]
    np.testing.assert_allclose(law.log_prob(x).detach().exp().numpy()[:, 1], special.expit(eta[:, 2] - lowest[0]))


@pytest.mark.parametrize("link", [PROBIT, LOGIT], ids=lambda link: link.name)
@pytest.mark.parametrize("order", [None, [4, 6, 2, 0, 5, 3, 1]], ids=["alone", "in an order"])
@pytest.mark.parametrize("warped", [False, True], ids=["plain", "warped"])
def test_missing_cells_are_summed_and_integrated_out_exactly(link, order, warped):
    made, x = rows(12)
    mechanism, warp = masking(link, order), SkewWarp(D, [0, 4]).double() if warped else None
    if warp is not None:
        warp.skew.data.copy_(torch.tensor([0.4, -0.3]))
    mask = torch.rand(12, D) < 0.5
    mask[0], mask[1], mask[:, 4] = True, False, True
    law = made(torch.randn(3, 12, 2).double())
    found = SelectionDistribution(law, mechanism, warp).log_prob(torch.where(mask, x, torch.nan))
    conditional = SelectionDistribution(law, mechanism, warp).conditional(torch.where(mask, x, torch.nan))

    def masks(y):
        return mechanism(y) if order is None else mechanism(y).given(mask)

    # One cell at a time over all its values: nothing of the heads, laws and tables is used here.
    y, log_slope = (x, torch.zeros_like(x)) if warp is None else warp(x)
    expected = torch.zeros(3, 12).double()
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    for j in range(D):
        choices = grid if j in (0, 4) else values_of(j)
        moved = y.expand(len(choices), 1, 12, D).index_copy(-1, torch.tensor([j]), choices.reshape(-1, 1, 1, 1).expand(-1, 1, 12, 1))
        joint = law.base_dist.log_prob(moved)[..., j].detach()
        if j in mechanism.columns.tolist():
            joint = joint + masks(moved).log_missing[..., j].detach()
        missing = joint.logsumexp(0) + (np.log(float(grid[1] - grid[0])) if j in (0, 4) else 0.0)
        log_seen = masks(y).log_observed[:, j] if j in mechanism.columns.tolist() else 0.0
        seen = law.base_dist.log_prob(y)[..., j] + log_slope[:, j] + log_seen
        if j == 4:
            missing = torch.zeros(3, 12).double()
        expected = expected + torch.where(mask[:, j], seen, missing)
        share = joint.softmax(0)
        if warp is None and j != 4:
            mean = (share * choices.reshape(-1, 1, 1)).sum(0)
            torch.testing.assert_close(conditional.mean[..., j][:, ~mask[:, j]], mean[:, ~mask[:, j]], rtol=1e-6, atol=1e-6)
        if j in (1, 2, 3, 6):
            own = conditional.level_probabilities()[..., j, : len(choices)].double()
            torch.testing.assert_close(own[:, ~mask[:, j]], share.movedim(0, -1)[:, ~mask[:, j]], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


BLOCKS = {
    "normal": lambda: NormalHead([0, 1]),
    "binary": lambda: OrdinalHead([0, 1], [[0.7, 0.3], [0.5, 0.5]], [-0.3, 0.0], [0.5, 1.0]),
    "ordinal": lambda: OrdinalHead([0, 1], [[0.2, 0.5, 0.3], [0.4, 0.6]], [-0.3, 0.0], [0.25, 1.0]),
    "category": lambda: CategoryHead([0, 1], [[0.2, 0.5, 0.3], [0.1, 0.2, 0.3, 0.4]]),
    "semicontinuous": lambda: SemicontinuousHead([0, 1], [-0.7, 0.4], [0.3, 0.6]),
    "count": lambda: CountHead([0, 1], [2.0, 6.0], [9.0, 20.0], [-1.0, 0.0], [0.5, 1.0]),
}


@pytest.fixture(params=BLOCKS.values(), ids=BLOCKS.keys())
def block(request):
    made = request.param().double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def test_a_block_has_a_law_for_each_column_whose_gradient_reaches_its_outputs_and_parameters(block):
    eta = torch.randn(5, 3, len(block.owner)).double().requires_grad_()
    law = block(eta)
    assert law.batch_shape == (5, 3, 2)
    x = law.sample()
    assert law.log_prob(x).shape == (5, 3, 2) and law.expand((4, 5, 3, 2)).log_prob(x).shape == (4, 5, 3, 2)
    law.log_prob(x).sum().backward()
    gradients = [eta.grad, *(p.grad for p in block.parameters() if p.numel())]
    assert all(g is not None and bool(g.isfinite().all()) and bool((g != 0).any()) for g in gradients)
    assert block.features(x[0], torch.ones(3, 2, dtype=torch.bool)).shape == (3, block.n_features)


def test_a_block_s_draws_have_its_law_s_mean(block):
    law = block(torch.randn(2, len(block.owner)).double())
    assert float(z_score(law.sample((20_000,)), law.mean.detach()).abs().max()) < Z_MAX


def test_a_block_tells_the_score_over_the_information_of_its_outputs(block):
    start = (block.start + 0.2 * torch.randn(len(block.owner))).double()
    even(block)  # noise counts as known
    x = block(start.expand(40, -1)).sample()
    eta = start.expand(40, -1).clone().requires_grad_()
    (score,) = torch.autograd.grad(block(eta).log_prob(x).sum(), eta)
    told, variance = block.working(x, start)
    torch.testing.assert_close(told / variance, score, rtol=1e-6, atol=1e-7)
    if not isinstance(block, NormalHead):
        # The information is the score's variance under the law.
        many = block(start.expand(100_000, -1)).sample()
        told, variance = (part.detach() for part in block.working(many, start))
        scores = told / variance
        assert float(z_score(scores.square() - 1 / variance, 0.0).abs().max()) < Z_MAX
        assert float(z_score(scores, 0.0).abs().max()) < Z_MAX


def test_counts_are_summed_to_a_tail_below_1e_8():
    block = CountHead([0], [4.0], [30.0], [0.0], [1.0]).double()
    for raw in (-8.0, 0.0, 8.0):
        block.raw_size.data.fill_(raw)
        law = block(torch.tensor([[-3.0], [1.0], [9.0]]).double())
        values, log_probs = (part.detach() for part in law.table())
        assert float((1 - log_probs.exp().sum(0)).abs().max()) < 1e-8 and values[:, 0, 0].tolist() == list(range(len(values)))


def draws_of(cells, level, n=20_000):
    uniforms = torch.rand(n, *cells.mask.shape, 3).double().clamp_min(1e-9)
    return (cells.from_uniforms(uniforms) - level).abs() < 1e-6


@pytest.mark.parametrize("mechanism", [None, masking], ids=["ignorable", "self-masking"])
def test_draws_of_missing_cells_have_their_levels_as_often_as_the_law_says(mechanism):
    made, x = rows(2)
    law = SelectionDistribution(made(torch.randn(2, 2).double()), None if mechanism is None else mechanism())
    cells = law.conditional(torch.full_like(x, torch.nan))
    for j in (1, 2, 3, 6):
        for k, value in enumerate(values_of(j)):
            expected = cells.level_probabilities()[:, j, k].double().detach()
            assert float(z_score(draws_of(cells, value)[..., j].double(), expected).abs().max()) < Z_MAX
    assert (
        float(z_score(cells.from_uniforms(torch.rand(20_000, 2, D, 3).double().clamp_min(1e-9)), cells.mean.detach()).abs().max())
        < Z_MAX
    )


def test_levels_that_a_column_lacks_are_never_drawn():
    cells = CategoryHead([0, 1], [[0.5, 0.5], [0.2, 0.2, 0.2, 0.4]])(torch.zeros(1, 6))
    law = SelectionDistribution(MixedDecoder(1, [CategoryHead([0, 1], [[0.5, 0.5], [0.25] * 4])], [])(torch.zeros(1, 1)))
    assert cells.log_probs[2:, 0, 0].tolist() == [-torch.inf] * 2
    top = torch.full((1, 2, 3), 1 - 2.0**-24)
    assert law.conditional(torch.full((1, 2), torch.nan)).from_uniforms(top).tolist() == [[1.0, 3.0]]


def posterior(model, row, mask, points=2001):
    """log p(x_obs, s) of one row, and its posterior over a grid of a one-dimensional z, by the trapezoid rule."""
    z = torch.linspace(-8, 8, points, dtype=torch.float64).unsqueeze(-1)
    law = SelectionDistribution(model.decoder(z), model.mechanism, model.warp)
    value = torch.where(mask, row, torch.nan).expand(points, -1)
    log_joint = law.log_prob(value) + torch.distributions.Normal(0.0, 1.0).log_prob(z).squeeze(-1)
    return log_joint.logsumexp(0) + np.log(16 / (points - 1)), log_joint.softmax(0), law.conditional(value)


class Wide(ConjugateEncoder):
    """Twice as wide as the encoder says, so that importance weights have light tails and z scores of their means are honest."""

    def forward(self, x, mask):
        law = super().forward(x, mask)
        return PrecisionNormal(law.loc, law.factor / 2)


def one_dimensional():
    heads = [
        NormalHead([0, 4]),
        OrdinalHead([1, 2], [[0.7, 0.3], [0.2, 0.5, 0.3]], [FIRST[1], FIRST[2]], [STEP[1], STEP[2]]),
        CategoryHead([6, 3], [[0.25] * 4, [0.6, 0.3, 0.1]]),
        CountHead([5], [2.0], [7.0], [FIRST[5]], [STEP[5]]),
    ]
    made = MixedDecoder(1, heads, [])
    model = MNAR(made, Wide(made, [4]), masking(), SkewWarp(D, [0, 4])).double()
    with torch.no_grad():
        made.linear.weight.copy_(torch.randn_like(made.linear.weight))
        model.warp.skew.copy_(torch.tensor([0.4, -0.3]))
        return model.eval(), model.warp.inverse(made(torch.randn(6, 1).double()).sample())


@torch.no_grad()
def test_the_bound_and_the_imputations_are_those_of_quadrature_over_z():
    model, x = one_dimensional()
    mask = torch.rand(6, D) < 0.6
    log_w = IWELBO(model, 40_000).log_weights(x, mask)
    exact = [posterior(model, x[i], mask[i]) for i in range(6)]
    assert float(z_score((log_w - torch.stack([e[0] for e in exact])).exp(), 1.0).abs().max()) < Z_MAX
    # The messages are good enough for the network to have little to do.
    assert float((2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp().min()) > 40_000 / 50
    result = impute(model, x, mask, particles=4000, progress=False)
    for i, (_, weight, cells) in enumerate(exact):
        cells.warp = None
        mean = (weight.unsqueeze(-1) * cells.mean).sum(0)
        chances = torch.einsum("g,gdv->dv", weight.float(), cells.level_probabilities())
        for j in range(D):
            if mask[i, j]:
                continue
            if j in (1, 2, 3, 6):
                torch.testing.assert_close(result.probabilities[i, j], chances[j].to(result.probabilities), atol=0.02, rtol=0)
            if j in (1, 2, 3, 5, 6):
                assert abs(result.completed[i, j] - mean[j]) < 0.05 * max(1.0, abs(float(mean[j])))


@pytest.mark.parametrize("hole", [None, 5, 6, 1])
def test_rows_with_hardly_a_hole_are_scored_alike_alone_and_together(hole):
    made, x = rows(8)
    law, mechanism = made(torch.randn(8, 2).double()), masking()
    holed = x.clone()
    if hole is not None:
        holed[0, hole] = torch.nan
    together = SelectionDistribution(law, mechanism).log_prob(holed)
    alone = SelectionDistribution(made.forward(torch.zeros(8, 2).double()), mechanism)
    assert bool(together.isfinite().all()) and bool(alone.log_prob(x).isfinite().all())
