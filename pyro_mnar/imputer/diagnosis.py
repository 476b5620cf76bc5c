"""What is wrong with a fitted imputer and what it imputes."""

from __future__ import annotations

from dataclasses import replace

import torch

from pyro_mnar.diagnostics.diagnosis import Diagnosis, diagnose
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.doubts import doubts
from pyro_mnar.imputer.tables.extremes import within_reach
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.torch_state import as_usual


@as_usual
def diagnosis(imputer: Imputer, given: Given, result: Imputation) -> Diagnosis:
    """Return what is wrong with a fitted imputer and its imputation of a table, in the table's units.

    Args:
        imputer: fitted.
        given: read by its codec.
        result: in a model's units, with draws of every member.
    """
    names = [column.name for column in given.codec.columns]
    found = diagnose(
        result,
        imputer.members_,
        within_reach(given),
        given.seen,
        rows=given.labels,
        columns=names,
        codec=given.codec,
        limited=None if given.limits is None else torch.from_numpy(given.limited),
        seed=imputer.seed,
    )
    said = doubts(imputer)
    return replace(found, problems=found.problems | {"reasons": " ".join(said)}) if said else found
