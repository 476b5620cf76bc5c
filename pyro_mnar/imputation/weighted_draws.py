"""The particles of rows' latents themselves, with one draw of the missing cells each: draws that keep their importance weights.

Draws for analysis resample the particles and are all alike (:mod:`pyro_mnar.imputation.impute`). Where they are to be weighed again,
what the first weights cost would then be hidden: some particles stand for many draws, and are counted as many.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from pyro_mnar.imputation.resampling import chunk_size, padded, weigh
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.model.missing_sites import missing_cells


@torch.no_grad()
def weighted_draws(
    module: nn.Module,
    x: Tensor,
    mask: Tensor,
    particles: int,
    *,
    limits: Tensor | None = None,
    seed: int = 0,
    labels: Sequence[Hashable] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return draws of complete rows (S, N, D), observed cells bit for bit, and the logarithms of their weights (S, N), adding to 1.

    Args:
        module: as :func:`~pyro_mnar.imputation.ensemble.impute` wants it, with sites that can be drawn from given noise.
        x: (N, D) float; the holes may hold anything.
        mask: (N, D) bool, True = observed.
        particles: S.
        limits: (N, D, 2), between which missing values are known to lie, or None.
        seed: of all draws; global random state is neither read nor changed.
        labels: one for each row, its name for the random streams; positions by default.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2))
        >>> rows, log_weights = weighted_draws(mnar, torch.zeros(3, 2), torch.tensor([[True, False]] * 3), 100)
        >>> rows.shape, bool((log_weights.exp().sum(0) - 1).abs().max() < 1e-6)
        (torch.Size([100, 3, 2]), True)
    """
    names = list(range(len(x))) if labels is None else list(labels)
    bound, drawn, log_weights = IWELBO(module, particles), [], []
    for rows in torch.arange(len(x)).split(chunk_size(x.device, particles * x.shape[-1])):
        whole = padded(rows)
        own = None if limits is None else limits[whole]
        found = weigh(bound, x[whole], mask[whole], seed, [names[i] for i in whole.tolist()], True, own)
        uniforms = found.streams.uniform("cells", particles, (x.shape[-1], 3), x)
        cells = missing_cells(found.model, mask[whole], uniforms).masked_fill(found.impossible.unsqueeze(-1), torch.nan)
        drawn.append(torch.where(mask[rows], x[rows], cells[:, : len(rows)].to(x)))
        log_weights.append(found.log_weights[:, : len(rows)])
    return torch.cat(drawn, 1), torch.cat(log_weights, 1)
