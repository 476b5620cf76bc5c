"""Predict an outcome from rows with holes: p(y | x) averaged over the missing values, not at one filled-in row.

    p(y | x_obs, s) = E[p(y | x_obs, x_mis) | x_obs, s]

A network at the mean of x_mis is not the mean of the network, and is surer of itself than it may be.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical

from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.infer.checks import check_counts, check_rows
from pyro_mnar.model.mnar import MNAR


@torch.no_grad()
def predict(
    mnar: MNAR,
    x: Tensor,
    mask: Tensor,
    *,
    draws: int = 200,
    particles: int = 500,
    seed: int = 0,
    labels: Sequence[Hashable] | None = None,
    progress: bool = True,
) -> Tensor:
    """Return E[y | x_obs, s], (N,), or of classes their probabilities, (N, C).

    Args:
        mnar: a model with an outcome.
        x: (N, D) float, without the outcome; the holes may hold anything.
        mask: (N, D) bool, True = observed.
        draws: the number of draws of each missing value.
        particles, seed, labels, progress: those of :func:`~pyro_mnar.imputation.ensemble.impute`.

    Raises:
        ValueError: for a model without an outcome, or no draws.

    Example:
        >>> from pyro_mnar.networks.outcomes import CategoricalOutcome
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), outcome=CategoricalOutcome(2, 3))
        >>> predict(mnar, torch.zeros(7, 2), torch.tensor([[True, False]] * 7)).shape
        torch.Size([7, 3])
    """
    if mnar.outcome is None:
        raise ValueError("mnar: has no outcome, expected MNAR(..., outcome=...)")
    check_counts(draws=draws)
    check_rows(x, mask, mnar.decoder.n_columns)
    unknown = torch.zeros_like(mask[:, :1])
    table, seen = torch.cat([x, x.new_zeros(len(x), 1)], -1), torch.cat([mask, unknown], -1)
    found = impute(mnar, table, seen, draws=draws, particles=particles, seed=seed, labels=labels, progress=progress)
    law = mnar.outcome(found.draws[..., :-1])
    return (law.probs if isinstance(law, Categorical) else law.mean).mean(0)
