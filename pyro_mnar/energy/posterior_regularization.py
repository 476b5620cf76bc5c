r"""Folding a constraint into the base: posterior regularization by expectation and maximization.

A constraint with log weight g(x) (:class:`~pyro_mnar.model.tilts.Constraint`: strength times f) is fixed; what is learned is the
base. One round of the algorithm is

    E: q(z, x_mis) proportional to p_base(x_obs, s, z, x_mis) exp(g(x))       fill the holes under the tilt,
    M: base = argmax of the rows' mean E_q[log p_base(x, s, z)]               refit the base to that,

which climbs (Ganchev, Graca, Gillenwater and Taskar 2010, JMLR 11; Neal and Hinton 1998 for the two steps as one ascent)

    J = mean over rows of log INT p_base(x_obs, x_mis, s) exp(g(x)) dx_mis   +   imagined * log E_base[exp(g(x))].

The first term is the tilted likelihood *without* its normalizer: rows all of whose cells are seen only teach the base as ever, and
constraints act by way of holes. The second is that of rows nothing of which is seen, so many of them for each row of the table: for
these the E step's law is the tilted model itself, and the base is refitted to draws of it (Hu et al. 2018, arXiv 1806.09764, with
complete data). By Fisher's identity the gradient of J at the present base is that of the M step taken there, so every update here is
an E step and a short M step; both terms are estimated by lower bounds.

J has a maximum where g is bounded above, as f <= 0 makes it. Afterwards the base may be used without the tilt.
"""

from __future__ import annotations

import math

from torch import Tensor

from pyro_mnar.energy.objectives import Objective
from pyro_mnar.infer.bound import IWELBO


class PosteriorRegularized(Objective):
    """Maximise J over the base, the tilt being given.

    Args:
        bound, draws: those of every objective; with holes that the tilt reads, ``IWELBO(module, particles, "iwae")``.
        imagined: rows nothing of which is seen for each row of the table, 0 or more.

    Raises:
        ValueError: also for a tilt that has parameters (J would have no maximum) or a negative number of rows.

    Example:
        >>> import torch
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.model.tilts import Constraint
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> ordered = Constraint(lambda x: (x[..., 0] - x[..., 1]).clamp(max=0), 50.0)
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), tilt=ordered)
        >>> x, mask = torch.randn(50, 2), torch.rand(50, 2) < 0.7
        >>> objective = PosteriorRegularized(IWELBO(mnar, 5, "iwae"), imagined=0.5)  # for fit(objective, x, mask)
        >>> objective(x, mask).shape, objective.loss(x, mask).shape
        (torch.Size([50]), torch.Size([]))
        >>> base = MNAR(mnar.decoder, mnar.encoder)  # with what it has learned, and no tilt
    """

    def __init__(self, bound: IWELBO, draws: int = 1024, imagined: float = 0.0) -> None:
        super().__init__(bound, draws)
        if any(True for _ in self.module.tilt.parameters()):
            raise ValueError("bound: its module's tilt has parameters, expected a given one, such as a Constraint")
        if not imagined >= 0:
            raise ValueError(f"imagined: got {imagined}, expected 0 or more")
        self.imagined = imagined

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return a lower bound of each row's part of J, (N,), in nats."""
        bound = self.bound(x, mask) + self.module.log_z  # which cancels
        return bound + self.imagined * (self._log_ratio() + self.module.log_z) if self.imagined else bound

    def loss(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return minus the mean of these; ``log_z``, which has no part in them, follows log Z."""
        log_ratio, log_z = self._log_ratio(), self.module.log_z
        loss = self.bound.loss(x, mask) - log_z
        if self.imagined:
            loss = loss - self.imagined * (log_ratio + log_z)
        self._settle(log_ratio.detach())
        return loss

    def _log_ratio(self) -> Tensor:
        """Return an estimate of log Z - b, in expectation below it."""
        return self._at_base().logsumexp(0) - math.log(self.draws)
