"""A run of chains over all rows of a table, chunk by chunk: the rows' first draws, more of those that need them, their values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mnar.data.warn import warn
from pyro_mnar.infer import progress
from pyro_mnar.infer.streams import RowStreams, seeded
from pyro_mnar.mcmc import convergence, kernels, pyro_chains
from pyro_mnar.mcmc.adaptation import learn_scale
from pyro_mnar.mcmc.chains import Chains, Record
from pyro_mnar.mcmc.targets import RowTarget
from pyro_mnar.model.missing_sites import missing_cells

#: Slope of a mechanism's log probability, per unit of a latent (noise is standardized), from which it is called steep.
STEEP = 10.0
# Draws of the guide, of which the first preconditioner is made and among which the chains start.
_GUIDE_DRAWS = 128
# Step size of the first step, in whitened units.
_FIRST_STEP = 0.5
# Numbers drawn at once for the missing cells, and rows judged at once.
_NUMBERS, _JUDGED = 2**22, 256


def by_row(judge: Callable[[Tensor], Tensor], draws: Tensor) -> Tensor:
    """Return ``judge`` of every quantity in ``draws`` (C, M, N, ...), (N, Q), some rows at a time."""
    return torch.cat([judge(rows.flatten(3) if rows.dim() > 3 else rows.unsqueeze(-1)) for rows in draws.split(_JUDGED, 2)])


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No graph is made of the module's parameters within: a third of a gradient's time."""
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


class RowRun:
    """What is known of all rows so far; arguments as :func:`~pyro_mnar.mcmc.posterior.sample_posterior`'s, and checked there.

    Attributes:
        record: the draws kept, of all rows.
        step_size: (C, N).
        thinning: (N,) steps between draws.
    """

    record: Record
    step_size: Tensor

    def __init__(
        self,
        module: nn.Module,
        rows: tuple[Tensor, ...],
        labels: list[Hashable],
        method: str,
        chains: int,
        draws: int,
        leapfrog: int,
        seed: int,
        chunk: int,
        progress: bool,
    ) -> None:
        self.module, self.rows, self.labels, self.method = module, rows, labels, method
        self.x = x = rows[0]
        self.chains, self.draws, self.leapfrog, self.seed, self.chunk = chains, draws, leapfrog, seed, chunk
        self.progress = progress
        self.thinning = torch.ones(len(x), dtype=torch.long)
        self._scale = x.new_empty(0)
        self._generators: list[object] = []
        self._worst = float("nan")

    def start(self, warmup: int) -> None:
        """Warm up and draw every row's first draws."""
        records, steps, scales = [], [], []
        chunks = torch.arange(len(self.x)).split(self.chunk)
        ours = self.method not in pyro_chains.KERNELS
        with self._bar((warmup + self.draws) * len(chunks)) as bar:
            for rows in chunks:
                target, streams = self._target(rows), self._streams(rows)
                seen = target.guide_draws(streams, _GUIDE_DRAWS)
                position = self._starts(target, seen, rows)
                if not ours:
                    with seeded(int(streams.generators("pyro")[0].integers(2**63)), self.x.device):
                        record, step_size = pyro_chains.run(target, position, self.method, self.draws, warmup)
                    bar.update(warmup + self.draws)
                else:
                    scale = learn_scale(torch.where(seen.isfinite(), seen, position[0]))
                    generators = list(zip(streams.generators("moves"), streams.generators("acceptance"), strict=True))
                    step_size = position.new_full(position.shape[:2], _FIRST_STEP)
                    chains = Chains(target, position, step_size, scale, generators, self.method, self.leapfrog)
                    self._watch(chains.warm_up(warmup), bar)
                    record, step_size = self._drawn(chains, self.draws, 1, bar), chains.step_size
                    scales.append(chains.scale)
                    self._generators += generators
                records.append(record)
                steps.append(step_size)
        self.record = Record(*(torch.cat(parts, 2) for parts in zip(*records, strict=True)))
        self.step_size = torch.cat(steps, 1)
        self._scale = torch.cat(scales) if ours else self._scale

    def go_on(self, wanted: float, most: int) -> bool:
        """Double the steps between draws of the rows whose effective sample size is below ``wanted``; return whether any did."""
        size = by_row(convergence.ess, self.record.position.transpose(0, 1)).amin(-1)
        short = (~(size >= wanted) & (2 * self.thinning.to(size.device) <= most)).nonzero().flatten().cpu()
        fresh = self.draws - self.draws // 2
        groups = [rows[self.thinning[rows] == each] for rows in [short] for each in self.thinning[short].unique().tolist()]
        chunks = [rows for group in groups for rows in group.split(self.chunk)]
        with self._bar(sum(2 * int(self.thinning[rows[0]]) * fresh for rows in chunks)) as bar:
            for rows in chunks:
                generators = [self._generators[i] for i in rows.tolist()]
                last, step_size = self.record.position[-1, :, rows], self.step_size[:, rows]
                chains = Chains(self._target(rows), last, step_size, self._scale[rows], generators, self.method, self.leapfrog)
                thinning = 2 * int(self.thinning[rows[0]])
                record = self._drawn(chains, fresh, thinning, bar)
                for whole, new in zip(self.record, record, strict=True):
                    whole[:, :, rows] = torch.cat([whole[1::2][:, :, rows], new])
                self.thinning[rows] = thinning
        return bool(len(short))

    def latents(self) -> tuple[dict[str, Tensor], Tensor, tuple[str, ...]]:
        """Return the latents by site, (C, M, N, ...), completed rows (C, M, N, D), and the names of the latents summed out.

        Missing cells, and latents summed out, are drawn given the latents that the chains moved.
        """
        values: list[dict[str, Tensor]] = []
        completed: list[Tensor] = []
        for rows in torch.arange(len(self.x)).split(self.chunk):
            target, generators = self._target(rows), self._streams(rows).generators("cells")
            position = self.record.position.transpose(0, 1)[:, :, rows]
            flat, n_columns = position.flatten(0, 1), self.x.shape[-1]
            latents = target.constrain(flat)
            if target.summed_out:
                uniforms = RowStreams.uniforms_of(self._streams(rows).generators("discrete"), len(flat), (), target.x)
                latents |= target.discrete(flat, uniforms)
            if bool(target.mask.all()):
                cells = target.x.expand(len(flat), -1, -1)
            else:
                parts = []
                for some in torch.arange(len(flat)).split(max(1, _NUMBERS // (3 * len(rows) * n_columns))):
                    uniforms = RowStreams.uniforms_of(generators, len(some), (n_columns, 3), target.x)
                    given = {name: value[some] for name, value in latents.items()}
                    trace = target.bound.model_trace(given, len(some), *target.rows)
                    parts.append(missing_cells(trace, target.mask, uniforms).expand(len(some), -1, -1))
                cells = torch.cat(parts)
            completed.append(cells.unflatten(0, position.shape[:2]))
            values.append({name: value.unflatten(0, position.shape[:2]) for name, value in latents.items()})
        latents = {name: torch.cat([part[name] for part in values], 2) for name in values[0]}
        return latents, torch.cat(completed, 2), target.summed_out

    def _target(self, rows: Tensor) -> RowTarget:
        return RowTarget(self.module, tuple(part[rows] for part in self.rows))

    def _streams(self, rows: Tensor) -> RowStreams:
        return RowStreams(self.seed, [self.labels[i] for i in rows.tolist()])

    def _starts(self, target: RowTarget, seen: Tensor, rows: Tensor) -> Tensor:
        """Return (C, N, d), the first of the guide's draws ``seen`` (S, N, d) at which the density is finite."""
        if not target.names_cells and not bool(target.mask.all()):
            raise ValueError("model: names no missing cells, expected a SelectionDistribution site or a site 'complete'")
        state = kernels.init(target, seen.flatten(0, 1).nan_to_num(0.0))
        fits = state.log_density.reshape(seen.shape[:2]).isfinite() & seen.isfinite().all(-1)
        nowhere = (~fits.any(0)).nonzero().flatten()
        if len(nowhere):
            name = self.labels[int(rows[nowhere[0]])]
            raise ValueError(
                f"model: its density or gradient is not finite at any of {len(seen)} draws of the guide for {len(nowhere)} of "
                f"{len(rows)} rows, the first of them row {name!r}; expected finite ones"
            )
        self._check_independent(target, seen, state.log_density.reshape(seen.shape[:2])[0])
        steepest = float(target.mechanism_slopes(seen[: self.chains].nan_to_num(0.0)).amax())
        if steepest > STEEP:
            warn(
                f"mechanism: its log probability changes by up to {steepest:.0f} nats a standard deviation of missing values that are "
                "latents; chains mix slowly where it is so steep (look at rhat and ess; values that only their own masks read are "
                "integrated out)"
            )
        order = (~fits).to(torch.int8).argsort(dim=0, stable=True)[torch.arange(self.chains, device=fits.device) % len(fits)]
        # Where fewer are finite than there are chains, chains share a start.
        order = torch.where(fits.gather(0, order), order, order[:1])
        return seen.gather(0, order.unsqueeze(-1).expand(-1, -1, seen.shape[-1]))

    @staticmethod
    def _check_independent(target: RowTarget, seen: Tensor, first: Tensor) -> None:
        """Refuse a model in which the density of one row, ``first`` (N,) at the first draws, reads another row's latents."""
        other = (torch.arange(seen.shape[1], device=seen.device) % 2).bool()
        mixed = torch.where(other.unsqueeze(-1), seen[1], seen[0]).nan_to_num(0.0)
        if not torch.allclose(kernels.init(target, mixed).log_density[~other], first[~other], rtol=1e-3, atol=1e-3):
            raise ValueError("model: the density of a row reads another row's latents, expected rows independent given the parameters")

    def _drawn(self, chains: Chains, kept: int, thinning: int, bar: Any) -> Record:
        record: list[Record] = []
        self._watch(chains.draw(kept, thinning, record), bar)
        if not bar.disable:
            worst = float(by_row(convergence.rhat, record[0].position.transpose(0, 1)).amax())
            self._worst = worst if self._worst != self._worst else max(self._worst, worst)
        return record[0]

    def _watch(self, steps: Iterator[kernels.Info], bar: Any) -> None:
        diverged = 0
        for info in steps:
            bar.update()
            if not bar.disable:
                diverged += int(info.diverging.sum())
                if not bar.n % 20:
                    bar.set_postfix(
                        {"acceptance": f"{float(info.acceptance.mean()):.2f}", "divergences": diverged, "R-hat": f"{self._worst:.3f}"}
                    )

    def _bar(self, total: int) -> Any:
        return progress.bar(total, "sampling", "step", self.progress)
