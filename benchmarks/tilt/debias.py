"""Many biased rows and few unbiased ones, as in ``examples/debiasing.py``, seed by seed, the few drawn at random or by strata."""

from __future__ import annotations

import time
import warnings

import torch

from examples.debiasing import BIASED, UNBIASED, biased_base, debiased, groups, rows, shares
from pyro_mnar.energy import sample_tilted

N_BIASED, N_UNBIASED = 5000, 100


def run(drawn: str, seed: int, steps: int | None = None) -> dict[str, object]:
    """Return errors of the groups' shares, the largest over groups."""
    torch.manual_seed(seed)
    base = biased_base(rows(torch.multinomial(torch.tensor(BIASED), N_BIASED, replacement=True)), seed, steps or 2000)
    truth = torch.tensor(UNBIASED)
    if drawn == "random":
        labels = torch.multinomial(truth, N_UNBIASED, replacement=True)
    else:
        labels = torch.arange(3).repeat_interleave((N_UNBIASED * truth).round().int())
    x = rows(labels)
    begun = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = debiased(base, x, seed, steps or 1000)
    seconds = time.process_time() - begun
    found = shares(groups(sample_tilted(model, 20_000, polish=10, seed=seed).x))
    with torch.no_grad():
        before = shares(groups(model.draw(20_000)[1]))
    own = shares(groups(x))
    return {
        "unbiased rows": drawn,
        "seed": seed,
        "base's error to truth": float((before - truth).abs().max()),
        "error to the 100's shares": float((found - own).abs().max()),
        "error to truth": float((found - truth).abs().max()),
        "the 100's error to truth": float((own - truth).abs().max()),
        "CPU seconds": seconds,
        "said": [str(one.message) for one in said],
    }
