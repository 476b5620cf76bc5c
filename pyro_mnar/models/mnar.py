"""The generative model of a table with holes and its guide, as a Pyro pair.

    for each row n (the plate "rows"):
        z_n        ~ N(0, I)                              latent
        x_n        ~ decoder(z_n)                         the complete row
        s_n        ~ mechanism(x_n)                       which cells are observed
    seen:            x_n where s_n is True, and s_n

In Pyro the row and its holes are one observed site ``x``, the :class:`~pyro_mnar.models.selection.SelectionDistribution`, in which
every missing value that only its own mask reads has been integrated out. Where a mechanism couples columns, their missing values
are sampled: ``noise`` is a complete replicate of standardised noise, of which only the missing cells are read, so that it is proper
for HMC too and cells that nobody reads stay independent of everything; ``mask`` scores the coupled columns' masks. The guide draws
``noise`` from the model's own law, so it adds nothing to an importance weight, and says so with ``infer={"prior": True}``.

Dropping an argument drops an assumption: without a mechanism the model is MIWAE (arXiv 1812.02633), with one it is not-MIWAE
(arXiv 2006.12871), with one particle it is a VAE, with a linear decoder factor analysis.
"""

from __future__ import annotations

import pyro
import torch
from torch import Tensor, nn

from pyro_mnar.models import laws
from pyro_mnar.models.decoders import GaussianDecoder
from pyro_mnar.models.masks import Mechanism
from pyro_mnar.models.selection import SelectionDistribution, coupled_columns


class MNAR(nn.Module):
    """A decoder, an encoder and, optionally, a mechanism, declared together.

    Args:
        decoder: p(x given z); see :mod:`pyro_mnar.models.decoders`. Says ``latent_dim`` and ``n_columns``.
        encoder: q(z given x_obs, s); see :mod:`pyro_mnar.models.encoders`.
        mechanism: p(s given x), or None for ignorable missingness.

    Raises:
        ValueError: when the mechanism's width is not the decoder's.

    Example:
        >>> from pyro_mnar.models import GaussianDecoder, GaussianEncoder, SelfMasking
        >>> mnar = MNAR(GaussianDecoder(2, 5), GaussianEncoder(5, 2), SelfMasking(5, direction="high"))
        >>> x, mask = torch.zeros(7, 5), torch.ones(7, 5, dtype=torch.bool)
        >>> sorted(pyro.poutine.trace(mnar.model).get_trace(x, mask).stochastic_nodes)
        ['rows', 'z']
    """

    zeros: Tensor
    coupled: Tensor | None

    def __init__(self, decoder: GaussianDecoder, encoder: nn.Module, mechanism: Mechanism | None = None) -> None:
        super().__init__()
        if mechanism is not None and len(mechanism.couplings) != decoder.n_columns:
            raise ValueError(f"mechanism: made for {len(mechanism.couplings)} columns, expected {decoder.n_columns}")
        self.decoder, self.encoder = decoder, encoder
        self.mechanism = mechanism
        coupled = coupled_columns(mechanism)
        self.register_buffer("coupled", coupled, persistent=False)
        self.register_buffer("zeros", torch.zeros(int(decoder.latent_dim)), persistent=False)

    def initialise(self, x: Tensor, mask: Tensor) -> None:
        """Set starting values of the mechanism, and the means it supposes, from rows (N, D) on scaled columns."""
        if self.mechanism is not None:
            self.decoder.centre(self.mechanism.initialise(x, mask))

    def model(self, x: Tensor, mask: Tensor) -> None:
        """Declare p(z, x, s) of rows ``x`` (N, D), float, with their ``mask`` (N, D), True = observed."""
        with pyro.plate("rows", x.shape[-2], dim=-1):
            z = pyro.sample("z", laws.StandardNormal(self.zeros).to_event(1))
            rows = self.decoder(z)
            pyro.sample("x", SelectionDistribution(rows, self.mechanism), obs=torch.where(mask, x, torch.nan))
            if self.mechanism is not None and self.coupled is not None:
                noise = pyro.sample("noise", self.decoder.noise())
                x_mis = rows.base_dist.loc + rows.base_dist.scale * noise
                complete = pyro.deterministic("complete", torch.where(mask, x, x_mis), event_dim=1)
                pyro.sample("mask", self.mechanism(complete).restrict(self.coupled), obs=mask)

    def guide(self, x: Tensor, mask: Tensor) -> None:
        """Declare q(z | x_obs, s), over the same rows."""
        with pyro.plate("rows", x.shape[-2], dim=-1):
            pyro.sample("z", self.encoder(x, mask))
            if self.coupled is not None:
                pyro.sample("noise", self.decoder.noise(), infer={"prior": True})
