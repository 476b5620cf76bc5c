"""A folder in which a fit of ``MNARImputer`` is kept while it goes on, so that the same call goes on with it after a kill.

``_run.json`` says of which table, settings and versions it is. Each training, of a pilot or a member, has a file, named by a digest of
all that it follows from, and so has the bound of a pilot. What is in no file yet is done again, by the same random numbers: the result
is that of an undisturbed fit, to the bit. At the end the fitted model takes the place of the files (``model``, as
:mod:`pyro_mnar.imputer.saving.model_files` writes it), and the same call reads that and does nothing more.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import pyro_mnar
from pyro_mnar.data.files.run_folder import start_run
from pyro_mnar.data.warn import warn
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.saving.serialization import load, plain_setting, save
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.imputer.training.fit_files import FitFiles, digest_of
from pyro_mnar.infer.checkpoints import EVERY

if TYPE_CHECKING:
    from pyro_mnar.imputer.member_rows import MemberRows

#: Settings without a part in what is fitted.
_APART = ("progress", "n_jobs", "keep_partial", "point", "tolerance", "add_indicator", "device", "random_state")


def opened(
    folder: str | os.PathLike[str], imputer: Imputer, given: Given, device: torch.device, seed: int, rows: MemberRows | None = None
) -> FitFiles:
    """Return the files of a fit, in a new folder or one of an earlier run of the same fit.

    Args:
        folder: new, empty or of the same fit; its parent exists.
        imputer: with its settings.
        given: the table as it was read.
        device: where the ensemble is fitted.
        seed: of training.
        rows: where members' rows come from, where they are not those of the table.

    Raises:
        ValueError: for a folder of another table, setting or version, which is named, or that cannot be written; without a seed.
    """
    if imputer.random_state is None:
        raise ValueError("random_state: got None with a checkpoint, expected a seed (whoever goes on must draw the same numbers)")
    settings = {name: plain_setting(value) for name, value in imputer.get_params(deep=False).items() if name not in _APART}
    run = {"of": "a fit", "pyro_mnar": pyro_mnar.__version__, "torch": str(torch.__version__), **settings}
    ends = np.empty(0) if given.ends is None else given.ends
    table = digest_of(given.values, given.mask, ends, json.dumps(given.codec.to_json()))
    run |= {"random_state": seed, "device": str(device), "table": table, "weights": digest_of(given.weights)}
    run |= {} if given.units is None else {"strata and clusters": digest_of(given.units)}
    run |= {} if rows is None else {"rows": rows.digest}
    start_run(Path(folder), json.loads(json.dumps(run)))
    return FitFiles(Path(folder), EVERY, rows is not None and rows.world_size > 1)


def restores(files: FitFiles, imputer: Imputer) -> bool:
    """Give ``imputer`` what the finished fit found, and return whether it is there; a damaged one is said, and fitted again."""
    folder = files.path / "model"
    if not folder.exists():
        return False
    try:
        found = load(type(imputer), folder)
    except ValueError as error:
        warn(f"checkpoint: {error}; the fit is done again")
        return False
    for name, value in vars(found).items():
        if name.endswith("_") and name != "seed_":  # the seed is that of the setting
            setattr(imputer, name, value)
    files.clear()
    return True


def finish(files: FitFiles, imputer: Imputer) -> None:
    """Keep what a fit found in place of its parts, unless it was interrupted."""
    if len(imputer.histories_) == imputer.members and all(history.stopped != "interrupted" for history in imputer.histories_):
        save(imputer, files.path / "model")
        files.clear()
