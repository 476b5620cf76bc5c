"""One handler for a pass through a model or guide with K particles: the plate over them, values put at sites, what was seen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from pyro import poutine
from pyro.poutine.broadcast_messenger import BroadcastMessenger
from pyro.poutine.indep_messenger import IndepMessenger
from torch import Tensor

from pyro_mnar.infer.enumeration import enumerate_values, is_enumerated, wants_enumeration
from pyro_mnar.infer.structure import is_latent
from pyro_mnar.infer.torch_state import ALONE

if TYPE_CHECKING:
    from types import TracebackType

    from pyro.poutine.runtime import Message


class Particles(IndepMessenger):
    """A plate ``particles`` at ``dim=-2`` that records the sample sites inside it, as ``pyro.plate`` and ``poutine.trace`` would.

    Discrete latents that ask for it hold all their values (:mod:`pyro_mnar.infer.enumeration`).

    One handler in place of two, and no site of the plate's own (a subsample that nobody takes): a tenth of a small batch's step.

    Args:
        size: K.
        values: by name of a latent site, what it shall be; the other sites are drawn.

    Example:
        >>> import pyro, torch, pyro.distributions as dist
        >>> with Particles(5) as seen, pyro.plate("rows", 3, dim=-1):
        ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
        >>> seen.trace.nodes["z"]["value"].shape
        torch.Size([5, 3])
    """

    def __init__(self, size: int, values: Mapping[str, Tensor] | None = None) -> None:
        super().__init__("particles", size, dim=-2)
        self.values = values or {}
        self.trace = poutine.Trace()

    def __enter__(self) -> Particles:
        ALONE.acquire()  # Pyro's stack of handlers is all threads'
        try:
            super().__enter__()
        except BaseException:
            ALONE.release()
            raise
        return self

    def _process_message(self, msg: Message) -> None:
        super()._process_message(msg)
        if msg["type"] == "sample" and not msg["is_observed"]:
            if msg["name"] in self.values:
                _check_event(msg["name"], self.values[msg["name"]], msg["fn"].event_shape)
                msg["value"], msg["done"], msg["infer"] = self.values[msg["name"]], True, {}
            elif wants_enumeration(msg):
                enumerate_values(msg, sum(is_enumerated(site) for site in self.trace.nodes.values()))
        BroadcastMessenger._pyro_sample(msg)

    def _postprocess_message(self, msg: Message) -> None:
        if msg["type"] == "sample" and not msg["infer"].get("_do_not_trace"):
            self.trace.add_node(msg["name"], **msg)

    def __exit__(self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if isinstance(exc_value, (ValueError, RuntimeError)):
                exc_value.add_note(self.trace.format_shapes())
                self._explain(exc_value)
        finally:
            try:
                super().__exit__(exc_type, exc_value, traceback)
            finally:
                ALONE.release()

    def _explain(self, error: Exception) -> None:
        """Raise a ValueError that names plate or site where shapes do not fit since it stands in the way of the particles."""
        taken = re.search(r'"(.*)" and "particles", collide', str(error))
        if taken is not None:
            said = f"plate {taken[1]!r}: got dim=-2, which is the particles', expected one plate over rows at dim=-1"
            raise ValueError(f"{said} (declare other dimensions with .to_event)") from error
        for name, site in self.trace.nodes.items() if isinstance(error, RuntimeError) else ():
            plates = [frame for frame in site["cond_indep_stack"] if frame.name != self.name]
            if not plates and is_latent(site) and "size" in str(error):
                raise ValueError(
                    f"site {name!r}: stands outside of a plate over rows, where it has a draw for each particle, expected a parameter, "
                    f"or a latent of each row (for one that all rows share see SharedLatents); its shape does not fit: {error}"
                ) from error


def _check_event(name: str, value: Tensor, event: Sequence[int]) -> None:
    """Refuse a guide's draw of another shape than the model's site has: broadcast, it would be another latent."""
    if len(event) > value.dim() or value.shape[value.dim() - len(event) :] != torch.Size(event):
        raise ValueError(
            f"site {name!r} of the model: its draws have the event shape {tuple(event)}, expected the guide's to have it too "
            f"(got shape {tuple(value.shape)})"
        )
