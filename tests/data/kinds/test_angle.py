"""Angles as tables have them: periods, any turn, and times of a day as text."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.data import TableCodec
from pyro_mnar.data.kinds.angle import Angle


@pytest.mark.parametrize("dtype", [object, "str"])
def test_times_of_a_day_are_read_and_written_as_text(dtype):
    frame = pd.DataFrame({"at": pd.Series(["23:30", None, "0:15", "12:00"], dtype=dtype), "x": [1.0, 2.0, 4.0, 3.0]})
    codec = TableCodec.fit(frame, {"at": "angle:24"})
    values, mask = codec.read(frame)
    assert values[mask[:, 0], 0].tolist() == [23.5, 0.25, 12.0]
    for number, word in ((0.26, "00:16"), (23.9999, "00:00"), (6.5, "06:30")):
        completed = codec.decode(np.where(mask, values, number), frame)
        assert completed["at"].tolist() == ["23:30", word, "0:15", "12:00"] and completed["at"].dtype == frame["at"].dtype
    finer = frame.assign(at=["23:30:30", None, "00:15:00", "12:00:00"])
    assert codec.decode(np.where(mask, values, 1.0), finer)["at"].tolist()[1] == "01:00:00"
    with pytest.raises(ValueError, match="column 'at': got '25:00' in row 0, expected numbers, or times such as 23:59"):
        codec.read(frame.assign(at=["25:00", None, "0:15", "12:00"]))


def test_a_turn_more_is_the_same_and_the_largest_value_is_below_the_period():
    own = Angle("wind", "float64", period=360.0)
    np.testing.assert_allclose(own.on_line(np.array([-90.0, 270.0, 630.0])), 270.0)
    assert own.on_line(np.array([-1e-20, 360.0])).tolist() == [0.0, 0.0]
    assert own.mean(np.array([-np.pi / 2]), 0.0, 180 / np.pi).round(9).tolist() == [270.0]


@pytest.mark.parametrize("word", ["angle", "angle:0", "angle:-3", "angle:x", "angle:inf", "angle:3:4"])
def test_a_period_must_be_given(word):
    with pytest.raises(ValueError, match=f"kinds: got '{word}' for column 0, expected angle:PERIOD, such as angle:360"):
        TableCodec.fit(np.array([[1.0, 2.0], [3.0, 5.0]]), {0: word})
