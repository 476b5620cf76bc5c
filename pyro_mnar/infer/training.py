"""Train one bound on a table: mini-batches, two learning rates, a held-out bound, best weights kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pyro_mnar.data.warn import warn
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_limits, check_positive, check_rows, check_weights, rows_of
from pyro_mnar.infer.history import Evaluation, History, TiltLook
from pyro_mnar.infer.progress import bar, step_worth
from pyro_mnar.infer.row_weights import batches, weighted_mean
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.structure import row_bound_guide

#: Updates, and rows an update, unless others are asked for.
STEPS, BATCH_SIZE = 1000, 96


class Trainable(Protocol):
    """What :func:`train` minimizes: a bound, or an objective around one."""

    module: Any

    @property
    def weighted(self) -> IWELBO:
        """The bound whose particles and beta held-out rows are judged at; a bound is its own."""

    @property
    def __call__(self) -> Callable[..., Tensor]: ...

    @property
    def loss(self) -> Callable[..., Tensor]: ...

    @property
    def state_dict(self) -> Callable[..., Mapping[str, Tensor]]: ...

    @property
    def load_state_dict(self) -> Callable[..., object]: ...

    def report(self, x: Tensor, mask: Tensor) -> TiltLook | None:
        """Return how its tilt stands, with ``problems``; None where it has none."""


def parameter_groups(module: nn.Module, lr: float, mechanism_lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Split a module's parameters: weight matrices (decayed), other parameters, and the mechanism's, faster and not decayed.

    The mechanism is the attribute ``mechanism`` (of one with a latent its ``base``), and with it goes ``warp``, where there are such.
    Their few parameters sit behind flat likelihoods and want a learning rate several times the networks'.
    """
    fast = [getattr(part, "base", part) for name in ("mechanism", "warp") if isinstance(part := getattr(module, name, None), nn.Module)]
    slopes = [p for part in fast for p in part.parameters()]
    own = {id(p) for p in slopes}
    rest = [p for p in module.parameters() if id(p) not in own]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "lr": lr, "weight_decay": weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "lr": lr, "weight_decay": 0.0},
    ]
    if slopes:
        groups.append({"params": slopes, "lr": mechanism_lr, "weight_decay": 0.0})
    return groups


def train(
    bound: Trainable,
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    weights: Tensor | None = None,
    steps: int = STEPS,
    batch_size: int = BATCH_SIZE,
    lr: float = 1e-2,
    mechanism_lr: float = 5e-2,
    weight_decay: float = 0.0,
    held_out: float = 0.0,
    patience: int | None = None,
    every: int = 100,
    callback: Callable[[Evaluation], None] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Maximise ``bound``, and the prior where there is one, over its module's parameters, in place.

    A module's ``log_prior(n_rows)``, a scalar, is that of its parameters for so many rows; a row's share of it is added to the mean
    bound. What is reported is the bound alone. AdamW's learning rate rises over the first 5 % of the steps and falls to zero as a
    cosine. Global random state is as before on return; the same seed gives the same weights.

    Args:
        bound: of a module with ``model(x, mask)`` and ``guide(x, mask)``, or an objective for its tilt, of which every look then has a
            report, and the last one's problems are warned of. A guide with parameters for each row (Pyro's AutoGuides) is trained on
            all rows at once, in their order.
        x: (N, D) float, finite; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        limits: (N, D, 2), between which missing values are known to lie, as a third argument of model and guide; or None.
        weights: (N,) above 0, how many rows each row counts for: :mod:`pyro_mnar.infer.row_weights`. Priors are told their sum.
        steps: updates.
        batch_size: rows an update; all of them where there are fewer.
        lr, mechanism_lr, weight_decay: see :func:`parameter_groups`.
        held_out: share of the rows, from 0 to below 1, that are kept out of training to choose the best weights, by their bound at
            beta = 1.
        patience: evaluations without a better held-out bound after which to stop; None to use all steps.
        every: updates between evaluations.
        callback: called with each :class:`Evaluation`, for loggers and live plots.
        seed: of batches, particles and the choice of held-out rows.
        progress: a bar on standard error; none where that is not a terminal.

    Raises:
        ValueError: for arguments out of range or shapes that differ; ``patience`` without held-out rows; a bound, without an
            objective around it, of a module with a tilt.
        FloatingPointError: when the loss is no longer finite; the weights are then the best so far.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> bound = IWELBO(MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)), particles=5)
        >>> history = train(bound, torch.randn(50, 2), torch.ones(50, 2, dtype=torch.bool), steps=10, every=5)
        >>> [e.step for e in history.evaluations]
        [5, 10]
    """
    check_rows(x, mask)
    check_limits(limits, x)
    check_weights(weights, x)
    if weights is not None and bound.weighted is not bound:
        raise ValueError("weights: got some for an objective around a bound, expected the bound itself")
    check_positive(steps=steps, batch_size=batch_size, every=every)
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out: got {held_out}, expected a share from 0 to below 1")
    if bound.weighted is bound and getattr(bound.module, "tilt", None) is not None:
        raise ValueError("bound: its module has a tilt, expected an objective (SelfNormalized(bound), say); alone it has no maximum")
    n_out = round(held_out * len(x))
    if len(x) == 0:
        raise ValueError("x: got no rows, expected at least 1")
    if n_out == len(x):
        raise ValueError(f"held_out: got {held_out}, which leaves no row to train on, expected less")
    if patience is not None and n_out == 0:
        raise ValueError("patience: needs held-out rows, expected held_out > 0 and enough rows")
    guide = row_bound_guide(bound.module)
    if guide is not None and (batch_size < len(x) or n_out):
        raise ValueError(
            f"batch_size, held_out: got {batch_size} and {held_out} with an {guide}, which has parameters for each row, expected "
            f"{len(x)} or more and 0 (or a guide that is a network of the row)"
        )
    with seeded(seed, x.device):
        test, train = torch.randperm(len(x), device=x.device).tensor_split([n_out])
        if guide is not None:
            bound.weighted.traces(*rows_of(slice(None), x, mask, limits))  # makes its parameters
        own, size = None if weights is None else weights[train], min(batch_size, len(train))
        drawn = batches(train, size, own) if guide is None else repeat(torch.arange(len(x), device=x.device))
        n_rows = len(train) if own is None else float(own.sum())
        return _Loop(bound, (x, mask, limits), weights, drawn, n_rows, test, steps, patience, every, callback, progress).run(
            parameter_groups(bound.module, lr, mechanism_lr, weight_decay), size, size == len(train)
        )


@dataclass
class _Loop:
    bound: Trainable
    table: tuple[Tensor, Tensor, Tensor | None]
    weights: Tensor | None
    drawn: Iterator[Tensor]
    n_rows: float
    test: Tensor
    steps: int
    patience: int | None
    every: int
    callback: Callable[[Evaluation], None] | None
    progress: bool

    def run(self, groups: list[dict[str, Any]], batch_size: int, of_all: bool) -> History:
        # Fused: one kernel for all parameters, a quarter of the time of one update each.
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)
        parameters = [p for group in groups for p in group["params"]]
        warm = max(1, self.steps // 20)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda i: min(1.0, (i + 1) / warm) * 0.5 * (1 + math.cos(math.pi * i / self.steps)),
        )
        log_prior = getattr(self.bound.module, "log_prior", None)
        particles = self.bound.weighted.particles
        history, best, best_bound, losses = History(), None, -torch.inf, []
        shown_in = bar(self.steps, "training", "step", self.progress, step_worth(batch_size))
        try:
            for step in range(1, self.steps + 1):
                shown_in.update()
                rows = next(self.drawn)
                optimizer.zero_grad()
                weighed = {"weights": self.weights[rows]} if self.weights is not None and of_all else {}
                loss = objective = self.bound.loss(*rows_of(rows, *self.table), **weighed)
                if log_prior is not None:
                    objective = loss - log_prior(self.n_rows) / self.n_rows
                if not bool(loss.isfinite()):
                    raise FloatingPointError(
                        f"the loss is {loss.item()} at step {step}: lower lr or mechanism_lr, or look for extreme values in the "
                        "table (columns should be scaled)"
                    )
                objective.backward()
                nn.utils.clip_grad_norm_(parameters, 100.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.detach())
                if step % self.every and step != self.steps:
                    continue
                tilt = self.bound.report(*rows_of(rows, *self.table))
                look = Evaluation(step, -float(torch.stack(losses).mean()), self._held_out(particles), tilt)
                losses = []
                history.evaluations.append(look)
                shown = {} if look.held_out is None else {"held_out": f"{look.held_out:.3f}"}
                shown_in.set_postfix(bound=f"{look.train:.3f}", **shown, **({} if tilt is None else {"tilt": str(tilt)}))
                if look.held_out is None or look.held_out > best_bound:
                    best_bound = -torch.inf if look.held_out is None else look.held_out
                    best, history.best_step = copy.deepcopy(self.bound.module.state_dict()), step
                if self.callback is not None:
                    self.callback(look)
                if self.patience is not None and step - history.best_step >= self.patience * self.every:
                    history.stopped = "patience"
                    break
        except KeyboardInterrupt:
            history.stopped = "interrupted"
        finally:
            shown_in.close()
            for problem in history.evaluations[-1].tilt.problems if history.evaluations and history.evaluations[-1].tilt else ():
                warn(problem)
            if best is not None:
                self.bound.module.load_state_dict(best)
        return history

    @torch.no_grad()
    def _held_out(self, particles: int) -> float | None:
        if not len(self.test):
            return None
        # Another beta is another scale, and more particles a tighter bound: looks would differ by a schedule and not by the weights.
        bound = self.bound.weighted
        set_by_others = bound.beta, bound.particles
        bound.beta, bound.particles = 1.0, particles
        try:
            with seeded(0, self.test.device):  # the same particles at every look, so that looks differ by the weights alone
                bounds = torch.cat([self.bound(*rows_of(r, *self.table)) for r in self.test.split(512)])
                return float(weighted_mean(bounds, None if self.weights is None else self.weights[self.test]))
        finally:
            bound.beta, bound.particles = set_by_others
