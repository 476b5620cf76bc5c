"""What an energy tilt is worth, measured where the truth is known. Prints tables and writes JSON, one file a run, skipped when there.

python -m benchmarks.tilt densities [--seeds 5]     ring, moons, pinwheel, checkerboard on two bases
python -m benchmarks.tilt objectives [--seeds 5]    every objective on the normal base, in fewer updates
python -m benchmarks.tilt holes [--seeds 5]         ring and moons with holes, the mechanism known
python -m benchmarks.tilt starts [--seeds 5]        the same, the mechanism learned from several starts
python -m benchmarks.tilt debias [--seeds 5]        a mixture's shares corrected by 100 unbiased rows
python -m benchmarks.tilt constraint [--seeds 5]    imputations that keep an order
python -m benchmarks.tilt sampling [--seeds 5]      what moves mass between modes
python -m benchmarks.tilt digits [--data-home D]    MNIST's digits 0 to 4, their shares corrected by 250 unbiased images
python -m benchmarks.tilt tables [--data-home D]    held-out bounds of UCI tables, with a tilt and without
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch

from benchmarks.tilt import constraint, debias, densities, digits, holes, sampling, tables
from benchmarks.tilt.objectives import OBJECTIVES
from benchmarks.tilt.shapes import SHAPES

Cells = Iterator[tuple[object, ...]]

#: By name: the function, its arguments but the seed, and what the table groups by.
PARTS: dict[str, tuple[Callable[..., dict[str, object]], Callable[[], Cells], list[str]]] = {
    "densities": (
        densities.run,
        lambda: itertools.product(SHAPES, ("gaussian", "vae"), ("self-normalized",)),
        ["shape", "base"],
    ),
    "objectives": (densities.compare, lambda: itertools.product(("ring",), OBJECTIVES), ["objective"]),
    "holes": (holes.run, lambda: itertools.product(holes.CASES, ("known",)), ["case", "mechanism"]),
    "starts": (holes.run, lambda: itertools.product(list(holes.CASES)[1:], ("learned",)), ["case", "mechanism"]),
    "debias": (debias.run, lambda: itertools.product(("random", "stratified")), ["unbiased rows"]),
    "constraint": (constraint.run, lambda: iter([()]), ["method"]),
    "sampling": (sampling.run, lambda: iter([()]), ["sampler"]),
    "digits": (digits.run, lambda: iter([()]), ["images"]),
    "tables": (tables.run, lambda: itertools.product(tables.TABLES, tables.BASES), ["table", "base"]),
}


def main(arguments: list[str] | None = None) -> pd.DataFrame:
    """Run what is not there yet; print and return the table of means over seeds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tilt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="training updates, for a trial; the results then go to a folder of their own")
    parser.add_argument("--data-home", default="../shared/data", help="folder with mnist and uci, for digits and tables")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/tilt"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    function, cells, group = PARTS[options.part]
    given = {} if options.steps is None else {"steps": options.steps}
    if options.part in ("digits", "tables"):
        given["data_home"] = options.data_home
    home = options.output / (options.part if options.steps is None else f"{options.part}-{options.steps}")
    home.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, object]] = []
    for seed, cell in itertools.product(range(options.seeds), list(cells())):
        path = home / ("-".join([*(str(part).replace(" ", "_") for part in cell), str(seed)]) + ".json")
        if not path.exists():
            print(f"{options.part}: {', '.join(map(str, cell))}, seed {seed}", flush=True)
            result = function(*cell, seed, **given)
            path.write_text(json.dumps(result, indent=1))
        result = json.loads(path.read_text())
        found += result if isinstance(result, list) else [result]
    frame = pd.DataFrame(found)
    numbers = [name for name in frame.columns if name not in (*group, "seed") and pd.api.types.is_numeric_dtype(frame[name])]
    grouped = frame.groupby(group, sort=False)[numbers]
    table, middle, least, most = grouped.mean(), grouped.median(), grouped.min(), grouped.max()
    print(f"mean over {options.seeds} seeds (median; least, most)")
    for name in numbers:  # one below another: side by side they would not fit a page
        print(f"\n{name}")
        for place in table.index:
            said = ", ".join(map(str, place)) if isinstance(place, tuple) else str(place)
            spread = "; ".join([f"{middle.at[place, name]:.4f}", f"{least.at[place, name]:.4f}, {most.at[place, name]:.4f}"])
            print(f"  {said:<36}{table.at[place, name]:>9.4f} ({spread})")
    return table


if __name__ == "__main__":
    main()
