"""What is not what an argument says is refused by its name, before anything is computed with it."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import transforms
from torch import nn

from pyro_mnar import (
    IWELBO,
    MNAR,
    EnergyTilt,
    GaussianDecoder,
    GaussianEncoder,
    Prior,
    SelfMasking,
    SelfNormalized,
    SequentialMasking,
    SetEncoder,
    fit,
    impute,
    sample_importance,
    sample_posterior,
)
from pyro_mnar.analysis import Design, Pooled, pool, tipping_point
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.analysis.scores import brier, coverage, crps, energy_score, interval_score, rmse
from pyro_mnar.energy import log_normalizer, sample_tilted
from pyro_mnar.mechanisms import CategoryMasking, FixedMasking, TwoSidedMasking
from pyro_mnar.model import Constraint, LearnedConstraint, SelectionDistribution
from pyro_mnar.networks import FlowEncoder, SkewWarp

D = 3
X, MASK = torch.linspace(-1, 1, 5 * D).reshape(5, D), torch.arange(5 * D).reshape(5, D) % 4 > 0


def mnar(**parts):
    return MNAR(GaussianDecoder(2, D, ()), parts.pop("encoder", GaussianEncoder(2, D, (4,))), **parts)


def tilted(tilt):
    return mnar(tilt=tilt)


def imputed(**options):
    return impute(mnar(), X, MASK, **{"draws": 3, "particles": 100, "progress": False} | options)


def members(count=2):
    return impute([mnar() for _ in range(count)], X, MASK, draws=3, particles=100, progress=False)


def trained(**options):
    return fit(IWELBO(mnar(), 2), X, MASK, **{"steps": 1, "progress": False} | options)


DONE = Completions(np.array([[1.0], [2.0], [np.nan]]), [np.array([[1.0], [2.0], [x]]) for x in (3.0, 4.0, 5.0)])


def tipped(grid, null=0.0):
    return tipping_point(DONE, lambda c, delta: c.shift(0, delta), grid, lambda t: (t.mean(), 0.1), null=null, progress=False)


#: What raised something else, or nothing, once.
REFUSED = {
    "encoder of another latent": (lambda: mnar(encoder=GaussianEncoder(3, D)), "encoder: has latent_dim 3, expected 2"),
    "encoder of more columns": (lambda: mnar(encoder=SetEncoder(2, D + 1)), "encoder: has n_columns 4, expected 3"),
    "flow of another latent": (
        lambda: mnar(encoder=FlowEncoder(GaussianEncoder(3, D), transforms.affine_coupling(3))),
        "encoder: has latent_dim 3, expected 2",
    ),
    "warp of one column": (lambda: mnar(warp=SkewWarp(1)), "warp: has n_columns 1, expected 3"),
    "no module for a decoder": (lambda: MNAR(GaussianDecoder, GaussianEncoder(2, D)), "decoder: got"),
    "no module for a tilt": (lambda: mnar(tilt=3.0), "tilt: got 3.0, expected an nn.Module"),
    "no module in a bound": (lambda: IWELBO(None), "module: got None, expected an nn.Module"),
    "no bound to fit": (lambda: fit("bound", X, MASK), "bound: got 'b', expected an nn.Module"),
    "none to fit": (lambda: fit([], X, MASK), "bound: got no members"),
    "no module to impute by": (lambda: impute("model", X, MASK), "module: got 'm', expected an nn.Module"),
    "particles of a bound in halves": (lambda: IWELBO(mnar(), 2.5), "particles: got 2.5, expected a whole number"),
    "beta without a bound": (lambda: IWELBO(mnar(), 2, beta=math.inf), "beta: got inf, expected a finite number"),
    "uphill": (lambda: trained(lr=-0.01), "lr: got -0.01, expected a finite number of 0 or more"),
    "a rate that is none": (lambda: trained(mechanism_lr=math.nan), "mechanism_lr: got nan"),
    "a decay that grows": (lambda: trained(weight_decay=-1.0), "weight_decay: got -1.0"),
    "half a batch": (lambda: trained(batch_size=2.5), "batch_size: got 2.5, expected a whole number"),
    "no seed to fit": (lambda: trained(seed=None), "seed: got None, expected a whole number"),
    "no seed to impute": (lambda: imputed(seed=1.5), "seed: got 1.5, expected a whole number"),
    "draws in halves": (lambda: imputed(draws=2.5), "draws: got 2.5, expected a whole number"),
    "particles without end": (lambda: imputed(particles=math.inf), "particles: got inf, expected a whole number"),
    "a tolerance in words": (lambda: imputed(tolerance="small"), "tolerance: got 'small'"),
    "a quantile beyond": (lambda: imputed().quantile(1.5), "q: got 1.5, expected a number from 0 to 1"),
    "a quantile beyond, of members": (lambda: members().quantile(1.5), "q: got 1.5, expected a number from 0 to 1"),
    "no quantile": (lambda: members().quantile(math.nan), "q: got nan"),
    "no draws by importance": (lambda: sample_importance(mnar(), X, MASK, draws=1.5), "draws: got 1.5, expected a whole number"),
    "a warm-up in words": (lambda: sample_posterior(mnar(), X, MASK, warmup="long"), "warmup: got 'long', expected a whole number"),
    "a row's constraint of all rows": (
        lambda: log_normalizer(tilted(Constraint(lambda x: -x.sum(), 1.0)), draws=100),
        r"f: returned shape \(\), expected \(100,\)",
    ),
    "a constraint by column": (
        lambda: log_normalizer(tilted(Constraint(lambda x: x, 1.0)), draws=100),
        r"f: returned shape \(100, 3\)",
    ),
    "more features than weights": (
        lambda: log_normalizer(tilted(LearnedConstraint(lambda x: x, 2)), draws=100),
        r"features: returned shape \(100, 3\), expected \(100, 2\)",
    ),
    "an infinite constraint": (lambda: Constraint(lambda x: x[..., 0], math.inf), "strength: got inf"),
    "polish in words": (lambda: sample_tilted(tilted(Constraint(lambda x: x[..., 0], 0.1)), 100, polish="no"), "polish: got 'no'"),
    "limits under an objective": (
        lambda: fit(
            SelfNormalized(IWELBO(tilted(EnergyTilt(lambda z: z.sum(-1), latent=True)), 2)),
            X,
            MASK,
            limits=torch.stack([X - 1, X + 1], -1),
            steps=1,
            progress=False,
        ),
        "limits: got one with an objective",
    ),
    "a score that mixes rows": (
        lambda: FixedMasking(lambda x: x.mean(0, keepdim=True)[..., :1], D, [0])(X),
        r"score: returned rows \(1,\), expected those of x, \(5,\)",
    ),
    "wider rows of a mechanism": (lambda: SelfMasking(D)(torch.zeros(5, D + 1)), "x: got 4 columns, expected 3"),
    "narrower rows of a mechanism": (lambda: TwoSidedMasking(D)(torch.zeros(5, 1)), "x: got 1 columns, expected 3"),
    "categories of wider rows": (lambda: CategoryMasking(D, [0], [2])(torch.zeros(5, D + 1)), "x: got 4 columns, expected 3"),
    "rates of wider rows": (lambda: mnar(mechanism=SelfMasking(D)).missing_rate(torch.zeros(5, D + 2)), "x: got 5 columns, expected 3"),
    "levels of no column": (lambda: SequentialMasking(SelfMasking(D), [0, 1], levels={7: 3}), r"levels: got \[7\], expected some"),
    "angles by name": (lambda: SequentialMasking(SelfMasking(D), [0, 1], circular=["a"]), r"circular: got \['a'\]"),
    "instruments by name": (lambda: SequentialMasking(SelfMasking(D), [0, 1], instruments=["a"]), r"instruments: got \['a'\]"),
    "a pin that is not warped": (lambda: SkewWarp(D, [0], {1: 0.5}), r"pinned: got columns \[1\]"),
    "a logarithm that is not warped": (lambda: SkewWarp(D, [0], transformed=[2]), r"transformed: got columns \[2\]"),
    "a warp of no column": (lambda: SkewWarp(D, [0, 5]), "columns: got"),
    "a mean of other rows": (lambda: Design([1.0, 2.0, 1.0]).mean([3.0]), r"values: got shape \(1,\)"),
    "counts of other rows": (lambda: Design([1.0, 2.0, 1.0]).replicate([2.0]), r"counts: got shape \(1,\)"),
    "scores without parameters": (lambda: Design([1.0, 2.0, 1.0]).covariance(np.zeros(3)), r"scores: got shape \(3,\)"),
    "one error of another's": (lambda: rmse(np.zeros(4), np.zeros((4, 1))), r"point: got shape \(4,\)"),
    "draws of others": (lambda: crps(np.zeros((4, 4)), np.zeros((4, 1))), "draws: got shape"),
    "draws of tables": (lambda: crps(np.zeros((4, 4, 2)), np.zeros((4, 2))), "draws: got shape"),
    "categories of others": (lambda: brier(np.zeros((4, 4)), np.zeros((4, 1))), "draws: got shape"),
    "coverage of others": (lambda: coverage(np.zeros((4, 4)), np.zeros((4, 1)), 0.9), "draws: got shape"),
    "no level": (lambda: interval_score(np.zeros((4, 2)), np.zeros(2), 1.5), "level: got 1.5"),
    "rows of others": (lambda: energy_score(np.zeros((4, 1, 2)), np.zeros((3, 2)), np.zeros((3, 2), bool)), "draws: got shape"),
    "an empty grid": (lambda: tipped([]), r"grid: got \[\]"),
    "a number for a grid": (lambda: tipped(3.0), "grid: got 3.0"),
    "no null": (lambda: tipped([0, 1], math.nan), "null: got nan"),
    "draws at no level": (lambda: pool([1.0, 2.0, 3.0], [0.5] * 3).draws_needed(level=1.5), "at level 1.5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(name):
    call, match = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=match) as found:
        call()
    assert found.type in (ValueError, TypeError)


class Wider(nn.Module):
    """A guide whose latent has an element more than the model's, which broadcasts."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(D))

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            cells = dist.Normal(z.sum(-1, keepdim=True) * self.weight, 1.0).to_event(1)
            pyro.sample("x", SelectionDistribution(cells, None), obs=torch.where(mask, x, torch.nan))

    def guide(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(1))


@pytest.mark.parametrize("call", ["loss", "impute", "importance"])
def test_draws_of_another_shape_than_the_model_s_are_refused(call):
    with pytest.raises(ValueError, match=r"site 'z' of the model: its draws have the event shape \(1,\)"):
        if call == "loss":
            IWELBO(Wider(), 2).loss(X, MASK)
        else:
            (impute if call == "impute" else sample_importance)(Wider(), X, MASK, draws=2, particles=100, progress=False)


def test_no_p_value_of_no_number():
    pooled = pool([1.0, 2.0, 3.0], [0.5] * 3)
    assert isinstance(pooled, Pooled) and np.isnan(pooled.p_value(math.nan)) and float(pooled.p_value(2.0)) == 1.0


def test_columns_of_a_warp_in_any_order():
    """Pins and logarithms are of the columns that are named, in whatever order these come."""
    x = torch.randn(20, D)
    one, other = SkewWarp(D, pinned={2: 0.5}, transformed=[1]), SkewWarp(D, [2, 0, 1], {2: 0.5}, [1])
    one.skew.data.copy_(torch.tensor([0.3, -0.4, 0.7]))
    other.skew.data.copy_(torch.tensor([0.7, 0.3, -0.4]))
    for found, expected in zip(other(x), one(x), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(other.inverse(x), one.inverse(x))


def test_a_flow_reads_limits():
    model = mnar(encoder=FlowEncoder(GaussianEncoder(2, D, (4,)), transforms.affine_coupling(2)), mechanism=SelfMasking(D))
    limits = torch.stack([X - 1, X + 1], -1)
    found = impute(model, X, MASK, limits=limits, draws=4, particles=100, progress=False)
    assert bool(((found.draws > X - 1) & (found.draws < X + 1)).all())


def test_priors_keep_their_width():
    assert mnar(warp=SkewWarp(D), mechanism=SelfMasking(D), prior=Prior.members(1, D, D)[0]).log_prior(10.0).isfinite()
