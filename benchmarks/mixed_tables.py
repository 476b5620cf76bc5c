"""A simulated table like a census extract, 14 columns of all kinds, in which values go missing because of what they are.

    python benchmarks/mixed_tables.py --rows 30000 --seeds 1        minutes: the time of fit and imputation, and accuracy
    python benchmarks/mixed_tables.py --rows 2000 --seeds 5         accuracy alone, with the slower baselines

Income (two classes) is withheld by the rich, occupations by two groups, low education is not stated, high gains are hidden; three more
columns lose values at random, and their directions are left free. Scored on hidden cells: accuracy of categories, mean distance in
levels of ordinal columns, and root mean squared error over standard deviations of numbers. Baselines, all of which take missingness for
ignorable: most frequent value or mean, nearest neighbors (scikit-learn, on indicators of categories), chained random forests (as
missForest: classifiers for categories, regressors for numbers); and ours without a mechanism, with one for every
column, and with one for those that are withheld. Prints a table of means over seeds and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

CATEGORICAL = {"workclass": 7, "marital": 7, "occupation": 12, "relationship": 6, "region": 5}
KINDS = {
    "gain": "positive",
    "hours": "bounded:0:100",
    "children": "count",
    "education": "ordinal:" + ":".join(f"e{k:02d}" for k in range(10)),
}


#: Columns that lose values at random.
AT_RANDOM = ("marital", "weight", "sex")


#: Ours: mechanism, and columns whose missingness it leaves alone.
ARMS: dict[str, tuple[str, Sequence[str]]] = {
    "none": ("none", ()),
    "nothing stated": ("auto", ()),
    "self-masking": ("self-masking", ()),
    "self-masking where withheld": ("self-masking", AT_RANDOM),
}


def simulate(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a complete table and the mask of what is observed, (N, D)."""
    rng = np.random.default_rng(seed)
    # What the columns are, apart from the rows that are drawn.
    shape = np.random.default_rng(7)
    z = rng.normal(size=(n, 3))
    frame = pd.DataFrame({"age": 40 + 9 * z[:, 0] + 6 * rng.normal(size=n)})
    frame["gain"] = np.exp(1 + 0.8 * z[:, 1] + 0.3 * z[:, 0] + 0.4 * rng.normal(size=n))
    frame["hours"] = 100 / (1 + np.exp(0.4 - 0.5 * z[:, 1] - 0.4 * z[:, 2] - 0.3 * rng.normal(size=n)))
    frame["children"] = rng.poisson(np.exp(0.3 + 0.5 * z[:, 0] - 0.3 * z[:, 2]))
    frame["weight"] = 70 + 10 * z[:, 2] + 6 * rng.normal(size=n)
    frame["height"] = 170 + 6 * z[:, 2] + 2 * z[:, 1] + 5 * rng.normal(size=n)
    for name, levels in CATEGORICAL.items():
        logits = z @ (1.5 * shape.normal(size=(3, levels))) + 0.5 * shape.normal(size=levels)
        codes = (logits + rng.gumbel(size=logits.shape)).argmax(1)
        frame[name] = pd.Categorical.from_codes(codes, [f"{name[:3]}{k}" for k in range(levels)])
    score = 1.2 * z[:, 1] + 0.8 * z[:, 2] + 0.7 * rng.normal(size=n)
    frame["education"] = np.array([f"e{k:02d}" for k in range(10)])[np.digitize(score, np.linspace(-2.2, 2.2, 9))]
    frame["sex"] = np.where(z[:, 2] + rng.normal(size=n) > 0, "m", "f")
    frame["income"] = (1.5 * z[:, 1] + 0.5 * z[:, 0] + 0.6 * rng.normal(size=n) > 0.7).astype(int)
    chance = np.zeros(frame.shape)
    at = {name: j for j, name in enumerate(frame)}
    chance[:, at["income"]] = np.where(frame.income == 1, 0.6, 0.15)
    chance[:, at["occupation"]] = np.where(frame.occupation.cat.codes < 2, 0.7, 0.1)
    chance[:, at["education"]] = np.clip(0.7 - 0.12 * frame.education.str[1:].astype(int), 0.05, 1)
    chance[:, at["gain"]] = 1 / (1 + np.exp(1.5 - 1.5 * (np.log(frame.gain) - 1.5)))
    chance[:, [at[name] for name in AT_RANDOM]] = 0.1
    return frame, rng.random(chance.shape) >= chance


def _indicators(holed: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for name in holed:
        if name in NUMBERS:
            parts.append(((holed[name] - holed[name].mean()) / holed[name].std()).rename(name))
        else:
            dummies = pd.get_dummies(holed[name], prefix=name, prefix_sep="=", dtype=float)
            parts.append(dummies.where(holed[name].notna(), np.nan, axis=0))
    return pd.concat(parts, axis=1)


NUMBERS = ("age", "gain", "hours", "children", "weight", "height")


def most_frequent(holed: pd.DataFrame) -> pd.DataFrame:
    return holed.fillna({name: holed[name].mean() if name in NUMBERS else holed[name].mode()[0] for name in holed})


def nearest(holed: pd.DataFrame) -> pd.DataFrame:
    from sklearn.impute import KNNImputer

    wide = _indicators(holed)
    filled = pd.DataFrame(KNNImputer(n_neighbors=10).fit_transform(wide), holed.index, wide.columns)
    result = most_frequent(holed)
    for name in holed:
        own = filled[[c for c in filled if c == name or c.startswith(f"{name}=")]]
        holes = holed[name].isna()
        if name in NUMBERS:
            result.loc[holes, name] = own[name][holes] * holed[name].std() + holed[name].mean()
        elif holes.any():
            found = own[holes].idxmax(axis=1).str.split("=").str[1]
            result.loc[holes, name] = found.astype(float).astype(int).to_numpy() if name == "income" else found.to_numpy()
    return result


def forests(holed: pd.DataFrame, rounds: int = 3) -> pd.DataFrame:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    result = most_frequent(holed)
    for _ in range(rounds):
        for name in holed:
            holes = holed[name].isna()
            if not holes.any():
                continue
            features = pd.get_dummies(result.drop(columns=name), dtype=float)
            kind = RandomForestRegressor if name in NUMBERS else RandomForestClassifier
            forest = kind(n_estimators=100, n_jobs=1, random_state=0, min_samples_leaf=2)
            forest.fit(features[~holes], result.loc[~holes, name].astype(float if name in NUMBERS else str))
            found = forest.predict(features[holes])
            result.loc[holes, name] = found if name in NUMBERS else (found.astype(float).astype(int) if name == "income" else found)
    return result


def ours(mechanism: str, ignorable: Sequence[str], seed: int, settings: dict) -> Callable[[pd.DataFrame], pd.DataFrame]:
    from pyro_mnar import MNARImputer

    def completed(holed: pd.DataFrame) -> pd.DataFrame:
        direction = None
        if mechanism == "self-masking":
            direction = dict.fromkeys(holed.columns[holed.isna().any()], "free") | {
                "income": "high",
                "education": "low",
                "gain": "high",
            }
        return MNARImputer(mechanism, direction, ignorable=ignorable, kinds=KINDS, random_state=seed, **settings).fit_transform(holed)

    return completed


def scores(found: pd.DataFrame, full: pd.DataFrame, mask: np.ndarray) -> dict[str, float]:
    result = {}
    for j, name in enumerate(full):
        holes = ~mask[:, j]
        if not holes.any():
            continue
        a, b = found[name][holes], full[name][holes]
        if name in NUMBERS:
            result[f"{name} rmse"] = float(np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2)) / full[name].std())
        elif name == "education":
            result[f"{name} distance"] = float((a.str[1:].astype(int) - b.str[1:].astype(int)).abs().mean())
        else:
            result[f"{name} accuracy"] = float((a.astype(float) == b.astype(float)).mean() if name == "income" else (a == b).mean())
    return result


def main(args: argparse.Namespace) -> None:
    settings = {
        "members": args.members,
        "steps": args.steps,
        "n_jobs": args.jobs,
    }
    rows = []
    for seed in range(args.seeds):
        full, mask = simulate(args.rows, seed)
        holed = full.astype({"income": float}).where(mask)
        methods: dict[str, Callable] = {"most frequent": most_frequent}
        if not args.quick:
            methods |= {"nearest neighbors": nearest, "chained forests": forests}
        methods |= {f"ours, {word}": ours(*ARMS[word], seed, settings) for word in args.arms}
        for name, method in methods.items():
            start = time.perf_counter()
            found = method(holed)
            rows.append({"method": name, "seed": seed, "seconds": time.perf_counter() - start} | scores(found, full, mask))
            print(json.dumps(rows[-1]), flush=True)
    table = pd.DataFrame(rows).drop(columns="seed").groupby("method", sort=False).mean().T
    print(f"{args.rows} rows, means over {args.seeds} seeds")
    print(table.round(3).to_string())
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"rows": args.rows, "settings": settings, "runs": rows}, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2, help="processes of our members (default 2)")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), help="ours that are run (default all)")
    parser.add_argument("--quick", action="store_true", help="without the slower baselines")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/mixed_tables.json"))
    main(parser.parse_args())
