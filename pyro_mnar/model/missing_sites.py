"""What a traced model says of the missing cells of its rows.

- an observed site whose distribution is a ``SelectionDistribution``: its conditional, for the columns integrated out there;
- a deterministic site ``complete``, (..., N, D): completed rows, for all other columns, and for every column of a model
  with a tilt that reads rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyro import poutine
from torch import Tensor, where

from pyro_mnar.model.missing_rows import MissingRows
from pyro_mnar.model.selection import SelectionDistribution


def names_cells(model: poutine.Trace) -> bool:
    """Return whether the model has a site that says what its missing cells are."""
    return "complete" in model.nodes or bool(_selections(model))


def missing_cells(
    model: poutine.Trace, mask: Tensor, uniforms: Tensor | None, functions: Mapping[int, Callable[[Tensor], Tensor]] | None = None
) -> Tensor:
    """Return E[x | z, s] (K, N, D), or the draws that ``uniforms`` (K, N, D, 3) stand for; only missing cells are meant to be read.

    Args:
        model: the trace.
        mask: (N, D) bool, True = observed.
        uniforms: None for means.
        functions: by column, of whose values the mean is wanted in place of the column's own.

    Raises:
        ValueError: when the model names no missing cells, or takes some of them for observed.
    """
    if not names_cells(model):
        raise ValueError("model: names no missing cells, expected a SelectionDistribution site or a site 'complete'")
    complete = model.nodes.get("complete")
    selections = _selections(model)
    # A tilt reweights values together with latents: no cell then has a law of its own given z.
    tilted = any(isinstance(s.get("fn"), MissingRows) for s in model.nodes.values())
    functions = (functions or {}) if uniforms is None else {}
    if complete is not None and functions:
        whole = complete["value"].clone()
        for j, function in functions.items():
            whole[..., j] = function(whole[..., j])
        complete = {"value": whole}
    if complete is not None and (tilted or not selections or not bool(selections[0][0].integrated.any())):
        completed: Tensor = complete["value"]
        return completed
    selection, rows = selections[0]
    if bool((~mask & rows.isfinite()).any()):
        raise ValueError(
            "model: its SelectionDistribution was given values of cells that mask calls missing, and took them for observed, expected "
            "NaN there (obs=torch.where(mask, x, torch.nan))"
        )
    law = selection.conditional(rows)
    cells = law.mean_of(functions) if uniforms is None else law.from_uniforms(uniforms)
    if complete is None:
        return cells
    return where(selection.integrated, cells, complete["value"])


def level_probabilities(model: poutine.Trace, weights: Tensor) -> Tensor:
    """Return the probabilities of missing cells' levels, (N, D, V), averaged by ``weights`` (K, N) of particles; V = 0 without."""
    for selection, rows in _selections(model):
        return selection.conditional(rows).level_probabilities(weights)
    return weights.new_zeros(weights.shape[1], 0, 0)


def _selections(model: poutine.Trace) -> list[tuple[SelectionDistribution, Tensor]]:
    """Return the model's selection distributions, each with its rows."""
    return [(site["fn"], site["value"]) for site in model.nodes.values() if isinstance(site.get("fn"), SelectionDistribution)]
