"""What a whole column is supposed to be when one end of it is missing."""

from dataclasses import replace

import numpy as np
import pytest

from pyro_mnar.data import Scaling, Schema, TableCodec
from pyro_mnar.data.kinds import KINDS, Continuous
from pyro_mnar.imputer.scaling.censored_scaling import in_supposed_units
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.imputer.training.specification import Specification

N = 20_000


def supposed(direction, own_mask, related=0.9, mechanism="self-masking", kind="continuous", columns=(0,), seed=0, pilot=False):
    """Two columns of mean 3 and standard deviation 2, the first cut by ``own_mask``; the scaling that is supposed."""
    generator = np.random.default_rng(seed)
    a, b, noise = generator.normal(size=(3, N))
    x = 3 + 2 * np.stack([a, related * a + np.sqrt(1 - related**2) * b], 1)
    mask = np.stack([own_mask(a, noise), np.ones(N, bool)], 1)
    schema = Schema((KINDS[kind]("a", "float64"), Continuous("b", "float64")))
    x = np.where(mask, x, 0.0)
    codec = replace(TableCodec.of(Scaling(np.zeros(2), np.ones(2))), schema=schema).scaled_by(x, mask)
    specification = Specification(mechanism, columns, (direction,) * len(columns), (kind, "continuous"), 1, (), 1)
    return in_supposed_units(Given(x, x, codec, x, mask), specification, pilot)[0].scaling


def above(a, noise):
    return a < 0.5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("direction", "own_mask"), [("high", above), ("low", lambda a, e: a > -0.5), ("free", above)])
def test_a_normal_column_cut_at_a_threshold_gets_its_own_moments_back(direction, own_mask, seed):
    scaling = supposed(direction, own_mask, seed=seed)
    # Standard errors of a half-seen normal's moments, some 2 / sqrt(N) times 3: generous by a factor of two.
    assert abs(scaling.center[0] - 3) < 0.09 and abs(scaling.scale[0] - 2) < 0.09
    assert abs(scaling.center[1] - 3) < 0.06 and abs(scaling.scale[1] - 2) < 0.05


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("side", "own_mask"), [("middle", lambda a, e: abs(a) > 0.4), ("tails", lambda a, e: abs(a) < 0.9)])
def test_a_normal_column_without_its_middle_or_its_tails_gets_its_own_spread_back(side, own_mask, seed):
    scaling = supposed(side, own_mask, seed=seed)
    assert abs(scaling.center[0] - 3) < 0.09 and abs(scaling.scale[0] - 2) < 0.09
    seen, short = supposed("none", own_mask, seed=seed), supposed(side, own_mask, seed=seed, pilot=True)
    assert short.scale[0] == (seen if side == "tails" else scaling).scale[0] and abs(seen.scale[0] - 2) > 0.2


@pytest.mark.parametrize(
    ("direction", "own_mask", "other"),
    [
        ("tails", above, {"kind": "count"}),
        ("free", lambda a, e: e < 0.5, {}),  # at random: other columns point nowhere, or by chance by one standard error
        ("free", above, {"related": 0.0}),  # nothing to point with
        ("high", above, {"mechanism": "none"}),
        ("high", above, {"kind": "count"}),
        ("none", above, {}),
    ],
)
def test_elsewhere_the_observed_moments_stay(direction, own_mask, other):
    moved = [supposed(direction, own_mask, seed=seed, **other) for seed in range(5)]
    plain = [supposed(direction, own_mask, columns=(), seed=seed, **other) for seed in range(5)]
    same = [
        np.array_equal(one.center, two.center) and np.array_equal(one.scale, two.scale) for one, two in zip(moved, plain, strict=True)
    ]
    assert all(same) if direction != "free" else any(same)
