"""Model files: a folder of ``weights.safetensors`` and ``model.json``. Reading one executes nothing and imports nothing by name.

The digest in ``model.json`` is SHA-256 over everything: the rest of that file, as canonical JSON, and the weights. A changed bit is
refused, unless it changes nothing that is read (white space, or a number's digit beyond double precision).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor

from pyro_mnar.data.files.replacement import replacement

FORMAT = "pyro_mnar model"
#: 2: slopes by their logarithm; 3: anchors of typical skewness and of every slope; 4: a specification, a codec, a digest of it all.
VERSION = 4
HEAD, WEIGHTS = "model.json", "weights.safetensors"
#: The most bytes of a ``model.json``: it is read before anything of it is known.
LARGEST_HEAD = 2**25


def save_model(folder: str | os.PathLike[str], tensors: dict[str, Tensor], description: dict[str, object]) -> None:
    """Write a model folder, whole or not at all; an earlier model of the same name is replaced in one step.

    Args:
        folder: path, new, empty or a model's; its parent exists. A link is followed.
        tensors: the state dict.
        description: plain data, from which the caller can build the module again.

    Raises:
        ValueError: when ``folder`` cannot be written, or holds something other than a model; for a description above 32 MiB.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as home:
        ...     save_model(Path(home, "m"), {"a": torch.ones(2)}, {"of": "an example"})
        ...     tensors, description = load_model(Path(home, "m"))
        >>> tensors["a"].tolist(), description
        ([1.0, 1.0], {'of': 'an example'})
    """
    from safetensors.torch import save

    check_model_folder(folder)
    weights = save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
    head = {"format": FORMAT, "version": VERSION, "description": description}
    # Keys and numbers as they will be read, of which the digest is.
    head = json.loads(json.dumps(head, allow_nan=False))
    text = json.dumps({"format": FORMAT, "version": VERSION, "digest": digest_of(head, weights)} | head, indent=1)
    if len(text) > LARGEST_HEAD:
        raise ValueError(f"{folder}: the model's description has {len(text)} characters, expected at most {LARGEST_HEAD}")
    with replacement(Path(folder)) as new:
        new.mkdir()
        (new / WEIGHTS).write_bytes(weights)
        (new / HEAD).write_text(text, encoding="utf-8")


def load_model(folder: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the description that :func:`save_model` wrote.

    Sizes are checked before anything is read, and the tensors' before they are made.

    Raises:
        ValueError: naming the file, for a folder that is absent, foreign, damaged, or of another version; for weights that are no
            finite numbers.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder, expected a saved model")
    for _ in range(20):
        before = _identity(folder)
        try:
            return _load(folder)
        except ValueError:
            # The folder was replaced meanwhile: what was read may be of both models.
            if _identity(folder) == before:
                raise
    raise ValueError(f"{folder}: is replaced all the time, expected a model that stays")


def check_model_folder(folder: str | os.PathLike[str]) -> None:
    """Raise a ValueError, before any work is done, when a model could not be saved as ``folder``, or something else would be lost."""
    path = Path(os.path.realpath(folder))
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        place = path.parent if os.path.islink(folder) else Path(folder).parent
        raise ValueError(f"{folder}: no folder {place} that can be written, expected one")
    if not os.path.lexists(path):
        return
    expected = "expected a new name, an empty folder or a model's"
    if not path.is_dir():
        raise ValueError(f"{folder}: is there already and is not a model, {expected}")
    if Path.cwd().is_relative_to(path):
        raise ValueError(f"{folder}: is the working folder, or around it, expected another one")
    if not os.access(path, os.W_OK):
        raise ValueError(f"{folder}: cannot be written (permission denied)")
    names = set(os.listdir(path))
    if names - {HEAD, WEIGHTS}:
        raise ValueError(f"{folder}: is not a model (it holds {min(names - {HEAD, WEIGHTS})}), {expected}")
    if names:
        try:
            _head(path)
            _size(path / WEIGHTS)
        except ValueError as error:
            raise ValueError(f"{folder}: is not a model ({str(error).split(': ', 1)[-1]}), {expected}") from None


def _identity(folder: Path) -> tuple[int, int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    head, path = _head(folder), folder / WEIGHTS
    version = head.get("version")
    if type(version) is not int or version != VERSION:
        raise ValueError(
            f"{folder / HEAD}: got format version {version!r:.20}, expected {VERSION} (fit again, or use another pyro_mnar)"
        )
    size = _size(path)
    _check_length(path, size)
    weights = _bytes(path, size)
    if digest_of(head, weights) != head.get("digest"):
        raise ValueError(f"{folder}: damaged (the digest of its files is not the one in {HEAD})")
    if not isinstance(head.get("description"), dict):
        raise ValueError(f"{folder / HEAD}: damaged (no description)")
    return _tensors(path, weights), head["description"]


def _head(folder: Path) -> dict[str, Any]:
    path = folder / HEAD
    size = _size(path)
    if size > LARGEST_HEAD:
        raise ValueError(f"{path}: has {size} bytes, expected at most {LARGEST_HEAD}")
    text = _bytes(path, size)
    try:
        head = json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({str(error).splitlines()[0]:.200})") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError(f"{path}: not a {FORMAT}, expected one that save_model wrote")
    return head


def _size(path: Path) -> int:
    try:
        found = path.stat()
    except OSError:
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path.parent}: has no {path.name}, expected a saved model")
    return found.st_size


def _bytes(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no finite number")


def digest_of(head: dict[str, object], weights: bytes) -> str:
    """Return the digest of a model's ``head``, whose entry ``digest`` does not count, and ``weights``; empty where it has none."""
    rest = {name: value for name, value in head.items() if name != "digest"}
    try:
        canonical = json.dumps(rest, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):  # a number beyond double precision, 1e999, or one list in another without end
        return ""
    return hashlib.sha256(canonical.encode() + hashlib.sha256(weights).digest()).hexdigest()


def _check_length(path: Path, size: int) -> None:
    """Raise a ValueError unless the file has the bytes that its own header promises."""
    length = int.from_bytes(_bytes(path, 8), "little")
    if not 0 < length <= min(LARGEST_HEAD, size - 8):
        raise ValueError(f"{path}: damaged (a header of {length} bytes in {size})")
    try:
        header = json.loads(_bytes(path, 8 + length)[8:].decode("utf-8"))
        end = max([0, *(int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__")])
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({str(error).splitlines()[0]:.200})") from None
    if end != size - 8 - length:
        raise ValueError(f"{path}: damaged ({size - 8 - length} bytes of tensors, expected {end:.20g})")


def _tensors(path: Path, weights: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(weights)
        wrong = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:  # KeyError: a type that torch has not
        raise ValueError(f"{path}: damaged ({str(error).splitlines()[0]:.200})") from None
    if wrong:
        raise ValueError(f"{path}: tensor {wrong[0]!r:.80} has values that are no finite numbers")
    return tensors
