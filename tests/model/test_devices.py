"""Models on a GPU: the same rows get the same answers there, and training, chains and tilts run."""

import copy

import pytest
import torch

from pyro_mnar import (
    IWELBO,
    MNAR,
    PROBIT,
    CategoryMasking,
    ConjugateEncoder,
    EnergyTilt,
    GaussianDecoder,
    GaussianEncoder,
    LinearMasking,
    MixedDecoder,
    MixedMasking,
    Prior,
    SelfMasking,
    SelfNormalized,
    SequentialMasking,
    StudentTDecoder,
    fit,
    impute,
    sample_importance,
    sample_posterior,
)
from pyro_mnar.mechanisms import TwoSidedMasking
from pyro_mnar.networks import CategoryHead, CountHead, NormalHead, OrdinalHead, SkewWarp

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
D = 4


def plain(decoder, mechanism, **more):
    return MNAR(decoder, GaussianEncoder(2, D, [8]), mechanism, **more)


def whole():
    decoder = GaussianDecoder(2, D, [8])
    prior = Prior.members(1, D, D)[0]
    return MNAR(decoder, ConjugateEncoder(decoder, [8]), SelfMasking(D, None, "free", PROBIT), SkewWarp(D), prior)


def mixed():
    heads = [
        NormalHead([0]),
        OrdinalHead([1], [[0.3, 0.7]], [0.0], [1.0]),
        CategoryHead([2], [[0.5, 0.3, 0.2]]),
        CountHead([3], [2.0], [9.0], [0.0], [1.0]),
    ]
    decoder = MixedDecoder(2, heads, [8])
    own = MixedMasking(SelfMasking(D, [0, 3], "high", PROBIT), CategoryMasking(D, [2], [3], PROBIT))
    return MNAR(decoder, ConjugateEncoder(decoder, [8]), SequentialMasking(own, [1, 0, 2, 3], 2, {2: 3}))


MODELS = {
    "ignorable": lambda: plain(GaussianDecoder(2, D, [8]), None),
    "logit": lambda: plain(GaussianDecoder(2, D, [8]), SelfMasking(D, direction="high")),
    "student": lambda: plain(StudentTDecoder(2, D, [8]), SelfMasking(D, direction="high", link=PROBIT)),
    "sides": lambda: plain(GaussianDecoder(2, D, [8]), TwoSidedMasking(D, [0, 1], "middle")),
    "coupled": lambda: plain(GaussianDecoder(2, D, [8]), LinearMasking(D)),
    "warp and prior": whole,
    "mixed": mixed,
}


def table(name):
    x = torch.randn(40, D)
    if name == "mixed":
        x = torch.stack([x[:, 0], (x[:, 1] > 0).float(), torch.randint(3, (40,)).float(), torch.randint(6, (40,)).float()], -1)
    return x, torch.rand(40, D) < 0.7


@pytest.mark.parametrize("name", MODELS)
def test_a_row_has_one_answer_on_every_device(name):
    model, (x, mask) = MODELS[name]().eval(), table(name)
    model.initialize(x, mask)
    there = copy.deepcopy(model).cuda()
    options = {"draws": 4, "particles": 100, "seed": 3}
    ours, theirs = impute(model, x, mask, **options), impute(there, x.cuda(), mask.cuda(), **options)
    # The same row streams; a draw that stands at a boundary may fall to the other side of it.
    near = ((ours.draws - theirs.draws.cpu()).abs() < 1e-2).float().mean()
    assert near > 0.99 and (ours.completed - theirs.completed.cpu()).abs().quantile(0.99) < 1e-2
    sampled = sample_importance(there, x.cuda(), mask.cuda(), draws=4, chains=2)
    assert sampled.x.device.type == "cuda" and bool(sampled.x.isfinite().all())


@pytest.mark.parametrize("name", MODELS)
def test_training_climbs_there_as_here(name):
    model, (x, mask) = MODELS[name](), table(name)
    model.initialize(x, mask)
    there = copy.deepcopy(model).cuda()
    history = fit(IWELBO(there, 5), x.cuda(), mask.cuda(), steps=60, every=20, progress=False)
    here = fit(IWELBO(model, 5), x, mask, steps=60, every=20, progress=False)
    assert next(there.parameters()).is_cuda
    assert abs(history.evaluations[-1].train - here.evaluations[-1].train) < 1.0


@pytest.mark.parametrize("method", ["hmc", "nuts", "mala"])
def test_chains_run_there(method):
    model, (x, mask) = MODELS["logit"](), table("logit")
    result = sample_posterior(model.cuda(), x[:6].cuda(), mask[:6].cuda(), draws=20, chains=2, warmup=20, method=method, progress=False)
    assert result.x.device.type == "cuda" and bool(result.x.isfinite().all())


def test_a_tilt_is_learned_there():
    model, (x, mask) = plain(GaussianDecoder(2, D, [8]), None, tilt=EnergyTilt(lambda rows: 0.1 * rows.square().sum(-1))), table("")
    history = fit(SelfNormalized(IWELBO(model.cuda(), 5, "iwae"), draws=64), x.cuda(), mask.cuda(), steps=10, every=10, progress=False)
    assert history.evaluations[-1].tilt is not None
