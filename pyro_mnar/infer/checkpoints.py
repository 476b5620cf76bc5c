"""A training that is gone on with where a killed process left it, to the bit.

Everything that a step reads is kept: parameters and buffers, AdamW's moments, where in which order of the rows the
batches are, torch's generators, the losses since the last look, the looks, and the best weights. All is of one moment, between two
steps, and is written as one file that replaces the one before. A finished training's file holds its weights and its looks.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mnar.data.files.tensor_files import read_tensors, write_tensors
from pyro_mnar.data.warn import warn
from pyro_mnar.infer.adamw import AdamW
from pyro_mnar.infer.history import Evaluation, History
from pyro_mnar.infer.row_weights import epoch

#: Seconds between two states of one training.
EVERY = 10.0


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training.

    Args:
        path: of the file, which is that of this training alone: nothing in it says of which table or settings it is.
        every: seconds between states.
    """

    path: Path
    every: float = EVERY

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what is there, or None; after a warning where it is damaged, since it can be done again."""
        try:
            return read_tensors(self.path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            warn(f"checkpoint: {error}; what it held is done again")
            return None

    @property
    def finished(self) -> bool:
        """Whether it is there and holds what a training ended with."""
        found = self.read()
        return found is not None and bool(found[1].get("finished"))


class Batches(Iterator[Tensor]):
    """Rows of one update after the other, of every epoch in another order; the order and the place in it can be kept.

    Args:
        rows: (N,) positions.
        size: of a batch.
        whole: what every batch is instead, where a guide knows the rows by their order.
        weights: (N,) of the rows, in proportion to which they are drawn where batches are smaller than N.

    Example:
        >>> next(Batches(torch.arange(4), 4)).sort().values.tolist()
        [0, 1, 2, 3]
    """

    def __init__(self, rows: Tensor, size: int, whole: Tensor | None = None, weights: Tensor | None = None) -> None:
        self.rows, self.size, self.whole = rows, size, whole
        self.weights = weights if size < len(rows) else None
        self.order, self.at = rows[:0], 0

    def __next__(self) -> Tensor:
        if self.whole is not None:
            return self.whole
        # The last, smaller batch is left for another epoch's order.
        if self.at + self.size > len(self.order):
            self.order, self.at = self.rows[epoch(len(self.rows), self.weights, self.rows.device)], 0
        self.at += self.size
        return self.order[self.at - self.size : self.at]


@dataclass
class TrainingState:
    """What changes from step to step, at the end of step ``step``.

    Attributes:
        module, optimizer, batches: as training uses them.
        best, best_bound: weights that were the best at a look, and their held-out bound.
        losses: since the last look.
        history: the looks.
    """

    module: nn.Module
    optimizer: AdamW
    batches: Batches
    step: int = 0
    best: Mapping[str, Tensor] | None = None
    best_bound: float = -torch.inf
    losses: list[Tensor] = field(default_factory=list)
    history: History = field(default_factory=History)
    finished: bool = False
    kept_at: float = field(default_factory=time.monotonic)

    def judged(self, held_out: float | None) -> None:
        """Keep the weights of this step, unless earlier ones were better on held-out rows."""
        if held_out is None or held_out > self.best_bound:
            self.best_bound = -torch.inf if held_out is None else held_out
            self.best, self.history.best_step = copy.deepcopy(self.module.state_dict()), self.step

    def use_best(self) -> None:
        """Give the module the best weights, if there was a look."""
        if self.best is not None:
            self.module.load_state_dict(self.best)

    def keep(self, checkpoint: Checkpoint | None) -> None:
        """Write the state, if there is a file for it and the last one was written long enough ago."""
        if checkpoint is None or time.monotonic() - self.kept_at < checkpoint.every:
            return
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {
            f"optimizer.{i}.{name}": part
            for i, p in enumerate(self.optimizer.parameters)
            for name, part in self.optimizer.state.get(p, {}).items()
        }
        tensors |= {"order": self.batches.order, "losses": torch.stack(self.losses) if self.losses else torch.zeros(0)}
        tensors["generator"] = torch.default_generator.get_state()
        if self.batches.rows.is_cuda:
            tensors["generator.cuda"] = torch.cuda.get_rng_state(self.batches.rows.device)
        self._write(checkpoint, tensors)
        self.kept_at = time.monotonic()

    def finish(self, checkpoint: Checkpoint | None) -> None:
        """Write what training ended with, if there is a file for it and it is not there yet."""
        if checkpoint is not None and not self.finished and self.history.stopped != "interrupted":
            self.finished = True
            self._write(checkpoint, {})

    def _write(self, checkpoint: Checkpoint, tensors: dict[str, Tensor]) -> None:
        tensors |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        plain: dict[str, object] = {name: getattr(self, name) for name in ("step", "best_bound", "finished")}
        write_tensors(checkpoint.path, tensors, plain | {"at": self.batches.at, "history": asdict(self.history)})

    def restore(self, checkpoint: Checkpoint | None, steps: int) -> History:
        """Go back to what the file holds, if there is one, and return the history; what is finished is at the last of ``steps``."""
        found = None if checkpoint is None else checkpoint.read()
        if found is not None:
            self._restore(*found, steps)
        return self.history

    def _restore(self, tensors: dict[str, Tensor], plain: dict[str, Any], steps: int) -> None:
        device = self.batches.rows.device
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, own = name.partition(".")
            parts.setdefault(part, {})[own] = tensor if part == "generator" else tensor.to(device)
        looks = [Evaluation(**look) for look in plain["history"]["evaluations"]]
        self.history = History(**plain["history"] | {"evaluations": looks})
        self.best, self.best_bound, self.finished = parts.get("best"), plain["best_bound"], plain["finished"]
        self.step = steps if self.finished else plain["step"]
        if self.finished:
            return
        self.module.load_state_dict(parts["module"])
        self.batches.order, self.batches.at, self.losses = parts["order"][""], plain["at"], list(parts["losses"][""])
        for i, p in enumerate(self.optimizer.parameters):
            moments = {name.partition(".")[2]: part for name, part in parts.get("optimizer", {}).items() if name.startswith(f"{i}.")}
            if moments:
                self.optimizer.state[p] = moments
        torch.default_generator.set_state(parts["generator"][""])
        if "cuda" in parts["generator"]:
            torch.cuda.set_rng_state(parts["generator"]["cuda"], device)
