"""Simulation-based calibration of the samplers, and of samplers broken on purpose, which it must find out."""

import pytest
import torch
from torch import nn

from benchmarks.sampling.calibration import Scales, Shapes, p_value, ranks
from pyro_mnar.mcmc import kernels
from pyro_mnar.mcmc.targets import RowTarget

# Some 18 comparisons a seed; what is broken is far beyond.
FAIR, FOUND_OUT = 1e-5, 1e-8


@pytest.mark.parametrize("method", ["hmc", "mala"])
@pytest.mark.parametrize("model", [Shapes, Scales])
def test_ranks_are_uniform(model, method, seed):
    values = {name: p_value(rank) for name, rank in ranks(model(), method, seed=seed).items()}
    assert len(values) == 5 - (model is Scales) and min(values.values()) > FAIR, values


def test_no_correction_is_found_out(seed):
    """The unadjusted step, at the step size that the adjusted one adapted to."""
    assert min(p_value(rank) for rank in ranks(Shapes(), "ula", rows=500, seed=seed).values()) < FOUND_OUT


def test_a_wrong_sign_is_found_out(monkeypatch, seed):
    right = kernels.init
    monkeypatch.setattr(kernels, "init", lambda *given: (state := right(*given))._replace(gradient=-state.gradient))
    assert min(p_value(rank) for rank in ranks(Shapes(), "ula", rows=500, seed=seed).values()) < FOUND_OUT


def test_a_forgotten_jacobian_is_found_out(monkeypatch, seed):
    right = RowTarget._constrained
    monkeypatch.setattr(RowTarget, "_constrained", lambda *given: (right(*given)[0], right(*given)[1] * 0))
    assert p_value(ranks(Scales(), "hmc", seed=seed)["rate[0]"]) < FOUND_OUT


class Forgets(nn.Module):
    """Takes what is missing for zeros that were observed."""

    def __init__(self, module):
        super().__init__()
        self.module, self.guide = module, module.guide

    def model(self, x, mask):
        self.module.model(torch.where(mask, x, 0.0), torch.ones_like(mask))


def test_a_forgotten_mask_is_refused_before_it_could_be_found_out(seed):
    with pytest.raises(ValueError, match="took them for observed"):
        ranks(Shapes(), "hmc", rows=20, seed=seed, sampled=Forgets(Shapes()))
