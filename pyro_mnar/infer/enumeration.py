r"""Discrete latents summed out: every value of a row's discrete latents at once, each site's values along a dimension of its own.

A latent of the model that the guide leaves out and that is marked ``infer={"enumerate": "parallel"}``, as in Pyro, is not drawn. With
k the discrete and z the other latents of a row,

    log w = log sum_k p(k | z) p(row | z, k) + log p(z) - log q(z),

so no gradient has to go through a draw of k. The i-th such site has its values at dimension -3 - i, left of particles and rows. The
cost is the product of the sites' numbers of values. Given z the values have the posterior p(k | z, row), of which
:func:`draw_enumerated` draws. The sum is over one row's own latents alone, so rows stay independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pyro import poutine
from torch import Tensor

if TYPE_CHECKING:
    from pyro.poutine.runtime import Message


def wants_enumeration(site: Message) -> bool:
    """Return whether an unobserved site asks for its values to be summed out."""
    return bool(site["infer"].get("enumerate") == "parallel")


def is_enumerated(site: Message) -> bool:
    """Return whether a traced site holds all its values, along a dimension of its own."""
    return "_place" in site["infer"]


def enumerate_values(msg: Message, place: int) -> None:
    """Put all values of a site at dimension -3 - ``place``, each event of size 1 along particles and rows.

    Raises:
        ValueError: for a distribution whose values cannot be listed.
    """
    fn = msg["fn"]
    if not fn.has_enumerate_support:
        raise ValueError(
            f"site {msg['name']!r} of the model: {type(fn).__name__} cannot be enumerated, expected a distribution with finitely many "
            "values (truncate it to a Categorical), or a continuous one"
        )
    values = fn.enumerate_support(expand=False)
    msg["value"] = values.reshape(len(values), *[1] * (2 + place), *fn.event_shape)
    msg["done"], msg["infer"] = True, msg["infer"] | {"_place": place}


def sum_out(log_joint: Tensor) -> Tensor:
    """Return the log of the sum over all dimensions left of particles and rows, (K, N), of ``log_joint`` (..., K, N)."""
    return log_joint.flatten(0, -3).logsumexp(0) if log_joint.dim() > 2 else log_joint


def draw_enumerated(model: poutine.Trace, log_joint: Tensor, uniforms: Tensor) -> dict[str, Tensor]:
    """Return, by site, draws (K, N, ...) of the discrete latents given all else.

    Args:
        model: a trace with enumerated sites.
        log_joint: (V_m, ..., V_1, K, N), up to a constant of each particle and row.
        uniforms: (K, N), one for all sites together.
    """
    sizes = log_joint.shape[:-2]
    cumulative = log_joint.flatten(0, -3).softmax(0).cumsum(0)
    index = (cumulative < uniforms.to(cumulative)).sum(0).clamp(max=len(cumulative) - 1)
    drawn = {}
    places = torch.unravel_index(index, sizes)
    for name, site in model.nodes.items():
        if is_enumerated(site):
            place = site["infer"]["_place"]
            values = site["value"].reshape(site["value"].shape[0], *site["fn"].event_shape)
            drawn[name] = values[places[len(sizes) - 1 - place]]
    return drawn
