"""A GPU beside one thread of the processor: milliseconds of a training step by its rows, and seconds of an imputation.

    python -m benchmarks.devices [--rows 200000] [--batch 96 4096 32768]

The model is the imputer's (30 columns that mask themselves, ten latents, a conjugate encoder, five particles) on a simulated table.
Prints a table and writes ``benchmarks/results/devices.json``. Without a GPU the processor's figures alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, PROBIT, ConjugateEncoder, GaussianDecoder, Prior, SelfMasking, fit, impute
from pyro_mnar.networks import SkewWarp

COLUMNS, IMPUTED = 30, 2000


def table(rows: int) -> tuple[Tensor, Tensor]:
    """Return five factors' columns, and a mask that hides the large values of each."""
    torch.manual_seed(0)
    x = torch.randn(rows, 5) @ torch.randn(5, COLUMNS) + 0.5 * torch.randn(rows, COLUMNS)
    x = (x - x.mean(0)) / x.std(0)
    return x, torch.rand(rows, COLUMNS) < torch.sigmoid(2 - 2 * x)


def declared(x: Tensor, mask: Tensor) -> MNAR:
    """Return the imputer's model at its start."""
    decoder = GaussianDecoder(10, COLUMNS, [128])
    mechanism = SelfMasking(COLUMNS, None, "high", PROBIT)
    model = MNAR(decoder, ConjugateEncoder(decoder, [128]), mechanism, SkewWarp(COLUMNS), Prior.members(1, COLUMNS, COLUMNS)[0])
    model.initialize(x[:5000], mask[:5000])
    return model


def measured(device: str, x: Tensor, mask: Tensor, batches: list[int]) -> dict[str, float]:
    """Return milliseconds a step by batch, and the seconds of an imputation at 200 particles."""

    def done() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    there, seen = x.to(device), mask.to(device)
    result = {}
    for batch in batches:
        model = declared(x, mask).to(device)
        steps = 30 if device == "cpu" and batch > 4096 else 100
        for count in (5, steps):  # the first ones make ready
            start = done()
            fit(
                IWELBO(model, 5),
                there,
                seen,
                steps=count,
                every=1000,
                batch_size=batch,
                progress=False,
                lr=2e-3,
                mechanism_lr=1e-1,
                weight_decay=0.3,
            )
        result[f"{batch} rows"] = (done() - start) / steps * 1e3
    start = done()
    impute(model.eval(), there[:IMPUTED], seen[:IMPUTED], draws=5, particles=200, seed=0, progress=False)
    return result | {"imputation": done() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[96, 4096, 32768])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/devices.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    x, mask = table(args.rows)
    devices = {"cpu": "processor, one thread"}
    if torch.cuda.is_available():
        devices["cuda"] = torch.cuda.get_device_name()
    found = {name: measured(device, x, mask, args.batch) for device, name in devices.items()}
    print(f"| | {' | '.join(f'{batch} rows, ms a step' for batch in args.batch)} | {IMPUTED} rows imputed, s |")
    print("|---" * (len(args.batch) + 2) + "|")
    for name, figures in found.items():
        print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in figures.values()) + " |")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
