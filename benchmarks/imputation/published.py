"""MIWAE (arXiv 1812.02633) and not-MIWAE (arXiv 2006.12871) as published, in plain torch: nothing of pyro_mnar.

The recipe of the paper's UCI table, from the authors' code (github.com/nbip/notMIWAE, task01.py): encoder and decoder with two hidden
layers of 128 tanh units, latent dimension D - 1, Gaussian decoder, K = 20, batches of 16 rows, the table shuffled after every pass,
Adam at 1e-3, 100 000 steps, missing cells zero in the encoder's input. not-MIWAE samples them from the decoder and reads every column's
mask from the column itself, with known sign. Its PPCA form, which that code lacks, has a linear decoder and one noise scale for all
columns.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


class Published:
    """One model and its optimizer; :meth:`train` can be called again and goes on where it stopped.

    Args:
        values: (N, D) with NaN.
        seed: of initial weights, training and imputation.
        direction: ``high`` or ``low`` for not-MIWAE; None for MIWAE, which has no mechanism.
        linear: the PPCA form.
    """

    def __init__(self, values: np.ndarray, seed: int, direction: str | None = None, linear: bool = False) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.mask = torch.from_numpy(~np.isnan(values)).float()
        self.x = torch.from_numpy(np.nan_to_num(values)).float()
        self.values = values
        self.direction, self.linear = direction, linear
        n, d = self.x.shape
        self.order, self.position = torch.randperm(n, generator=self.generator), 0
        self.latent = max(d - 1, 1)
        outputs = d if linear else 2 * d
        self.encoder = _network(d, 2 * self.latent, self.generator)
        self.decoder = _network(self.latent, outputs, self.generator, hidden=() if linear else (128, 128))
        # The encoder's means and log variances are two layers there, so each has a Glorot scale of its own.
        for half in self.encoder[-1].weight.detach().chunk(2):
            nn.init.xavier_uniform_(half, generator=self.generator)
        # Raw noise scale of the PPCA form (its first entry), raw slope and offset of the mechanism: TensorFlow's default for one row.
        reach = (6 / (1 + d)) ** 0.5
        self.raw = nn.Parameter(torch.empty(3, d).uniform_(-reach, reach, generator=self.generator))
        self.parameters = [*self.encoder.parameters(), *self.decoder.parameters(), self.raw]
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-3)

    def step(self, batch: int = 16, particles: int = 20) -> float:
        """Take one training step on the next rows and return its loss."""
        n = len(self.x)
        rows = self.order[self.position : self.position + batch]
        self.position += batch
        if self.position >= n - batch:
            # As there: what is left over, at most one batch, waits for another pass.
            self.order, self.position = torch.randperm(n, generator=self.generator), 0
        log_w, _, _ = self._weigh(self.x[rows], self.mask[rows], particles)
        loss = -(log_w.logsumexp(0) - np.log(particles)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def train(self, steps: int) -> None:
        """Take ``steps`` further steps."""
        for _ in range(steps):
            self.step()

    @torch.no_grad()
    def impute(self, draws: int = 200, samples: int = 10_000, cells: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
        """Return the completed table (N, D), the weighted decoder means as in the published code, and draws resampled by the weights.

        ``samples`` is the number of importance samples of a row, ``cells`` a bound on samples times rows times 2 D in memory.
        """
        n, d = self.x.shape
        completed, drawn = torch.empty(n, d), torch.empty(draws, n, d)
        for rows in torch.arange(n).split(max(1, cells // (samples * 2 * d))):
            log_w, location, sampled = self._weigh(self.x[rows], self.mask[rows], samples)
            weight = log_w.softmax(0)
            completed[rows] = (weight.unsqueeze(-1) * location).sum(0)
            chosen = torch.multinomial(weight.T, draws, replacement=True, generator=self.generator).T
            drawn[:, rows] = sampled.gather(0, chosen.unsqueeze(-1).expand(-1, -1, d))
        holes = np.isnan(self.values)
        completed, drawn = (np.where(holes, part.double().numpy(), self.values) for part in (completed, drawn))
        return completed, drawn

    def _weigh(self, x: Tensor, mask: Tensor, particles: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return log importance weights (K, B), decoder means and rows whose missing cells are sampled (K, B, D)."""
        location, log_variance = self.encoder(x).chunk(2, -1)
        scale = (0.5 * log_variance.clamp(-10, 10)).exp()
        noise = self._normal(particles, *location.shape)
        z = location + scale * noise
        # log p(z) - log q(z | x)
        log_w = (-0.5 * z.square() + 0.5 * noise.square() + scale.log()).sum(-1)
        if self.linear:
            center = self.decoder(z)
            spread = softplus(self.raw[0, :1]).expand_as(center)
        else:
            center, spread = self.decoder(z).chunk(2, -1)
            spread = softplus(spread)
        log_p = -0.5 * ((x - center) / spread).square() - spread.log() - 0.5 * np.log(2 * np.pi)
        log_w = log_w + (mask * log_p).sum(-1)
        sampled = torch.where(mask > 0, x, center + spread * self._normal(*center.shape))
        if self.direction is not None:
            slope = softplus(self.raw[1]) * (1.0 if self.direction == "low" else -1.0)
            logits = slope * (sampled - self.raw[2])
            log_w = log_w - binary_cross_entropy_with_logits(logits, mask.expand_as(logits), reduction="none").sum(-1)
        return log_w, center, sampled

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)


def _network(inputs: int, outputs: int, generator: torch.Generator, hidden: tuple[int, ...] = (128, 128)) -> nn.Sequential:
    """Dense tanh layers, initialized as in Keras (the published code): Glorot uniform weights, zero biases."""
    sizes, layers = [inputs, *hidden, outputs], []
    for i, (a, b) in enumerate(pairwise(sizes)):
        layer = nn.Linear(a, b)
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()] if i < len(hidden) else [layer]
    return nn.Sequential(*layers)


def miwae(
    values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None, steps: int = 100_000
) -> tuple[np.ndarray, np.ndarray]:
    """Impute with MIWAE."""
    return _trained(Published(values, seed), steps, draws)


def not_miwae(
    values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None, steps: int = 100_000
) -> tuple[np.ndarray, np.ndarray]:
    """Impute with not-MIWAE, self-masking of known sign."""
    return _trained(Published(values, seed, direction), steps, draws)


def not_miwae_ppca(
    values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None, steps: int = 100_000
) -> tuple[np.ndarray, np.ndarray]:
    """Impute with not-MIWAE's PPCA form, self-masking of known sign."""
    return _trained(Published(values, seed, direction, linear=True), steps, draws)


def _trained(model: Published, steps: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    model.train(steps)
    return model.impute(draws)
