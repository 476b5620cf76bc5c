"""Rules that imputed values obey: how many break one, and whether obeying costs accuracy.

    python -m benchmarks.rules [--seeds 3] [--data-home /path/with/obesity.csv]

On a simulated medical table (blood pressures, a sum, a date before another, smokers' cigarettes) and on UCI's obesity table, where
``--data-home`` has it, holes are made at random and filled twice, with the rules and without. A violation is a completed row that
breaks a rule, of the posterior means and of draws; errors are root mean squares over the holes of the columns of numbers that rules
name, in standard deviations of each column.

Prints a table and writes JSON to ``benchmarks/results/rules.json``.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pyro_mnar import MNARImputer

MEDICAL = ["systolic >= diastolic", "left + right == total", "start <= end", "if smoker == 'no': cigarettes == 0"]
#: Classes of body mass, kg / m^2, by linear ends that hold for heights from 1.4 to 2 m: h^2 lies between 3.4 h - 2.89 and 3.4 h - 2.8.
CLASSES = {"Insufficient_Weight": (0.0, 19.1), "Normal_Weight": (18.4, 25.0), "zObesity_Type_III": (36.7, 60.0)}
OBESITY = [
    *(f"if Obesity_Level == '{name}': Weight >= {low} * (3.4 * Height - 2.89)" for name, (low, _) in CLASSES.items() if low),
    *(f"if Obesity_Level == '{name}': Weight <= {high} * (3.4 * Height - 2.8)" for name, (_, high) in CLASSES.items()),
    "if Smoke == 'yes': Age >= 18",
]


def medical(seed: int, rows: int) -> pd.DataFrame:
    """Return a complete table that obeys ``MEDICAL``."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    diastolic = 75 + 8 * z + 4 * rng.normal(size=rows)
    left, right = rng.poisson(np.exp(1.2 + 0.2 * z)), rng.poisson(np.exp(1.4 + 0.2 * z))
    smoker = np.where(z + rng.normal(size=rows) > 0.5, "yes", "no")
    start = pd.Timestamp("2021-01-01") + pd.to_timedelta(np.rint(100 + 40 * rng.normal(size=rows)), unit="D")
    return pd.DataFrame(
        {
            "systolic": diastolic + np.exp(2.2 + 0.3 * z + 0.5 * rng.normal(size=rows)),
            "diastolic": diastolic,
            "left": left,
            "right": right,
            "total": left + right,
            "smoker": smoker,
            "cigarettes": np.where(smoker == "no", 0.0, np.rint(12 + 3 * z + 3 * rng.normal(size=rows)).clip(1)),
            "start": start,
            "end": start + pd.to_timedelta(rng.poisson(np.exp(1.5 + 0.4 * z)), unit="D"),
        }
    )


def medical_violations(table: pd.DataFrame) -> int:
    """Return how many rows break ``MEDICAL``, by pandas."""
    wrong = (table.systolic < table.diastolic) | (table.left + table.right != table.total) | (table.start > table.end)
    return int((wrong | (table.smoker == "no") & (table.cigarettes != 0)).sum())


def obesity_violations(table: pd.DataFrame) -> int:
    """Return how many rows break ``OBESITY``, by pandas."""
    wrong = (table.Smoke == "yes") & (table.Age < 18)
    for name, (low, high) in CLASSES.items():
        below, above = low * (3.4 * table.Height - 2.89), high * (3.4 * table.Height - 2.8)
        wrong |= (table.Obesity_Level == name) & ((table.Weight < below * (1 - 1e-9)) | (table.Weight > above * (1 + 1e-9)))
    return int(wrong.sum())


def one(
    full: pd.DataFrame, rules: list[str], count: Callable[[pd.DataFrame], int], seed: int, share: float, settings: dict[str, int]
) -> list[dict[str, object]]:
    """Return a line for each of both ways to fill the same holes."""
    rng = np.random.default_rng(1000 + seed)
    table = full.copy()
    for name in table:
        if str(table[name].dtype) == "int64":
            table[name] = table[name].astype("Int64")
        table.loc[rng.random(len(table)) < share, name] = None
    named = [name for name in full if any(name in rule for rule in rules) and pd.api.types.is_numeric_dtype(full[name])]
    lines: list[dict[str, object]] = []
    for method, own in (("rules", rules), ("without", None)):
        imputer = MNARImputer("none", rules=own, random_state=seed, progress=False, **settings).fit(table)
        filled, drawn = imputer.transform(table), imputer.sample(table, 2 * imputer.members)
        errors = {}
        for name in named:
            holes = table[name].isna().to_numpy()
            apart = filled[name][holes].astype(float) - full[name][holes].astype(float)
            errors[name] = float(np.sqrt((apart**2).mean()) / full[name].astype(float).std())
        lines.append(
            {
                "seed": seed,
                "method": method,
                "violations of means": count(filled),
                "violations of draws": sum(count(part) for part in drawn),
                "rows with holes": int(table.isna().any(axis=1).sum()),
                "RMSE": float(np.mean(list(errors.values()))),
                "errors": errors,
            }
        )
    return lines


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Run both tables; return a row for each table and method."""
    warnings.simplefilter("ignore")
    settings, found = {"members": options.members, "steps": options.steps}, []
    for seed in range(1, 1 + options.seeds):
        made = one(medical(seed, options.rows), MEDICAL, medical_violations, seed, options.share, settings)
        found += [{"table": "medical"} | line for line in made]
        path = Path(options.data_home or ".") / "obesity.csv"
        if path.exists():
            full = pd.read_csv(path).sample(options.rows, random_state=seed, ignore_index=True)
            if not obesity_violations(full):
                made = one(full, OBESITY, obesity_violations, seed, options.share, settings)
                found += [{"table": "obesity"} | line for line in made]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1))
    means = pd.DataFrame(found).drop(columns=["errors", "seed"]).groupby(["table", "method"]).mean()
    print(means.round(3).to_string())
    return means


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--data-home", default=None, help="folder with obesity.csv")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/rules.json"))
    main(parser.parse_args())
