"""A table goes through few files, and is taken for what it is, split and scaled once."""

from benchmarks.trips import MOST, trips


def test_trips_are_no_longer_than_they_may_be():
    found = trips()
    for name, most in MOST.items():
        assert len(found[name].files) <= most, name
    once = {"TableCodec.learn": 1, "infer": 3, "split": 1, "TableCodec.scaled_by": 1, "Given.contrasts": 1}  # three columns
    assert {name: found["fit"].calls[name] for name in once} == once
    # The completed table is read as well, to say what in it cannot be.
    again = {"split": 2, "infer": 0, "impute": 1}
    assert {name: found["transform"].calls[name] for name in again} == again
    whole = found["pyro-mnar impute"].calls
    assert {name: whole[name] for name in once} == once | {"split": 2} and whole["fit_given"] == 1
