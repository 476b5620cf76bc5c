"""How long training goes on, and the share of the learning rates that each of its steps has.

Of a number of steps the rates rise over the first twentieth and fall to zero as a cosine. With ``auto`` they stay where they are until
the training bound, averaged over the steps between two looks, no longer rises, and then fall to zero over as many steps as any
training needs to come to rest: at a high rate the bound stands where its noise holds it, and goes up once more as the rate falls. A
warm start, a small table and a simple one so take fewer steps (warmup, stable, decay: Hu et al. 2024, arXiv 2404.06395, whose stable
phase has no length of its own either).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

from pyro_mnar.infer.history import Evaluation

#: The word for as many steps as the bound rises, and the most of them.
AUTO, MOST = "auto", 1000
#: Steps over which rates rise with ``auto``, over which they fall, and updates between looks.
_RISE, _FALL, EVERY = 20, 150, 50
#: Rise of the bound from one look to the next up to which it no longer rises: of each column so many nats a row, and so many of the
#: whole table, which training on noise gains as well (two, as by Akaike's criterion of an effect).
FLAT, NOISE = 0.0015, 2.0


def most_steps(steps: int | str) -> int:
    """Return how many steps there are at most.

    Raises:
        ValueError: for what is no number of steps.

    Example:
        >>> most_steps(300), most_steps("auto")
        (300, 1000)
    """
    if isinstance(steps, str) and steps == AUTO:
        return MOST
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps: got {steps!r:.40}, expected a number of updates, at least 1, or 'auto'")
    return int(steps)


def rise(looks: Sequence[Evaluation]) -> float:
    """Return by how much, in nats a row, the training bound rose over the second half of the steps; 0 where nobody looked.

    Example:
        >>> rise([Evaluation(step, bound, None) for step, bound in ((5, -3.0), (10, -2.0), (20, -1.5))])
        0.5
    """
    before = [look.train for look in looks if 2 * look.step <= looks[-1].step]
    return looks[-1].train - before[-1] if before else 0.0


class Schedule:
    """The learning rates' share in each step, and the last step.

    Args:
        steps: how many, or ``auto``.
        columns, rows: D and N, of the table.

    Attributes:
        last: the last step, as far as is known.
        flat: whether the bound was seen not to rise any longer.

    Example:
        >>> schedule = Schedule(100, columns=5, rows=200)
        >>> [round(schedule.share(step), 2) for step in (1, 5, 51, 100)], schedule.last
        ([0.2, 1.0, 0.5, 0.0], 100)
    """

    def __init__(self, steps: int | str, columns: int, rows: float) -> None:
        self.enough = columns * (FLAT + NOISE / rows)
        self.auto, self.most = steps == AUTO, most_steps(steps)
        self.last, self.flat = self.most, False
        self.rise, self.fall = (_RISE, _FALL) if self.auto else (max(1, self.most // 20), self.most)

    def share(self, step: int) -> float:
        """Return the share of the rates that step number ``step``, from 1 on, has."""
        done = max(0, step - 1 - (self.last - self.fall))
        return min(1.0, step / self.rise) * 0.5 * (1 + math.cos(math.pi * done / self.fall))

    def hear(self, looks: Sequence[Evaluation]) -> None:
        """Take in the looks so far, the last of which has just been made."""
        if self.auto and not self.flat and len(looks) > 1 and looks[-1].train - looks[-2].train <= self.enough:
            self.flat, self.last = True, min(self.most, looks[-1].step + self.fall)
