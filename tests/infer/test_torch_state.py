"""What torch and Pyro keep for all threads is held in turns."""

import threading
import time

import pytest

from pyro_mnar.infer.torch_state import Turns


def turns_of(lock):
    """Two threads: one asks while the other has the lock, which gives it back and asks again at once."""
    order, asked = [], threading.Event()

    def other():
        asked.set()
        with lock:
            order.append("other")

    thread = threading.Thread(target=other)
    with lock, lock:
        thread.start()
        asked.wait()
        time.sleep(0.1)  # by then it waits
    with lock:
        order.append("first")
    thread.join()
    return order


def test_who_waits_comes_before_who_comes_back():
    assert all(turns_of(Turns()) == ["other", "first"] for _ in range(10))


def test_an_error_inside_gives_it_back():
    lock = Turns()
    with pytest.raises(KeyError), lock, lock:
        raise KeyError
    assert turns_of(lock) == ["other", "first"]
