"""Which value repeats, and values put at it."""

import numpy as np
import pytest

from pyro_mnar.data import Scaling, Schema, TableCodec, split
from pyro_mnar.data.kinds import Semicontinuous
from pyro_mnar.data.kinds.semicontinuous import mass_at, mass_in, snapped

RAIN = np.r_[np.zeros(40), np.linspace(0.4, 9, 60)]


def test_an_end_that_repeats_is_found_and_nothing_else():
    assert mass_in(RAIN) == (0.0, 0.4) and mass_in(-RAIN) == (0.0, -0.4) and mass_in(np.r_[RAIN, np.full(50, np.nan)]) == (0.0, 0.4)
    for values in (
        np.r_[np.zeros(19), np.linspace(1, 2, 30)],  # too few rows
        np.r_[np.zeros(30), np.linspace(1, 2, 200)],  # too small a share
        np.r_[np.zeros(30), np.arange(1, 10)],  # too few others
        np.r_[np.full(40, 5.0), np.linspace(0.4, 9, 60)],  # no end
        np.r_[np.zeros(60), np.ones(16), np.linspace(2, 3, 60)],  # another value repeats as well
        np.r_[np.zeros(89), np.full(5, 2.0), np.full(6, 3.0)],  # less than nine tenths, and few others
        np.r_[np.zeros(95), np.ones(5)],  # one other alone
        np.linspace(0, 1, 100),
        np.zeros(100),
        np.full(5, np.nan),
    ):
        assert mass_in(values) is None


def test_where_nearly_all_are_alike_two_others_suffice():
    """As one normal law they are a spike of any height: under the hard rule concrete's ash, 566 zeros of 581, outweighed all else."""
    assert mass_in(np.r_[np.zeros(95), np.full(3, 2.0), np.full(2, 3.0)]) == (0.0, 2.0)
    assert mass_in(np.r_[np.zeros(95), np.full(3, -2.0), np.full(2, -3.0)]) == (0.0, -2.0)
    table = np.c_[np.r_[np.zeros(95), np.full(3, 2.0), np.full(2, 3.0)], np.linspace(0, 1, 100)]
    assert [column.kind for column in TableCodec.learn(table)[0].columns] == ["semicontinuous", "continuous"]


def test_a_declared_value_is_an_end_of_what_was_seen_even_where_it_was_not_seen_itself():
    assert mass_at("a", None, [0.0, 0.0, 3.0]) == (0.0, 3.0) and mass_at("a", None, [0.0, 3.0, 3.0]) == (3.0, 0.0)
    assert mass_at("a", -1.0, [0.0, 3.0]) == (-1.0, 0.0) and mass_at("a", 3.0, [0.0, 2.0, 3.0]) == (3.0, 2.0)
    for mass, values, said in ((1.0, [0.0, 1.0, 2.0], "expected 1 to be the smallest"), (None, [2.0, 2.0], "1 different value")):
        with pytest.raises(ValueError, match=f"column 'a'.*{said}"):
            mass_at("a", mass, values)


def test_arrays_and_frames_have_it_inferred_declared_and_refused():
    pandas = pytest.importorskip("pandas")
    x = np.c_[RAIN, np.linspace(0, 1, 100)]
    frame = pandas.DataFrame(x, columns=["rain", "wind"])
    for table, name in ((x, 0), (frame, "rain"), (frame.convert_dtypes(), "rain")):
        column, other = Schema.of(table).columns
        assert (column.kind, column.bounds, other.kind) == ("semicontinuous", (0.0, 0.4), "continuous")
        assert Schema.of(table, kinds={name: "continuous"}).columns[0].kind == "continuous"
        assert Schema.of(table, kinds={name: "semicontinuous:-1"}).columns[0].bounds == (-1.0, 0.0)
        again = Schema.from_json(Schema.of(table).to_json())
        assert again == Schema.of(table)
        for word, said in (
            ("semicontinuous:x", "expected semicontinuous or semicontinuous:VALUE"),
            ("semicontinuous:4", "smallest or the largest"),
        ):
            with pytest.raises(ValueError, match=said):
                Schema.of(table, kinds={name: word})
    with pytest.raises(ValueError, match="got -0.5 in row 0, expected numbers from 0 up for kind semicontinuous"):
        split(frame.replace(0.0, -0.5), Schema.of(frame))
    split(frame + 0.1, Schema.of(frame))  # without the value that repeats, and nearer to it than any was
    with pytest.raises(ValueError, match="got levels"):
        Semicontinuous("a", "float64")
    with pytest.raises(ValueError, match="bounds"):
        Semicontinuous("a", "float64", bounds=(1.0, 1.0))


def test_values_beyond_the_end_or_nearer_than_half_of_the_nearest_are_put_at_it():
    assert snapped(np.array([-3.0, 0.0, 0.19, 0.21, 7.0]), (0.0, 0.4)).tolist() == [0.0, 0.0, 0.0, 0.21, 7.0]
    assert snapped(np.array([9.0, 4.9, 4.4]), (5.0, 4.0)).tolist() == [5.0, 5.0, 4.4]


def test_scales_and_densities_are_of_the_values_beside_it():
    codec, values, mask = TableCodec.learn(RAIN[:, None])
    scaling = codec.scaling
    beside = RAIN[40:]
    assert scaling.center[0] == pytest.approx(beside.mean()) and scaling.scale[0] == pytest.approx(beside.std())
    jacobian = codec.log_jacobian(values, mask)
    assert jacobian[:40].tolist() == [0.0] * 40 and jacobian[40:] == pytest.approx(-np.log(scaling.scale[0]))
    back = codec.invert(codec.apply(values, mask))
    assert back[:40].tolist() == [[0.0]] * 40 and back == pytest.approx(values)
    plain = Scaling.of(values, mask)
    assert plain.center[0] < scaling.center[0]
