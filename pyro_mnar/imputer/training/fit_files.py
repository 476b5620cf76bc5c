"""Files in which the trainings of a fit, and the bounds of its pilots, are kept, each named by a digest of all that it follows from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pyro_mnar.data.files.tensor_files import write_tensors
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.infer.checkpoints import Checkpoint

_FILE = re.compile(r"[0-9a-f]{24}(-\d+)?\.safetensors")


@dataclass(frozen=True)
class FitFiles:
    """The files of one fit.

    Args:
        path: of their folder.
        every: seconds between two states of one training.
        shared: whether other processes fit members of the same, and may look for the files of what is done.
    """

    path: Path
    every: float
    shared: bool = False

    def trainings(
        self, specification: Specification, x: Tensor, mask: Tensor, limits: Tensor | None, weights: Tensor | None, **settings: object
    ) -> list[Checkpoint]:
        """Return the file of each member's training; ``settings`` are all others that have a part in it."""
        name = digest_of(json.dumps(specification.to_json()), x, mask, limits, weights, sorted(settings.items()))
        return [Checkpoint(self.path / f"{name}-{i}.safetensors", self.every) for i in range(specification.members)]

    def number(self, weights: Mapping[str, Tensor], *parts: object, found: Callable[[], float]) -> float:
        """Return the number that follows from a model's ``weights`` and ``parts``, ``found`` where it is not there."""
        file = Checkpoint(self.path / f"{digest_of(*(part for item in sorted(weights.items()) for part in item), *parts)}.safetensors")
        held = file.read()
        if held is not None:
            return float(held[1]["number"])
        number = found()
        write_tensors(file.path, {}, {"number": number})
        return number

    def clear(self) -> None:
        """Remove them all, unless they are shared."""
        for name in os.listdir(self.path):
            if _FILE.fullmatch(name) and not self.shared:
                with suppress(FileNotFoundError):
                    os.remove(self.path / name)


def digest_of(*parts: Any) -> str:
    """Return a digest of tensors, arrays, and what its text says.

    Example:
        >>> digest_of(np.zeros(2), "a") == digest_of(np.zeros(2), "b")
        False
    """
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().numpy()
        array = isinstance(part, np.ndarray)
        found.update(repr((str(part.dtype), part.shape) if array else part).encode() + b"\0")
        if array:
            found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()[:24]
