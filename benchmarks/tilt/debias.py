"""Many biased rows and few unbiased ones: a mixture whose classes have shares .8/.1/.1 in the one and .3/.4/.3 in the other."""

from __future__ import annotations

import time
import warnings

import torch
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, ConjugateEncoder, EnergyTilt, GaussianDecoder, SelfNormalised, energy_net, fit, sample_tilted

CENTRES = torch.tensor([[-1.4, -0.8], [1.4, -0.8], [0.0, 1.5]])
SPREAD = 0.3
BIASED, UNBIASED = (0.8, 0.1, 0.1), (0.3, 0.4, 0.3)
N_BIASED, N_UNBIASED = 5000, 100


def classes(x: Tensor) -> Tensor:
    """The class of each row: its nearest centre."""
    return torch.cdist(x, CENTRES).argmin(-1)


def shares(labels: Tensor) -> Tensor:
    """The share of each class."""
    return torch.bincount(labels, minlength=3) / len(labels)


def _rows(labels: Tensor) -> Tensor:
    return CENTRES[labels] + SPREAD * torch.randn(len(labels), 2)


def biased_base(x: Tensor, seed: int) -> MNAR:
    """A VAE of the biased rows."""
    decoder = GaussianDecoder(2, 2, hidden=[64, 64])
    base = MNAR(decoder, ConjugateEncoder(decoder, [64]))
    mask = torch.ones_like(x, dtype=torch.bool)
    base.initialise(x, mask)
    fit(IWELBO(base, 10), x, mask, steps=2000, lr=5e-3, weight_decay=0.0, seed=seed, progress=False)
    return base


def run(drawn: str, seed: int, steps: int | None = None) -> dict[str, object]:
    """Return errors of class shares, the largest over classes."""
    torch.manual_seed(seed)
    base = biased_base(_rows(torch.multinomial(torch.tensor(BIASED), N_BIASED, replacement=True)), seed)
    truth = torch.tensor(UNBIASED)
    if drawn == "random":
        labels = torch.multinomial(truth, N_UNBIASED, replacement=True)
    else:
        labels = torch.arange(3).repeat_interleave((N_UNBIASED * truth).round().int())
    x = _rows(labels)
    model = MNAR(base.decoder, base.encoder, tilt=EnergyTilt(energy_net(2)))
    model.freeze_base()
    begun = time.perf_counter()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fit(
            SelfNormalised(IWELBO(model, 1), draws=512, gradient_penalty=0.03),
            x,
            torch.ones_like(x, dtype=torch.bool),
            steps=steps or 1000,
            batch_size=N_UNBIASED,
            lr=3e-3,
            weight_decay=1e-1,
            seed=seed,
            progress=False,
        )
    seconds = time.perf_counter() - begun
    found = shares(classes(sample_tilted(model, 20_000, polish=10, seed=seed).x))
    with torch.no_grad():
        before = shares(classes(model.draw(20_000)[1]))
    own = shares(classes(x))
    return {
        "unbiased rows": drawn,
        "seed": seed,
        "base's error to truth": float((before - truth).abs().max()),
        "error to the 100's shares": float((found - own).abs().max()),
        "error to truth": float((found - truth).abs().max()),
        "the 100's error to truth": float((own - truth).abs().max()),
        "seconds": seconds,
        "said": [str(one.message) for one in said],
    }
