r"""An encoder that knows the decoder: the exact posterior of its linear part, corrected by a network.

Were the mean W z + b and nothing missing but at random, the posterior of z given x_obs would be normal, in closed form:

    precision = I + sum_obs w_j w_j' / d_j^2,      loc = precision^-1 sum_obs w_j (x_j - b_j) / d_j^2.

A network cannot learn that for every pattern of holes from a few thousand rows, and need not. Here each cell, seen or not, sends a
normal message about w_j' z, with a value and a precision; the network says how they differ from those of an observed cell under a
linear decoder (the nonlinear part of the mean moves a value; that a cell is missing is a value with a precision of its own), and
adds a diagonal message about z itself. For a row without holes it starts at the closed form.

A missing cell with limits sends a message too (:mod:`pyro_mnar.networks.limit_messages`), which the network then moves as it moves a
seen cell's. Where its column is not normal it says the mean of a standard normal between the limits, trusted less.

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
from pyro_mnar.networks.encoders import check_input, told_of
from pyro_mnar.networks.layers import inverse_softplus, mlp
from pyro_mnar.networks.limit_messages import limit_messages
from pyro_mnar.networks.mixed_decoder import MixedDecoder

# Precision of a row with limits, of what its messages say: importance weights are then bounded, at hardly a cost.
_WIDER = 0.85
# Where softplus is 1.
_ONE = float(inverse_softplus(torch.ones((), dtype=torch.float64)))


class ConjugateEncoder(nn.Module):
    """q(z | x_obs, s) = N(loc, precision^-1) with a full precision matrix, for a decoder whose mean has a linear part.

    The decoder's parameters enter as numbers: no gradient reaches them from here, and they are not this module's. Of a noise scale that
    is a network's, the constant part enters and the network here learns the rest.

    Args:
        decoder: the model's own.
        hidden: hidden layers of the network; empty for no network, and then messages differ from those of an observed cell by numbers
            that are the same for all rows, a few for each output. A linear map of every column to every output would have D^2.

    Raises:
        ValueError: when the decoder's mean has no linear part.

    Example:
        >>> encoder = ConjugateEncoder(GaussianDecoder(2, 5), hidden=[16])
        >>> law = encoder(torch.zeros(7, 5), torch.ones(7, 5, dtype=torch.bool))
        >>> law.batch_shape, law.event_shape
        (torch.Size([7]), torch.Size([2]))
    """

    rowwise = True

    def __init__(self, decoder: GaussianDecoder | MixedDecoder, hidden: Sequence[int] = (64,)) -> None:
        super().__init__()
        if decoder.linear is None:
            raise ValueError("decoder: its mean has no linear part, expected linear=True (or another encoder)")
        self.latent_dim, self.n_columns = decoder.latent_dim, decoder.n_columns
        self._decoder = (decoder,)  # in a tuple, so that it is not registered as a part of this module
        self.sizes = [decoder.n_outputs] * 2 + [decoder.latent_dim] * 2
        self.net = mlp([decoder.n_features + decoder.n_columns, *hidden, sum(self.sizes)]) if hidden else None
        self.constant = nn.Parameter(torch.zeros(sum(self.sizes))) if self.net is None else None
        if self.net is not None:
            last = self.net[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, mask: Tensor, limits: Tensor | None = None) -> PrecisionNormal:
        """Return q(z | x_obs, s) of rows ``x`` (..., D) with their ``mask`` (..., D) and perhaps limits."""
        (decoder,) = self._decoder
        check_input(self, self.n_columns, x, mask)
        assert decoder.linear is not None
        weight = decoder.linear.weight.detach()
        seen = told_of(x, mask, limits)
        shift, raw_trust, push, raw_pull = self._said(seen, mask).split(self.sizes, -1)
        with torch.no_grad():
            told, variance = decoder.working(seen)
        own = mask[..., decoder.owner]
        # A seen cell is trusted as much as its noise says, or less or more by the network; a missing one by less than that.
        moved = raw_trust.clamp(-5, 2).exp()
        trust = torch.where(own, moved, evenly(torch.sigmoid, raw_trust - 1.5)) / variance
        value = torch.where(own, told, 0.0) + shift
        pulled = trust * value
        if limits is not None:
            limited = (~mask & limits.isfinite().any(-1))[..., decoder.owner]
            tau, nu = self._between(limited & decoder.normal, limits, own, told, variance)
            less = evenly(torch.sigmoid, raw_trust) / variance
            by_message = torch.as_tensor(decoder.normal, device=told.device)
            trust = torch.where(limited, torch.where(by_message, moved * tau, less), trust)
            told_there = torch.where(by_message, moved * (nu + tau * shift), less * (told + shift))
            pulled = torch.where(limited, told_there, pulled)
        pull = evenly(softplus, raw_pull + _ONE)  # 1 at the start: the prior's
        trust, pulled, weight = aligned(trust), aligned(pulled), aligned(aligned(weight), -2)
        size = push.shape[-1]
        gram = ((trust.unsqueeze(-1) * weight).transpose(-1, -2).contiguous() @ weight)[..., :size, :size]
        moment = linear(pulled, weight.mT.contiguous())[..., :size] + push
        precision = gram + torch.diag_embed(pull)
        if limits is not None:
            # A limit cuts one tail of z and leaves the other as it was, which a normal of the right variance then falls short of.
            wider = torch.where(limited.any(-1, keepdim=True), _WIDER, 1.0)
            moment, precision = wider * moment, wider.unsqueeze(-1) * precision
        return PrecisionNormal.of(moment, precision)

    def _said(self, seen: Tensor, mask: Tensor) -> Tensor:
        """Return the network's outputs (..., 2 P + 2 L) for values ``seen`` (..., D), or what stands for them."""
        (decoder,) = self._decoder
        if self.net is not None:
            said: Tensor = self.net(torch.cat([decoder.features(seen, mask), mask.to(seen)], -1))
            return said
        assert self.constant is not None
        return self.constant.expand(*mask.shape[:-1], -1)

    @torch.no_grad()
    def _between(self, chosen: Tensor, limits: Tensor, own: Tensor, told: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the messages of limited cells, (..., P), at the ``chosen`` outputs, given those of the outputs that are seen."""
        (decoder,) = self._decoder
        assert decoder.linear is not None
        weight = decoder.linear.weight
        seen = torch.where(own, 1 / variance, 0.0)
        precision = (seen.unsqueeze(-1) * weight).transpose(-1, -2) @ weight + torch.eye(weight.shape[-1]).to(weight)
        low, high = (end[..., decoder.owner] - decoder.linear.bias for end in limits.unbind(-1))
        return limit_messages(weight, precision, (seen * told) @ weight, chosen, low, high, variance)
