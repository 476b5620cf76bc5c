"""A survey: from a CSV to a tipping point
=======================================

A survey in which those who earn much do not say so: from a CSV to a pooled estimate and a tipping point.

What a training is worth in income, in a table of numbers, grades and categories. The script writes ``survey.csv`` (simulated, so that
the truth is known: 6 thousand a year), imputes it, pools a regression, moves the assumption, and draws what docs/tutorial.md shows.

::

    python examples/survey.py --output survey-output
"""

# sphinx_gallery_thumbnail_path = "figures/survey-imputed.png"

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pyro_mnar import MNARImputer, analyze, tipping_point
from pyro_mnar.analysis import regression
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.plots.model import plot_missingness
from pyro_mnar.plots.sensitivity import plot_assumptions, plot_estimates
from pyro_mnar.plots.tipping import plot_tipping

EFFECT = 6.0  # thousand a year
GRADES = ["none", "school", "college", "degree"]
KINDS = {"school": "ordinal:" + ":".join(GRADES)}


def simulated(rows: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the survey with its holes, and complete."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(25, 60, rows).round()
    able = rng.normal(size=rows)
    grade = np.digitize(able + 0.5 * rng.normal(size=rows), [-1, 0, 1])
    trained = (rng.random(rows) < 0.4).astype(int)
    income = 30 + 0.3 * (age - 40) + 7 * able + EFFECT * trained + 5 * rng.normal(size=rows)
    region = np.array(["north", "south", "west"])[np.digitize(0.5 * able + rng.normal(size=rows), [-0.5, 0.5])]
    whole = pd.DataFrame(
        {"age": age, "trained": trained, "school": np.array(GRADES)[grade], "region": region, "income": income.round(1)}
    )
    holed = whole.copy()
    # The probability of not saying one's income rises from 3 % at 20 thousand to 60 % at 45; some skip their schooling at random.
    holed.loc[rng.random(rows) < 1 / (1 + np.exp(-0.16 * (income - 42))), "income"] = np.nan
    holed.loc[rng.random(rows) < 0.08, "school"] = np.nan
    return holed, whole


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Run the tutorial; return its table of estimates."""
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    holed, whole = simulated(args.rows, args.seed)
    holed.to_csv(output / "survey.csv", index=False)
    frame = pd.read_csv(output / "survey.csv")
    effect = regression("income", ["trained", "age"])

    settings = {"kinds": KINDS, "steps": args.steps, "random_state": args.seed, "n_jobs": args.jobs}
    withheld = MNARImputer(direction={"income": "high"}, **settings).fit(frame)
    ignorable = MNARImputer("none", **settings).fit(frame)
    done, plain = (imputer.completions(frame, args.draws) for imputer in (withheld, ignorable))
    ways = {
        "truth of this sample": pool([effect(whole)[0]] * 2, [effect(whole)[1]] * 2, complete_dof=len(whole) - 3),
        "complete rows": pool([effect(frame.dropna())[0]] * 2, [effect(frame.dropna())[1]] * 2, complete_dof=len(frame.dropna()) - 3),
        "missing at random": analyze(plain.tables, effect, plain.groups),
        "high incomes withheld": analyze(done.tables, effect, done.groups),
    }
    table = pd.concat([pooled.table() for pooled in ways.values()]).set_axis(list(ways))
    print(table.round(2).to_string())
    print(f"draws needed for standard errors within 5 %: {ways['high incomes withheld'].draws_needed()}")
    plot_estimates(ways, "worth of the training (thousand a year)", null=0.0).savefig(output / "estimates.png", dpi=120)

    trained = (frame.trained == 1).to_numpy()
    grid = np.linspace(-24, 4, 15)
    path = tipping_point(done, lambda c, delta: c.shift("income", delta, rows=trained), grid, effect)
    print("imputed incomes of the trained shifted: the conclusion tips at " + (", ".join(f"{x:.1f}" for x in path.crossings) or "none"))
    label = "shift of the trained's imputed incomes (thousand a year)"
    plot_tipping(path, [label], "worth of the training").savefig(output / "tipping.png", dpi=120)
    strength = tipping_point(done, lambda c, factor: withheld.strengthened(c, factor, ["income"]), [0, 0.5, 1, 1.5, 2], effect)
    plot_tipping(strength, ["strength of the mechanism (1: as fitted)"], "worth of the training").savefig(
        output / "strength.png", dpi=120
    )

    columns = withheld.schema_.columns
    mask = frame.notna().to_numpy()
    levels = {column.name: column.levels for column in columns if column.levels}
    curves = withheld.missingness()
    seen = [frame[name].dropna().to_numpy() for name, _, _ in curves]
    plot_missingness(curves, seen, levels=levels).savefig(output / "missingness.png", dpi=120)
    draws = {way: imputer.impute(frame, draws=40).draws.numpy() for way, imputer in (("withheld", withheld), ("at random", ignorable))}
    codes = np.column_stack(
        [frame[c.name].map({level: k for k, level in enumerate(c.levels)}) if c.levels else frame[c.name] for c in columns]
    ).astype(float)
    names = [column.name for column in columns]
    drawn = plot_assumptions(codes, mask, draws, names, levels=[column.levels for column in columns])
    drawn.savefig(output / "imputed.png", dpi=120)
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=160)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="example-output/survey")
    torch.set_num_threads(1)
    main(parser.parse_args())
