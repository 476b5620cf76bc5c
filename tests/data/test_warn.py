"""A warning points at the line that called the library, through however many of its own calls and others' wrappers."""

import contextlib

import pytest
import torch

from pyro_mnar.data import warn as home

# As functions of the library, which these are called in place of.
INSIDE = {"__name__": "pyro_mnar.somewhere", "warn": home.warn, "torch": torch, "contextlib": contextlib}
exec(
    """
def deep(n):
    return deep(n - 1) if n else warn("said")

@torch.no_grad()
def wrapped():
    deep(3)

@contextlib.contextmanager
def held():
    wrapped()
    yield

def callback(function):
    function()
""",
    INSIDE,
)


def held():
    with INSIDE["held"]():
        pass


@pytest.mark.parametrize("call", [lambda: INSIDE["deep"](0), lambda: INSIDE["deep"](7), lambda: INSIDE["wrapped"](), held])
def test_it_points_at_the_caller(call):
    with pytest.warns(UserWarning, match="said") as found:
        call()
    assert [one.filename for one in found] == [__file__]


def test_of_a_library_that_calls_back_the_nearest_caller_is_meant():
    with pytest.warns(UserWarning) as found:
        INSIDE["callback"](lambda: home.warn("said"))
    assert [one.filename for one in found] == [__file__]


def test_a_category_is_kept():
    with pytest.warns(DeprecationWarning, match="said"):
        home.warn(DeprecationWarning("said"))
    with pytest.warns(RuntimeWarning, match="said"):
        home.warn("said", RuntimeWarning)
