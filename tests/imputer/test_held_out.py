"""``held_out`` and ``patience`` of the imputer are those of training, for members alone, and are kept with a model."""

import json

import numpy as np
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.saving.model_files import HEAD, digest_of
from pyro_mnar.infer.training import STEPS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SETTINGS = {"steps": 3, "members": 2, "hidden": (4,), "progress": False}


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3))
    x[x[:, 0] > 1, 0] = np.nan
    return x


def weights(imputer):
    return [value.numpy().tobytes() for member in imputer.members_ for value in member.state_dict().values()]


def test_members_have_held_out_bounds_and_pilots_know_nothing_of_it():
    plain, other = (MNARImputer(**SETTINGS, **given).fit(table()) for given in ({}, {"held_out": 0.3}))
    assert all(look.held_out is None for history in plain.histories_ for look in history.evaluations)
    assert all(np.isfinite(look.held_out) for history in other.histories_ for look in history.evaluations)
    assert plain.candidates_ == other.candidates_ and weights(plain) != weights(other)


def test_patience_ends_a_member_early():
    settings = SETTINGS | {"steps": STEPS, "mechanism": "none", "members": 1}
    short = MNARImputer(**settings | {"hidden": (64,), "batch_size": 16}, held_out=0.3, patience=1).fit(table())
    (history,) = short.histories_
    assert history.stopped == "patience" and history.evaluations[-1].step == history.best_step + 100 < STEPS


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"held_out": 1.0}, "held_out: got 1.0"),
        ({"held_out": "a"}, "held_out: got 'a'"),
        ({"held_out": True}, "held_out: got True"),
        ({"patience": 2}, "patience: needs held-out rows"),
        ({"held_out": 0.1, "patience": 0}, "patience: got 0"),
        ({"held_out": 0.1, "patience": 1.5}, "patience: got 1.5"),
        ({"held_out": 0.001, "patience": 1}, "patience: needs held-out rows"),
    ],
)
def test_what_is_no_share_or_number_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        MNARImputer(**SETTINGS, mechanism="none", **given).fit(table())


def test_a_model_keeps_both_and_is_checked(tmp_path):
    MNARImputer(**SETTINGS, mechanism="none", held_out=0.2, patience=2).fit(table()).save(tmp_path / "m")
    loaded = MNARImputer.load(tmp_path / "m")
    assert (loaded.held_out, loaded.patience) == (0.2, 2)
    head = json.loads((tmp_path / "m" / HEAD).read_text())
    for name, wrong in (("held_out", 2.0), ("held_out", "a"), ("patience", 0), ("patience", [1])):
        other = json.loads(json.dumps(head))
        other["description"]["settings"][name] = wrong
        other["digest"] = digest_of(other, (tmp_path / "m" / "weights.safetensors").read_bytes())
        (tmp_path / "m" / HEAD).write_text(json.dumps(other))
        with pytest.raises(ValueError, match=f"not a usable model.*{name}"):
            MNARImputer.load(tmp_path / "m")
