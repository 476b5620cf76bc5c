r"""Maximum likelihood of a tilt with negatives from a Markov chain.

The exact gradient has two terms, E_+ over the data (missing cells averaged by importance weights) and E_- over the tilted model:

    grad log p(x_obs, s) = -E_+[grad E] + E_-[grad E]

Where the base is trained too, its log density joins -E in both: E_+[grad log p(z, x)] by the bound, and
E_-[grad (log pi_0(u) - E(x(u)))] with u held, for the base moves x(u) and, by the noise's degrees of freedom, pi_0 as well.

The second is estimated at the positions of Langevin chains in u = (z, e), latents and standardized noise, where the target needs no
bound. *Persistent* chains go on from update to update, with a few restarted from the base (Tieleman 2008, "Training restricted
Boltzmann machines using approximations to the likelihood gradient", ICML; the restarts: Du and Mordatch 2019, arXiv 1903.08689).
*Short-run* chains start from the base each time, are not adjusted, and what is learned is a sampler of so many steps rather than
an energy (Nijkamp, Hill, Zhu and Wu 2019, arXiv 1904.09770). In both, mass between separated modes is set by where chains start.

The step *climbs*: u + e^2 / 2 grad log pi(u) + e noise, with log pi = log pi_0 - E.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_mnar.energy.annealing import Path
from pyro_mnar.energy.objectives import Objective
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.mcmc import kernels


class MaximumLikelihood(Objective):
    """Descend minus the exact gradient; base and tilt may be trained together.

    Args:
        bound, draws, gradient_penalty: those of every objective; ``draws`` is the number of chains too.
        persistent: True for chains that go on, Metropolis-adjusted; False for short unadjusted runs.
        chain_steps: Langevin steps in each update.
        restart: share of persistent chains that start afresh in each update.
        step_size: e, in units of the base's latents and noise; where chains persist it is the first, and then adapts.

    Raises:
        ValueError: for arguments out of range.
    """

    def __init__(
        self,
        bound: IWELBO,
        draws: int = 256,
        gradient_penalty: float = 0.0,
        persistent: bool = True,
        chain_steps: int = 10,
        restart: float = 0.05,
        step_size: float = 0.3,
    ) -> None:
        super().__init__(bound, draws, gradient_penalty)
        if chain_steps < 1 or not 0 <= restart <= 1 or not step_size > 0:
            raise ValueError(
                f"chain_steps, restart, step_size: got {chain_steps}, {restart}, {step_size}, expected 1 or more, a share, above 0"
            )
        self.persistent, self.chain_steps, self.restart, self.step_size = persistent, chain_steps, restart, step_size
        self.path = Path(self.module)
        self.chains: Tensor | None = None

    def loss(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return a number without meaning of its own, whose gradient is the exact one's estimate."""
        negatives = self._negatives()
        # The rows move with the decoder at fixed u: so the base's parameters get theirs by the same path as the tilt's. What the law of
        # u itself reads, the noise's degrees of freedom, gets its own from pi_0.
        at_model = self.path.log_density(negatives) - self.module.log_z
        loss = self.bound.loss(x, mask) + at_model.mean() + self._smoothness()
        with torch.no_grad():
            self._settle(self._at_base().logsumexp(0) - math.log(self.draws))
        return loss

    def _negatives(self) -> Tensor:
        fresh = self.path.draw(self.draws)
        if not self.persistent:
            state = kernels.init(self.path.log_density, fresh)
            for _ in range(self.chain_steps):
                state, _ = kernels.langevin(self.path.log_density, state, self.step_size, torch.randn_like(fresh))
            return state.position
        if self.chains is not None:
            again = torch.rand(self.draws, 1, device=fresh.device) < self.restart
            fresh = torch.where(again, fresh, self.chains)
        self.chains, self.step_size, _ = self.path.move(fresh, self.chain_steps, self.step_size)
        return self.chains
