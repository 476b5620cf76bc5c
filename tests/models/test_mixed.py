"""Mixed tables: cells of several kinds in one row, held against enumeration and quadrature."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_mnar.models import (
    LOGIT,
    PROBIT,
    CategoryBlock,
    CategoryMasking,
    CountBlock,
    MixedDecoder,
    MixedMasking,
    NormalBlock,
    OrdinalBlock,
    SelectionDistribution,
    SelfMasking,
    SkewWarp,
)

#: Columns 0 and 4 normal, 1 binary, 2 ordinal of three levels, 3 and 6 categories, 5 a count.
D = 7
FIRST, STEP = {1: -0.3, 2: -0.25, 5: -0.8}, {1: 0.5, 2: 0.25, 5: 0.4}


def decoder(hidden=(4,)):
    blocks = [
        NormalBlock([0, 4]),
        OrdinalBlock([1, 2], [[0.7, 0.3], [0.2, 0.5, 0.3]], [FIRST[1], FIRST[2]], [STEP[1], STEP[2]]),
        CategoryBlock([6, 3], [[0.25] * 4, [0.6, 0.3, 0.1]]),
        CountBlock([5], [2.0], [7.0], [FIRST[5]], [STEP[5]]),
    ]
    made = MixedDecoder(2, blocks, hidden).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def masking(link=PROBIT, covariates=()):
    made = MixedMasking(
        SelfMasking(D, [5, 0, 1, 2], ["high", "free", "free", "low"], link, covariates),
        CategoryMasking(D, [3, 6], [3, 4], link, covariates),
    ).double()
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
    lowest, gaps = made.blocks[1].lowest.detach().numpy(), special.log1p(np.exp(made.blocks[1].raw_gaps.detach().numpy()))
    for value in range(3):
        x[:, 2], x[:, 6], x[:, 3], x[:, 5] = FIRST[2] + STEP[2] * value, value, value, FIRST[5] + STEP[5] * value
        found = law.log_prob(x).detach().exp().numpy()
        cuts = np.array([-np.inf, lowest[1], lowest[1] + gaps[1, 0], np.inf])
        np.testing.assert_allclose(found[:, 2], special.expit(cuts[value + 1] - eta[:, 3]) - special.expit(cuts[value] - eta[:, 3]))
        np.testing.assert_allclose(found[:, 6], special.softmax(eta[:, 4:8], -1)[:, value])
        np.testing.assert_allclose(found[:, 3], special.softmax(eta[:, 8:11], -1)[:, value])
        size, cap = made.blocks[3].log_size().detach().exp().numpy(), np.log(24)
        mean = np.exp(cap - np.log1p(np.exp(cap - eta[:, 11])))
        np.testing.assert_allclose(found[:, 5], stats.nbinom.pmf(value, size, size / (size + mean)), rtol=1e-6)
    x[:, 1] = FIRST[1] + STEP[1]
    np.testing.assert_allclose(law.log_prob(x).detach().exp().numpy()[:, 1], special.expit(eta[:, 2] - lowest[0]))


@pytest.mark.parametrize("link", [PROBIT, LOGIT], ids=lambda link: link.name)
@pytest.mark.parametrize("covariates", [(), (4,)], ids=["alone", "covariate"])
@pytest.mark.parametrize("warped", [False, True], ids=["plain", "warped"])
def test_missing_cells_are_summed_and_integrated_out_exactly(link, covariates, warped):
    made, x = rows(12)
    mechanism, warp = masking(link, covariates), SkewWarp(D, [0, 4]).double() if warped else None
    if warp is not None:
        warp.skew.data.copy_(torch.tensor([0.4, -0.3]))
    mask = torch.rand(12, D) < 0.5
    mask[0], mask[1], mask[:, 4] = True, False, True
    law = made(torch.randn(3, 12, 2).double())
    found = SelectionDistribution(law, mechanism, warp).log_prob(torch.where(mask, x, torch.nan))
    conditional = SelectionDistribution(law, mechanism, warp).conditional(torch.where(mask, x, torch.nan))
    # One cell at a time over all its values: nothing of the blocks, parts and tables is used here.
    y, log_slope = (x, torch.zeros_like(x)) if warp is None else warp(x)
    expected = torch.zeros(3, 12).double()
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    for j in range(D):
        choices = grid if j in (0, 4) else values_of(j)
        moved = y.expand(len(choices), 1, 12, D).index_copy(-1, torch.tensor([j]), choices.reshape(-1, 1, 1, 1).expand(-1, 1, 12, 1))
        joint = law.base_dist.log_prob(moved)[..., j].detach()
        if j in mechanism.columns.tolist():
            joint = joint + mechanism(moved).log_missing[..., j].detach()
        missing = joint.logsumexp(0) + (np.log(float(grid[1] - grid[0])) if j in (0, 4) else 0.0)
        log_seen = mechanism(y).log_observed[:, j] if j in mechanism.columns.tolist() else 0.0
        seen = law.base_dist.log_prob(y)[..., j] + log_slope[:, j] + log_seen
        if j == 4:
            missing = torch.zeros(3, 12).double()
        expected = expected + torch.where(mask[:, j], seen, missing)
        share = joint.softmax(0)
        if warp is None and j != 4:
            mean = (share * choices.reshape(-1, 1, 1)).sum(0)
            torch.testing.assert_close(conditional.mean[..., j][:, ~mask[:, j]], mean[:, ~mask[:, j]], rtol=1e-6, atol=1e-6)
        if j in (1, 2, 3, 6):
            own = conditional.level_probabilities[..., j, : len(choices)].double()
            torch.testing.assert_close(own, share.movedim(0, -1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
