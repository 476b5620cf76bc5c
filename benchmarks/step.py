"""A training step against the same mathematics hand-written in plain torch: self-masking probit, values integrated out, DReG and IWAE.

python benchmarks/step.py [--batch 16 128 1024]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_mnar import IWELBO, MNAR, PROBIT, GaussianDecoder, GaussianEncoder, SelfMasking
from pyro_mnar.models.decoders import MIN_SCALE

COLUMNS, MASKED, LATENT, PARTICLES = 11, 5, 10, 20


def declared() -> MNAR:
    """Return the model of both."""
    torch.manual_seed(0)
    mechanism = SelfMasking(COLUMNS, range(MASKED), "high", PROBIT)
    return MNAR(GaussianDecoder(LATENT, COLUMNS), GaussianEncoder(COLUMNS, LATENT), mechanism)


def hand_written(mnar: MNAR) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the plain IWAE loss of the same networks without Pyro or any class of ours."""
    decoder, encoder, mechanism = mnar.decoder, mnar.encoder.net, mnar.mechanism
    half_log_2pi = 0.5 * math.log(2 * math.pi)

    def log_normal(x: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        return -0.5 * ((x - loc) / scale) ** 2 - scale.log() - half_log_2pi

    def loss(x: Tensor, mask: Tensor) -> Tensor:
        values = torch.where(mask, x, 0.0)
        loc, raw = encoder(torch.cat([values, mask.float()], -1)).chunk(2, -1)
        scale = softplus(raw) + 1e-3
        noise = torch.randn(PARTICLES, len(x), LATENT)
        z = loc + scale * noise
        mean, d = decoder.linear(z) + decoder.net(z), softplus(decoder.raw_scale) + MIN_SCALE
        log_w = torch.where(mask, log_normal(values, mean, d), 0.0).sum(-1)
        slope, anchor, offset = softplus(mechanism.raw_slope), mechanism.anchor, mechanism.offset
        seen = torch.special.log_ndtr(-(slope * (values[:, :MASKED] - anchor) + offset))
        k = (slope * (mean[..., :MASKED] - anchor) + offset) / torch.sqrt(1 + (slope * d[:MASKED]) ** 2)
        log_w = log_w + torch.where(mask[:, :MASKED], seen, torch.special.log_ndtr(k)).sum(-1)
        log_w = log_w + (-0.5 * z**2 - half_log_2pi).sum(-1) - log_normal(z, loc, scale).sum(-1)
        return -(log_w.logsumexp(0) - math.log(PARTICLES)).mean()

    return loss


def main() -> None:
    """Time the steps in turn; print medians and ratios, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 128, 1024])
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--output", default="benchmarks/results/step.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for batch in options.batch:
        x, mask = torch.randn(batch, COLUMNS), torch.rand(batch, COLUMNS) > 0.3
        mnar = declared()
        plain = hand_written(mnar)
        losses = {"plain": plain, "iwae": IWELBO(mnar, PARTICLES, "iwae").loss, "dreg": IWELBO(mnar, PARTICLES, "dreg").loss}
        optimiser = torch.optim.AdamW(mnar.parameters(), 1e-4)
        times: dict[str, list[float]] = {name: [] for name in losses}
        for _ in range(options.repeats + 3):
            for name, loss in losses.items():
                start = time.perf_counter()
                optimiser.zero_grad()
                loss(x, mask).backward()
                optimiser.step()
                times[name].append(time.perf_counter() - start)
        median = {name: statistics.median(t[3:]) for name, t in times.items()}
        ratio = {n: statistics.median(a / b for a, b in zip(times[n][3:], times["plain"][3:], strict=True)) for n in ("iwae", "dreg")}
        results.append({"batch": batch, "milliseconds": {n: 1e3 * t for n, t in median.items()}, "ratio": ratio})
        print(f"batch {batch:5}: plain {1e3 * median['plain']:6.2f} ms, ratio iwae {ratio['iwae']:.2f}, dreg {ratio['dreg']:.2f}")
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    Path(options.output).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
