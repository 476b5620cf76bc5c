"""Draws as ArviZ has them: labeled arrays in groups, for ArviZ 0.23 (``InferenceData``) and 1.x (``DataTree``) alike.

Rows are independent targets, and ArviZ's functions expect of a sampler one number for each chain and draw: so the statistics under
ArviZ's own names are those of all rows as one target (acceptance its mean, divergences any, energies their sum), and the rows' own
are beside them, ``row_...`` (chain, draw, row).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pyro.distributions import Unit
from pyro.infer import MCMC
from torch import Tensor, nn

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.diagnostics import pyro_chains
from pyro_mnar.diagnostics.trees import Variables, dataset_of, labels_of, tree_of
from pyro_mnar.imputation.importance import ImportanceDraws
from pyro_mnar.infer.checks import check_rows
from pyro_mnar.infer.enumeration import is_enumerated
from pyro_mnar.infer.particles import Particles
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.structure import is_random, row_log_prob
from pyro_mnar.mcmc.posterior import PosteriorDraws
from pyro_mnar.mechanisms.base import MaskDistribution
from pyro_mnar.model.selection import SelectionDistribution

if TYPE_CHECKING:
    from arviz import InferenceData
    from xarray import DataTree

# Cells of a table that are replicated at once.
_CELLS = 2**22
_RESERVED = ("chain", "draw", "row", "column", "cell", "particle", "x_mis")


def to_arviz(
    result: PosteriorDraws | ImportanceDraws | MCMC,
    module: Any = None,
    x: Any = None,
    mask: Any = None,
    *,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    codec: TableCodec | Scaling | None = None,
    seed: int = 0,
) -> InferenceData | DataTree:
    """Return what ArviZ reads: an ``InferenceData`` where ArviZ 0.x is installed, an xarray ``DataTree`` with ArviZ 1.x.

    Groups:

    - ``posterior``: every latent site (chain, draw, row, ...), and ``x_mis`` (chain, draw, cell) of the missing cells alone, a cell's
      label being "row, column"; nothing of them where no cell is missing.
    - ``constant_data``: ``cell_row`` and ``cell_column`` (cell), the same apart.
    - ``posterior_predictive``, ``prior_predictive``: every observed site, replicated given the latents (of the posterior, or drawn
      from the model). A ``SelectionDistribution`` gives ``x`` with NaN in holes of its own making and, where there is a mechanism,
      its ``mask``; masks of columns without mechanism are those of the data.
    - ``log_likelihood``: ``x`` (chain, draw, row), log p(x_obs, s | latents) in nats, of what was seen of a row and nothing else.
      The latents are the row's own and the parameters fixed, so ``az.loo`` of it is no estimate of predictive accuracy.
      Neither this group nor the two before are there of a model with a ``pyro.factor`` (a tilt), or with a discrete latent that is
      summed out: its sites are not drawn one by one.
    - ``observed_data``: ``x`` with NaN in the holes and ``mask``, 1 = observed, (row, column).
    - ``sample_stats``: of MCMC ``acceptance_rate``, ``diverging``, ``energy`` (chain, draw) of all rows together, and of each
      ``row_acceptance_rate``, ``row_diverging``, ``row_energy``, ``row_step_size`` and ``row_thinning``; of importance sampling
      ``log_weight`` (chain, particle, row), ``pareto_k`` and ``importance_ess`` (chain, row).

    Args:
        result: draws of :func:`~pyro_mnar.mcmc.posterior.sample_posterior` or
            :func:`~pyro_mnar.imputation.importance.sample_importance`; or Pyro's own MCMC after its run, with any kernel
            (:mod:`pyro_mnar.diagnostics.pyro_chains` says which groups).
        module: whose ``model(x, mask)`` they are of; of Pyro's MCMC, a model that is called with what is given of ``x`` and ``mask``.
        x: (N, D) float; the holes may hold anything.
        mask: (N, D) bool, True = observed.
        rows: N labels; positions by default.
        columns: D names; positions by default.
        codec: the table's (an imputer's ``codec_``), or the scaling of plain numbers, for values and densities in the table's units;
            in the model's by default.
            Of columns of levels the values are the levels' places.
        seed: the seed of the replicates.

    Raises:
        ImportError: where ArviZ is not installed (the extra ``arviz``).
        ValueError: for labels that are not one for each or not all different, a latent site with a name that is taken here, draws
            of other rows.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> from pyro_mnar.imputation.importance import sample_importance
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), SelfMasking(2))
        >>> x, mask = torch.zeros(3, 2), torch.tensor([[True, False], [True, True], [False, True]])
        >>> data = to_arviz(sample_importance(mnar, x, mask, draws=5), mnar, x, mask, columns=["age", "income"])
        >>> data.posterior.x_mis.dims, data.posterior.cell.values.tolist()
        (('chain', 'draw', 'cell'), ['0, income', '2, age'])
    """
    if isinstance(result, MCMC):
        if codec is not None:
            raise ValueError("codec: got one with Pyro's MCMC, whose sites are in the model's units, expected None")
        return pyro_chains.to_tree(result, module, x, mask, rows, columns)
    if module is None or x is None or mask is None:
        raise TypeError("module, x, mask: got none, expected those that the draws are of")
    check_rows(x, mask)
    if result.x.shape[2:] != x.shape:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected the rows and columns of the draws {tuple(result.x.shape[2:])}")
    units = None if codec is None else TableCodec.of(codec)
    names = {"row": labels_of("rows", rows, len(x)), "column": labels_of("columns", columns, x.shape[1])}
    taken = [name for name in result.latents if name in _RESERVED]
    if taken:
        raise ValueError(f"result: got a latent site {taken[0]!r}, expected none of the names {', '.join(_RESERVED)}")
    posterior = {name: (_dims(name, value, mask), _array(value)) for name, value in result.latents.items()}
    groups: dict[str, Variables] = {"posterior": posterior}
    at = (~mask).nonzero()
    if len(at):
        own, theirs = (names[kind][at[:, i].cpu().numpy()] for i, kind in enumerate(("row", "column")))
        names["cell"] = labels_of("rows, columns", [f"{row}, {column}" for row, column in zip(own, theirs, strict=True)], len(at))
        posterior["x_mis"] = (("chain", "draw", "cell"), _array(result.x, units)[:, :, _array(~mask)])
        groups["constant_data"] = {"cell_row": (("cell",), own), "cell_column": (("cell",), theirs)}
    groups |= {} if _is_whole(module, x, mask) else _replicates(result, module, x, mask, units, seed)
    row_column = ("row", "column")
    groups["observed_data"] = {
        "x": (row_column, _array(torch.where(mask, x, torch.nan), units)),
        "mask": (row_column, _array(mask).astype(np.int8)),
    }
    groups["sample_stats"] = _statistics(result)
    return tree_of({group: dataset_of(variables, names) for group, variables in groups.items()})


def _is_whole(module: Any, x: Tensor, mask: Tensor) -> bool:
    """Return whether a model has a factor, or sums a latent out, so that its sites are not drawn one by one."""
    with seeded(0, x.device), torch.no_grad(), Particles(1) as seen:
        module.model(x[:1], mask[:1])
    return any(isinstance(site["fn"], Unit) or is_enumerated(site) for site in seen.trace.nodes.values() if is_random(site))


def _replicates(
    result: PosteriorDraws | ImportanceDraws, module: nn.Module, x: Tensor, mask: Tensor, units: TableCodec | None, seed: int
) -> dict[str, Variables]:
    """Return the predictive groups and the log likelihood."""
    groups: dict[str, Variables] = {}
    n_chains, kept = result.x.shape[:2]
    with seeded(seed, x.device), torch.no_grad():
        blocks = max(1, -(-n_chains * kept * x.numel() // _CELLS))
        flat = {name: value.flatten(0, 1).tensor_split(blocks) for name, value in result.latents.items()}
        parts = [_replicate(module, {n: v[i] for n, v in flat.items()}, None, x, mask) for i in range(blocks)]
        drawn = [_replicate(module, {}, len(part), x, mask) for part in torch.arange(kept).tensor_split(min(blocks, kept))]
    for group, replicates, chains in (("posterior_predictive", parts, n_chains), ("prior_predictive", drawn, 1)):
        whole = {name: torch.cat([part[name] for part in replicates]).unflatten(0, (chains, -1)) for name in replicates[0]}
        log_prob = whole.pop("log_prob")
        groups[group] = {n: (_dims(n, value, mask), _array(value, units if n == "x" else None)) for n, value in whole.items()}
        if group == "posterior_predictive":
            seen = _array(mask)
            jacobian = 0.0 if units is None else units.log_jacobian(_array(torch.where(mask, x, 0.0), units), seen)
            groups["log_likelihood"] = {"x": (("chain", "draw", "row"), _array(log_prob) + jacobian)}
    return groups


def _statistics(result: PosteriorDraws | ImportanceDraws) -> Variables:
    if isinstance(result, ImportanceDraws):
        chain_row = ("chain", "row")
        return {
            "log_weight": (("chain", "particle", "row"), _array(result.log_weights)),
            "pareto_k": (chain_row, _array(result.pareto_k)),
            "importance_ess": (chain_row, _array(result.ess)),
        }
    acceptance, diverging, energy = _array(result.acceptance), _array(result.diverging), _array(result.energy)
    chain_draw, all_three = ("chain", "draw"), ("chain", "draw", "row")
    return {
        "acceptance_rate": (chain_draw, acceptance.mean(-1)),
        "diverging": (chain_draw, diverging.any(-1)),
        "energy": (chain_draw, energy.sum(-1)),
        "row_acceptance_rate": (all_three, acceptance),
        "row_diverging": (all_three, diverging),
        "row_energy": (all_three, energy),
        "row_step_size": (("chain", "row"), _array(result.step_size)),
        "row_thinning": (("row",), _array(result.thinning)),
    }


def _replicate(module: Any, latents: Mapping[str, Tensor], size: int | None, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return ``log_prob`` (K, N) of what was seen and replicates (K, N, ...) of each observed site.

    At K given ``latents``, each (K, N, ...), or at ``size`` draws from the model.
    """
    n_particles = len(next(iter(latents.values()))) if size is None else size
    with Particles(n_particles, dict(latents)) as seen:
        module.model(x, mask)
    sites = {name: site for name, site in seen.trace.nodes.items() if is_random(site) and site["is_observed"]}
    shape = (n_particles, len(x))
    terms = [row_log_prob(site, site["value"]).expand(shape) for site in sites.values()]
    made = {"log_prob": sum(terms[1:], terms[0])}
    # A selection draws the masks of coupled columns too: its complete rows are at hand there, and nowhere else.
    whole = any(isinstance(site["fn"], SelectionDistribution) for site in sites.values())
    for name, site in sites.items():
        if isinstance(site["fn"], SelectionDistribution):
            made |= _with_holes(site["fn"], name, mask, shape)
        elif not (whole and isinstance(site["fn"], MaskDistribution)):
            made[name] = site["fn"].expand(shape).sample()
    return made


def _with_holes(law: SelectionDistribution, name: str, mask: Tensor, shape: tuple[int, int]) -> dict[str, Tensor]:
    made = law.expand(shape).sample()
    if law.mechanism is None:
        return {name: torch.where(mask, made, torch.nan)}
    modeled = torch.zeros(mask.shape[-1], dtype=torch.bool, device=mask.device).index_fill(0, law.mechanism.columns, True)
    seen = torch.where(modeled, made.isfinite(), mask)
    return {name: torch.where(seen, made, torch.nan), "mask": seen}


def _dims(name: str, value: Tensor, mask: Tensor) -> tuple[str, ...]:
    event = value.shape[3:]
    named = ("column",) if event == mask.shape[1:] and name in ("x", "mask") else tuple(f"{name}_dim_{i}" for i in range(len(event)))
    return ("chain", "draw", "row", *named)


def _array(value: Tensor, units: TableCodec | None = None) -> np.ndarray:
    array = value.detach().cpu().numpy()
    return array if units is None else units.invert(array)
