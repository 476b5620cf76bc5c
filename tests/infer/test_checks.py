"""Every function of a table refuses what is none, by the argument's name, before any arithmetic."""

import numpy as np
import pytest
import torch

from pyro_mnar.diagnostics.arviz import to_arviz
from pyro_mnar.diagnostics.diagnosis import diagnose
from pyro_mnar.diagnostics.mask_check import check_mask
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputation.importance import sample_importance
from pyro_mnar.imputation.predict import predict
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder
from pyro_mnar.networks.outcomes import GaussianOutcome

X, MASK = torch.zeros(5, 2), torch.tensor([[True, False], [True, True], [False, True], [True, True], [True, True]])
LOST = torch.where(torch.arange(10).reshape(5, 2) == 3, torch.nan, X)


def mnar(**parts):
    return MNAR(GaussianDecoder(1, 2, [4]), GaussianEncoder(1, 2 + ("outcome" in parts), [4]), SelfMasking(2), **parts)


def outcome():
    return MNAR(GaussianDecoder(1, 2, [4]), GaussianEncoder(1, 2, [4]), outcome=GaussianOutcome(2))


@pytest.fixture(scope="module")
def draws():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return sample_importance(mnar(), X, MASK, draws=5, chains=2, progress=False)


CALLS = {
    "IWELBO": lambda draws, x, mask: IWELBO(mnar(), 3)(x, mask),
    "IWELBO.loss": lambda draws, x, mask: IWELBO(mnar(), 3).loss(x, mask),
    "MNAR.initialize": lambda draws, x, mask: mnar().initialize(x, mask),
    "fit": lambda draws, x, mask: fit(IWELBO(mnar(), 3), x, mask, steps=2, progress=False),
    "impute": lambda draws, x, mask: impute(mnar(), x, mask, progress=False, particles=500),
    "sample_importance": lambda draws, x, mask: sample_importance(mnar(), x, mask, progress=False),
    "sample_posterior": lambda draws, x, mask: sample_posterior(mnar(), x, mask, progress=False),
    "predict": lambda draws, x, mask: predict(outcome(), x, mask, progress=False),
    "to_arviz": lambda draws, x, mask: to_arviz(draws, mnar(), x, mask),
    "diagnose": lambda draws, x, mask: diagnose(draws, mnar(), x, mask),
}
WRONG = {
    "x an array": (TypeError, X.numpy(), MASK, "x: got numpy.ndarray, expected a torch.Tensor"),
    "mask an array": (TypeError, X, MASK.numpy(), "mask: got numpy.ndarray, expected a torch.Tensor"),
    "x a list": (TypeError, X.tolist(), MASK, "x: got builtins.list"),
    "x of integers": (TypeError, X.long(), MASK, "x: got torch.int64, expected floats"),
    "mask of floats": (TypeError, X, MASK.float(), "mask: got torch.float32, expected torch.bool"),
    "mask of bytes": (TypeError, X, MASK.byte(), "mask: got torch.uint8, expected torch.bool"),
    "mask of fewer rows": (ValueError, X, MASK[:3], r"mask: got shape \(3, 2\), expected that of x \(5, 2\)"),
    "mask of one column": (ValueError, X, MASK[:, :1], r"mask: got shape \(5, 1\), expected that of x"),
    "one row": (ValueError, X[0], MASK[0], r"x: got shape \(2,\), expected rows and columns"),
    "NaN where the mask says observed": (ValueError, LOST, MASK, "x: got nan in row 1, column 1, which mask calls observed"),
    "infinity likewise": (ValueError, LOST.nan_to_num(torch.inf), MASK, "x: got .* in row 1, column 1, which mask calls observed"),
}
WIDTHS = {
    "too wide": (ValueError, torch.zeros(5, 3), torch.cat([MASK, MASK[:, :1]], 1), "x: got .*3"),
    "too narrow": (ValueError, X[:, :1], MASK[:, :1], "x: got .*1"),
}
MODELS = {"another float type": (TypeError, X.double(), MASK, "x: got torch.float64, expected torch.float32")}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("wrong", WRONG | WIDTHS)
def test_what_is_no_table_is_refused_by_name(call, wrong, draws):
    error, x, mask, said = (WRONG | WIDTHS)[wrong]
    with pytest.raises(error, match=said):
        CALLS[call](draws, x, mask)


@pytest.mark.parametrize("call", ["IWELBO", "fit", "impute", "sample_posterior"])
def test_another_float_type_is_refused_by_name(call, draws):
    error, x, mask, said = MODELS["another float type"]
    with pytest.raises(error, match=said):
        CALLS[call](draws, x, mask)


def test_what_stands_in_holes_is_nobody_s_business():
    for filler in (torch.nan, torch.inf, 1e30):
        x = torch.where(MASK, X, filler)
        assert bool(IWELBO(mnar(), 3)(x, MASK).isfinite().all())


@pytest.mark.parametrize("place", [0, 1, 2])
def test_arrays_are_refused_in_the_check_of_the_mask(place):
    given = [X.expand(3, 5, 2), torch.full((3, 5, 2), 0.3), MASK]
    given[place] = np.asarray(given[place])
    with pytest.raises(TypeError, match=f"{('completed', 'rates', 'mask')[place]}: got numpy.ndarray"):
        check_mask(*given)
