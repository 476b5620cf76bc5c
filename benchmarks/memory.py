"""Time and peak memory of imputing 100 000 rows x 11 columns with 500 particles.

python benchmarks/memory.py [--rows 100000]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import torch

from pyro_mnar import MNAR, PROBIT, GaussianDecoder, GaussianEncoder, SelfMasking, impute


def main() -> None:
    """Impute a random table with an untrained model; print seconds and the process's peak resident memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--output", default="benchmarks/results/memory.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    mnar = MNAR(
        GaussianDecoder(10, 11, hidden=(128,)), GaussianEncoder(11, 10, hidden=(128,)), SelfMasking(11, range(5), "high", PROBIT)
    )
    x = torch.randn(options.rows, 11)
    mask = torch.rand(options.rows, 11) > 0.3
    start = time.perf_counter()
    impute(mnar, x, mask, particles=500)
    result = {
        "rows": options.rows,
        "seconds": time.perf_counter() - start,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(f"{result['rows']} rows: {result['seconds']:.0f} s, peak {result['peak_gigabytes']:.2f} GB")
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    Path(options.output).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
