"""Randomness for each row: a counter-based stream keyed by seed, row label and site, so that no row's draws depend on the others.

The label is the row's name (a data frame's index, else its position), not its content: equal rows must get independent draws. So must
rows of equal labels (tables put below one another, patients seen several times): the k-th row of a label in the table's order has a
stream of its own, and the first one's is that of the label (:func:`distinct`).

What is drawn at once is read off a hash in counter mode: SHAKE128 (FIPS 202) of (seed, label, site), which gives as many bytes as are
asked for, the first ones the same however many. A row costs a microsecond or two, a tenth of what a generator of its own does, and no
two of the keys share any of it. What is drawn step by step, as chains do, comes from a generator for each (seed, label, site), NumPy's
Philox keyed by a hash of these.

A law of this package says itself how it is drawn: ``from_normals(noise)`` of standard normals of its own shape, or
``from_uniforms(uniforms)`` of ``n_uniforms`` a cell; ``like`` is a tensor of its type. Others need an inverse distribution function.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from pyro.distributions import Delta
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Independent, Normal, TransformedDistribution

from pyro_mnar.infer.torch_state import ALONE

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from pyro.poutine.runtime import Message


def check_seed(seed: object) -> None:
    """Raise a TypeError for what is no whole number."""
    if not hasattr(seed, "__index__"):
        raise TypeError(f"seed: got {seed!r:.40}, expected a whole number")


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Torch's generators of the processor and of ``device`` start at ``seed`` within, and afterwards are as they were.

    ``torch.manual_seed`` would reseed every accelerator there is, and none of them would be put back. One thread at a time: the
    generators are all threads'.

    Example:
        >>> with seeded(3):
        ...     first = torch.rand(())
        >>> with seeded(3):
        ...     bool(torch.rand(()) == first)
        True
    """
    check_seed(seed)
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    with ALONE, torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


# In the eighth dimension and beyond, some hundred points of the sequence lie so that means of a product of two dimensions have more
# error than over independent draws: up to three times the variance in ten, nine in forty.
_SOBOL_DIMENSIONS = 7


@dataclass(frozen=True, repr=False)
class Repeat:
    """The label of the ``count``-th row that has ``label``, from the second one on."""

    label: Hashable
    count: int

    def __repr__(self) -> str:
        return f"{_name(self.label)} ({self.count})"


def _name(label: Hashable) -> str:
    """Return what tells ``label`` from others: text stands in quotes, so that "1" is not 1; numbers of any type are their digits."""
    return repr(str(label)) if isinstance(label, str) else str(label)


def distinct(labels: Sequence[Hashable]) -> list[Hashable]:
    """Return labels that all differ: each label's first row keeps it, the later ones have it with their count.

    To be asked of a whole table: of a chunk of it, a row's answer would depend on the chunk.

    Example:
        >>> distinct([7, "7", "a", 7, "a", 7])
        [7, '7', 'a', 7 (2), 'a' (2), 7 (3)]
    """
    seen: Counter[str] = Counter()
    result: list[Hashable] = []
    for label in labels:
        name = _name(label)
        seen[name] += 1
        result.append(label if seen[name] == 1 else Repeat(label, seen[name]))
    return result


class NoInverseError(TypeError):
    """A site's distribution cannot be drawn from given uniforms or normals."""


class RowStreams(Messenger):
    """A Pyro handler under which every unobserved site of a plate over rows is drawn from the rows' own streams.

    Args:
        seed: any integer, or one for each row.
        labels: one for each row of the plate; rows of equal ones, and seeds, have equal draws (see :func:`distinct`).

    ``even`` are the evenly spread normals that have been drawn, (draws, N, dimensions) of each site.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model(n):
        ...     with pyro.plate("rows", n, dim=-1):
        ...         return pyro.sample("z", dist.Normal(0.0, 1.0))
        >>> both, second = RowStreams(0, ["a", "b"])(model)(2), RowStreams(0, ["b"])(model)(1)
        >>> bool(both[1] == second[0])
        True
    """

    def __init__(self, seed: int | Sequence[int], labels: Sequence[Hashable]) -> None:
        super().__init__()
        self.labels = labels
        seeds = seed if isinstance(seed, Sequence) else [seed] * len(labels)
        self._names = [(own, _name(label)) for own, label in zip(seeds, labels, strict=True)]
        self._first: dict[str, int] = {}
        self._next = 0
        self.even: list[Tensor] = []

    def generators(self, site: str) -> list[np.random.Generator]:
        """Return each row's generator for ``site``, at its start."""
        keys = (hashlib.blake2b(self._key(name, site), digest_size=16).digest() for name in self._names)
        return [np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype=np.uint64))) for key in keys]

    def first_seed(self) -> int:
        """Return a seed of 63 bits that the first row's label decides."""
        return int.from_bytes(hashlib.shake_128(self._key(self._names[0], "")).digest(8), "little") >> 1

    def _bytes(self, site: str, size: int) -> bytes:
        """Return the first ``size`` bytes of each row's own for ``site``, row after row."""
        return b"".join([hashlib.shake_128(self._key(name, site)).digest(size) for name in self._names])

    def _key(self, name: tuple[int, str], site: str) -> bytes:
        return repr((*name, site)).encode()

    def normal(self, site: str, draws: int, event: Sequence[int], like: Tensor) -> Tensor:
        """Return standard normals (draws, N, *event) of the type of ``like``, a row's draws evenly spread in each dimension.

        Each draw is exactly normal, rows are independent, and plain means over draws have several times less error than over
        independent ones. In the first 7 dimensions the draws are one Sobol sequence for all rows, shifted around the unit cube by
        each row's own uniforms (Cranley and Patterson 1976, "Randomization of number theoretic methods for multiple integration",
        SIAM J. Numer. Anal. 13), even in several dimensions together; the first ones are the same however many are asked for.
        Dimensions beyond are each row's own Latin hypercube of so many draws (McKay, Beckman and Conover 1979, "A comparison of three
        methods for selecting values of input variables", Technometrics 21), even in each dimension and independent between them.
        Sites share the seven out, in the order of their first draws: two sites on the same ones would each be a shift of the other.
        """
        size, n_rows = int(np.prod(event)), len(self.labels)
        first = self._first.setdefault(site, self._next)
        even = min(size, max(0, _SOBOL_DIMENSIONS - first))
        self._next = max(self._next, first + even)
        # Of each row 8 bytes a dimension for the shifts, then 4 a dimension beyond and draw, by whose order these are dealt out.
        own = np.frombuffer(self._bytes(site, 8 * size + 4 * draws * (size - even)), np.uint8).reshape(n_rows, -1)
        shifts = (own[:, : 8 * size].copy().view("<u8") >> np.uint64(11)) * 2.0**-53
        ranks = own[:, 8 * size :].copy().view("<u4").reshape(n_rows, size - even, draws).argsort(-1, kind="stable")
        points = _sobol(draws, first + even)[:, None, first : first + even]
        uniforms = np.concatenate([(points + shifts[:, :even]) % 1, (ranks.transpose(2, 0, 1) + shifts[:, even:]) / draws], -1)
        spread: Tensor = torch.special.ndtri(torch.from_numpy(uniforms).clamp_(1e-12, 1 - 1e-12)).to(like)
        self.even.append(spread)
        return spread.reshape(draws, n_rows, *event)

    def uniform(self, site: str, draws: int, event: Sequence[int], like: Tensor) -> Tensor:
        """Return independent uniforms (draws, N, *event) in the open unit interval, of the type of ``like``.

        The first ones are the same however many are asked for.
        """
        words = np.frombuffer(self._bytes(site, 4 * draws * int(np.prod(event))), "<u4").reshape(len(self.labels), draws, *event)
        return _in_open_interval((words >> np.uint32(8)).astype(np.float32).swapaxes(0, 1) * np.float32(2.0**-24), like)

    @staticmethod
    def uniforms_of(generators: list[np.random.Generator], draws: int, event: Sequence[int], like: Tensor) -> Tensor:
        """Return the rows' next uniforms (draws, N, *event) in the open unit interval, of the type of ``like``."""
        return _in_open_interval(np.stack([own.random((draws, *event), np.float32) for own in generators], 1), like)

    def _pyro_sample(self, msg: Message) -> None:
        if msg["is_observed"] or msg["value"] is not None or type(msg["fn"]).__name__ == "_Subsample":
            return
        fn = msg["fn"]
        if not fn.batch_shape or fn.batch_shape[-1] != len(self.labels):
            raise ValueError(
                f"site {msg['name']!r}: got batch shape {tuple(fn.batch_shape)}, expected its last dimension to be the "
                f"{len(self.labels)} rows"
            )
        msg["value"] = self._draw(fn, msg["name"], (*fn.batch_shape, *fn.event_shape), len(fn.batch_shape))
        msg["done"] = True

    def _draw(self, fn: TorchDistribution, site: str, shape: Sequence[int], batch_dims: int) -> Tensor:
        while isinstance(fn, Independent):
            fn = fn.base_dist
        drawn: Tensor
        if isinstance(fn, Delta):
            drawn = fn.v
            return drawn
        if isinstance(fn, TransformedDistribution):
            own = (*shape[:batch_dims], *fn.base_dist.event_shape) if fn.base_dist.event_shape else shape
            x = self._draw(fn.base_dist, site, own, batch_dims)
            for transform in fn.transforms:
                x = transform(x)
            return x
        draws = int(np.prod(shape[: batch_dims - 1]))
        event = shape[batch_dims:]
        if hasattr(fn, "from_normals"):
            drawn = fn.from_normals(self.normal(site, draws, event, fn.like).reshape(shape))
            return drawn
        if hasattr(fn, "from_uniforms"):
            drawn = fn.from_uniforms(self.uniform(site, draws, (*event, fn.n_uniforms), fn.like).reshape(*shape, fn.n_uniforms))
            return drawn
        if isinstance(fn, Normal):
            noise = self.normal(site, draws, event, fn.loc)
            return fn.loc + fn.scale * noise.reshape(shape)
        try:
            # Of a number alone, the inverse has the law's own type and device.
            return fn.icdf(self.uniform(site, draws, event, fn.icdf(torch.tensor(0.5))).reshape(shape))  # type: ignore[no-any-return]
        except NotImplementedError:
            raise NoInverseError(f"site {site!r}: {type(fn).__name__} has no inverse distribution function") from None


def _in_open_interval(uniforms: np.ndarray, like: Tensor) -> Tensor:
    # They are i / 2^24; half a step up keeps zero out, and the cap keeps one out after rounding.
    return torch.from_numpy(np.ascontiguousarray(uniforms)).add_(2.0**-25).clamp_(max=1 - 2.0**-24).to(like)


@lru_cache(maxsize=32)
def _sobol(draws: int, dimensions: int) -> np.ndarray:
    """Return the first points of the Sobol sequence, (draws, dimensions)."""
    points: np.ndarray = torch.quasirandom.SobolEngine(max(1, dimensions)).draw(draws, dtype=torch.float64).numpy()[:, :dimensions]
    points.setflags(write=False)
    return points
