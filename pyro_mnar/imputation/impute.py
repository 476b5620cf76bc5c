"""Impute the missing cells of a table under any Pyro model and guide that keep the conventions of the bound.

For each row, S particles z_k from the guide, weights w_k proportional to p(row, z_k) / q(z_k), smoothed (PSIS). The mean of a missing
cell is sum_k w_k E[x | z_k, s], or of a function of x (one that takes a column to its table's units): it minimizes the expected squared
error. Draws resample the particles by weight and then draw x given z and s; quantiles and medians are theirs. Given s matters: that a
value is missing says something of it.

Where the missing cells come from: :mod:`pyro_mnar.model.missing_sites`.

Where the weights have too heavy a tail for the number of particles, Markov chains can take over, row by row
(:func:`~pyro_mnar.mcmc.posterior.sample_posterior`).

Networks run on chunks padded to one fixed number of rows and every row has a random stream of its own, which its label names, so that
a row's result is the same whatever the table it comes in, its place, or how the work is split: to rounding (some 1e-7 of a standard
deviation), since products of matrices of some sizes, and sums over the missing cells alone, round by where a row stands.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mnar.imputation.mcmc_rows import RHAT, impute_chunk
from pyro_mnar.imputation.resampling import CHUNK, resample, warn_of_impossible, weigh
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_rows
from pyro_mnar.infer.progress import CHUNK_WORTH, bar
from pyro_mnar.infer.streams import NoInverseError, distinct
from pyro_mnar.infer.structure import check_any_rows
from pyro_mnar.infer.weights import LEAST_DRAWS, pareto_threshold
from pyro_mnar.model.missing_sites import level_probabilities, missing_cells

METHODS = ("importance", "auto", "mcmc")


@dataclass(frozen=True)
class Imputation:
    """What is known of the missing cells; arrays are on the model's scale, or in the units that were asked for.

    Attributes:
        completed: (N, D), observed cells bit for bit, missing ones at their posterior mean.
        draws: (M, N, D), likewise, missing cells drawn from their posterior.
        ess: (N,) effective sample size: of the row's weights, from 1 to the number of particles (of rows without holes that), or of
            its chains.
        pareto_k: (N,) shape of the weights' tail; -inf where there were no weights, all being observed or ``method="mcmc"``; NaN of a
            row that the model gives density zero, whose holes stay NaN (and a warning names it).
        rhat: (N,) worst R-hat of the chains of rows that were sampled by MCMC, NaN of the others.
        particles: S.
        probabilities: (N, D, V) posterior probabilities of levels, for missing cells of columns that have such; V = 0 without any.
        means: (N, D) posterior means, of an imputer that completes with something else as well; (0, 0) where ``completed`` has them.
        sizes: of an ensemble's draws, how many each member has, in their order; empty where all draws count alike.
    """

    completed: Tensor
    draws: Tensor
    ess: Tensor
    pareto_k: Tensor
    rhat: Tensor
    particles: int
    probabilities: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 0))
    means: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    sizes: tuple[int, ...] = ()

    def quantile(self, q: float) -> Tensor:
        """Return the (N, D) quantile over draws, 0 <= q <= 1 (0.5 is the median, which minimizes the absolute error).

        Members of an ensemble count alike, however many draws each has. Between draws, in order and of weights w, it is linear in their
        places: the i-th stands at the sum of (w_j + w_j+1) / 2 over j < i, as a share of the last one's; of equal weights, i / (M - 1).
        """
        if not len(self.draws):
            raise ValueError("draws: got none, expected impute(..., draws=M) with M of 1 or more")
        if len({size for size in self.sizes if size}) <= 1:
            return torch.quantile(self.draws, q, dim=0)
        values, order = self.draws.sort(0)
        weights = torch.cat([values.new_full((size,), 1 / size) for size in self.sizes if size])[order]
        places = torch.cat([torch.zeros_like(weights[:1]), ((weights[1:] + weights[:-1]) / 2).cumsum(0)])
        places = places / places[-1]
        upper = (places < q).sum(0, keepdim=True).clamp(1, len(values) - 1)
        (low, high), (below, above) = ([part.gather(0, upper - i) for i in (1, 0)] for part in (places, values))
        return torch.lerp(below, above, ((q - low) / (high - low)).clamp(0, 1)).squeeze(0)

    @property
    def by_mcmc(self) -> Tensor:
        """(N,) bool: rows whose missing cells come from Markov chains, not from importance weights."""
        return ~self.rhat.isnan()

    @property
    def unreliable(self) -> Tensor:
        """(N,) bool: rows whose Pareto k is above the threshold for this number of particles, or whose chains disagree."""
        return torch.where(self.by_mcmc, self.rhat > RHAT, ~(self.pareto_k <= pareto_threshold(self.particles)))


@torch.no_grad()
def impute(
    module: nn.Module,
    x: Tensor,
    mask: Tensor,
    *,
    draws: int = 0,
    particles: int = 500,
    method: str = "importance",
    seed: int = 0,
    labels: Sequence[Hashable] | None = None,
    functions: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
    progress: bool = True,
) -> Imputation:
    """Return the posterior mean and draws of the missing cells of each row, with the reliability of its weights.

    Args:
        module: has ``model(x, mask)`` and ``guide(x, mask)``; see the module's docstring for what the model must name.
        x: (N, D) float; the holes may hold anything.
        mask: (N, D) bool, True = observed.
        draws: M, imputations of each missing cell.
        particles: S, at least 100.
        method: ``importance`` (weights alone), ``auto`` (Markov chains for the rows whose Pareto k is above the threshold) or ``mcmc``
            (chains for every row that misses something).
        seed: of all draws; global random state is neither read nor changed.
        labels: one for each row, its name for the random streams, the same draws in any table; positions by default.
            Rows may share one: the second of a label, in the table's order, has other draws than the first. 1 and "1" are two.
        functions: by column of real values, what takes it (a tensor of any shape) to other units. ``completed`` holds its posterior
            mean in these, which is not the function of the mean; ``draws`` are not touched.
        progress: a bar on standard error; none where that is not a terminal.

    Raises:
        ValueError: for arguments out of range, labels of the wrong number, or a model that names no missing cells.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2))
        >>> result = impute(mnar, torch.zeros(3, 2), torch.tensor([[True, False]] * 3), draws=4)
        >>> result.completed.shape, result.draws.shape, result.ess.shape
        (torch.Size([3, 2]), torch.Size([4, 3, 2]), torch.Size([3]))
    """
    check_rows(x, mask)
    check_any_rows(module)
    if particles < LEAST_DRAWS:
        raise ValueError(f"particles: got {particles}, expected at least {LEAST_DRAWS}")
    if draws < 0:
        raise ValueError(f"draws: got {draws}, expected 0 or more")
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}, expected one of {', '.join(METHODS)}")
    names = distinct(range(len(x)) if labels is None else labels)
    if len(names) != len(x):
        raise ValueError(f"labels: got {len(names)}, expected one for each of {len(x)} rows")
    bound = IWELBO(module, particles)
    mean, draw = torch.where(mask, x, 0.0), torch.where(mask, x, 0.0).repeat(draws, 1, 1)
    ess, pareto_k = torch.full((len(x),), float(particles)), torch.full((len(x),), -torch.inf)
    shares = x.new_zeros(len(x), x.shape[-1], 0)
    rhat, inverse = torch.full((len(x),), torch.nan), True
    holed = ~mask.all(-1).cpu()
    weighed = holed.nonzero().flatten() if method != "mcmc" else torch.arange(0)
    for rows in _chunks(weighed, "imputing", progress):
        padded = torch.cat([rows, rows[:1].expand(CHUNK - len(rows))])
        if inverse:
            try:
                parts = [_chunk(bound, x[padded], mask[padded], draws, seed, [names[i] for i in padded.tolist()], True, functions)]
            except NoInverseError:
                inverse = False
        if not inverse:
            # A site that cannot be drawn from given noise: one row at a time, each with torch's own generator seeded for it.
            one = [rows[i : i + 1].expand(2) for i in range(len(rows))]
            parts = [_chunk(bound, x[r], mask[r], draws, seed, [names[int(r[0])]] * 2, False, functions) for r in one]
        size = len(rows) if inverse else 1
        for i, (m, d, e, k, p) in enumerate(parts):
            at = rows if inverse else rows[i : i + 1]
            mean[at] = torch.where(mask[at], x[at], m[:size].to(x))
            draw[:, at] = torch.where(mask[at], x[at], d[:, :size].to(x))
            ess[at], pareto_k[at] = e[:size].to(ess), k[:size].to(ess)
            shares = _wide(shares, p, len(x))
            shares[at] = p[:size].to(shares)
    hard = {"importance": torch.zeros_like(rhat), "auto": pareto_k > pareto_threshold(particles), "mcmc": holed}[method]
    for rows in _chunks(hard.nonzero().flatten(), "sampling", progress):
        padded = torch.cat([rows, rows[:1].expand(CHUNK - len(rows))])
        m, d, e, r, p = impute_chunk(module, x[padded], mask[padded], draws, seed, [names[i] for i in padded.tolist()], functions)
        mean[rows] = torch.where(mask[rows], x[rows], m[: len(rows)].to(x))
        draw[:, rows] = torch.where(mask[rows], x[rows], d[:, : len(rows)].to(x))
        ess[rows], rhat[rows] = e[: len(rows)].to(ess), r[: len(rows)].to(rhat)
        shares = _wide(shares, p, len(x))
        shares[rows] = p[: len(rows)].to(shares)
    warn_of_impossible(pareto_k.isnan() & ~mask.all(-1).cpu(), names)
    return Imputation(mean, draw, ess, pareto_k, rhat, particles, shares)


def _chunks(rows: Tensor, said: str, progress: bool) -> Iterator[Tensor]:
    chunks = rows.split(CHUNK) if len(rows) else []
    with bar(len(chunks), said, "chunk", progress, CHUNK_WORTH) as done:
        for chunk in chunks:
            yield chunk
            done.update()


def _chunk(
    bound: IWELBO, x: Tensor, mask: Tensor, draws: int, seed: int, labels: list[Hashable], inverse: bool, functions: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return mean (N, D), draws (M, N, D), effective sample size (N,), Pareto k (N,) and levels (N, D, V) of a few rows."""
    found = weigh(bound, x, mask, seed, labels, inverse)
    weights = found.log_weights.exp()
    mean = (weights.unsqueeze(-1) * missing_cells(found.model, mask, None, functions)).sum(0)
    sampled = x.new_zeros(draws, *x.shape)
    if draws:
        uniforms = found.streams.uniform("cells", draws, (x.shape[-1], 3), x)
        sampled = missing_cells(resample(found, bound, draws, x, mask), mask, uniforms)
    none = found.impossible.unsqueeze(-1)
    levels = level_probabilities(found.model, weights).masked_fill(none.unsqueeze(-1), torch.nan)
    return mean.masked_fill(none, torch.nan), sampled.masked_fill(none, torch.nan), found.ess, found.pareto_k, levels


def _wide(shares: Tensor, part: Tensor, n_rows: int) -> Tensor:
    """Return ``shares`` with room for ``n_rows`` and the levels of ``part`` (N, D, V), which the first chunk tells."""
    return shares if shares.shape[1:] == part.shape[1:] else part.new_zeros(n_rows, *part.shape[1:])
