"""Four densities in the plane with closed forms, standardized: what a normal base is too simple for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """A law in the plane, each coordinate divided by ``scale`` so that its standard deviation is about 1."""

    raw_sample: Callable[[int], Tensor]
    raw_log_density: Callable[[Tensor], Tensor]
    center: tuple[float, float]
    scale: tuple[float, float]

    def sample(self, n: int) -> Tensor:
        """Return n points, (n, 2)."""
        return (self.raw_sample(n) - torch.tensor(self.center)) / torch.tensor(self.scale)

    def log_density(self, x: Tensor) -> Tensor:
        """Return log p, (...), at ``x`` (..., 2)."""
        scale = torch.tensor(self.scale, dtype=x.dtype)
        return self.raw_log_density(x * scale + torch.tensor(self.center, dtype=x.dtype)) + scale.log().sum()


def _normal(x: Tensor, mean: float | Tensor, scale: float) -> Tensor:
    return -0.5 * ((x - mean) / scale).square() - math.log(scale) - 0.5 * math.log(2 * math.pi)


def _turn(x: Tensor, angle: Tensor) -> Tensor:
    a, b = x.unbind(-1)
    return torch.stack([angle.cos() * a - angle.sin() * b, angle.sin() * a + angle.cos() * b], -1)


# Ring: radius N(2, .15^2), angle uniform.
def _ring_sample(n: int) -> Tensor:
    angle, radius = 2 * math.pi * torch.rand(n), 2 + 0.15 * torch.randn(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


def _ring_log_density(x: Tensor) -> Tensor:
    radius = x.norm(dim=-1)
    return _normal(radius, 2.0, 0.15) - (2 * math.pi * radius).log()


# Two moons: a mixture of 2 x 200 normals along two half circles.
def _moons_centres() -> Tensor:
    angle = math.pi * (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    upper = torch.stack([angle.cos(), angle.sin()], -1)
    return torch.cat([upper, torch.tensor([1.0, 0.5], dtype=torch.float64) - upper])


def _moons_sample(n: int) -> Tensor:
    centers = _moons_centres().float()
    return centers[torch.randint(len(centers), (n,))] + 0.1 * torch.randn(n, 2)


def _moons_log_density(x: Tensor) -> Tensor:
    parts = [_normal(rows.unsqueeze(-2), _moons_centres().to(x), 0.1).sum(-1).logsumexp(-1) for rows in x.reshape(-1, 2).split(10_000)]
    return (torch.cat(parts) - math.log(400)).reshape(x.shape[:-1])


# Pinwheel: five normal arms, turned by an angle that grows with the radius (which keeps areas).
def _pinwheel_angles(radius: Tensor) -> Tensor:
    return 2 * math.pi * torch.arange(5).to(radius) / 5 + 0.25 * radius.exp().unsqueeze(-1)


def _pinwheel_sample(n: int) -> Tensor:
    arm = torch.tensor([1.0, 0.0]) + torch.tensor([0.3, 0.1]) * torch.randn(n, 2)
    angles = _pinwheel_angles(arm.norm(dim=-1))
    return _turn(arm, angles.gather(-1, torch.randint(5, (n, 1))).squeeze(-1))


def _pinwheel_log_density(x: Tensor) -> Tensor:
    arm = _turn(x.unsqueeze(-2), -_pinwheel_angles(x.norm(dim=-1)))
    return (_normal(arm[..., 0], 1.0, 0.3) + _normal(arm[..., 1], 0.0, 0.1)).logsumexp(-1) - math.log(5)


# Checkerboard: uniform on 8 of 4 x 4 squares of side 2.
def _board_sample(n: int) -> Tensor:
    row, half = torch.randint(4, (n,)), torch.randint(2, (n,))
    column = 2 * half + row % 2
    return torch.stack([column, row], -1) * 2 - 4 + 2 * torch.rand(n, 2)


def _board_log_density(x: Tensor) -> Tensor:
    cell = ((x + 4) / 2).floor()
    inside = ((cell >= 0) & (cell <= 3)).all(-1) & (cell.sum(-1) % 2 == 0)
    return torch.where(inside, -math.log(32.0), -torch.inf)


SHAPES = {
    "ring": Shape(_ring_sample, _ring_log_density, (0.0, 0.0), (1.42, 1.42)),
    "moons": Shape(_moons_sample, _moons_log_density, (0.5, 0.25), (0.87, 0.5)),
    "pinwheel": Shape(_pinwheel_sample, _pinwheel_log_density, (0.0, 0.0), (0.74, 0.74)),
    "checkerboard": Shape(_board_sample, _board_log_density, (0.0, 0.0), (2.31, 2.31)),
}
