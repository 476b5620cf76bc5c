"""What a model and guide must look like for each row to have a weight of its own; anything else is refused by name."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine
from pyro.distributions import Delta
from pyro.infer.autoguide import AutoGuide
from pyro.infer.autoguide.effect import AutoMessenger
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_mnar.infer.enumeration import is_enumerated
from pyro_mnar.infer.streams import seeded

if TYPE_CHECKING:
    from pyro.poutine.indep_messenger import CondIndepStackFrame
    from pyro.poutine.runtime import Message


def is_random(site: Message) -> bool:
    """Return whether a site has a law that counts: it is no plate's own and no ``pyro.deterministic`` value."""
    return site["type"] == "sample" and type(site["fn"]).__name__ != "_Subsample" and not site["infer"].get("_deterministic")


def is_from_model(site: Message) -> bool:
    """Return whether a guide's site is drawn from the model's own law, so that it adds nothing to the weight."""
    return site["infer"].get("prior") is True  # Pyro's AutoMessenger keeps a distribution under that key


def is_scored(site: Message) -> bool:
    """Return whether a latent site, drawn from the model's own law, says that its gradient comes by way of its score."""
    return is_random(site) and not site["is_observed"] and bool(site["infer"].get("score", False))


def is_auxiliary(site: Message) -> bool:
    """Return whether a guide's site is one that the model need not have: others are functions of its draw (Pyro's AutoGuides)."""
    return bool(site["infer"].get("is_auxiliary", False))


def is_point(site: Message) -> bool:
    """Return whether a site is a function of parameters or other draws, with no randomness of its own."""
    return isinstance(site["fn"], Delta)


def latent_sites(guide: poutine.Trace) -> dict[str, Message]:
    """Return the guide's own latent sites by name: those that count in the weight."""
    return {name: site for name, site in guide.nodes.items() if is_latent(site) and not is_from_model(site)}


def is_latent(site: Message) -> bool:
    """Return whether a site is random and unobserved."""
    return is_random(site) and not site["is_observed"]


def row_bound_guide(module: nn.Module) -> str | None:
    """Return the name of a part of ``module`` that has parameters for each row of one table, as Pyro's AutoGuides; None without."""
    for part in module.modules():
        if isinstance(part, (AutoGuide, AutoMessenger)) and not getattr(part, "amortized_plates", ()):
            return type(part).__name__
    return None


def check_whole(module: nn.Module, count: int, batch_size: int, held_out: float) -> str | None:
    """Refuse to take a table of ``count`` rows in parts where a guide knows it as a whole; return that guide's name, or None.

    Raises:
        ValueError: naming the guide.
    """
    guide = row_bound_guide(module)
    if guide is not None and (batch_size < count or held_out):
        raise ValueError(
            f"batch_size, held_out: got {batch_size} and {held_out} with an {guide}, which has parameters for each row, expected "
            f"{count} or more and 0 (or a guide that is a network of the row)"
        )
    return guide


@torch.no_grad()
def check_parameters(bound: Any, *rows: Tensor) -> None:
    """Refuse parameters in Pyro's store alone, which nobody trains who trains those of the bound's module.

    Args:
        bound: whose ``traces`` call model and guide.
        rows: what they are called with.

    Raises:
        ValueError: naming the parameter.
    """
    with seeded(0, rows[0].device), poutine.trace(param_only=True) as seen:
        bound.traces(*rows)
    # Those of ``pyro.module`` and of Pyro's own modules are the module's too, under names that end alike.
    own = {name.rpartition(".")[-1].removesuffix("_unconstrained") for name, _ in bound.module.named_parameters()}
    for name, site in seen.trace.nodes.items():
        if site["type"] == "param" and "$$$" not in name and name.rpartition(".")[-1] not in own:
            raise ValueError(
                f"param {name!r}: stands in Pyro's store alone, which fit does not train, expected a parameter of the module "
                "(nn.Parameter or PyroParam)"
            )


def check_any_rows(module: nn.Module) -> None:
    """Refuse a guide that knows the rows of one table alone.

    Raises:
        ValueError: naming the guide.
    """
    guide = row_bound_guide(module)
    if guide is not None:
        raise ValueError(
            f"module: its guide, an {guide}, has parameters for each row of one table, expected one that takes any rows (a network of "
            "x and mask); of the rows it was trained on pyro.infer.Predictive(model, guide=guide) draws"
        )


def check_sites(model: poutine.Trace, guide: poutine.Trace) -> int:
    """Return the number of rows N of traces made with a plate of particles at ``dim=-2``.

    Raises:
        ValueError: naming the site that stands outside the plate over rows, is scaled, is in a further plate, is unobserved and
            neither reparameterised nor summed out, or is drawn by the guide, not as auxiliary, and unknown to the model.
    """
    rows: dict[str, int] = {}
    for where, trace in (("guide", guide), ("model", model)):
        for name, site in trace.nodes.items():
            if not is_random(site):
                continue
            said = f"site {name!r} of the {where}"
            frame = _row_plate(site, said, where == "guide" and is_auxiliary(site))
            # What the guide draws, the model only scores: there its law may be any (a mixture prior, say).
            if not site["is_observed"] and (where == "guide" or name not in guide.nodes):
                _check_gradient(site, said, where)
            rows[f"{frame.name} of the {where}"] = frame.size
            if where == "guide" and not site["is_observed"] and name not in model.nodes and not is_auxiliary(site):
                raise ValueError(f"{said}: expected a site of that name in the model")
    if not rows:
        raise ValueError("model: got no sample site, expected at least one inside a plate over rows")
    if len(set(rows.values())) > 1:
        raise ValueError(f"plates: got sizes {rows}, expected the same number of rows in all")
    return next(iter(rows.values()))


def _row_plate(site: Message, said: str, auxiliary: bool) -> CondIndepStackFrame:
    """Return the frame of the one plate over rows in which a site stands, unscaled."""
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized and frame.name != "particles"]
    if [frame.dim for frame in frames] != [-1] or len(frames) != len(site["cond_indep_stack"]) - 1:
        if not frames and auxiliary:
            raise ValueError(
                f"{said}: got one draw for all rows together, which gives no row a weight of its own; expected draws row by row: "
                "AutoNormal in place of this guide, or a guide that is a network of the row (for latents that all rows share, "
                "SharedLatents)"
            )
        found = ", ".join(f"{frame.name!r} at dim={frame.dim}" for frame in frames) or "no plate"
        raise ValueError(
            f"{said}: got {found}, expected exactly one plate over rows at dim=-1; a site outside it would make the weights of "
            "different rows one (declare other dimensions with .to_event; for a latent that all rows share see SharedLatents)"
        )
    if site["scale"] is not None and not _is_one(site["scale"]):
        raise ValueError(
            f"{said}: got a scale, expected none; a scale inside the logarithm is no bound (subsample rows outside, with mini-batches)"
        )
    return frames[0]


def _check_gradient(site: Message, said: str, where: str) -> None:
    if site["fn"].has_rsample or (where == "model" and (is_scored(site) or is_enumerated(site))):
        return
    law = type(site["fn"]).__name__
    instead = " (leave it to the model" if where == "guide" else " (mark it"
    summed = f"{instead} with infer={{'enumerate': 'parallel'}}, and it is summed out)" if site["fn"].has_enumerate_support else ""
    raise ValueError(
        f"{said}: {law} is not reparameterised, expected a distribution with rsample; its gradient would be silently zero{summed}"
    )


def check_independent(values: list[Tensor], names: list[str]) -> None:
    """Refuse guides whose later draws depend on earlier ones: there, dropping the score would bias the gradient.

    Raises:
        ValueError: naming the two sites.
    """
    for i, later in enumerate(values):
        for j, earlier in enumerate(values[:i]):
            if later.requires_grad and earlier.requires_grad:
                (path,) = torch.autograd.grad(later.sum(), earlier, retain_graph=True, allow_unused=True)
                if path is not None:
                    raise ValueError(
                        f"estimator: site {names[i]!r} of the guide depends on {names[j]!r}; expected independent sites for stl "
                        "and dreg (use estimator='iwae')"
                    )


def row_log_prob(site: Message, value: Tensor) -> Tensor:
    """Return the site's log probability of ``value``, one for each particle and row, (K, N) or broadcasting to it."""
    log_prob: Tensor = site["fn"].log_prob(value, *site["args"], **site["kwargs"])
    mask = site["mask"]
    if mask is None or mask is True:
        return log_prob
    return torch.zeros_like(log_prob) if mask is False else torch.where(mask, log_prob, 0.0)


def stopped(law: Distribution) -> Distribution | None:
    """Return ``law`` with its parameters cut off the graph, or None where what it holds is not all tensors and plain values."""
    held = {name: _stopped(value) for name, value in vars(law).items()}
    if any(value is NotImplemented for value in held.values()):
        return None
    copied = copy.copy(law)
    vars(copied).update(held)
    return copied


def _stopped(value: object) -> object:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Distribution):
        return stopped(value) or NotImplemented
    if type(value) is dict:
        held = {name: _stopped(item) for name, item in value.items()}
        return NotImplemented if any(item is NotImplemented for item in held.values()) else held
    return value if value is None or isinstance(value, (bool, int, float, str, torch.Size)) else NotImplemented


def _is_one(scale: Tensor | float) -> bool:
    return bool((scale == 1).all()) if isinstance(scale, Tensor) else scale == 1
