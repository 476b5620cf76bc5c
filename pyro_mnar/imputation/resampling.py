"""A few rows' particles, their weights, and particles drawn again by weight: what imputation and importance draws share.

Networks run on chunks padded to few numbers of rows, and each row has random streams of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from pyro import poutine
from torch import Tensor

from pyro_mnar.data.warn import warn
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import arguments
from pyro_mnar.infer.enumeration import draw_enumerated, is_enumerated, sum_out
from pyro_mnar.infer.progress import CHUNK_WORTH
from pyro_mnar.infer.streams import RowStreams, seeded
from pyro_mnar.infer.structure import is_latent
from pyro_mnar.infer.weights import effective_sample_size, smooth

#: Rows that go through the networks at once on a processor; on an accelerator, which takes hundreds in the time of one, more do.
CHUNK, _ACCELERATOR_CHUNK = 64, 256
# Cells of all particles that do, of which a dozen copies are in memory; there are fewer rows of wide tables.
_CELLS = 2**23
#: The fewest: of eight rows and a multiple of four columns a processor's last cells are computed as its first ones are.
LEAST_ROWS = 8


def chunk_size(device: torch.device, cells: int) -> int:
    """Return how many rows go through the networks at once, of so many ``cells`` each, counted over its particles.

    Example:
        >>> chunk_size(torch.device("cpu"), 200 * 30), chunk_size(torch.device("cpu"), 200 * 5000)
        (64, 8)
    """
    size = CHUNK if device.type == "cpu" else _ACCELERATOR_CHUNK
    while size > LEAST_ROWS and size * cells > _CELLS:
        size //= 2
    return size


def work_of(n_rows: int) -> float:
    """Return what imputing so many rows with holes is worth, in training steps."""
    return -(-n_rows // CHUNK) * CHUNK_WORTH


def padded(rows: Tensor, least: int = LEAST_ROWS) -> Tensor:
    """Return indices ``rows`` with the first repeated behind them, so that they are ``least``, or twice, four times, ... as many.

    Example:
        >>> padded(torch.tensor([3, 5, 6]), 2).tolist()
        [3, 5, 6, 3]
    """
    size = least
    while size < len(rows):
        size *= 2
    return torch.cat([rows, rows[:1].expand(size - len(rows))])


class Weighed(NamedTuple):
    """S particles of N rows.

    Attributes:
        model: the model's trace, every latent (S, N, ...); discrete latents that the weights sum out are drawn given the others.
        log_weights: (S, N), smoothed and normalized; all alike in a row that no particle explains.
        ess: (N,) effective sample size; 0 of a row that no particle explains.
        pareto_k: (N,) shape of the weights' tail; NaN of a row that no particle explains.
        streams: the rows' random numbers.
        rows: what model and guide were called with.
    """

    model: poutine.Trace
    log_weights: Tensor
    ess: Tensor
    pareto_k: Tensor
    streams: RowStreams
    rows: tuple[Tensor, ...]

    @property
    def impossible(self) -> Tensor:
        """(N,) bool: rows whose every weight is zero, or no number."""
        return self.pareto_k.isnan()


def weigh(
    bound: IWELBO,
    x: Tensor,
    mask: Tensor,
    seed: int | Sequence[int],
    labels: Sequence[Hashable],
    inverse: bool,
    limits: Tensor | None = None,
) -> Weighed:
    """Draw particles from the guide, from the rows' own noise where every site has an inverse, and weigh them."""
    streams, rows = RowStreams(seed, labels), arguments(x, mask, limits)
    with seeded(streams.first_seed(), x.device), streams if inverse else nullcontext():
        model, guide = bound.traces(*rows)
    log_joint = bound.log_joint(model, guide)
    raw = sum_out(log_joint)
    if log_joint.dim() > 2:
        given = {name: site["value"] for name, site in model.nodes.items() if is_latent(site) and not is_enumerated(site)}
        uniforms = streams.uniform("discrete", bound.particles, (), raw)
        model = bound.model_trace(given | draw_enumerated(model, log_joint, uniforms), bound.particles, *rows)
    none = ~(raw > -torch.inf).any(0)
    log_w, k = smooth(torch.where(none, 0.0, raw))
    return Weighed(model, log_w, effective_sample_size(log_w).masked_fill(none, 0.0), k.masked_fill(none, torch.nan), streams, rows)


def resample(weighed: Weighed, bound: IWELBO, draws: int) -> poutine.Trace:
    """Return the model's trace at ``draws`` particles of each row, drawn by weight."""
    weights = weighed.log_weights.exp()
    cumulative = weights.cumsum(0).T.contiguous()
    uniforms = weighed.streams.uniform("resample", draws, (), weights)
    index = torch.searchsorted(cumulative, uniforms.T.contiguous()).clamp(max=len(weights) - 1).T
    chosen = {}
    for name, site in weighed.model.nodes.items():
        if is_latent(site):
            value = site["value"]
            spread = index.reshape(*index.shape, *[1] * (value.dim() - 2)).expand(*index.shape, *value.shape[2:])
            chosen[name] = value.gather(0, spread)
    return bound.model_trace(chosen, draws, *weighed.rows)


def warn_of_impossible(impossible: Tensor, labels: Sequence[Hashable]) -> None:
    """Warn, by name, of rows (N,) that the model gives density zero."""
    rows = impossible.nonzero().flatten().tolist()
    if rows:
        named = ", ".join(str(labels[i]) for i in rows[:10]) + (", ..." if len(rows) > 10 else "")
        warn(
            f"{len(rows)} of {len(impossible)} rows have density zero under the model, and NaN in their holes (rows {named}): is an "
            "observed value beyond the mechanism's threshold, which stands at the largest that training saw? Fit with these rows too, "
            "or take a link without a threshold (PROBIT)"
        )
