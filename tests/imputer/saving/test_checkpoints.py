"""A fit that is killed with -9, anywhere and time and again, ends as one that was not, to the bit; and no other fit goes on with it."""

import os
import warnings

import numpy as np
import pandas as pd
import pytest
from kills import killed_at

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.saving import checkpoints

SETTINGS = {"steps": 12, "members": 2, "hidden": (4,), "progress": False, "kinds": {"n": "count"}}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def table(seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)), columns=list("abc"))
    frame["k"], frame["n"] = pd.Categorical(rng.choice(list("uvw"), 40)), rng.poisson(3, 40).astype(float)
    frame.loc[frame.a > 1, "a"] = np.nan
    frame.loc[3:9, ["k", "n"]] = np.nan
    return frame


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)


def all_of(imputer):
    """Everything that a fit found, as plain data, and a table that it fills."""
    weights = [(name, value.numpy().tobytes()) for member in imputer.members_ for name, value in member.state_dict().items()]
    found = [imputer.candidates_, imputer.histories_, imputer.specification_, imputer.codec_.to_json(), imputer.seed]
    return repr(found), weights, repr(imputer.reasons_.to_dict()), repr(imputer.transform(table()).to_dict())


@pytest.fixture(scope="module")
def undisturbed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return all_of(MNARImputer(**SETTINGS).fit(table()))


def fit(folder, **settings):
    return MNARImputer(**SETTINGS | settings).fit(table(), checkpoint=folder)


def test_a_checkpoint_changes_no_number_and_what_is_finished_is_read(tmp_path, undisturbed, monkeypatch):
    assert all_of(fit(tmp_path / "c")) == undisturbed
    assert sorted(os.listdir(tmp_path / "c")) == ["_run.json", "model"]
    for file in ("learning", "reason_selection.selection", "training.fitting"):
        monkeypatch.setattr(f"pyro_mnar.imputer.{file}.fit_specified", lambda *_, **__: pytest.fail("fitted again"))
    heard = []
    again = MNARImputer(**SETTINGS).fit(table(), callback=heard.append, checkpoint=tmp_path / "c")
    assert all_of(again) == undisturbed
    assert heard == [look for history in again.histories_ for look in history.evaluations]


# A state is eight changes: fewer than three of these to a life, and nothing would go on.
@pytest.mark.parametrize("every", [67, pytest.param(37, marks=pytest.mark.long)])
def test_killed_at_its_changes_of_files_it_ends_as_if_it_had_not_been(tmp_path, undisturbed, every):
    kills = 0
    while killed_at(every, lambda: fit(tmp_path / "c")):
        kills += 1
        print(kills, end=" ", flush=True)
    assert kills > 3
    assert all_of(fit(tmp_path / "c")) == undisturbed
    assert sorted(os.listdir(tmp_path / "c")) == ["_run.json", "model"]


OTHERS = {
    "table": ({}, "table"),
    "setting": ({"steps": 13}, "steps"),
    "settings": ({"hidden": (5,), "direction": {"a": "high"}}, "direction, hidden"),
    "seed": ({"random_state": 1}, "random_state"),
    "kinds": ({"kinds": {"n": "continuous"}}, "kinds, table"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_fit_is_refused_by_what_differs(tmp_path, monkeypatch, name):
    settings, said = OTHERS[name]
    with monkeypatch.context() as stopped, pytest.raises(RuntimeError):
        stopped.setattr("pyro_mnar.imputer.learning._fit", lambda *_: (_ for _ in ()).throw(RuntimeError))
        fit(tmp_path / "c")
    with pytest.raises(ValueError, match=f"c: is another run's, of other {said}; expected a new folder"):
        MNARImputer(**SETTINGS | settings).fit(table(name == "table"), checkpoint=tmp_path / "c")


@pytest.mark.parametrize("apart", ["weights", "strata"])
def test_a_checkpoint_of_other_weights_or_strata_is_refused_by_what_differs(tmp_path, apart):
    more = {"weights": {"sample_weight": np.r_[2.0, np.ones(39)]}, "strata": {"strata": np.arange(40) % 3}}[apart]
    said = {"weights": "weights", "strata": "strata and clusters"}[apart]
    folders = tmp_path / "without", tmp_path / "with"
    fit(folders[0], steps=1)
    MNARImputer(**SETTINGS | {"steps": 1}).fit(table(), checkpoint=folders[1], **more)
    for folder, own in ((folders[0], more), (folders[1], {})):
        with pytest.raises(ValueError, match=f"is another run's, of other (table, )?{said}; expected a new folder"):
            MNARImputer(**SETTINGS | {"steps": 1}).fit(table(), checkpoint=folder, **own)


@pytest.mark.parametrize("what", ["pyro_mnar.__version__", "torch.__version__"])
def test_a_checkpoint_of_another_version_is_refused_by_name(tmp_path, monkeypatch, what):
    fit(tmp_path / "c", steps=1)
    monkeypatch.setattr(what, "0.0.1")
    with pytest.raises(ValueError, match=f"of other {what.split('.')[0]}; expected a new folder"):
        fit(tmp_path / "c", steps=1)


def test_what_has_no_part_in_a_fit_may_differ(tmp_path):
    first = fit(tmp_path / "c", steps=1)
    again = fit(tmp_path / "c", steps=1, n_jobs=1, point="median", tolerance=0.1, progress=True, keep_partial=True)
    assert again.point == "median" and all_of(again)[:3] == all_of(first)[:3]


def test_places_that_hold_no_checkpoint_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "_run.json").write_text("{")
    refused = {"file": "cannot be written", "folder": "holds 'mine'", "damaged": "is damaged", "no/c": "No such file"}
    for name, said in refused.items():
        with pytest.raises(ValueError, match=f"{name}.*{said}"):
            fit(tmp_path / name)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "mine").read_text() == "mine"
    with pytest.raises(ValueError, match="random_state: got None with a checkpoint"):
        fit(tmp_path / "c", random_state=None)


def test_a_damaged_model_is_said_and_fitted_again(tmp_path, undisturbed):
    fit(tmp_path / "c")
    weights = tmp_path / "c" / "model" / "weights.safetensors"
    held = bytearray(weights.read_bytes())
    held[-3] ^= 4
    weights.write_bytes(held)
    with pytest.warns(UserWarning, match="checkpoint: .*model: damaged .*; the fit is done again"):
        assert all_of(fit(tmp_path / "c")) == undisturbed


def test_an_interrupted_fit_whose_members_are_kept_is_not_taken_for_a_finished_one(tmp_path, undisturbed):
    looks = []

    def stop(look):
        looks.append(look)
        if len(looks) == 2:  # of the second member
            raise KeyboardInterrupt

    partial = MNARImputer(**SETTINGS, keep_partial=True).fit(table(), callback=stop, checkpoint=tmp_path / "c")
    assert partial.histories_[-1].stopped == "interrupted"
    assert all_of(fit(tmp_path / "c")) == undisturbed
