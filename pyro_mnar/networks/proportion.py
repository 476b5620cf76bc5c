r"""Proportions: a point at each end and a normal law of the log-odds between them; the law of the cells and its head.

    x_j | z = b_j with probability p_b,   t_j with p_t,   else N(eta, d_j^2),      (p_b, p_t, 1 - p_b - p_t) = softmax(o_b, o_t, 0)

in which b_j and t_j are the places of the lower and the upper end on the line, where such were seen. On the line the normal part has no
end, so nothing is cut: to the integrals of a missing cell it is a mixture of three normals, of which two have no width
(:mod:`pyro_mnar.distributions.censored`). It is the zero-and-one-inflated model of Ospina and Ferrari (2010, "Inflated beta
distributions", Statistical Papers 51) with a logit-normal law in the place of the beta's.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_mnar.distributions.cells import Censored, OwnScore
from pyro_mnar.distributions.censored import Normals
from pyro_mnar.distributions.continuous import AsGiven, Normal
from pyro_mnar.distributions.indexing import columns_of
from pyro_mnar.distributions.missing_normals import MaskedWithin, WithinNormals
from pyro_mnar.distributions.point_mass_normal import same
from pyro_mnar.networks.head import ScaledHead
from pyro_mnar.networks.layers import FAR

# Variance of a message that says nothing.
_NOTHING = 1e8


class ProportionCells(AsGiven, dist.TorchDistribution):
    """The value ``below`` or ``above``, of odds exp(``below_odds``) and exp(``above_odds``) beside N(loc, scale^2).

    Its density is one with respect to unit masses at the two values plus length.

    Args:
        below, above: (J,), the ends; NaN where a column has none.
        below_odds, above_odds: (..., J), logarithms; minus infinity where a column has no such end.
        loc: (..., J).
        scale: (J,), as any other broadcast to the batch shape (..., J).

    Example:
        >>> zeros = torch.zeros(7, 1)
        >>> law = ProportionCells(torch.tensor([-2.0]), torch.tensor([3.0]), zeros, zeros, zeros, torch.ones(1))
        >>> [round(float(law.log_prob(torch.tensor([end]))[0].exp()), 3) for end in (-2.0, 3.0)]
        [0.333, 0.333]
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real
    has_rsample = False

    def __init__(self, below: Tensor, above: Tensor, below_odds: Tensor, above_odds: Tensor, loc: Tensor, scale: Tensor) -> None:
        self._keep(below=below, above=above, below_odds=below_odds, above_odds=above_odds, loc=loc, scale=scale)

    @property
    def log_shares(self) -> Tensor:
        """Log probabilities of the ends and of what is between them, (..., J, 3)."""
        odds = torch.broadcast_tensors(self.given["below_odds"], self.given["above_odds"])
        return torch.stack([*odds, torch.zeros_like(odds[0])], -1).log_softmax(-1)

    @property
    def mean(self) -> Tensor:
        """(..., J)."""
        log_share, mean, _ = self.normals()
        return (log_share.exp() * mean).sum(-1).expand(self._batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        at_below, at_above, between = self.log_shares.unbind(-1)
        log_prob = between + Normal(self.given["loc"], self.given["scale"]).log_prob(value)
        log_prob = torch.where(same(value, self.given["below"]), at_below, log_prob)
        return self._full(torch.where(same(value, self.given["above"]), at_above, log_prob))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            log_share, mean, scale = self.normals()
            shape = torch.Size((*sample_shape, *self._batch_shape))
            law = torch.distributions.Categorical(logits=log_share.expand(*shape, 3))
            part = law.sample().unsqueeze(-1)
            loc, width = (each.expand(*shape, 3).gather(-1, part).squeeze(-1) for each in (mean, scale))
            return torch.addcmul(loc, width, torch.randn(shape).to(loc))

    def within(self, low: Tensor, high: Tensor, own: OwnScore | None = None) -> Censored:
        # Wherever the ends have their places on the line, all that is within lies between them.
        first, last = low == -torch.inf, high == torch.inf
        held = torch.stack([first, last, torch.ones_like(first)], -1)
        # Limits that stop at the place of the end that they hold: nothing else is possible.
        alone = first & same(high, self.given["below"]) | last & same(low, self.given["above"])
        shares, means, scales = self.normals()
        between = torch.tensor([False, False, True], device=low.device)
        shares = torch.where(alone.unsqueeze(-1) & between, -torch.inf, shares)
        cut = WithinNormals(Normals(shares, means, scales), low.unsqueeze(-1), high.unsqueeze(-1), held)
        return cut if own is None else MaskedWithin(cut, own)

    def normals(self) -> Normals:
        loc, scale = self.given["loc"], self.given["scale"]
        ends = (self.given[name].nan_to_num(0.0).expand(loc.shape) for name in ("below", "above"))
        return Normals(self.log_shares, torch.stack([*ends, loc], -1), torch.stack([*[torch.zeros_like(scale)] * 2, scale], -1))


class ProportionHead(ScaledHead):
    """Columns of proportions: their outputs are first all locations, then log-odds of all lower ends that are there, then of the upper.

    Args:
        columns: their indices.
        ends: of each the places of its two ends; None of one that is not there.
        odds: of each the odds of the ends beside what is between them, above 0: where the law starts.

    Example:
        >>> head = ProportionHead([1], [[-2.0, None]], [[0.25, 1.0]])
        >>> round(float(head(head.start).log_prob(torch.tensor([-2.0])).detach().exp()), 3)
        0.2
    """

    rowwise = True
    mass: Tensor
    place: Tensor

    def __init__(self, columns: Sequence[int], ends: Sequence[Sequence[float | None]], odds: Sequence[Sequence[float]]) -> None:
        width = len(columns)
        there = [(side, j) for side in (0, 1) for j in range(width) if ends[j][side] is not None]
        start = torch.cat([torch.zeros(width), torch.tensor([odds[j][side] for side, j in there]).log()])
        super().__init__(columns, [*range(width), *(j for _, j in there)], start, width + len(there))
        mass = torch.tensor([[torch.nan if end is None else end for end in own] for own in ends], dtype=torch.float32).T
        # Where the output of an end stands; the place after the last holds minus infinity.
        place = torch.full((2, width), len(start))
        for k, (side, j) in enumerate(there):
            place[side, j] = width + k
        self.register_buffer("mass", mass, persistent=False)
        self.register_buffer("place", place, persistent=False)

    def forward(self, eta: Tensor) -> ProportionCells:
        """Return the law of the columns, (..., J), given outputs (..., J and one for each end)."""
        padded = nn.functional.pad(eta, (0, 1), value=-torch.inf)
        (below, above), (below_odds, above_odds) = self.mass, (columns_of(padded, own) for own in self.place)
        loc = eta[..., : len(self.columns)]
        return ProportionCells(below, above, below_odds, above_odds, loc, self.scale(loc))

    def scoring(self, eta: Tensor) -> tuple[Tensor, ...]:
        """Return the probabilities of the ends and their information, (2, J), and the variance of what is between them, (J,)."""
        share = self(eta).log_shares.exp()[:, :2].T
        return share, (share * (1 - share)).clamp_min(0.01), self.scale(eta[: len(self.columns)]).square()

    def told(self, x: Tensor, eta: Tensor, scoring: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return g / W and 1 / W, both (..., P); an end tells no location."""
        share, information, variance = scoring
        at_end = torch.stack([same(x, end) for end in self.mass], -2)
        told = torch.cat([x - eta[..., : len(self.columns)], self._of_ends((at_end.to(x) - share) / information)], -1)
        variance = torch.where(at_end.any(-2), _NOTHING, variance)
        return told, torch.cat([variance, self._of_ends(information.reciprocal().expand(at_end.shape))], -1)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what a network reads of values (..., J): the value, and whether it is one of the ends; 0 where missing."""
        at_end = torch.stack([same(x, end) & mask for end in self.mass], -2)
        return torch.cat([torch.where(at_end.any(-2), 0.0, x.clamp(-FAR, FAR)), self._of_ends(at_end.to(x))], -1)

    def apart(self, x: Tensor, mask: Tensor) -> Tensor:
        below, above = (mask & same(x, end) for end in self.mass)
        return torch.where(below, -torch.inf, torch.where(above, torch.inf, x))

    def _of_ends(self, values: Tensor) -> Tensor:
        """Return those of ``values`` (..., 2, J) that belong to an end that is there, (..., E)."""
        return values[..., self.place < len(self.start)]
