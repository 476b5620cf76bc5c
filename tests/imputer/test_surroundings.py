"""Threads, and torch's settings around a call: the same numbers as alone."""

import threading
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer


def table(seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(30, 3)) @ rng.normal(size=(3, 3)), columns=list("abc"))
    frame["k"], frame["n"] = pd.Categorical(rng.choice(list("uvw"), 30)), rng.poisson(3, 30).astype(float)
    frame["s"] = np.where(rng.random(30) < 0.4, 0.0, np.exp(frame.c))
    frame.loc[frame.a > 1, "a"] = np.nan
    frame.loc[3:9, ["k", "n", "s"]] = np.nan
    return frame


KINDS = {"n": "count", "s": "semicontinuous:0"}


# Filters of warnings are all threads', and these few steps leave doubts.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def everything(seed=0, **settings):
    """Fit, impute, draw, score, and say what there is to say, as plain numbers."""
    given = {"steps": 4, "members": 2, "hidden": (4,), "progress": False, "kinds": KINDS, "random_state": seed} | settings
    imputer = MNARImputer(**given).fit(table(seed))
    weights = [value.numpy() for member in imputer.members_ for value in member.state_dict().values()]
    curves = [part for curve in imputer.missingness(5) for part in curve[1:]]
    tables = [imputer.transform(table(seed)), *imputer.sample(table(seed), 2)]
    return [
        *weights,
        *curves,
        *(np.asarray(one.assign(k=one.k.cat.codes), float) for one in tables),
        np.array(imputer.score(table(seed))),
    ]


def same(one, other):
    return len(one) == len(other) and all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@contextmanager
def double():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def alone():
    return everything()


@pytest.mark.parametrize("around", [double, torch.no_grad, torch.inference_mode])
def test_what_torch_is_set_to_changes_nothing(around, alone):
    with around():
        dtype, grad, inference = torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        assert same(everything(), alone)
        assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == (dtype, grad, inference)


def test_a_model_is_saved_loaded_and_diagnosed_under_another_default(tmp_path):
    x = table()[["a", "b", "c"]]
    fitted = MNARImputer(steps=10, members=2, hidden=(8,), direction={"a": "high"}, progress=False).fit(x)
    fitted.save(tmp_path / "m")
    plain = str(fitted.diagnose(x))
    for around in (double, torch.no_grad, torch.inference_mode):
        with around():
            loaded = MNARImputer.load(tmp_path / "m")
            loaded.save(tmp_path / "again")
            assert str(loaded.diagnose(x)) == plain
        pd.testing.assert_frame_equal(loaded.transform(x), fitted.transform(x), check_exact=True)
        assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (tmp_path / "m" / "weights.safetensors").read_bytes()


def test_threads_find_the_numbers_of_one_after_another():
    settings = {"mechanism": "none", "steps": 8}
    alone, found, failed = [everything(seed, **settings) for seed in range(2)], {}, []

    def work(seed):
        try:
            found[seed] = everything(seed, **settings)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    state = torch.get_rng_state()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and all(same(found[seed], alone[seed]) for seed in range(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_one_imputer_in_several_threads():
    x = table()[["a", "b", "c"]]
    fitted = MNARImputer(steps=10, members=2, hidden=(8,), direction={"a": "high"}, progress=False).fit(x)
    plain, drawn, found, failed = fitted.transform(x), fitted.sample(x, 2), [], []

    def work():
        try:
            for _ in range(3):
                found.append((fitted.transform(x), fitted.sample(x, 2)))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(found) == 12
    for completed, draws in found:
        assert completed.equals(plain) and all(one.equals(other) for one, other in zip(draws, drawn, strict=True))


def test_a_transform_does_not_wait_for_another_thread_s_whole_fit():
    x = table()[["a", "b", "c"]]
    fitted = MNARImputer(steps=5, members=1, hidden=(8,), mechanism="none", progress=False).fit(x)
    order = []

    def work():
        MNARImputer(steps=60, members=8, hidden=(8,), mechanism="none", progress=False).fit(x, callback=order.append)
        order.append("fit")

    thread = threading.Thread(target=work)
    thread.start()
    while not order:
        pass
    fitted.transform(x)
    order.append("transform")
    thread.join()
    assert order.index("transform") < order.index("fit")
