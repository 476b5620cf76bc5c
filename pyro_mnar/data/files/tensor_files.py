"""Tensors and plain data in one safetensors file, whole or not at all, with a digest by which a changed bit is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_mnar.data.files.replacement import replacement


def write_tensors(path: Path, tensors: Mapping[str, Tensor], plain: Mapping[str, object]) -> None:
    """Write ``tensors`` and ``plain`` data, numbers in full, as one file; an earlier one of the name is replaced in one step.

    Raises:
        ValueError: naming ``path``, where it cannot be written.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as home:
        ...     write_tensors(Path(home, "a.safetensors"), {"x": torch.ones(2)}, {"step": 3})
        ...     tensors, plain = read_tensors(Path(home, "a.safetensors"))
        >>> tensors["x"].tolist(), plain
        ([1.0, 1.0], {'step': 3})
    """
    from safetensors.torch import save

    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(plain)
    with replacement(path) as new:
        new.write_bytes(save(own, {"plain": text, "digest": _digest(own, text)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the plain data of a file.

    Raises:
        ValueError: naming ``path``, where it is damaged, or none that :func:`write_tensors` wrote.
        FileNotFoundError: where there is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        whole = path.read_bytes()
        header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")].decode("utf-8"))["__metadata__"]
        # Copies: what was read stands anywhere in memory, where sums may be rounded otherwise.
        tensors = {name: tensor.clone() for name, tensor in load(whole).items()}
        if header["digest"] != _digest(tensors, header["plain"]):
            raise ValueError("another digest")
        return tensors, dict(json.loads(header["plain"]))
    except FileNotFoundError:
        raise
    except (SafetensorError, ArithmeticError, LookupError, OSError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({(str(error).splitlines() or [type(error).__name__])[0]:.200})") from None


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        found.update(repr((name, str(tensors[name].dtype), tuple(tensors[name].shape))).encode())
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()
