r"""Chains of many rows in one tensor program: warm-up, then draws, from each row's own random stream.

Warm-up adapts every chain's step size throughout, and replaces the preconditioner, which starts as the guide's covariance, by that
of the row's own positions, over its chains, half-way and near the end. Afterwards nothing adapts.

A Hamiltonian trajectory is n e long in whitened units. On a normal target a quarter of a period, pi / 2, makes the next draw
independent of this one; somewhat more, :data:`LONGEST`, makes draws alternate about their mean, which means gain from and
squares hardly lose by (white wine, ten latents, draws worth per draw made: 1.2 against .8 for means, .72 against .82 for squares). So e
is kept below LONGEST / n. Its jitter, :data:`JITTER` of itself, breaks resonances (Mackenzie 1989, "An improved hybrid Monte Carlo
method", Physics Letters B 226).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.mcmc import kernels
from pyro_mnar.mcmc.adaptation import TARGET_ACCEPTANCE, adapt_step, learn_scale, learning_windows, least_positions, start_step
from pyro_mnar.mcmc.targets import RowTarget

#: Length that a Hamiltonian trajectory has at most, before jitter, in whitened units: .3 of a normal target's period.
LONGEST = 0.6 * math.pi
#: Share of the step size by which a Hamiltonian trajectory's varies, up and down.
JITTER = 0.2
# Steps whose randomness is drawn at once.
_BLOCK = 64


class Record(NamedTuple):
    """Draws kept: ``position`` (M, C, N, d), ``acceptance``, ``diverging`` and ``energy``, (M, C, N) each."""

    position: Tensor
    acceptance: Tensor
    diverging: Tensor
    energy: Tensor


class Chains:
    """C chains of each of N rows.

    Args:
        target: of the rows.
        position: (C, N, d), where they are.
        step_size: (C, N).
        scale: preconditioner of the rows, (N, d) or (N, d, d).
        generators: two for each row, at the place where its stream is.
        kernel: ``hmc``, ``mala`` or ``ula``.
        leapfrog: gradients of a Hamiltonian step; 1 for the others.
    """

    def __init__(
        self,
        target: RowTarget,
        position: Tensor,
        step_size: Tensor,
        scale: Tensor,
        generators: list[tuple[np.random.Generator, np.random.Generator]],
        kernel: str,
        leapfrog: int,
    ) -> None:
        self.target, self.generators, self.kernel, self.leapfrog = target, generators, kernel, leapfrog
        self.shape = position.shape
        self.step_size, self.scale = step_size, scale
        self.state = kernels.init(target, position.flatten(0, 1))

    def warm_up(self, steps: int) -> Iterator[kernels.Info]:
        """Adapt step sizes and preconditioners over ``steps`` steps, each of which is yielded."""
        adjusted = "hmc" if self.kernel == "hmc" else "mala"
        largest = LONGEST / self.leapfrog if adjusted == "hmc" else math.inf
        adapted = start_step(self.step_size.flatten().clamp(max=largest))
        windows = learning_windows(steps)
        gathered: list[Tensor] = []
        for t, noise in enumerate(self._noise(steps)):
            info = self._step(adapted.log_step.exp(), noise, adjusted)
            adapted = adapt_step(adapted, info.acceptance, TARGET_ACCEPTANCE[adjusted], largest)
            if any(first <= t < last for first, last in windows):
                gathered.append(self.state.position.reshape(self.shape))
            ends = any(t + 1 == last for _, last in windows)
            if ends and len(gathered) * self.shape[0] >= least_positions(self.shape[-1]):
                self.scale = learn_scale(torch.cat(gathered))
                gathered, adapted = [], start_step(adapted.log_mean.exp())
            yield info
        if steps:
            self.step_size = adapted.log_mean.exp().reshape(self.shape[:2])

    def draw(self, kept: int, thinning: int, record: list[Record]) -> Iterator[kernels.Info]:
        """Append to ``record`` the state after every ``thinning`` steps, ``kept`` times; every step is yielded.

        A draw's acceptance probability is the mean over the steps that lead to it, and it diverges if any of them does.
        """
        infos: list[kernels.Info] = []
        rows: list[tuple[Tensor, ...]] = []
        step_size = self.step_size.flatten()
        for t, noise in enumerate(self._noise(kept * thinning)):
            infos.append(self._step(step_size, noise, self.kernel))
            yield infos[-1]
            if (t + 1) % thinning == 0:
                acceptance = torch.stack([info.acceptance for info in infos]).mean(0)
                diverging = torch.stack([info.diverging for info in infos]).any(0)
                rows.append((self.state.position, acceptance, diverging, -self.state.log_density))
                infos = []
        position, *others = (torch.stack(column) for column in zip(*rows, strict=True))
        record.append(Record(position.reshape(kept, *self.shape), *(other.reshape(kept, *self.shape[:2]) for other in others)))

    def _step(self, step_size: Tensor, noise: tuple[Tensor, Tensor], kernel: str) -> kernels.Info:
        normals, (accept, jitter) = noise[0], noise[1].unbind(-1)
        # The same preconditioner for all chains of a row.
        scale = self.scale.repeat(self.shape[0], *[1] * (self.scale.dim() - 1))
        if kernel == "ula":
            self.state, info = kernels.langevin(self.target, self.state, step_size, normals, scale)
        elif kernel == "mala":
            self.state, info = kernels.mala(self.target, self.state, step_size, normals, accept, scale)
        else:
            step_size = step_size * (1 + JITTER * (2 * jitter - 1))
            self.state, info = kernels.hmc(self.target, self.state, step_size, normals, accept, scale, self.leapfrog)
        return info

    def _noise(self, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield for each step normals (C N, d) and uniforms (C N, 2), each row's from its own generators."""
        chains, _, dim = self.shape
        like = self.state.position
        for first in range(0, steps, _BLOCK):
            size = min(_BLOCK, steps - first)
            normals = np.stack([own.standard_normal((size, chains, dim), np.float32) for own, _ in self.generators], 2)
            uniforms = np.stack([own.random((size, chains, 2), np.float32) for _, own in self.generators], 2)
            for normal, uniform in zip(normals, uniforms, strict=True):
                yield torch.from_numpy(normal.reshape(-1, dim)).to(like), torch.from_numpy(uniform.reshape(-1, 2)).to(like)
