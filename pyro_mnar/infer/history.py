"""What training saw: looks at the bound, the weights that were kept, and why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class TiltLook(Protocol):
    """How a tilt stands, in a few words as text."""

    @property
    def problems(self) -> Sequence[str]:
        """Sentences, each with what to do; none where there is nothing to say."""


@dataclass(frozen=True)
class Evaluation:
    """One look during training: the step, the mean training bound since the last look, the held-out bound (nats a row).

    Looks are compared by ``held_out``, which is therefore of beta = 1 and of the particles that training began with, whatever a
    callback sets; ``train`` is of those it has set.

    Of an objective for a tilt (:mod:`pyro_mnar.energy.objectives`), ``train`` is minus its loss and ``tilt`` its report.
    """

    step: int
    train: float
    held_out: float | None
    tilt: TiltLook | None = None


@dataclass
class History:
    """What :func:`~pyro_mnar.infer.ensembles.fit` saw.

    ``evaluations`` in order; ``best_step`` whose weights were kept; ``stopped`` says why it ended: ``steps``, ``converged`` (with
    ``auto`` alone), ``patience`` or ``interrupted``.
    """

    evaluations: list[Evaluation] = field(default_factory=list)
    best_step: int = 0
    stopped: str = "steps"
