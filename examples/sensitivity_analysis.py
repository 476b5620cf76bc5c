"""Sensitivity analysis of a trial with dropout
============================================

A trial whose patients leave: multiple imputation, Rubin's rules, and how far the conclusion can be moved before it tips.

Two arms, a baseline and four visits; patients leave when they do badly, which nobody sees. The effect is the difference of arms at the
last visit, adjusted for the baseline. It is estimated under missing at random, under self-masking, by reference-based rules, with
imputed values of each arm shifted until the conclusion tips, and with the mechanism weaker and stronger.

::

    python examples/sensitivity_analysis.py --output sensitivity-output
    python examples/sensitivity_analysis.py --trial antidepressant.csv    # R: write.csv(rbmi::antidepressant_data, ...)
"""

# sphinx_gallery_thumbnail_path = "figures/tipping-both.png"

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pyro_mnar import MNARImputer, analyze, tipping_point
from pyro_mnar.analysis import regression
from pyro_mnar.analysis.reference_based import RULES, reference_based
from pyro_mnar.plots.sensitivity import plot_estimates
from pyro_mnar.plots.tipping import plot_paths, plot_tipping

VISITS = ["v4", "v5", "v6", "v7"]


def simulated(patients: int, seed: int) -> pd.DataFrame:
    """Return a trial with a true effect of -3.5 at the last visit: change from baseline (below zero is better), NaN after leaving."""
    rng = np.random.default_rng(seed)
    drug, base = rng.permutation(patients) % 2, rng.normal(18, 5, patients).round()
    own = rng.normal(0, 4.5, patients)[:, None] + rng.normal(0, 3.5, (patients, 4))
    change = -0.25 * (base - 18)[:, None] - np.array([2.0, 3.5, 4.5, 5.0]) + own + drug[:, None] * np.array([-0.5, -1.5, -2.5, -3.5])
    frame = pd.DataFrame(change.round(1), columns=VISITS).assign(base=base, drug=drug.astype(float))
    # At each visit from the second on, those who do badly stay away, and do not come back.
    away = rng.random((patients, 3)) < 1 / (1 + np.exp(2.6 - 0.25 * (change[:, 1:] + 4)))
    return frame.mask(np.column_stack([np.zeros((patients, 3), bool), np.maximum.accumulate(away, 1)])[:, [0, 3, 4, 5, 1, 2]])


def read_trial(path: str) -> pd.DataFrame:
    """Return the wide table of a trial in the long form of rbmi's ``antidepressant_data``."""
    long = pd.read_csv(path)
    wide = long.pivot(index="PATIENT", columns="VISIT", values="CHANGE")
    wide.columns = [f"v{visit}" for visit in wide.columns]
    first = long.groupby("PATIENT").first()
    return wide[VISITS].astype(float).assign(base=first.BASVAL.astype(float), drug=(first.THERAPY == "DRUG").astype(float))


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Run the analysis; return its table of estimates."""
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    frame = simulated(args.patients, args.seed) if args.trial is None else read_trial(args.trial)
    effect = regression("v7", ["drug", "base"])
    treated = frame.drug == 1
    print(f"{len(frame)} patients; missing at the last visit: {frame.v7[treated].isna().mean():.0%} of the treated, ", end="")
    print(f"{frame.v7[~treated].isna().mean():.0%} of the others")

    settings = {"steps": args.steps, "random_state": args.seed, "hidden": ()}  # a linear decoder: the table is small
    random = MNARImputer("none", **settings).fit(frame)
    masked = MNARImputer("self-masking", direction="high", **settings).fit(frame)
    at_random, withheld = (imputer.completions(frame, args.draws) for imputer in (random, masked))
    # Some tables for each analysis, all of them where draws are re-weighted.
    few = slice(None, None, max(1, args.draws // 40))
    done = type(at_random)(frame, at_random.tables[few], at_random.groups[few])
    ways = {"missing at random": analyze(done.tables, effect, done.groups)}
    for rule in RULES:
        moved = reference_based(done, VISITS, "drug", 0.0, rule, covariates=["base"])
        ways[f"{rule} to reference" if rule == "jump" else f"{rule} reference"] = analyze(moved.tables, effect, moved.groups)
    ways["self-masking: bad values go missing"] = analyze(withheld.tables[few], effect, withheld.groups[few])
    table = pd.concat([pooled.table() for pooled in ways.values()]).set_axis(list(ways))
    print(table.round(3).to_string())
    print(f"draws that are enough for 5 % of Monte Carlo error of the standard error: {ways['missing at random'].draws_needed()}")

    grid = np.linspace(0, 12, 13)
    path = tipping_point(done, lambda c, delta: c.shift("v7", delta, rows=treated), grid, effect)
    tips = ", ".join(f"{delta:.3f}" for delta in path.crossings) or "none up to 12"
    print(f"missing at random, imputed values of the treated worse by delta: the conclusion tips at {tips}")
    both = tipping_point(
        done,
        lambda c, a, b: c.shift("v7", a, rows=treated).shift("v7", b, rows=~treated),
        [np.linspace(-4, 12, 9), np.linspace(-4, 12, 9)],
        effect,
    )
    factors = [0.0, 0.5, 0.75, 1.0, 1.25, 1.5]  # of the last visit's mechanism
    strength = tipping_point(withheld, lambda c, factor: masked.strengthened(c, factor, ["v7"]), factors, effect)
    print(strength.table().rename(columns={"assumption 1": "strength"}).round(3).to_string(index=False))

    arms = ["shift of the treated (points)", "shift of the others (points)"]
    plot_estimates(ways, "effect (points)", 0.0).savefig(output / "estimates.png", dpi=150)
    plot_tipping(path, arms[:1], "effect (points)").savefig(output / "tipping.png", dpi=150)
    plot_tipping(both, arms, "effect (points)").savefig(output / "tipping-both.png", dpi=150)
    plot_paths({"effect": strength}, "strength of the mechanism", "effect (points)").savefig(output / "strength.png", dpi=150)
    print(f"written to {output}: estimates.png, tipping.png, tipping-both.png, strength.png")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="sensitivity-output", help="folder for the figures")
    parser.add_argument("--trial", help="a CSV in the long form of rbmi's antidepressant_data; simulated by default")
    parser.add_argument("--patients", type=int, default=300, help="of the simulated trial")
    parser.add_argument("--steps", type=int, default=600, help="training updates of each model")
    parser.add_argument("--draws", type=int, default=200, help="completed tables")
    parser.add_argument("--seed", type=int, default=0)
    torch.set_num_threads(1)
    main(parser.parse_args())
