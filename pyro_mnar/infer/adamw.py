"""AdamW whose update is torch's own fused function, and whose state is kept here.

Every optimizer of ``torch.optim`` imports torch's compiler, when it is made and again in each step, which costs the first training of a
process more than a second and which no setting of torch's avoids. What else they do around the update (hooks, profiler, closures) takes
longer than the update of small networks. Source: Loshchilov and Hutter 2019,
"Decoupled weight decay regularization", arXiv 1711.05101.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.adamw import adamw

_EPS = 1e-8


class AdamW:
    """Updates groups of parameters by their gradients; parameters without one stay as they are.

    Args:
        groups: each with ``params``, a list, its ``lr`` and its ``weight_decay``.
        betas: of the running means of gradients and of their squares.

    Attributes:
        state: by parameter ``step``, ``exp_avg`` and ``exp_avg_sq``, from its first gradient on.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = AdamW([{"params": [weight], "lr": 0.1, "weight_decay": 0.0}])
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> [round(value, 3) for value in weight.tolist()]
        [0.9, 0.9]
    """

    def __init__(self, groups: Sequence[dict[str, Any]], betas: tuple[float, float] = (0.9, 0.99)) -> None:
        self.groups, self.betas = groups, betas
        self.parameters: list[Tensor] = [p for group in groups for p in group["params"]]
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def clip(self, most: float) -> None:
        """Shorten the gradient of all parameters together to the length ``most``, where it is longer."""
        grads = [p.grad for p in self.parameters if p.grad is not None]
        if grads:
            length = get_total_norm(grads)
            if not bool(length <= most):
                clip_grads_with_norm_(self.parameters, most, length)

    @torch.no_grad()
    def step(self, share: float = 1.0) -> None:
        """Update, at this ``share`` of the groups' learning rates."""
        for group in self.groups:
            own = [p for p in group["params"] if p.grad is not None]
            states = [self._state_of(p) for p in own]
            means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
            adamw(
                own,
                [p.grad for p in own],
                means,
                squares,
                [],
                steps,
                fused=True,
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=share * group["lr"],
                weight_decay=group["weight_decay"],
                eps=_EPS,
                maximize=False,
            )

    def _state_of(self, p: Tensor) -> dict[str, Tensor]:
        if p not in self.state:
            count = torch.zeros((), dtype=torch.float32, device=p.device)
            self.state[p] = {"step": count, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        return self.state[p]
