"""Weights of rows: the bound and its gradient are those of repeated rows, the optimum is the weighted one, draws keep proportions."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_mnar import IWELBO, MNAR, ConjugateEncoder, GaussianDecoder
from pyro_mnar.energy import SelfNormalized
from pyro_mnar.infer import ensembles
from pyro_mnar.infer.checkpoints import Batches
from pyro_mnar.infer.history import History
from pyro_mnar.infer.row_weights import repeated, some_rows, systematic
from pyro_mnar.infer.shared import SharedLatents
from pyro_mnar.infer.training import train
from pyro_mnar.model import EnergyTilt


def table(seed, n=40):
    generator = torch.Generator().manual_seed(seed)
    x = (
        torch.randn(n, 3, generator=generator, dtype=torch.float64)
        @ torch.tensor([[1.0, 0.5, 0.3], [0, 1.0, 0.4], [0, 0, 0.8]]).double()
    )
    counts = torch.randint(1, 6, (n,), generator=generator).double()
    return x, counts, torch.arange(n).repeat_interleave(counts.long())


def factor_model(seed):
    torch.manual_seed(seed)
    decoder = GaussianDecoder(1, 3, hidden=()).double()
    return MNAR(decoder, ConjugateEncoder(decoder)).double()


class Factor(nn.Module):
    """One factor, its latent integrated out: the bound is the log density of what is seen, N(m, w w' + d)."""

    def __init__(self):
        super().__init__()
        self.mean, self.log_noise = (nn.Parameter(torch.zeros(3, dtype=torch.float64)) for _ in range(2))
        self.loading = nn.Parameter(torch.tensor([0.5, 1.0, -0.3], dtype=torch.float64))

    def model(self, x, mask):
        whole = torch.outer(self.loading, self.loading) + self.log_noise.exp().diag()
        pairs = mask.unsqueeze(-1) & mask.unsqueeze(-2)
        own = torch.where(pairs, whole, torch.eye(3, dtype=x.dtype))
        law = dist.MultivariateNormal(torch.zeros(3, dtype=x.dtype), own)
        unseen = 0.5 * math.log(2 * math.pi) * (~mask).sum(-1)
        with pyro.plate("rows", len(x), dim=-1):
            pyro.factor("x", law.log_prob(torch.where(mask, x - self.mean, 0.0)) + unseen)

    def guide(self, x, mask):
        pass


@pytest.mark.parametrize("estimator", ["iwae", "dreg"])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradient_are_those_of_repeated_rows(seed, estimator):
    x, counts, rows = table(seed)
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < 0.7
    found = []
    for own, seen, weights in ((x, mask, counts), (x[rows], mask[rows], None)):
        bound = IWELBO(Factor(), 2, estimator)
        loss = bound.loss(own, seen, weights=weights)
        loss.backward()
        found.append((loss.item(), [p.grad for p in bound.parameters() if p.grad is not None]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    assert len(found[0][1]) == 3
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("estimator", ["iwae", "stl", "dreg"])
def test_every_estimator_has_the_weighted_mean(estimator):
    x, counts, _ = table(0)
    bound, mask = IWELBO(factor_model(0), 4, estimator), torch.ones(x.shape, dtype=torch.bool)
    exact = (bound(x, mask) @ counts / counts.sum()).item()
    assert -bound.loss(x, mask, weights=counts).item() == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("batch_size", "tolerance"), [(40, 0.01), (20, 0.08)])
def test_the_optimum_is_the_weighted_covariance(batch_size, tolerance):
    """One factor of three columns reaches every covariance whose correlations are positive: at the maximum the weighted one."""
    x, counts, _ = table(4)
    exact = np.cov(x.numpy().T, fweights=counts.long().numpy(), ddof=0)
    found, mask = Factor(), torch.ones(x.shape, dtype=torch.bool)
    train(IWELBO(found, 1), x, mask, weights=counts, steps=300, batch_size=batch_size, lr=0.05, progress=False)
    ours = (torch.outer(found.loading, found.loading) + found.log_noise.exp().diag()).detach().numpy()
    assert np.abs(ours - exact).max() < tolerance
    assert np.abs(found.mean.detach().numpy() - np.average(x, axis=0, weights=counts)).max() < tolerance
    assert np.abs(np.cov(x.numpy().T, ddof=0) - exact).max() > 0.15


@pytest.mark.parametrize("seed", range(3))
def test_a_systematic_sample_has_each_row_as_often_as_its_share(seed):
    weights = torch.rand(17, generator=torch.Generator().manual_seed(seed)) + 0.01
    shares = 23 * weights.double() / weights.double().sum()
    starts = torch.arange(4000).double() / 4000
    counts = torch.stack([torch.bincount(systematic(weights, 23, start), minlength=17) for start in starts]).double()
    assert (counts >= shares.floor()).all() and (counts <= shares.ceil()).all()
    # Each share is a length of starts, known to the width of two steps.
    assert (counts.mean(0) - shares).abs().max() < 1e-3


def test_whole_numbers_are_repeated_rows_and_batches_keep_proportions():
    _, counts, rows = table(2)
    assert torch.equal(repeated(counts), rows)
    drawn = Batches(torch.arange(100, 140), 10, None, counts)
    epochs = torch.cat([next(drawn) for _ in range(4 * 500)])
    share = torch.bincount(epochs - 100, minlength=40).double() / 500
    exact = 40 * counts / counts.sum()
    # An epoch's count of a row varies by less than one between its two whole numbers.
    assert ((share - exact).abs() / (0.25 / 500) ** 0.5).max() < 4.5
    whole = next(Batches(torch.arange(5), 5, None, torch.ones(5) / 3))
    assert sorted(whole.tolist()) == [0, 1, 2, 3, 4]


def test_batches_without_weights_are_orders_of_all_rows():
    drawn = Batches(torch.arange(7), 3)
    first = torch.cat([next(drawn), next(drawn)])
    assert len(set(first.tolist())) == 6


class Normal(nn.Module):
    """A mean and no latents: the bound is the density itself."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.told = []

    def log_prior(self, n_rows):
        self.told.append(n_rows)
        return -0.5 * 10 * self.mean**2

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("x", dist.Normal(self.mean, 1.0).expand([x.shape[1]]).mask(mask).to_event(1), obs=x)

    def guide(self, x, mask):
        pass


def test_priors_are_told_the_sum_of_weights_and_held_out_rows_are_weighted():
    """With a normal prior of precision 10 the mode is the weighted sum over the weights' sum and 10."""
    x, counts, _ = table(3)
    x = x[:, :1]
    mask, own = torch.ones(x.shape, dtype=torch.bool), Normal()
    train(IWELBO(own, 1), x, mask, weights=counts, steps=400, lr=0.05, progress=False)
    assert own.told[0] == float(counts.sum())
    assert own.mean.item() == pytest.approx(float(x[:, 0] @ counts / (counts.sum() + 10)), abs=1e-4)
    again = Normal()
    looks = train(IWELBO(again, 1), x, mask, weights=counts, steps=3, every=3, held_out=0.5, progress=False).evaluations
    with ensembles.seeded(0):
        out = torch.randperm(40)[:20]
    density = torch.distributions.Normal(again.mean.detach(), 1.0).log_prob(x[out, 0])
    assert looks[0].held_out == pytest.approx(float(density @ counts[out] / counts[out].sum()), rel=1e-12)


def test_members_have_as_many_rows_as_weights_add_to_in_proportion(monkeypatch):
    x, counts, _ = table(5)
    seen = []

    def look(bound, x, mask, *, weights, **options):
        seen.append(torch.zeros(40, dtype=torch.float64).index_add(0, (x[:, :1] == table(5)[0][:, 0]).nonzero()[:, 1], weights))
        return History()

    monkeypatch.setattr(ensembles, "train", look)
    bounds = [IWELBO(factor_model(0)) for _ in range(200)]
    ensembles.fit(bounds, x, torch.ones(x.shape, dtype=torch.bool), weights=counts, progress=False)
    drawn = torch.stack(seen)
    total, share = counts.sum(), counts / counts.sum()
    assert (drawn.sum(1) == total).all()
    z = (drawn.mean(0) - counts) / (counts * (1 - share) / 200).sqrt()
    assert z.abs().max() < 4.5
    # A multinomial's variance, each row's own.
    assert (drawn.var(0) / (counts * (1 - share))).mean().item() == pytest.approx(1, abs=4.5 * math.sqrt(2 / 200 / 40))


def test_rows_of_broken_weights_are_drawn_alike_and_take_them_along(monkeypatch):
    """A weighted mean then varies by its linearized variance, sum w^2 (y - m)^2 / (sum w)^2, and not by that of repeated rows."""
    x, counts, _ = table(5)
    weights = torch.where(counts > 2, 6.5, 0.5).double()
    y, share = x[:, 0] * weights, weights / weights.sum()
    means = []

    def look(bound, x, mask, *, weights, **options):
        means.append(float((x[:, 0] * weights) @ weights / weights.sum()))
        return History()

    monkeypatch.setattr(ensembles, "train", look)
    ensembles.fit([IWELBO(factor_model(0))] * 400, x, torch.ones(x.shape, dtype=torch.bool), weights=weights, progress=False)
    away = y - y @ share
    exact, repeated_rows = float((share * away).square().sum()), float(share @ away.square() / weights.sum())
    assert abs(np.mean(means) - float(y @ share)) < 4.5 * (exact / 400) ** 0.5 + 0.1 * exact**0.5
    assert np.var(means) == pytest.approx(exact, rel=4.5 * (2 / 400) ** 0.5 + 0.1) and exact > 1.8 * repeated_rows


def test_shared_latents_count_rows_by_their_weights():
    class Mean(nn.Module):
        def shared(self):
            return pyro.sample("mean", dist.Normal(0.0, 10.0))

        def model(self, x, mask, mean):
            with pyro.plate("rows", len(x), dim=-1):
                pyro.sample("x", dist.Normal(mean, 1.0).expand([3]).mask(mask).to_event(1), obs=x)

        def guide(self, x, mask, mean):
            pass

    x, counts, rows = table(6)
    mask = torch.ones(x.shape, dtype=torch.bool)
    given = pyro.condition(SharedLatents(Mean(), 1), {"mean": torch.tensor(0.3, dtype=torch.float64)})
    ours = pyro.poutine.trace(given).get_trace(x, mask, weights=counts).log_prob_sum()
    theirs = pyro.poutine.trace(given).get_trace(x[rows], mask[rows]).log_prob_sum()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.tensor([1.0, 0.0, 1.0]), "weights: got 0.0 in row 1"),
        (torch.tensor([1.0, 1.0, -2.0]), "weights: got -2.0 in row 2"),
        (torch.tensor([torch.nan, 1.0, 1.0]), "weights: got nan in row 0"),
        (torch.tensor([1.0, torch.inf, 1.0]), "weights: got inf in row 1"),
        (torch.ones(2), "weights: got shape"),
        (torch.ones(3, 1), "weights: got shape"),
        (torch.ones(3).double(), "weights: got torch.float64"),
        ([1, 1, 1], "weights: got builtins.list"),
    ],
)
def test_what_are_no_weights(weights, message):
    x, mask = torch.zeros(3, 3), torch.ones(3, 3, dtype=torch.bool)
    bound = IWELBO(factor_model(0).float(), 1)
    with pytest.raises((ValueError, TypeError), match=message):
        train(bound, x, mask, weights=weights, steps=1, progress=False)
    with pytest.raises((ValueError, TypeError), match=message):
        ensembles.fit([bound, bound], x, mask, weights=weights, steps=1, progress=False)


def test_objectives_take_no_weights():
    decoder = GaussianDecoder(1, 3, hidden=())
    objective = SelfNormalized(IWELBO(MNAR(decoder, ConjugateEncoder(decoder), tilt=EnergyTilt(lambda x: x[..., 0])), 2))
    with pytest.raises(ValueError, match="weights: got one with an objective"):
        train(objective, torch.zeros(3, 3), torch.ones(3, 3, dtype=torch.bool), weights=torch.ones(3), steps=1, progress=False)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_rows", [1, 50, 51, 700])
def test_some_rows_stand_for_the_whole_table(n_rows, weighted):
    weights = torch.rand(n_rows) + 0.2 if weighted else None
    each = torch.ones(n_rows).double() if weights is None else weights.double()
    rows, counts = some_rows(weights, n_rows, 50)
    assert len(rows) == min(n_rows, 50) and float(counts.sum()) == pytest.approx(float(each.sum()))
    if n_rows <= 50:
        assert rows.tolist() == list(range(n_rows)) and torch.equal(counts, each)
    else:
        assert bool((rows.diff() >= 0).all())
        # Each row is there as often as its share of the places, up or down to a whole number.
        assert bool(((torch.bincount(rows, minlength=n_rows) - 50 * each / each.sum()).abs() < 1).all())
