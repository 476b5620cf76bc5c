"""Draws of the posterior of latents and missing cells by importance resampling, in the shape of chains.

Each row's S particles z_k from the guide have weights w_k proportional to p(row, z_k) / q(z_k), Pareto-smoothed; draws resample them by
weight and then draw x given z and s. A chain here is a set of particles of its own: draws of one chain share particles, so where few
of them carry the weight it is *between* chains that draws differ, and R-hat and the effective sample size of the draws tell.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputation.resampling import CHUNK, chunk_size, padded, resample, warn_of_impossible, weigh
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_counts, check_labels, check_limits, check_rows, row_names, rows_of
from pyro_mnar.infer.ensembles import member_seed
from pyro_mnar.infer.progress import CHUNK_WORTH, bar
from pyro_mnar.infer.streams import NoInverseError
from pyro_mnar.infer.structure import check_any_rows, is_random
from pyro_mnar.infer.weights import LEAST_DRAWS, pareto_threshold
from pyro_mnar.model.missing_sites import missing_cells

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class ImportanceDraws:
    """C chains of M draws of N rows, resampled from S weighted particles of each chain and row.

    Attributes:
        latents: by site name, (C, M, N, ...).
        x: (C, M, N, D) completed rows, observed cells bit for bit.
        log_weights: (C, S, N), smoothed and normalized: their exponentials sum to 1 over S.
        ess: (C, N) effective sample size of the weights, from 1 to S.
        pareto_k: (C, N) shape of the weights' tail; NaN of a row that the model gives density zero, whose holes stay NaN.
    """

    latents: dict[str, Tensor]
    x: Tensor
    log_weights: Tensor
    ess: Tensor
    pareto_k: Tensor

    @property
    def unreliable(self) -> Tensor:
        """(N,) bool: rows whose Pareto k, the mean over chains, is above the threshold for S particles."""
        return ~(self.pareto_k.mean(0) <= pareto_threshold(self.log_weights.shape[1]))


@torch.no_grad()
def sample_importance(
    module: nn.Module,
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    draws: int = 200,
    chains: int = 4,
    particles: int = 500,
    seed: int = 0,
    labels: Sequence[Hashable] | None = None,
    progress: bool = True,
) -> ImportanceDraws:
    """Return draws of every latent and missing cell of each row; a row's are the same whatever the table it comes in.

    Args:
        module: the same as that of :func:`~pyro_mnar.imputation.ensemble.impute`.
        x: (N, D) float; the holes may hold anything.
        mask: (N, D) bool, True = observed.
        limits: (N, D, 2), between which missing values are known to lie, or None.
        draws: M of each chain.
        chains: C, each with particles of its own.
        particles: S of each chain and row, at least 100.
        seed: the seed of all draws; global random state is neither read nor changed.
        labels: one for each row, its name for the random streams, the same draws in any table; positions by default.
            Rows may share one: the second of a label, in the table's order, has other draws than the first. 1 and "1" are two.
        progress: a bar on standard error; none where that is not a terminal.

    Raises:
        ValueError: for arguments out of range, labels of the wrong number, or a model that names no missing cells.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(2, 3), GaussianEncoder(2, 3))
        >>> result = sample_importance(mnar, torch.zeros(5, 3), torch.ones(5, 3, dtype=torch.bool), draws=10)
        >>> result.x.shape, result.latents["z"].shape, result.pareto_k.shape
        (torch.Size([4, 10, 5, 3]), torch.Size([4, 10, 5, 2]), torch.Size([4, 5]))
    """
    check_rows(x, mask)
    check_limits(limits, x)
    check_any_rows(module)
    check_counts(draws=draws, chains=chains)
    check_counts(LEAST_DRAWS, particles=particles)
    if not len(x):
        raise ValueError("x: got no rows, expected at least 1")
    names = row_names(labels, len(x))
    bound, parts = IWELBO(module, particles), []
    with bar(chains * len(x), "sampling", "row", progress, CHUNK_WORTH / CHUNK) as done:
        for chain in range(chains):
            own, pieces = member_seed(seed, chain), []
            for rows in torch.arange(len(x)).split(chunk_size(x.device, max(particles, draws) * x.shape[-1])):
                pieces += _pieces(bound, x, mask, limits, rows, draws, own, names)
                done.update(len(rows))
            parts.append({name: torch.cat([p[name] for p in pieces], 0 if name in ("ess", "pareto_k") else 1) for name in pieces[0]})
    whole = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    warn_of_impossible(whole["pareto_k"].isnan().any(0) & ~mask.all(-1), names)
    complete = torch.where(mask, x, whole.pop("x"))
    return ImportanceDraws(
        x=complete,
        **{name: whole.pop(name) for name in ("log_weights", "ess", "pareto_k")},
        latents={name.removeprefix("latent "): value for name, value in whole.items()},
    )


def weight_table(result: ImportanceDraws | Imputation, rows: Sequence[Hashable] | None = None) -> DataFrame:
    """Return one line for each row, the least reliable first: ``pareto_k``, ``ess``, ``unreliable``; means over chains.

    Args:
        result: of :func:`sample_importance`, :func:`~pyro_mnar.imputation.ensemble.impute` or an ensemble.
        rows: N labels; positions by default.

    Raises:
        ValueError: for labels of another number.

    Example:
        >>> none, k = torch.full((2,), torch.nan), torch.tensor([0.1, 1.3])
        >>> table = weight_table(Imputation(torch.zeros(2, 1), torch.zeros(0, 2, 1), torch.ones(2), k, none, 500))
        >>> table.index.tolist(), table.unreliable.tolist()
        ([1, 0], [True, False])
    """
    from pandas import DataFrame, Index

    ess, k = (value.mean(0) if isinstance(result, ImportanceDraws) else value for value in (result.ess, result.pareto_k))
    names = list(range(len(k))) if rows is None else list(rows)
    check_labels("rows", names, len(k))
    columns = {"pareto_k": k.double().cpu(), "ess": ess.double().cpu(), "unreliable": result.unreliable.cpu()}
    table = DataFrame({name: value.numpy() for name, value in columns.items()}, Index(names, name="row", tupleize_cols=False))
    return table.sort_values("pareto_k", ascending=False, kind="stable", na_position="first")


def _pieces(
    bound: IWELBO, x: Tensor, mask: Tensor, limits: Tensor | None, rows: Tensor, draws: int, seed: int, names: list[Hashable]
) -> list[dict[str, Tensor]]:
    """Return the draws of a few rows in one piece, or one for each row where a site cannot be drawn from the rows' own noise."""
    together = padded(rows)
    try:
        whole = _piece(bound, rows_of(together, x, mask, limits), draws, seed, [names[i] for i in together.tolist()], True)
        return [{name: value[: len(rows)] if value.dim() == 1 else value[:, : len(rows)] for name, value in whole.items()}]
    except NoInverseError:
        alone = [(row.expand(2), [names[int(row)]] * 2) for row in rows]
        singles = [_piece(bound, rows_of(pair, x, mask, limits), draws, seed, own, False) for pair, own in alone]
        return [{name: value[:1] if value.dim() == 1 else value[:, :1] for name, value in one.items()} for one in singles]


def _piece(bound: IWELBO, rows: tuple[Tensor, ...], draws: int, seed: int, labels: list[Hashable], inverse: bool) -> dict[str, Tensor]:
    x, mask, *known = rows
    found = weigh(bound, x, mask, seed, labels, inverse, *known)
    chosen = resample(found, bound, draws)
    sites = {f"latent {name}": site["value"] for name, site in chosen.nodes.items() if is_random(site) and not site["is_observed"]}
    cells = missing_cells(chosen, mask, found.streams.uniform("cells", draws, (x.shape[-1], 3), x))
    cells = cells.masked_fill(found.impossible.unsqueeze(-1), torch.nan)
    return {"x": cells, "log_weights": found.log_weights, "ess": found.ess, "pareto_k": found.pareto_k, **sites}
