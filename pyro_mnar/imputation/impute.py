"""Impute the missing cells of a table under any Pyro model and guide that keep the conventions of the bound.

For each row, S particles z_k from the guide, weights w_k proportional to p(row, z_k) / q(z_k), smoothed (PSIS). The mean of a missing
cell is sum_k w_k E[x | z_k, s], or of a function of x (one that takes a column to its table's units): it minimizes the expected squared
error. Draws resample the particles by weight and then draw x given z and s; quantiles and medians are theirs. Given s matters: that a
value is missing says something of it.

Where the missing cells come from: :mod:`pyro_mnar.model.missing_sites`.

Where the weights have too heavy a tail for the number of particles, Markov chains can take over, row by row
(:func:`~pyro_mnar.mcmc.posterior.sample_posterior`).

Networks run on chunks padded to 8, 16, 32 or 64 rows, inner dimensions of products to multiples of four
(:mod:`pyro_mnar.distributions.alignment`), and every row has its own random stream. So a row's result is the same bit for bit whatever
the table it comes in, its place, or how the work is split.

With a ``tolerance`` a row starts with 100 particles, and has twice as many, all anew, until the error of its means is small beside the
cells' own spread (:mod:`pyro_mnar.imputation.monte_carlo_error`). What a row gets is that of an imputation with the number of
particles at which it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mnar.imputation.mcmc_rows import CHAINS_CHUNK, RHAT, impute_chunk
from pyro_mnar.imputation.resampling import chunk_size, padded, warn_of_impossible
from pyro_mnar.imputation.weighed_rows import impute_weighed
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_counts, check_limits, check_rows, row_names, rows_of
from pyro_mnar.infer.progress import CHUNK_WORTH, bar
from pyro_mnar.infer.streams import NoInverseError
from pyro_mnar.infer.structure import check_any_rows
from pyro_mnar.infer.weights import LEAST_DRAWS, pareto_threshold

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
        if not isinstance(q, Real) or not 0 <= q <= 1:
            raise ValueError(f"q: got {q!r:.40}, expected a number from 0 to 1")
        if len({size for size in self.sizes if size}) <= 1:
            return torch.quantile(self.draws, q, dim=0)
        values, order = self.draws.sort(0)
        weights = torch.cat([values.new_full((size,), 1 / size) for size in self.sizes if size])[order]
        places = torch.cat([torch.zeros_like(weights[:1]), ((weights[1:] + weights[:-1]) / 2).cumsum(0)])
        places = places / places[-1]
        upper = (places < q).sum(0, keepdim=True).clamp(1, len(values) - 1)
        (low, high), (below, above) = ([part.gather(0, upper - i) for i in (1, 0)] for part in (places, values))
        return torch.lerp(below, above, ((q - low) / (high - low)).clamp(0, 1)).squeeze(0)

    def to(self, device: torch.device | str) -> Imputation:
        """Return the same on a device."""
        tensors: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)

    @property
    def by_mcmc(self) -> Tensor:
        """(N,) bool: rows whose missing cells come from Markov chains, not from importance weights."""
        return ~self.rhat.isnan()

    @property
    def unreliable(self) -> Tensor:
        """(N,) bool: rows whose Pareto k is above the threshold for this number of particles, or whose chains disagree."""
        return torch.where(self.by_mcmc, self.rhat > RHAT, ~(self.pareto_k <= pareto_threshold(self.particles)))


@torch.no_grad()
def impute_one(
    module: nn.Module,
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    draws: int = 0,
    particles: int = 200,
    method: str = "importance",
    seed: int = 0,
    labels: Sequence[Hashable] | None = None,
    functions: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
    tolerance: float | None = None,
    progress: bool = True,
) -> Imputation:
    """Return the posterior mean and draws of the missing cells of each row, with the reliability of its weights.

    Arguments are those of :func:`~pyro_mnar.imputation.ensemble.impute`, of a module alone.

    Raises:
        ValueError: for arguments out of range, labels of the wrong number, or a model that names no missing cells.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2))
        >>> result = impute_one(mnar, torch.zeros(3, 2), torch.tensor([[True, False]] * 3), draws=4)
        >>> result.completed.shape, result.draws.shape, result.ess.shape
        (torch.Size([3, 2]), torch.Size([4, 3, 2]), torch.Size([3]))
    """
    check_rows(x, mask)
    check_limits(limits, x)
    check_any_rows(module)
    check_asked(draws, particles, method, tolerance)
    names = row_names(labels, len(x))
    mean, draw = torch.where(mask, x, 0.0), torch.where(mask, x, 0.0).repeat(draws, 1, 1)
    ess, pareto_k = torch.full((len(x),), float(particles)), torch.full((len(x),), -torch.inf)
    shares = x.new_zeros(len(x), x.shape[-1], 0)
    rhat, inverse = torch.full((len(x),), torch.nan), True
    holed = ~mask.all(-1).cpu()
    weighed = holed.nonzero().flatten() if method != "mcmc" else torch.arange(0)

    def weighed_of(at: Tensor, bound: IWELBO, inverse: bool, within: float | None) -> tuple[Tensor, ...]:
        own = [names[i] for i in at.tolist()]
        return impute_weighed(bound, rows_of(at, x, mask, limits), draws, seed, own, inverse, functions, within)

    for size in sizes_of(particles, tolerance):
        bound, within, left = IWELBO(module, size), tolerance if size < particles else None, [weighed[:0]]
        for rows in _chunks(weighed, chunk_size(x.device, size * x.shape[-1]), "imputing", progress):
            if inverse:
                try:
                    parts = [weighed_of(padded(rows), bound, True, within)]
                except NoInverseError:
                    inverse = False
            if not inverse:
                # A site that cannot be drawn from given noise: one row at a time, each with torch's own generator seeded for it.
                parts = [weighed_of(row.expand(2), bound, False, within) for row in rows]
            n_own = len(rows) if inverse else 1
            for i, (m, d, e, k, p, enough) in enumerate(parts):
                at = rows if inverse else rows[i : i + 1]
                mean[at] = torch.where(mask[at], x[at], m[:n_own].to(x))
                draw[:, at] = torch.where(mask[at], x[at], d[:, :n_own].to(x))
                ess[at], pareto_k[at] = e[:n_own].to(ess), k[:n_own].to(ess)
                shares = _wide(shares, p, len(x))
                shares[at] = p[:n_own].to(shares)
                left.append(at[~enough[:n_own].cpu()])
        weighed = torch.cat(left)
    hard = {"importance": torch.zeros_like(rhat), "auto": pareto_k > pareto_threshold(particles), "mcmc": holed}[method]
    for rows in _chunks(hard.nonzero().flatten(), CHAINS_CHUNK, "sampling", progress):
        whole = padded(rows, CHAINS_CHUNK)
        m, d, e, r, p = impute_chunk(
            module, rows_of(whole, x, mask, limits), draws, seed, [names[i] for i in whole.tolist()], functions
        )
        mean[rows] = torch.where(mask[rows], x[rows], m[: len(rows)].to(x))
        draw[:, rows] = torch.where(mask[rows], x[rows], d[:, : len(rows)].to(x))
        ess[rows], rhat[rows] = e[: len(rows)].to(ess), r[: len(rows)].to(rhat)
        shares = _wide(shares, p, len(x))
        shares[rows] = p[: len(rows)].to(shares)
    warn_of_impossible(pareto_k.isnan() & ~mask.all(-1).cpu(), names)
    return Imputation(mean, draw, ess, pareto_k, rhat, particles, shares)


def check_asked(draws: int, particles: int, method: str, tolerance: float | None) -> None:
    """Raise a ValueError for arguments of :func:`impute_one` out of range."""
    check_counts(LEAST_DRAWS, particles=particles)
    check_counts(0, draws=draws)
    check_tolerance(tolerance)
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}, expected one of {', '.join(METHODS)}")


def check_tolerance(tolerance: float | None) -> None:
    """Raise a ValueError for a tolerance that no number of particles meets, or that is too large for a number; TypeError for none."""
    if not isinstance(tolerance, Real | None):
        raise TypeError(f"tolerance: got {tolerance!r:.40}, expected one above 0 and below 1e+300, or None")
    if tolerance is not None and not 0 < tolerance < 1e300:
        raise ValueError(f"tolerance: got {tolerance!r:.40}, expected one above 0 and below 1e+300, or None")


def _chunks(rows: Tensor, size: int, said: str, progress: bool) -> Iterator[Tensor]:
    chunks = rows.split(size) if len(rows) else []
    with bar(len(chunks), said, "chunk", progress, CHUNK_WORTH) as done:
        for chunk in chunks:
            yield chunk
            done.update()


def sizes_of(particles: int, tolerance: float | None) -> list[int]:
    """Return the numbers of particles that a row may have, one after the other until it has enough."""
    sizes = [] if tolerance is None else [LEAST_DRAWS * 2**i for i in range(particles.bit_length()) if LEAST_DRAWS * 2**i < particles]
    return [*sizes, particles]


def _wide(shares: Tensor, part: Tensor, n_rows: int) -> Tensor:
    """Return ``shares`` with room for ``n_rows`` and the levels of ``part`` (N, D, V), which the first chunk tells."""
    return shares if shares.shape[1:] == part.shape[1:] else part.new_zeros(n_rows, *part.shape[1:])
