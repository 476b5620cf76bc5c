"""Pyro's own MCMC object as ArviZ has it: any kernel, any model.

Groups:

- ``posterior``: every latent site (chain, draw, ...).
- ``sample_stats``: ``diverging`` (chain, draw) and ``acceptance_rate`` (chain), each where the kernel tells; Pyro keeps no
  acceptance of single draws.
- ``log_likelihood``: every observed site (chain, draw, ...), its log probability at each draw, in nats. Factors and deterministic
  values are no observations.
- ``observed_data``: every observed site; of a table with holes NaN stands in them, and ``mask`` says which they are, 1 = observed.

The last two are there where the model is given. A dimension then has its plate's name, "row" for the plate "rows".
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pyro import poutine
from pyro.distributions import Delta, Unit
from pyro.infer import MCMC
from torch import Tensor

from pyro_mnar.diagnostics.trees import Variables, dataset_of, labels_of, tree_of
from pyro_mnar.infer.checks import check_rows
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.structure import is_random, row_log_prob
from pyro_mnar.mcmc.convergence import LEAST_DRAWS
from pyro_mnar.model.shown_mask import ShownMask

if TYPE_CHECKING:
    from arviz import InferenceData
    from pyro.poutine.runtime import Message
    from xarray import DataTree


def to_tree(
    mcmc: MCMC,
    module: Any = None,
    x: Tensor | None = None,
    mask: Tensor | None = None,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
) -> InferenceData | DataTree:
    """Return the groups of this page; arguments and errors as those of :func:`~pyro_mnar.diagnostics.arviz.to_arviz`.

    Raises:
        ValueError: also for an MCMC that has not run, labels without a table, and a latent of the model that is not among the draws.
    """
    samples = mcmc.get_samples(group_by_chain=True) if getattr(mcmc, "_samples", None) else {}
    if not samples:
        raise ValueError("result: got an MCMC without draws, expected one after its run(...)")
    names: dict[str, np.ndarray] = {}
    if x is not None and mask is not None:
        check_rows(x, mask)
        names = {"row": labels_of("rows", rows, len(x)), "column": labels_of("columns", columns, x.shape[1])}
    elif rows is not None or columns is not None:
        raise ValueError("rows, columns: got labels without x and mask, expected both or none")
    sites: Mapping[str, Message] = {}
    groups: dict[str, Variables] = {}
    if module is not None:
        given = [value for value in (x, mask) if value is not None]
        sites, log_prob = _scored(getattr(module, "model", module), given, samples)
        seen = {name: sites[name] for name in log_prob}
        observed: dict[str, tuple[Sequence[str], np.ndarray]] = {
            n: (_dims(n, s["value"], s, names), _array(s["value"])) for n, s in seen.items()
        }
        if mask is not None:
            observed["mask"] = (["row", "column"], _array(mask).astype(np.int8))
        groups["observed_data"] = observed
        groups["log_likelihood"] = {
            n: (["chain", "draw", *_dims(n, value[0, 0], sites[n], names, 0)], _array(value)) for n, value in log_prob.items()
        }
    groups["posterior"] = {
        n: (["chain", "draw", *_dims(n, value[0, 0], sites.get(n), names)], _array(value)) for n, value in samples.items()
    }
    groups["sample_stats"] = _statistics(mcmc, *next(iter(samples.values())).shape[:2])
    return tree_of({group: dataset_of(variables, names) for group, variables in groups.items()})


def _scored(
    model: Callable[..., object], given: Sequence[Tensor], samples: Mapping[str, Tensor]
) -> tuple[Mapping[str, Message], dict[str, Tensor]]:
    """Return the sites of the model at the first draw, and each observed site's log probability at every draw, (C, M, ...)."""
    n_chains, n_draws = next(iter(samples.values())).shape[:2]
    flat = {name: value.flatten(0, 1) for name, value in samples.items()}
    sites: Mapping[str, Message] = {}
    scores: dict[str, list[Tensor]] = {}
    with torch.no_grad(), seeded(0):
        for i in range(n_chains * n_draws):
            trace = poutine.trace(poutine.condition(model, {name: value[i] for name, value in flat.items()})).get_trace(*given)
            sites = sites or dict(trace.nodes)
            for name, site in trace.nodes.items():
                if not is_random(site) or name in samples or isinstance(site["fn"], (Unit, Delta, ShownMask)):
                    continue
                if not site["is_observed"]:
                    raise ValueError(
                        f"site {name!r} of the model: not among the draws, which are of {', '.join(samples)}; expected every latent "
                        "(sum it out in the model, or leave the model out)"
                    )
                scores.setdefault(name, []).append(row_log_prob(site, site["value"]))
    return sites, {name: torch.stack(each).unflatten(0, (n_chains, n_draws)) for name, each in scores.items()}


def _statistics(mcmc: MCMC, n_chains: int, n_draws: int) -> Variables:
    """Return where chains diverged, and their acceptance, as far as the kernel tells."""
    told = mcmc.diagnostics() if n_draws >= LEAST_DRAWS else {}
    made: dict[str, tuple[Sequence[str], np.ndarray]] = {}
    if "divergences" in told:
        diverging = np.zeros((n_chains, n_draws), bool)
        for chain, places in enumerate(told["divergences"].values()):
            diverging[chain, list(places)] = True
        made["diverging"] = (["chain", "draw"], diverging)
    if "acceptance rate" in told:
        made["acceptance_rate"] = (["chain"], np.array([float(rate) for rate in told["acceptance rate"].values()]))
    return made


def _dims(name: str, value: Tensor, site: Message | None, labels: Mapping[str, np.ndarray], event_dim: int | None = None) -> list[str]:
    """Return the names of the dimensions of ``value``, a site's or its log probability (``event_dim`` 0)."""
    dims = [f"{name}_dim_{i}" for i in range(value.dim())]
    if site is None:
        return dims
    event = site["fn"].event_dim if event_dim is None else event_dim
    for frame in site["cond_indep_stack"]:
        place = value.dim() - event + frame.dim if frame.vectorized else -1
        if place >= 0 and value.shape[place] == frame.size:
            dims[place] = "row" if frame.name == "rows" and len(labels.get("row", ())) == frame.size else frame.name
    if event == 1 and name == "x" and value.shape[-1] == len(labels.get("column", ())):
        dims[-1] = "column"
    return dims


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy()
