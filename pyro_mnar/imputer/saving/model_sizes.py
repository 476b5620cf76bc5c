"""Whether what a model file declares is as large as the tensors in it: asked before anything of that size is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

#: More columns than this have no model: of every two it holds whether one's mask reads the other.
MOST_COLUMNS = 2**14


def check_sizes(members: object, n_columns: int, latent_dim: object, hidden: Any, outputs: int, tensors: Mapping[str, Tensor]) -> None:
    """Raise a ValueError unless ``tensors`` could be the weights of as many members, with networks of these widths.

    Layers that every model has at least are counted, of its decoder from L on and of its encoder from D on, so that building it takes
    no more memory than its file.

    Args:
        members: of the ensemble.
        n_columns: D.
        latent_dim: L.
        hidden: widths of the hidden layers.
        outputs: of the decoder at least: one for each column, of categories one for each level but one.
        tensors: the state dict of the list of members.

    Example:
        >>> import torch
        >>> check_sizes(10**9, 3, 2, [8], 3, {"0.weight": torch.zeros(8, 2)})
        Traceback (most recent call last):
            ...
        ValueError: members: got 1000000000, expected those of the weights, 1
    """
    given = {"members": members, "latent_dim": latent_dim}
    given |= {f"hidden[{i}]": width for i, width in enumerate(_listed(hidden)[:100])}
    for name, width in given.items():
        if type(width) is not int or width < 1:
            raise ValueError(f"{name}: got {width!r:.40}, expected a whole number above 0")
    if n_columns > MOST_COLUMNS:
        raise ValueError(f"columns: got {n_columns}, expected at most {MOST_COLUMNS}")
    there = {name.split(".")[0] for name in tensors}
    if members != len(there) or there != {str(i) for i in range(len(there))}:
        raise ValueError(f"members: got {members!r:.40}, expected those of the weights, {len(there)}")
    held = sum(tensor.numel() for tensor in tensors.values())
    layers = [[latent_dim, outputs], *([[latent_dim, *hidden, outputs], [n_columns, *hidden]] if hidden else [])]
    needed = members * sum(a * b for widths in layers for a, b in pairwise(widths))
    if needed > held or len(hidden) > len(tensors):
        raise ValueError(f"hidden: got {hidden!r:.40}, latent_dim {latent_dim!r:.20}, of which {held} weights are too few")


def check_tensors(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise a ValueError unless ``given`` has the names, shapes and types of ``expected``.

    Example:
        >>> import torch
        >>> check_tensors({"a": torch.zeros(2)}, {"a": torch.zeros(3)})
        Traceback (most recent call last):
            ...
        ValueError: tensor 'a': got shape (2,) of torch.float32, expected (3,) of torch.float32
    """
    for name in sorted({*given, *expected}):
        one, other = (f"shape {tuple(t[name].shape)} of {t[name].dtype}" if name in t else "none" for t in (given, expected))
        if one != other:
            raise ValueError(f"tensor {name!r:.80}: got {one:.100}, expected {other.removeprefix('shape '):.100}")


def _listed(hidden: Any) -> Sequence[Any]:
    if not isinstance(hidden, (list, tuple)):
        raise ValueError(f"hidden: got {hidden!r:.40}, expected a list")
    return hidden
