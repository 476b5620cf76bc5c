"""Train one bound on a table: mini-batches, two learning rates, a held-out bound, best weights kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pyro_mnar.data.warn import warn
from pyro_mnar.infer.adamw import AdamW
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checkpoints import Batches, Checkpoint, TrainingState
from pyro_mnar.infer.checks import check_counts, check_limits, check_rates, check_rows, check_weights, rows_of
from pyro_mnar.infer.held_out import split_rows
from pyro_mnar.infer.history import Evaluation, History, TiltLook
from pyro_mnar.infer.progress import bar, heard_by, step_worth
from pyro_mnar.infer.row_weights import weighted_mean
from pyro_mnar.infer.schedule import Schedule
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.structure import check_parameters, check_whole

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
    steps: int | str = STEPS,
    batch_size: int = BATCH_SIZE,
    lr: float = 1e-2,
    mechanism_lr: float = 5e-2,
    weight_decay: float = 0.0,
    held_out: float = 0.0,
    copies: Tensor | None = None,
    patience: int | None = None,
    every: int = 100,
    callback: Callable[[Evaluation], None] | None = None,
    seed: int = 0,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Maximise ``bound``, and the prior where there is one, over its module's parameters, in place.

    A module's ``log_prior(n_rows)``, a scalar, is that of its parameters for so many rows; a row's share of it is added to the mean
    bound. What is reported is the bound alone. AdamW's learning rate goes as
    :mod:`pyro_mnar.infer.schedule` says. Global random state is as before on return; the same seed gives the same weights.

    Args:
        bound: of a module with ``model(x, mask)`` and ``guide(x, mask)``, or an objective for its tilt, of which every look then has a
            report, and the last one's problems are warned of. A guide with parameters for each row (Pyro's AutoGuides) is trained on
            all rows at once, in their order.
        x: (N, D) float, finite; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        limits: (N, D, 2), between which missing values are known to lie, as a third argument of model and guide; or None.
        weights: (N,) above 0, how many rows each row counts for: :mod:`pyro_mnar.infer.row_weights`. Priors are told their sum.
        steps: updates; or ``auto``, for as many as the training bound rises, 1000 at most.
        batch_size: rows an update; all of them where there are fewer.
        lr, mechanism_lr, weight_decay: see :func:`parameter_groups`.
        held_out: share of the rows, from 0 to below 1, that are kept out of training to choose the best weights, by their bound at
            beta = 1.
        copies: (N,) the same number for rows that are copies of one row, which are held out together; None where there are none.
        patience: evaluations without a better held-out bound after which to stop; None to use all steps.
        every: updates between evaluations.
        callback: called with each :class:`Evaluation`, for loggers and live plots.
        seed: of batches, particles and the choice of held-out rows.
        progress: a bar on standard error; none where that is not a terminal.
        checkpoint: the file of this training, from which it goes on, and ``callback`` hears of earlier looks again; of a bound alone.

    Raises:
        ValueError: for arguments out of range or shapes that differ; ``patience`` without held-out rows; a bound, without an
            objective around it, of a module with a tilt.
        FloatingPointError: when the loss is no longer finite; the weights are then the best so far.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> bound = IWELBO(MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)), particles=5)
        >>> [e.step for e in train(bound, torch.randn(50, 2), torch.ones(50, 2) > 0, steps=10, every=5).evaluations]
        [5, 10]
    """
    check_rows(x, mask)
    check_limits(limits, x)
    check_weights(weights, x)
    check_counts(batch_size=batch_size, every=every)
    check_rates(lr=lr, mechanism_lr=mechanism_lr, weight_decay=weight_decay)
    if bound.weighted is bound and getattr(bound.module, "tilt", None) is not None:
        raise ValueError("bound: its module has a tilt, expected an objective (SelfNormalized(bound), say); alone it has no maximum")
    for name, given in (("weights", weights), ("limits", limits), ("checkpoint", checkpoint)):
        if bound.weighted is not bound and given is not None:
            raise ValueError(f"{name}: got one with an objective for a tilt, which takes none, expected a bound alone")
    guide = check_whole(bound.module, len(x), batch_size, held_out)
    with seeded(seed, x.device):
        schedule, (train, test) = Schedule(steps, x.shape[-1], max(1, len(x))), split_rows(len(x), held_out, patience, copies, x.device)
        if guide is not None:
            bound.weighted.traces(*rows_of(slice(None), x, mask, limits))  # makes its parameters
        check_parameters(bound.weighted, *rows_of(slice(None if guide else 1), x, mask, limits))
        whole, table = None if guide is None else torch.arange(len(x), device=x.device), (x, mask, limits)
        hear = heard_by(callback)
        return _Loop(bound, table, weights, train, test, whole, schedule, patience, every, hear, progress, checkpoint).run(
            parameter_groups(bound.module, lr, mechanism_lr, weight_decay), min(batch_size, len(train))
        )


@dataclass
class _Loop:
    bound: Trainable
    table: tuple[Tensor, Tensor, Tensor | None]
    weights: Tensor | None
    train: Tensor
    test: Tensor
    whole: Tensor | None  # the order in which a guide knows the rows
    schedule: Schedule
    patience: int | None
    every: int
    callback: Callable[[Evaluation], None]
    progress: bool
    checkpoint: Checkpoint | None

    def run(self, groups: list[dict[str, Any]], batch_size: int) -> History:
        optimizer = AdamW(groups)
        log_prior = getattr(self.bound.module, "log_prior", None)
        particles = self.bound.weighted.particles
        own = None if self.weights is None else self.weights[self.train]
        n_rows = len(self.train) if own is None else float(own.sum())
        now = TrainingState(self.bound.module, optimizer, Batches(self.train, batch_size, self.whole, own))
        schedule, history = self.schedule, now.restore(self.checkpoint, self.schedule.most)
        for i in range(len(history.evaluations)):
            schedule.hear(history.evaluations[: i + 1])
        shown_in = bar(schedule.most, "training", "step", self.progress, step_worth(batch_size))
        shown_in.update(now.step)
        try:
            for look in history.evaluations:
                self.callback(look)
            for step in range(now.step + 1, schedule.most + 1):
                now.keep(self.checkpoint)
                shown_in.update()
                rows = next(now.batches)
                optimizer.zero_grad()
                weighed = {"weights": self.weights[rows]} if self.weights is not None and len(rows) == len(self.train) else {}
                loss = objective = self.bound.loss(*rows_of(rows, *self.table), **weighed)
                if log_prior is not None:
                    objective = loss - log_prior(n_rows) / n_rows
                if not bool(loss.isfinite()):
                    raise FloatingPointError(
                        f"the loss is {loss.item()} at step {step}: lower lr or mechanism_lr, or look for extreme values in the "
                        "table (columns should be scaled)"
                    )
                objective.backward()
                optimizer.clip(100.0)
                optimizer.step(schedule.share(step))
                now.losses.append(loss.detach())
                now.step = step
                if step % self.every and step != schedule.last:
                    continue
                tilt = self.bound.report(*rows_of(rows, *self.table))
                look = Evaluation(step, -float(torch.stack(now.losses).mean()), self._held_out(particles), tilt)
                now.losses = []
                history.evaluations.append(look)
                shown = {} if look.held_out is None else {"held_out": f"{look.held_out:.3f}"}
                shown_in.set_postfix(bound=f"{look.train:.3f}", **shown, **({} if tilt is None else {"tilt": str(tilt)}))
                now.judged(look.held_out)
                schedule.hear(history.evaluations)
                self.callback(look)
                if self.patience is not None and step - history.best_step >= self.patience * self.every:
                    history.stopped = "patience"
                    break
                if step == schedule.last:
                    history.stopped = "converged" if schedule.flat else "steps"
                    break
        except KeyboardInterrupt:
            history.stopped = "interrupted"
        finally:
            shown_in.close()
            for problem in history.evaluations[-1].tilt.problems if history.evaluations and history.evaluations[-1].tilt else ():
                warn(problem)
            now.use_best()
        now.finish(self.checkpoint)
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
