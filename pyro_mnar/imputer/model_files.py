"""Model files: a folder of ``weights.safetensors`` and ``model.json``. Reading one executes nothing and imports nothing by name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor

FORMAT = "pyro_mnar model"
#: 2: slopes by their logarithm; 3: anchors of typical skewness and of every slope; 4: a specification and a codec.
VERSION = 4


def save_model(folder: str | os.PathLike[str], tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write a model folder, whole or not at all; an earlier model of the same name is replaced.

    Args:
        folder: path; its parent exists.
        tensors: the state dict.
        description: plain data, from which the caller can build the module again.

    Raises:
        ValueError: when ``folder`` cannot be written, or is something other than a model.

    Example:
        >>> import torch
        >>> with tempfile.TemporaryDirectory() as home:
        ...     save_model(Path(home, "m"), {"a": torch.ones(2)}, {"of": "an example"})
        ...     tensors, description = load_model(Path(home, "m"))
        >>> tensors["a"].tolist(), description
        ([1.0, 1.0], {'of': 'an example'})
    """
    from safetensors.torch import save

    folder = Path(folder)
    check_model_folder(folder)
    weights = save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
    head = {"format": FORMAT, "version": VERSION, "digest": hashlib.sha256(weights).hexdigest(), "description": description}
    text = json.dumps(head, indent=1, allow_nan=False)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        new.mkdir()
        (new / "weights.safetensors").write_bytes(weights)
        (new / "model.json").write_text(text, encoding="utf-8")
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
        if old.exists():
            shutil.rmtree(old)


def load_model(folder: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the description that :func:`save_model` wrote.

    Raises:
        ValueError: naming the file, for a folder that is absent, foreign, damaged, or of another version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder, expected a saved model")
    head_path, weights_path = folder / "model.json", folder / "weights.safetensors"
    for path in (head_path, weights_path):
        if not path.is_file():
            raise ValueError(f"{folder}: has no {path.name}, expected a saved model")
    try:
        head = json.loads(head_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{head_path}: damaged ({str(error).splitlines()[0]})") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError(f"{head_path}: not a {FORMAT}, expected one that save_model wrote")
    version = head.get("version")
    if version != VERSION:
        raise ValueError(f"{head_path}: got format version {version!r}, expected {VERSION} (fit again, or use another pyro_mnar)")
    weights = weights_path.read_bytes()
    if hashlib.sha256(weights).hexdigest() != head.get("digest"):
        raise ValueError(f"{weights_path}: damaged (its digest is not the one in model.json)")
    try:
        tensors = load(weights)
    except SafetensorError as error:
        raise ValueError(f"{weights_path}: damaged ({error})") from None
    if not isinstance(head.get("description"), dict):
        raise ValueError(f"{head_path}: damaged (no description)")
    return tensors, head["description"]


def check_model_folder(folder: str | os.PathLike[str]) -> None:
    """Raise a ValueError, before any work is done, when a model could not be saved as ``folder``."""
    folder = Path(folder)
    if not folder.parent.is_dir() or not os.access(folder.parent, os.W_OK):
        raise ValueError(f"{folder}: no folder {folder.parent} that can be written, expected one")
    if folder.exists() and not (folder.is_dir() and (folder / "model.json").is_file()):
        raise ValueError(f"{folder}: is there already and is not a model, expected a new name")
