"""A fitted imputer as tensors and plain data, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.imputation.ensemble import score_ensemble
from pyro_mnar.imputation.impute import check_tolerance
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.identification.shadow import strengths_from_json
from pyro_mnar.imputer.margins.margin_words import margins_table
from pyro_mnar.imputer.moves import Move
from pyro_mnar.imputer.points import check_point
from pyro_mnar.imputer.reason_selection.pilots import Candidate
from pyro_mnar.imputer.saving.model_files import load_model, save_model
from pyro_mnar.imputer.saving.model_sizes import check_sizes, check_tensors
from pyro_mnar.imputer.saving.plain_reasons import finite, reasons_from_json, reasons_to_json
from pyro_mnar.imputer.tables.checked_tables import check_kinds
from pyro_mnar.imputer.tables.given import check_fitted
from pyro_mnar.imputer.tables.known_cells import check_known
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.imputer.words import MECHANISMS
from pyro_mnar.infer.held_out import check_held_out
from pyro_mnar.infer.history import Evaluation, History
from pyro_mnar.infer.schedule import most_steps
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.torch_state import as_usual
from pyro_mnar.model.mnar import MNAR

if TYPE_CHECKING:
    from pandas import DataFrame


def save(imputer: Imputer, folder: str | os.PathLike[str]) -> None:
    """Write a fitted imputer as a model folder."""
    check_fitted(imputer)
    save_model(folder, *describe(imputer))


@as_usual
def load(cls: type, folder: str | os.PathLike[str]) -> Any:
    """Return the imputer of class ``cls`` that :func:`save` wrote.

    Raises:
        ValueError: for a folder that is not a model's, is damaged, or comes from another version.
    """
    tensors, description = load_model(folder)
    try:
        given, fitted = restore(tensors, description)
        imputer = cls(**given)
        for name, value in fitted.items():
            setattr(imputer, name, value)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ValueError(f"{os.fspath(folder)}: not a usable model, expected one that MNARImputer.save wrote ({reason})") from None
    return imputer


def describe(imputer: Imputer) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the state of a fitted ``imputer``'s members and plain data from which :func:`restore` makes the rest.

    Args:
        imputer: an ``MNARImputer``; of its constructor's arguments all are kept but ``progress``, ``n_jobs`` and ``device``.
    """
    description = {
        "specification": imputer.specification_.to_json(),
        "codec": imputer.codec_.to_json(),
        "candidates": [list(candidate) for candidate in imputer.candidates_],
        "reasons": reasons_to_json(imputer.reasons_),
        "margins": [move.to_json() for move in imputer.moves_],
        "shadows": imputer.shadows_.to_dict("list"),
        "instruments": imputer.instruments_.to_dict("list"),
        "settings": {
            name: plain_setting(value)
            for name, value in imputer.get_params(deep=False).items()
            if name not in ("progress", "n_jobs", "device")
        },
        "histories": [asdict(history) for history in imputer.histories_],
        "seed": imputer.seed,
        "named": hasattr(imputer, "feature_names_in_"),
    }
    return dict(nn.ModuleList(imputer.members_).state_dict()), description


def restore(tensors: dict[str, Tensor], description: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the constructor's arguments and the fitted attributes of the imputer that :func:`describe` was given.

    Raises:
        ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError: for anything else.
    """
    given = dict(description["settings"])
    check_point(given["point"])
    check_tolerance(given["tolerance"])
    check_held_out(given["held_out"], given["patience"])
    most_steps(given["steps"])
    for name, seed in (("random_state", given["random_state"]), ("seed", description["seed"])):
        if not (type(seed) is int and 0 <= seed < 2**32) and (seed is not None or name == "seed"):
            raise ValueError(f"{name}: got {seed!r:.40}, expected a whole number from 0 to 2^32 - 1")
    for name in ("direction", "kinds", "limits", "not_applicable", "margins"):
        if isinstance(given[name], list):
            given[name] = dict(given[name])
    check_kinds(given["kinds"])
    if isinstance(given["missing"], list) and any(isinstance(one, list) for one in given["missing"]):
        given["missing"] = dict(given["missing"])
    codec, specification = TableCodec.from_json(description["codec"]), Specification.from_json(description["specification"])
    check_known(given["rules"], given["not_applicable"], codec)
    fitted: dict[str, Any] = {
        "codec_": codec,
        "specification_": specification,
        "seed_": int(description["seed"]),
        "n_features_in_": len(codec.layout.names),
        "candidates_": [_candidate(*plain) for plain in description["candidates"]],
        "reasons_": reasons_from_json(description["reasons"]),
        "histories_": [_history(**plain) for plain in description["histories"]],
    }
    fitted["moves_"] = [Move.from_json(plain, specification.members, codec.columns) for plain in description["margins"]]
    fitted["margins_"] = margins_table(codec.columns, fitted["moves_"])
    names = [column.name for column in codec.columns]
    fitted["shadows_"] = strengths_from_json(description["shadows"], names)
    fitted["instruments_"] = strengths_from_json(description["instruments"], names, "instrument")
    if description["named"]:
        fitted["feature_names_in_"] = np.array(codec.layout.names, dtype=object)
    _check(codec, specification, fitted["reasons_"], fitted["histories_"])
    outputs = sum(specification.effects())
    check_sizes(specification.members, len(codec.columns), specification.latent_dim, specification.hidden, outputs, tensors)
    with seeded(0):  # the weights are replaced, and drawing them shall move no generator
        members = specification.models()
    check_tensors(tensors, nn.ModuleList(members).state_dict())
    nn.ModuleList(members).load_state_dict(tensors)
    fitted["members_"] = [member.eval() for member in members]
    _try(fitted["members_"], len(codec.columns))
    return given, fitted


def _check(codec: TableCodec, specification: Specification, reasons: DataFrame, histories: Sequence[History]) -> None:
    """Raise a ValueError unless all are of the same columns and members."""
    names = [codec.layout.names[j] for j in codec.layout.known]
    if [column.name for column in codec.columns] != names or len(codec.scaling.center) != len(names):
        raise ValueError("schema: got other columns than the layout's or the scaling's, expected the same")
    if [column.kind for column in codec.columns] != list(specification.kinds):
        raise ValueError(f"kinds: got {specification.kinds!r:.60}, expected those of the {len(names)} columns")
    if specification.mechanism not in MECHANISMS:
        raise ValueError(f"mechanism: got {specification.mechanism!r:.40}, expected one of {', '.join(MECHANISMS)}")
    modeled = specification.columns
    if not all(type(j) is int and 0 <= j < len(names) for j in modeled) or len(set(modeled)) < len(modeled):
        raise ValueError(f"columns: got {modeled!r:.60}, expected positions among {len(names)} columns")
    for name, places in (("unread", specification.unread), ("alone", specification.alone)):
        if not set(places) <= set(range(len(names))):
            raise ValueError(f"{name}: got {places!r:.60}, expected positions among {len(names)} columns")
    if not all(j in modeled and np.isfinite(slope) for j, slope in specification.held):
        raise ValueError(f"held: got {specification.held!r:.60}, expected slopes of modeled columns")
    _check_others(specification)
    limited = {limit.column for limit in codec.limits}
    if not limited <= set(names):
        raise ValueError(f"limits: got some of {sorted(map(str, limited))!r:.60}, expected some of the {len(names)} columns")
    found = list(reasons.index)
    if [name for name in found if name not in limited or names.index(name) in modeled] != [names[j] for j in modeled]:
        raise ValueError(f"reasons: got some of {list(reasons.index)!r:.60}, expected those of the modeled columns")
    if len(histories) != specification.members:
        raise ValueError(f"members: got {specification.members!r:.20}, expected as many as histories, {len(histories)}")


def _check_others(specification: Specification) -> None:
    """Raise a ValueError unless the members follow specifications of the same columns and sizes."""
    plain: dict[str, Any] = {"directions": (), "orders": None, "latent": False, "values": True, "others": (), "follows": ()}
    if any(replace(one, **plain) != replace(specification, **plain) for one in specification.others):
        raise ValueError("others: got some of other columns or sizes, expected the same")
    follows, others = specification.follows, len(specification.others)
    if len(follows) not in ((specification.members,) if others else (0,)) or not set(follows) <= set(range(1 + others)):
        raise ValueError(f"follows: got {follows!r:.60}, expected for each member a place among {others} others")


def _try(members: Sequence[MNAR], n_columns: int) -> None:
    """Have each member judge a row of which all is seen and one of which nothing is: what does not fit together fails here."""
    mask = torch.tensor([[True], [False]]).expand(2, n_columns)
    score_ensemble(members, torch.zeros(2, n_columns), mask, particles=2)


def _candidate(directions: Any, earlier: Any, latent: object, *numbers: object) -> Candidate:
    if not all(isinstance(word, str) for word in [*directions, earlier]) or type(latent) is not bool:
        raise ValueError(f"candidates: got {(directions, earlier, latent)!r:.60}, expected words and a truth value")
    return Candidate(tuple(directions), earlier, latent, *(finite(number, "candidates") for number in numbers))


def _history(evaluations: Any, best_step: object, stopped: object) -> History:
    looks = [Evaluation(**look) for look in evaluations]
    for look in looks:
        for number in (look.step, look.train, look.held_out):
            finite(0 if number is None else number, "histories")
        if look.tilt is not None:
            raise ValueError(f"histories: got tilt {look.tilt!r:.60}, expected none")
    if type(best_step) is not int or not isinstance(stopped, str):
        raise ValueError(f"histories: got {best_step!r:.40} and {stopped!r:.40}, expected a step and a word")
    return History(looks, best_step, stopped)


def plain_setting(value: object) -> object:
    """Return a setting as JSON holds it; a mapping as pairs, since its keys may be positions; a generator as none."""
    if isinstance(value, Mapping):
        return [[plain_setting(key), plain_setting(own)] for key, own in value.items()]
    if hasattr(value, "tolist") and hasattr(value, "ndim") and value.ndim:  # limits of each row
        return [plain_setting(own) for own in value.tolist()]
    if isinstance(value, float):
        return None if np.isnan(value) else float(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, np.floating):
        return None if np.isnan(value) else float(value)
    if isinstance(value, (tuple, list, set, frozenset)):
        return [plain_setting(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
