"""Where a fitted imputer computes: the words of ``device=`` and what they mean on this machine."""

from __future__ import annotations

import torch

from pyro_mnar.imputer.contract import Imputer

#: Rows from which ``auto`` takes a GPU. A step of training takes there what starting its kernels takes, whatever the rows: below, the
#: processor is done sooner (docs/speed.md).
AUTO_ROWS = 10_000


def device_of(imputer: Imputer, rows: int) -> torch.device:
    """Return the device on which ``imputer`` computes for a table of so many ``rows``.

    Raises:
        ValueError: for an unknown word, a device that this machine has not, or processes that would share a GPU.

    Example:
        >>> from types import SimpleNamespace
        >>> device_of(SimpleNamespace(device="cpu", n_jobs=None), 10)
        device(type='cpu')
    """
    word = imputer.device
    if word == "cpu":
        return torch.device(word)
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if word == "auto":
        word = "cuda" if len(there) > 1 and rows >= AUTO_ROWS else "cpu"
    elif word == "cuda" and len(there) == 1:
        raise ValueError(f"device: got 'cuda', expected a device of this machine ({', '.join(there)}) or auto")
    elif word not in ("cuda", *there):
        raise ValueError(f"device: got {word!r}, expected auto, cpu, cuda or a device of this machine ({', '.join(there)})")
    if word != "cpu" and imputer.n_jobs not in (None, 1):
        raise ValueError(f"n_jobs: got {imputer.n_jobs} with device {word!r}, expected 1 (members take turns on a GPU)")
    return torch.device(word)
