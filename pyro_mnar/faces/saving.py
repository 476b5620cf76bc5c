"""A fitted imputer as tensors and plain data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from pyro_mnar.faces.declaration import declare
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.training import Evaluation, History
from pyro_mnar.models import MNAR
from pyro_mnar.tables import Scaling, Schema


def describe(imputer: Any, settings: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a fitted ``imputer``'s members and plain data from which :func:`restore` makes the rest.

    Args:
        imputer: an ``MNARImputer``.
        settings: names of its constructor's arguments that are kept.
    """
    description = {
        "declaration": imputer.declaration_,
        "schema": imputer.schema_.to_json(),
        "scaling": imputer.scaling_.to_json(),
        "covariate_gain": imputer.covariate_gain_,
        "settings": {name: _plain(getattr(imputer, name)) for name in settings},
        "histories": [asdict(history) for history in imputer.histories_],
        "named": hasattr(imputer, "feature_names_in_"),
    }
    return dict(nn.ModuleList(imputer.members_).state_dict()), description


def restore(
    tensors: dict[str, Tensor], description: dict[str, Any], settings: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any], list[MNAR], Schema]:
    """Return the constructor's arguments, the fitted attributes, the members and the schema that :func:`describe` was given.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, RuntimeError: for anything else.
    """
    given = {name: description["settings"][name] for name in settings}
    if isinstance(given["direction"], list):
        given["direction"] = dict(given["direction"])
    fitted = {
        "declaration_": description["declaration"],
        "scaling_": Scaling.from_json(description["scaling"]),
        "covariate_gain_": description["covariate_gain"],
        "histories_": [
            History(**(seen | {"evaluations": [Evaluation(**look) for look in seen["evaluations"]]}))
            for seen in description["histories"]
        ],
    }
    with seeded(0):  # the weights are replaced, and drawing them shall move no generator
        members = declare(**fitted["declaration_"])
    nn.ModuleList(members).load_state_dict(tensors)
    return given, fitted, members, Schema.from_json(description["schema"])


def _plain(value: Any) -> Any:
    """Return a setting as JSON holds it; a mapping as pairs, since its keys may be positions."""
    if isinstance(value, Mapping):
        return [list(pair) for pair in value.items()]
    return list(value) if isinstance(value, (tuple, list)) else value
