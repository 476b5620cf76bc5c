"""A fitted imputer as tensors and plain data, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, nn

from pyro_mnar.data.layout import Layout
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.data.schema import Schema
from pyro_mnar.data.transforms import Units
from pyro_mnar.imputer.model_files import load_model
from pyro_mnar.imputer.model_sizes import check_sizes, check_tensors
from pyro_mnar.imputer.reason_selection import Candidate
from pyro_mnar.imputer.reasons import reasons_from_json, reasons_to_json
from pyro_mnar.imputer.specification import declare
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.training import Evaluation, History

_Imputer = TypeVar("_Imputer")


def describe(imputer: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a fitted ``imputer``'s members and plain data from which :func:`restore` makes the rest.

    Args:
        imputer: an ``MNARImputer``; of its constructor's arguments all are kept but ``progress`` and
            ``n_jobs``.
    """
    description = {
        "declaration": imputer.declaration_,
        "schema": imputer.schema_.to_json(),
        "scaling": imputer.scaling_.scaling.to_json(),
        "candidates": [list(candidate) for candidate in imputer.candidates_],
        "reasons": reasons_to_json(imputer.reasons_),
        "settings": {
            name: _plain(value) for name, value in imputer.get_params(deep=False).items() if name not in ("progress", "n_jobs")
        },
        "histories": [asdict(history) for history in imputer.histories_],
        "layout": imputer.layout_.to_json(),
        "seed": imputer._seed(),
        "named": hasattr(imputer, "feature_names_in_"),
    }
    return dict(nn.ModuleList(imputer.members_).state_dict()), description


def restore(tensors: dict[str, Tensor], description: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the constructor's arguments and the fitted attributes of the imputer that :func:`describe` was given.

    Raises:
        ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError: for anything else.
    """
    given = dict(description["settings"])
    for name in ("direction", "kinds"):
        if isinstance(given[name], list):
            given[name] = dict(given[name])
    layout = Layout.from_json(description["layout"])
    schema = Schema.from_json(description["schema"])
    if [column.name for column in schema.columns] != [layout.names[j] for j in layout.known]:
        raise ValueError("schema: got other columns than the layout's, expected the same")
    fitted = {
        "layout_": layout,
        "schema_": schema,
        "seed_": int(description["seed"]),
        "n_features_in_": len(layout.names),
        "declaration_": description["declaration"],
        "scaling_": Units(schema.columns, Scaling.from_json(description["scaling"])),
        "candidates_": [Candidate(tuple(words), *rest) for words, *rest in description["candidates"]],
        "reasons_": reasons_from_json(description["reasons"]),
        "histories_": [
            History(**(seen | {"evaluations": [Evaluation(**look) for look in seen["evaluations"]]}))
            for seen in description["histories"]
        ],
    }
    if description["named"]:
        fitted["feature_names_in_"] = np.array(layout.names, dtype=object)
    declared = fitted["declaration_"]
    if len(schema.columns) != declared["n_columns"] or len(fitted["histories_"]) != declared["members"]:
        raise ValueError(
            f"got {declared['n_columns']!r:.20} columns and {declared['members']!r:.20} members, expected as many as described"
        )
    sizes = {name: declared[name] for name in ("members", "n_columns", "latent_dim", "hidden", "cells")}
    check_sizes(**sizes, tensors=tensors)
    with seeded(0):  # the weights are replaced, and drawing them shall move no generator
        members = declare(**declared)
    check_tensors(tensors, nn.ModuleList(members).state_dict())
    nn.ModuleList(members).load_state_dict(tensors)
    fitted["members_"] = [member.eval() for member in members]
    return given, fitted


def loaded(kind: type[_Imputer], folder: str | os.PathLike[str]) -> _Imputer:
    """Return the imputer that was saved in ``folder``.

    Raises:
        ValueError: naming the folder, for what cannot be used.
    """
    tensors, description = load_model(folder)
    try:
        given, fitted = restore(tensors, description)
        imputer = kind(**given)
        for name, value in fitted.items():
            setattr(imputer, name, value)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ValueError(f"{os.fspath(folder)}: not a usable model, expected one that MNARImputer.save wrote ({reason})") from None
    return imputer


def _plain(value: Any) -> Any:
    """Return a setting as JSON holds it; a mapping as pairs, since its keys may be positions; a generator as none."""
    if isinstance(value, Mapping):
        return [list(pair) for pair in value.items()]
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, np.random.RandomState):
        return None
    return list(value) if isinstance(value, (tuple, list)) else value
