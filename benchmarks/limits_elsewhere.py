"""Other packages' answers for :mod:`benchmarks.limits`, run by an interpreter that has them: ``pyimputelcmd`` and ``ndimpute``.

    PYTHON benchmarks/limits_elsewhere.py < tables.npz > answers.json

The input has ``logs`` and ``limits`` (N, D), logarithms, and ``hidden`` (N, D). The output has by method and column mean and standard
deviation of the logarithms. QRILC (R's imputeLCMD) knows no limits; of ROS the values below limits are said at their limits.
"""

import io
import json
import sys

import numpy as np
from ndimpute import impute
from pyimputelcmd import impute_qrilc


def main() -> None:
    """Answer one table."""
    given = np.load(io.BytesIO(sys.stdin.buffer.read()))
    logs, limits, hidden = given["logs"], given["limits"], given["hidden"]
    qrilc = np.asarray(impute_qrilc(np.where(hidden, np.nan, logs), seed=0))
    found = {"qrilc (pyimputelcmd)": [[float(own.mean()), float(own.std())] for own in qrilc.T], "ros (ndimpute)": []}
    for own, at, there in zip(logs.T, limits.T, hidden.T, strict=True):
        answer = impute(np.exp(np.where(there, at, own)), there, method="ros", censoring_type="left")
        column = answer["imputed_value"] if hasattr(answer, "columns") else answer
        filled = np.log(np.asarray(column, float))
        found["ros (ndimpute)"].append([float(filled.mean()), float(filled.std())])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
