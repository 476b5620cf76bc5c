r"""Objectives that teach a tilt, all of one form: a bound of the tilted model, and draws of the base for its normalizer.

With l = -E - b the log ratio of tilted model to base, w_k the importance weights of a row's particles (tilt and mechanism included) and
b = ``module.log_z``, every objective reports the same thing about a row, a valid bound for any b,

    E[log 1/K sum_k w_k]  -  E_base[exp(l)]  +  1   <=   log p(x_obs, s),

since log Z <= b + Z exp(-b) - 1, with equality at b = log Z (Senetaire, Jeha, Mattei and Frellsen 2025, "Learning energy-based models
by self-normalizing the likelihood", arXiv 2503.07021). The noisy term is one for all rows and stands outside the logarithm. They differ
in what they descend; E_+ averages over rows and, where cells are missing, over particles by their normalized weights:

- :class:`SelfNormalized`: minus that bound; unbiased mini-batches;
- :class:`Importance`: b replaced by the log mean of exp(-E) over base draws; no bound, the likelihood is overstated, consistent;
- :class:`Contrastive`: E_+[E] - E_base[E] with penalties. Without one it has no minimum, for it is an *upper* bound of the likelihood
  turned around: Jensen gives log Z >= E_base[-E]. With lambda (E_+[E^2] + E_base[E^2]) its minimizer is E = -tanh(r / 2) / (2 lambda),
  r the log ratio of data and base: at lambda = 1/4 about right while abs(r) < 1, and flat beyond;
- :class:`NoiseContrastive`: logistic regression of data against base on l (Gutmann and Hyvarinen 2010, AISTATS);
- :class:`GuidedCost`: Z from a proposal that is half data, half base, for which the model itself stands in where the data's density is
  needed (Finn, Levine and Abbeel 2016, arXiv 1603.00448; Finn et al. 2016, arXiv 1611.03852): no weight exceeds 2;
- :class:`~pyro_mnar.energy.maximum_likelihood.MaximumLikelihood`: the exact gradient's two terms, negatives from a Markov chain.

What is trained is what requires gradients: ``module.freeze_base()`` leaves the tilt alone. Base and tilt together need base draws that
are reparameterised, and an objective whose minimum does not suppose a fixed base: the first two, and maximum likelihood.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_mnar.energy.report import TiltReport, report_tilt
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_counts, check_rates
from pyro_mnar.infer.structure import row_log_prob

# Share of the way to log Z that b goes in an update where it follows.
_FOLLOW = 0.1


class Objective(nn.Module):
    """What all have in common.

    Args:
        bound: the bound of a module with a ``tilt``, a ``log_z``, and ``draw(n)``, which returns latents and complete rows of the base;
            its model has the factor ``tilt``, log weight less ``log_z``.
        draws: the number of draws of the base in each update.
        gradient_penalty: times the mean squared gradient of E at the base draws; for when rows are few.

    Raises:
        ValueError: for a module without a tilt, or too few draws.
    """

    module: Any

    def __init__(self, bound: IWELBO, draws: int = 1024, gradient_penalty: float = 0.0) -> None:
        super().__init__()
        if getattr(bound.module, "tilt", None) is None:
            raise ValueError("bound: its module has no tilt, expected one (a bound alone trains a model without)")
        check_counts(draws=draws)
        check_rates(gradient_penalty=gradient_penalty)
        self.bound, self.draws, self.gradient_penalty = bound, draws, gradient_penalty
        self.module = bound.module

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the self-normalized bound of each row, (N,), in nats."""
        return self.bound(x, mask) - self._at_base().exp().mean() + 1

    def loss(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what is descended, a scalar, for rows ``x`` (N, D) with their ``mask``."""
        raise NotImplementedError(f"{type(self).__name__}: expected one of the objectives, each of which has a loss")

    @property
    def weighted(self) -> IWELBO:
        """The bound inside, by which held-out rows are judged."""
        return self.bound

    def report(self, x: Tensor, mask: Tensor) -> TiltReport:
        """Return how the tilt stands, over draws of the base and at rows ``x`` (N, D) with their ``mask``."""
        with torch.no_grad():
            weights, at_rows = self._at_rows(x, mask)
            return report_tilt(self.module, at_rows + self.module.log_z, weights)

    def _at_base(self) -> Tensor:
        """Return l at draws of the base, (draws,)."""
        return self.module.tilt.log_weight(*self.module.draw(self.draws)) - self.module.log_z

    def _at_frozen_base(self) -> Tensor:
        z, x = self.module.draw(self.draws)
        if x.requires_grad:
            raise ValueError(f"{type(self).__name__}: the base requires gradients, expected a frozen one (module.freeze_base())")
        return self.module.tilt.log_weight(z, x) - self.module.log_z

    def _at_rows(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the particles' normalized weights and l, (K, N) each."""
        model, guide = self.bound.traces(x, mask)
        weights = self.bound.weights_of(model, guide).detach().softmax(0)
        return weights, row_log_prob(model.nodes["tilt"], model.nodes["tilt"]["value"]).expand(weights.shape)

    def _smoothness(self) -> Tensor | float:
        """Return the gradient penalty."""
        if not self.gradient_penalty:
            return 0.0
        z, x = (value.detach().requires_grad_() for value in self.module.draw(self.draws))
        energy = self.module.tilt.log_weight(z, x)
        slopes = torch.autograd.grad(energy.sum(), (z, x), create_graph=True, allow_unused=True)
        return self.gradient_penalty * sum(slope.square().sum(-1).mean() for slope in slopes if slope is not None)

    @torch.no_grad()
    def _settle(self, log_ratio: Tensor) -> None:
        """Move b towards log Z, of which ``log_ratio`` is an estimate less b; for objectives whose gradient says nothing of b.

        The constant in E is free there and drifts; b by gradient steps would lag behind.
        """
        self.module.log_z.add_(_FOLLOW * log_ratio)


class SelfNormalized(Objective):
    """The default: maximize the bound itself.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.model.tilts import EnergyTilt, energy_net
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), tilt=EnergyTilt(energy_net(2)))
        >>> mnar.freeze_base()
        >>> objective = SelfNormalized(IWELBO(mnar, particles=5))  # ``fit`` takes it where it takes a bound
        >>> objective(0.1 * torch.randn(50, 2), torch.ones(50, 2, dtype=torch.bool)).shape
        torch.Size([50])
    """

    def loss(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return minus the mean bound."""
        return self.bound.loss(x, mask) + self._at_base().exp().mean() - 1 + self._smoothness()


class Importance(Objective):
    """The likelihood with Z estimated afresh in each update; overstated, the more so the fewer draws."""

    def loss(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return minus the mean estimate."""
        at_base = self._at_base()
        log_ratio = at_base.logsumexp(0) - math.log(self.draws)  # log Z - b
        loss = self.bound.loss(x, mask) + log_ratio + self._smoothness()
        self._settle(log_ratio)
        return loss


class Contrastive(Objective):
    """A critic, not a likelihood: E on data less E on base draws, held by its penalties.

    Args:
        bound, draws, gradient_penalty: those of every objective.
        penalty: lambda, of E squared on both.

    Raises:
        ValueError: also when neither penalty is positive; the objective then has no minimum.
    """

    def __init__(self, bound: IWELBO, draws: int = 1024, gradient_penalty: float = 0.0, penalty: float = 0.25) -> None:
        super().__init__(bound, draws, gradient_penalty)
        if penalty <= 0 and gradient_penalty <= 0:
            raise ValueError(f"penalty: got {penalty}, expected more than 0, or a gradient_penalty; without one it has no minimum")
        self.penalty = penalty

    def loss(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the penalized difference."""
        weights, at_rows = self._at_rows(x, mask)
        at_base = self._at_frozen_base()
        data, base = -(at_rows + self.module.log_z), -(at_base + self.module.log_z)  # E, in which b cancels
        difference = (weights * data).sum(0).mean() - base.mean()
        squares = (weights * data.square()).sum(0).mean() + base.square().mean()
        self._settle(at_base.logsumexp(0) - math.log(self.draws))
        return difference + self.penalty * squares + self._smoothness()


class NoiseContrastive(Objective):
    """Logistic regression: is a row data, or a draw of the base? The log odds are l."""

    def loss(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the sum of both classes' mean log loss."""
        weights, at_rows = self._at_rows(x, mask)
        return (weights * softplus(-at_rows)).sum(0).mean() + softplus(self._at_frozen_base()).mean() + self._smoothness()


class GuidedCost(Objective):
    """The likelihood with Z from data and base draws mixed in equal shares."""

    def loss(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return minus the mean estimate."""
        weights, at_rows = self._at_rows(x, mask)
        at_base = self._at_frozen_base()
        # exp(l) / (exp(l) / 2 + 1 / 2), whose denominator is the proposal's density and stands still.
        rows, base = (at - softplus(at.detach()) for at in (at_rows, at_base))
        log_ratio = ((weights * rows.exp()).sum(0).mean() + base.exp().mean()).log()
        loss = log_ratio - (weights * at_rows).sum(0).mean() + self._smoothness()
        self._settle(log_ratio)
        return loss
