r"""An encoder that knows the decoder: the exact posterior of its linear part, corrected by a network.

Were the mean W z + b and nothing missing but at random, the posterior of z given x_obs would be normal, in closed form:

    precision = I + sum_obs w_j w_j' / d_j^2,      loc = precision^-1 sum_obs w_j (x_j - b_j) / d_j^2.

A network cannot learn that for every pattern of holes from a few thousand rows, and need not. Here each cell, seen or not, sends a
normal message about w_j' z, with a value and a precision; the network says how they differ from those of an observed cell under a
linear decoder (the nonlinear part of the mean moves a value; that a cell is missing is a value with a precision of its own), and
adds a diagonal message about z itself. For a row without holes it starts at the closed form.

Of columns that are not normal, each output of the decoder gets the normal message of one step of Fisher scoring (see
:mod:`pyro_mnar.networks.heads`); what a step leaves out is the network's to learn.

Recognition by conjugate messages: Johnson, Duvenaud, Wiltschko, Datta and Adams 2016, "Composing graphical models with neural networks
for structured representations and fast inference", arXiv 1603.06277.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_mnar.distributions.alignment import aligned, evenly, linear
from pyro_mnar.distributions.continuous import PrecisionNormal
from pyro_mnar.networks.decoders import GaussianDecoder
from pyro_mnar.networks.layers import inverse_softplus, mlp
from pyro_mnar.networks.mixed_decoder import MixedDecoder

# Where softplus is 1.
_ONE = float(inverse_softplus(torch.ones((), dtype=torch.float64)))


class ConjugateEncoder(nn.Module):
    """q(z | x_obs, s) = N(loc, precision^-1) with a full precision matrix, for a decoder whose mean has a linear part.

    The decoder's parameters enter as numbers: no gradient reaches them from here, and they are not this module's. Of a noise scale that
    is a network's, the constant part enters and the network here learns the rest.

    Args:
        decoder: the model's own.
        hidden: hidden layers of the network.

    Raises:
        ValueError: when the decoder's mean has no linear part.

    Example:
        >>> encoder = ConjugateEncoder(GaussianDecoder(2, 5), hidden=[16])
        >>> law = encoder(torch.zeros(7, 5), torch.ones(7, 5, dtype=torch.bool))
        >>> law.batch_shape, law.event_shape
        (torch.Size([7]), torch.Size([2]))
    """

    def __init__(self, decoder: GaussianDecoder | MixedDecoder, hidden: Sequence[int] = (64,)) -> None:
        super().__init__()
        if decoder.linear is None:
            raise ValueError("decoder: its mean has no linear part, expected linear=True (or another encoder)")
        self._decoder = (decoder,)  # in a tuple, so that it is not registered as a part of this module
        self.sizes = [decoder.n_outputs] * 2 + [decoder.latent_dim] * 2
        self.net = mlp([decoder.n_features + decoder.n_columns, *hidden, sum(self.sizes)])
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, mask: Tensor) -> PrecisionNormal:
        """Return q(z | x_obs, s) of rows ``x`` (..., D) with their ``mask`` (..., D)."""
        (decoder,) = self._decoder
        assert decoder.linear is not None
        weight = decoder.linear.weight.detach()
        seen = torch.where(mask, x, 0.0)
        net_input = torch.cat([decoder.features(seen, mask), mask.to(seen)], -1)
        shift, raw_trust, push, raw_pull = self.net(net_input).split(self.sizes, -1)
        with torch.no_grad():
            told, variance = decoder.working(seen)
        own = mask[..., decoder.owner]
        # A seen cell is trusted as much as its noise says, or less or more by the network; a missing one by less than that.
        trust = torch.where(own, raw_trust.clamp(-5, 2).exp(), evenly(torch.sigmoid, raw_trust - 1.5)) / variance
        value = torch.where(own, told, 0.0) + shift
        pull = evenly(softplus, raw_pull + _ONE)  # 1 at the start: the prior's
        trust, value, weight = aligned(trust), aligned(value), aligned(aligned(weight), -2)
        size = push.shape[-1]
        gram = ((trust.unsqueeze(-1) * weight).transpose(-1, -2) @ weight)[..., :size, :size]
        moment = linear(trust * value, weight.mT.contiguous())[..., :size] + push
        return PrecisionNormal.of(moment, gram + torch.diag_embed(pull))
