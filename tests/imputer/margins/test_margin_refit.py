"""What is fitted again where a margin is beyond the draws: an own value at the end it points to, or a slope that is held."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar.data.kinds import Continuous
from pyro_mnar.data.margins import Margin
from pyro_mnar.imputer.margins.margin_refit import nearer_to_margins, say_refitted
from pyro_mnar.imputer.moves import Move
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.imputer.words import MECHANISMS

#: Columns 0, 1 and 3 have holes.
MASK = np.array([[True, True, True, True], [False, False, True, False]])
NONE = Specification("none", (), (), ("continuous",) * 4, 2, (), 3)
OWN = replace(NONE, mechanism="auto", columns=(0, 1, 3), directions=("high", "none", "low"), latent=True, held=((3, -2.0),))


def moved(column, way, *factors, in_reach=False):
    numbers = {name: np.array([float(column)]) for name in ("unadjusted", "met", "before", "after")}
    # Of each member what meets the margin itself, and another number that its standard error allows.
    moves = np.array([[[factor], [-factor]] for factor in factors], float)
    return Move(Margin("a", "mean", (), (1.0,), (0.0,)), column, way, moves, **numbers, in_reach=in_reach)


def fitted(specification, *moves, slopes=(1.0, 2.0, 6.0), **settings):
    """An imputer with three models, of the slopes given in every column."""
    members = [SimpleNamespace(mechanism=SimpleNamespace(own_effects=lambda slope=slope: torch.full((4,), slope))) for slope in slopes]
    codec = SimpleNamespace(columns=[Continuous(name, "float64") for name in "abcd"])
    reasons = pd.DataFrame({"reason": "r", "evidence": "e"}, index=list("abd"))
    given = {"specification_": specification, "moves_": list(moves), "members_": members, "codec_": codec, "reasons_": reasons}
    return SimpleNamespace(**given | {"members": 3, "ignorable": ()} | settings)


@pytest.mark.parametrize(("factors", "word"), [((0.2, 1.5, 9.0), "high"), ((9.0, 0.5, 0.2), "low")])
def test_a_tilt_supposes_an_own_value_at_the_end_it_points_to(factors, word):
    found = nearer_to_margins(fitted(NONE, moved(1, "tilt", *factors)), MASK)
    assert (found.mechanism, found.columns, found.directions) == ("self-masking", (0, 1, 3), ("none", word, "none"))
    found = nearer_to_margins(fitted(OWN, moved(1, "tilt", *factors)), MASK)
    assert found == replace(OWN, directions=("high", word, "low"), latent=False)


@pytest.mark.parametrize(("factors", "slope"), [((0.5, 0.1, 4.0), 1.5), ((7.0, 20.0, 50.0), 30.0)])
def test_a_strength_holds_the_slope_that_it_asks_for_up_to_the_steepest(factors, slope):
    """The median factor of the mean slope, 3."""
    found = nearer_to_margins(fitted(OWN, moved(0, "strength", *factors)), MASK)
    assert found == replace(OWN, held=((3, -2.0), (0, slope)))
    found = nearer_to_margins(fitted(OWN, moved(0, "strength", *factors), slopes=(-1.0, -2.0, -6.0)), MASK)
    assert dict(found.held)[0] == -slope


@pytest.mark.parametrize(
    ("specification", "move", "settings"),
    [
        (OWN, moved(1, "tilt", 3, 3, 3, in_reach=True), {}),
        (OWN, moved(1, "tilt", 3, 3, 3), {"ignorable": ["b"]}),
        (OWN, moved(1, "tilt", 3, 3, 3), {"members": 4}),  # interrupted
        (OWN, moved(0, "tilt", 3, 3, 3), {}),  # its own value is supposed already
        (replace(OWN, mechanism="linear", latent=False, held=()), moved(1, "tilt", 3, 3, 3), {}),
        (OWN, moved(0, "strength", -1, 0, 2), {}),
        (OWN, moved(1, "odds", 3, 3, 3), {}),
    ],
)
def test_what_brings_nothing_nearer_is_not_fitted_again(specification, move, settings):
    assert nearer_to_margins(fitted(specification, move, **settings), MASK) == specification


@pytest.mark.parametrize(("slopes", "word"), [((1.0, -0.5), "large"), ((-1.0, 0.5), "small")])
def test_what_was_fitted_again_is_said_with_what_it_was_without(slopes, word):
    imputer = fitted(replace(OWN, directions=("none", "high", "none"), held=()), moved(1, "strength", 2, 2), moved(0, "tilt", 2, 2))
    imputer.members_ = fitted(OWN, slopes=slopes).members_
    first = [replace(move, unadjusted=np.array([7.0]), before=np.array([8.0])) for move in imputer.moves_]
    say_refitted(imputer, NONE, first)
    again, other = imputer.moves_
    assert again.refitted and (again.unadjusted[0], again.before[0], again.met[0]) == (7.0, 8.0, 1.0)
    assert not other.refitted and other.unadjusted[0] == 0.0
    assert imputer.reasons_.reason["b"] == f"by its own value ({word} values go missing), as strongly as its margin says"
    assert imputer.reasons_.evidence.to_dict() == {"a": "stated", "b": "stated margin", "d": "stated"}
    assert imputer.reasons_.reason["a"] == imputer.reasons_.reason["d"] == MECHANISMS["none"]


def test_columns_that_stay_as_they_were_keep_their_reasons():
    imputer = fitted(replace(OWN, held=((3, -5.0),)), moved(3, "strength", 2, 2, 2))
    say_refitted(imputer, OWN, imputer.moves_)
    assert imputer.moves_[0].refitted and imputer.reasons_.evidence.to_dict() == {"a": "e", "b": "e", "d": "stated margin"}
    imputer = fitted(NONE, moved(1, "tilt", 2, 2, 2))
    say_refitted(imputer, NONE, imputer.moves_)
    assert not imputer.moves_[0].refitted and (imputer.reasons_.evidence == "e").all()
