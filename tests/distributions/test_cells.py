"""What every law of cells promises of missing ones, under every way in which a value enters its mask: a new one is one row here.

Each pair is held against a sum over the law itself, by its own ``log_prob``: over its levels or counts, or by the trapezoid rule.
"""

import math

import numpy as np
import pytest
import torch
from exact import Z_MAX, z_score
from pyro.distributions import Independent

from pyro_mnar.distributions import LOGIT, PROBIT, CountCells, LevelCells, MixedCells, Normal, PointMassNormal, StudentT, cells_of
from pyro_mnar.mechanisms.category_masking import LevelScore
from pyro_mnar.mechanisms.self_masking import LinearScore
from pyro_mnar.mechanisms.two_sided_masking import TwoSidedScore
from pyro_mnar.model.selection import SelectionDistribution
from pyro_mnar.networks.angle import VonMises
from pyro_mnar.networks.proportion import ProportionCells

J = 3


def double(*values):
    return torch.tensor(values).double()


LOC, SCALE = double(0.4, -0.3, 1.1), double(0.8, 0.5, 1.2)
#: Laws of three columns, (2, J), from parameters that gradients reach, and the values that are summed over, (V, J).
REAL = torch.tensor(np.sinh(np.linspace(-7, 7, 8000))).unsqueeze(-1).expand(-1, J)
LINE = torch.tensor(np.cosh(np.linspace(-7, 7, 8000)) * 14 / 7999).unsqueeze(-1).expand(-1, J)
LOGITS, FIRST, STEP = double(0.3, 1.0, -0.7, 0.2), double(0.0, -1.0, 0.0), double(1.0, 0.5, 1.0)
MASS = double(-0.4, 0.3, 0.0)
NONE = double(0.0, -math.inf, 0.0)


def real(*masses):
    """Values and the logarithm of what each counts; a value that repeats counts one, NaN nothing."""
    values = torch.cat([*[m.nan_to_num(0.0).unsqueeze(0) for m in masses], REAL])
    return values, torch.cat([*[torch.where(m.isnan(), -math.inf, 0.0).unsqueeze(0) for m in masses], LINE.log()])


#: Of the circle, by Gauss and Legendre's rule.
NODES, WEIGHTS = (torch.tensor(part).unsqueeze(-1).expand(-1, J) for part in np.polynomial.legendre.leggauss(1200))
TURN = (math.pi * (1 + NODES), (math.pi * WEIGHTS).log())


def grid(n, first, step):
    values = first + step * torch.arange(n).unsqueeze(-1)
    return values, torch.zeros(n, J).double()


LAWS = {
    "normal": (lambda p: Normal(LOC + p, SCALE), real()),
    "torch's normal": (lambda p: cells_of(torch.distributions.Normal(LOC + p, SCALE)), real()),
    "student": (lambda p: StudentT(double(5.0, 8.0, 30.0), LOC + p, SCALE), real()),
    "point mass": (lambda p: PointMassNormal(MASS, 0.5 + p, LOC, SCALE), real(MASS)),
    "proportion": (
        lambda p: ProportionCells(MASS, double(0.6, math.nan, 1.3), 0.5 + p, NONE + p.cos(), LOC + p, SCALE),
        real(MASS, double(0.6, math.nan, 1.3)),
    ),
    "angle": (lambda p: VonMises(0.8 + p, double(0.5, -2.0, 0.0) - p), TURN),
    "narrow angle": (lambda p: VonMises(300 * (1 + p), 200 * (1.5 - p)), TURN),
    "levels": (
        lambda p: LevelCells(
            (p * double(0.3, 1.0, -0.7, 0.2).reshape(4, 1, 1)).log_softmax(0), double(0.0, -1.0, 0.0), double(1.0, 0.5, 1.0)
        ),
        grid(4, double(0.0, -1.0, 0.0), double(1.0, 0.5, 1.0)),
    ),
    "torch's categorical": (
        lambda p: cells_of(torch.distributions.Categorical(logits=p.unsqueeze(-1) * LOGITS)),
        grid(4, torch.zeros(J).double(), torch.ones(J).double()),
    ),
    "torch's bernoulli": (
        lambda p: cells_of(torch.distributions.Bernoulli(logits=p)),
        grid(2, torch.zeros(J).double(), torch.ones(J).double()),
    ),
    "counts": (
        lambda p: CountCells(0.5 + p, double(0.3, 2.0, 5.0), double(0.0, -0.8, 0.0), double(1.0, 0.4, 1.0)),
        grid(400, double(0.0, -0.8, 0.0), double(1.0, 0.4, 1.0)),
    ),
}
SCORES = {
    "probit": lambda: LinearScore(double(1.3, -0.8, 0.0), double(0.2, -0.4, 0.3), PROBIT),
    "logit of each row": lambda: LinearScore(double(1.3, -0.8, 4.0), torch.randn(2, J).double(), LOGIT),
    "middle": lambda: TwoSidedScore(double(1.3, 0.8, 2.0), double(-0.2, 0.3, 0.0), double(0.4, 1.0, -0.5), 1.0),
    "tails": lambda: TwoSidedScore(double(1.3, 0.8, 2.0), double(-0.2, 0.3, 0.0), torch.randn(2, J).double(), -1.0),
    "categories": lambda: LevelScore(torch.randn(4, J).double(), double(0.2, -0.1, 0.0), PROBIT),
}
PAIRS = [
    (law, score) for law in LAWS for score in SCORES if score != "categories" or law in ("torch's categorical", "torch's bernoulli")
]


@pytest.fixture(params=PAIRS, ids=lambda pair: " under ".join(pair))
def case(request):
    """The law, its score, and log p(v | z) P(s = 0 | v) of every value, (V, 2, J), with the values."""
    law, score = request.param
    make, (values, log_weight) = LAWS[law]
    p = (0.4 * torch.randn(2, J)).double().requires_grad_()
    cells, own = make(p), SCORES[score]()
    v = values.unsqueeze(1)
    log_joint = cells.log_prob(v.expand(-1, 2, -1)) + own.log_missing(v.expand(-1, 2, -1)) + log_weight.unsqueeze(1)
    return p, cells, own, v, log_joint


HIDDEN = torch.tensor([[True, False, True], [True, True, False]])


def test_log_mass_and_its_gradient_are_those_of_the_sum(case):
    p, cells, own, _, log_joint = case
    exact = log_joint.logsumexp(0)
    found = cells.censored(own).log_mass
    torch.testing.assert_close(found, exact, atol=1e-6, rtol=1e-6)
    ours, theirs = (torch.autograd.grad(part.sum(), p, retain_graph=True)[0] for part in (found, exact))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    # Of the cells that are missing, and what is seen of the others.
    x = cells.sample().detach()
    scored = cells.log_mask(own, x, ~HIDDEN)
    torch.testing.assert_close(scored, torch.where(HIDDEN, exact, own.log_observed(x)), atol=1e-6, rtol=1e-6)


def test_mean_is_that_of_the_sum_and_draws_have_it(case):
    _, cells, own, v, log_joint = case
    share = log_joint.softmax(0)
    exact, second = (share * v).sum(0), (share * torch.tanh(v)).sum(0)
    missing = cells.censored(own)
    torch.testing.assert_close(missing.mean, exact, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(missing.mean_of(torch.tanh), second, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        draws = missing.draw(torch.rand(20_000, 2, J, 3).double().clamp_min(1e-9))
        assert float(z_score(torch.tanh(draws), second).abs().max()) < Z_MAX


def test_probabilities_are_those_of_the_levels(case):
    _, cells, own, v, log_joint = case
    found = cells.censored(own).probabilities
    if found is None:
        assert not getattr(cells, "named", False)
    else:
        torch.testing.assert_close(found, log_joint.softmax(0), atol=1e-6, rtol=1e-6)


def test_some_columns_and_some_cells_are_those_of_the_whole(case):
    _, cells, own, _, _ = case
    whole = cells.censored(own)
    for columns in (torch.tensor([2, 0]), slice(1, 3)):
        part = cells.take(columns).censored(own.take(columns))
        torch.testing.assert_close(part.log_mass, whole.log_mass[:, columns], atol=1e-7, rtol=1e-7)
    chosen = cells.at(HIDDEN).censored(own.at(HIDDEN))
    torch.testing.assert_close(chosen.log_mass, whole.log_mass[HIDDEN], atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(chosen.mean, whole.mean[HIDDEN], atol=1e-7, rtol=1e-7)
    uniforms = torch.rand(5, 2, J, 3).double()
    torch.testing.assert_close(chosen.draw(uniforms[:, HIDDEN]), whole.draw(uniforms)[:, HIDDEN])


def test_what_is_added_to_the_scores_and_what_the_log_odds_gain(case):
    _, cells, own, _, _ = case
    effect, x = torch.randn(2, J).double(), cells.sample().detach()
    shifted = own.shifted(effect)
    odds = [score.log_missing(x) - score.log_observed(x) for score in (own, shifted)]
    assert bool(((odds[1] - odds[0]) * effect > 0).all())
    both = shifted.log_missing(x).exp() + shifted.log_observed(x).exp()
    torch.testing.assert_close(both, torch.ones_like(both), atol=1e-7, rtol=0)
    torch.testing.assert_close(shifted.gain(x, 0.0), -odds[1], atol=1e-6, rtol=1e-6)
    assert float(shifted.gain(x, 1.0).abs().max()) < 1e-9


@pytest.mark.parametrize("law", LAWS)
def test_whatever_the_mask_it_is_the_law_itself(law):
    make, (values, log_weight) = LAWS[law]
    with torch.no_grad():
        cells = make((0.4 * torch.randn(2, J)).double())
        log_prob = cells.log_prob(values.unsqueeze(1).expand(-1, 2, -1)) + log_weight.unsqueeze(1)
        free, share = cells.censored(None), log_prob.exp()
        torch.testing.assert_close(share.sum(0), torch.ones(2, J).double(), atol=1e-4, rtol=0)
        torch.testing.assert_close(free.mean, (share * values.unsqueeze(1)).sum(0), atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(cells.mean.double(), free.mean, atol=1e-6, rtol=1e-6)
        assert float(free.log_mass.abs().max()) < 1e-6
        exact = (share * torch.tanh(values).unsqueeze(1)).sum(0)
        torch.testing.assert_close(free.mean_of(torch.tanh), exact, atol=2e-3, rtol=2e-3)
        for draws in (free.draw(torch.rand(20_000, 2, J, 3).double().clamp_min(1e-9)), cells.sample((20_000,))):
            assert float(z_score(torch.tanh(draws), exact / share.sum(0)).abs().max()) < Z_MAX
        assert cells.expand((4, 2, J)).log_prob(values[0]).shape == (4, 2, J)


@torch.no_grad()
def test_blocks_of_a_row_are_scored_as_each_alone():
    p = (0.4 * torch.randn(2, J)).double()
    made = [LAWS[name][0](p) for name in LAWS]
    columns = [list(range(i, len(made) * J, len(made))) for i in range(len(made))]
    row = Independent(MixedCells(made, columns), 1)
    value = torch.full((2, len(made) * J), torch.nan).double()
    free = SelectionDistribution(row).conditional(value).mean
    for cells, own in zip(made, columns, strict=True):
        torch.testing.assert_close(free[:, own], cells.censored(None).mean)
