"""Sample the posterior of every row's latents and missing cells: rows are independent targets, all chains one tensor program.

Where a missing value has been integrated out of the model, the latents are sampled from the collapsed density and the value is drawn
exactly given them; where it has not, it is a latent of its own, as standardized noise. A joint chain over both has a hundredth of the
effective draws when the mechanism is steep.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pyro
import torch
from torch import Tensor, nn

from pyro_mnar.infer.checks import arguments, check_counts, check_limits, check_rows, row_names
from pyro_mnar.infer.structure import check_any_rows
from pyro_mnar.mcmc import convergence, pyro_chains
from pyro_mnar.mcmc.row_run import RowRun, by_row, frozen

#: Ours, row by row, and Pyro's, all rows as one.
METHODS = ("hmc", "mala", "ula", *pyro_chains.KERNELS)


@dataclass(frozen=True)
class PosteriorDraws:
    """C chains of M draws for each of N rows.

    Attributes:
        latents: draws by site, (C, M, N, ...).
        x: (C, M, N, D) completed rows, observed cells bit for bit.
        acceptance: (C, M, N) acceptance probability, the mean over the steps that lead to a draw.
        diverging: (C, M, N) bool, whether any of them met a density that is not finite or lost the energy.
        energy: (C, M, N) minus the log density of the row and its unconstrained latents, nats.
        step_size: (C, N) after warm-up.
        thinning: (N,) steps from one draw to the next.
        warmup: steps before the first draw.
        kernel: the method.
        summed_out: names of discrete latents, which the chains sum out and which are drawn given the others afterwards.
    """

    latents: dict[str, Tensor]
    x: Tensor
    acceptance: Tensor
    diverging: Tensor
    energy: Tensor
    step_size: Tensor
    thinning: Tensor
    warmup: int
    kernel: str
    summed_out: tuple[str, ...] = ()

    def rhat(self) -> Tensor:
        """Return each row's worst rank-normalized split R-hat, (N,), over its latents."""
        return torch.cat([by_row(convergence.rhat, value) for value in self._continuous()], -1).amax(-1)

    def ess(self) -> Tensor:
        """Return each row's least bulk effective sample size, (N,), over its latents, of all chains together."""
        return torch.cat([by_row(convergence.ess, value) for value in self._continuous()], -1).amin(-1)

    def _continuous(self) -> list[Tensor]:
        """Return the latents that the chains moved; discrete ones are drawn given these."""
        return [value for name, value in self.latents.items() if name not in self.summed_out]


def sample_posterior(
    module: nn.Module,
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    method: str = "hmc",
    chains: int = 4,
    draws: int = 250,
    warmup: int = 200,
    leapfrog: int | None = None,
    ess: float | None = None,
    max_thinning: int = 64,
    seed: int = 0,
    labels: Sequence[Hashable] | None = None,
    chunk: int = 512,
    progress: bool = True,
) -> PosteriorDraws:
    """Return draws from p(z, x_mis | x_obs, s) of each row, by chains that start from the guide.

    Every row has its own random stream, step size, preconditioner and acceptance. A row's draws depend on the rows it is computed
    with by rounding alone, which a chain amplifies: for the same draws bit for bit, run it in chunks of the same size.

    Args:
        module: a module that has ``model(x, mask)`` and ``guide(x, mask)`` and keeps the conventions of
            :class:`~pyro_mnar.infer.bound.IWELBO`.
        x: (N, D) float; the holes may hold anything.
        mask: (N, D) bool, True = observed.
        limits: (N, D, 2), between which missing values are known to lie, as a third argument of model and guide; or None.
        method: ``hmc`` (Hamiltonian, its trajectory's length jittered), ``mala``, ``ula`` (Langevin without correction, at the
            step size that MALA adapts to: biased), or Pyro's own ``nuts`` and ``pyro-hmc`` on all rows of a chunk jointly.
        chains: C.
        draws: M, kept of each chain.
        warmup: steps of adaptation before.
        leapfrog: gradients of a Hamiltonian step, by default 4; of ``hmc`` only.
        ess: effective sample size to reach, for every latent of a row. A row whose M draws fall short goes on, with twice as many steps
            between draws each time, and the others rest. None for M draws of every row. Not with Pyro's methods.
        max_thinning: most steps between draws, at which a row is given up.
        seed: the seed of all draws; global random state is neither read nor changed.
        labels: one for each row, its name for the random streams, the same draws in any table; positions by default.
            Rows may share one: the second of a label, in the table's order, has other draws than the first. 1 and "1" are two.
        chunk: rows that are computed at once: bounds the memory beyond the result's own.
        progress: a bar on standard error; none where that is not a terminal.

    Raises:
        ValueError: for arguments out of range; NaN among observed cells; a latent that is discrete or stands outside the plate over
            rows, by name; rows whose density is finite nowhere the guide looks; missing cells that the model does not name.

    Warns:
        UserWarning: where missing values are latents and a steep mechanism reads them.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), SelfMasking(2))
        >>> x, mask = torch.zeros(3, 2), torch.tensor([[True, False]] * 3)
        >>> posterior = sample_posterior(mnar, x, mask, chains=2, draws=50, warmup=20)
        >>> posterior.latents["z"].shape, posterior.x.shape, posterior.rhat().shape
        (torch.Size([2, 50, 3, 1]), torch.Size([2, 50, 3, 2]), torch.Size([3]))
    """
    check_any_rows(module)
    check_limits(limits, x)
    names = _checked(x, mask, labels, method, leapfrog, ess)
    check_counts(chains=chains, chunk=chunk, max_thinning=max_thinning)
    check_counts(convergence.LEAST_DRAWS, draws=draws)
    check_counts(0, warmup=warmup)
    gradients = 1 if method in ("mala", "ula") else leapfrog or 4
    rows = arguments(torch.where(mask, x, 0.0), mask, limits)
    run = RowRun(module, rows, names, method, chains, draws, gradients, seed, chunk, progress)
    with pyro.validation_enabled(False), torch.no_grad(), frozen(module):
        run.start(warmup)
        while ess is not None and run.go_on(ess, max_thinning):
            pass
        latents, completed, summed_out = run.latents()
    acceptance, diverging, energy = (part.transpose(0, 1) for part in run.record[1:])
    completed = torch.where(mask, x, completed)
    return PosteriorDraws(latents, completed, acceptance, diverging, energy, run.step_size, run.thinning, warmup, method, summed_out)


def _checked(
    x: Tensor, mask: Tensor, labels: Sequence[Hashable] | None, method: str, leapfrog: int | None, ess: float | None
) -> list[Hashable]:
    """Return the rows' labels."""
    check_rows(x, mask)
    if not len(x):
        raise ValueError("x: got no rows, expected at least 1")
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}, expected one of {', '.join(METHODS)}")
    if leapfrog is not None and (method != "hmc" or leapfrog < 1):
        raise ValueError(f"leapfrog: got {leapfrog} with method {method!r}, expected at least 1, and 'hmc'")
    if ess is not None and method in pyro_chains.KERNELS:
        raise ValueError(f"ess: got {ess} with method {method!r}, expected None (all its rows are one target)")
    return row_names(labels, len(x))
