"""Training that was killed at any step and goes on ends with the weights and looks of one that was not, to the bit."""

import json

import pytest
import torch

from pyro_mnar.data.files.tensor_files import read_tensors, write_tensors
from pyro_mnar.energy.objectives import SelfNormalized
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checkpoints import Batches, Checkpoint
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.infer.streams import seeded
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR, EnergyTilt, Prior, energy_net
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder


class Killed(BaseException):
    """What no code catches."""


@pytest.fixture
def table():
    with seeded(5):
        x, mask = torch.randn(50, 3), torch.rand(50, 3) < 0.8
    return torch.where(mask, x, 0.0), mask


def fresh(prior=False):
    with seeded(11):
        mechanism, encoder = SelfMasking(3, direction="high"), GaussianEncoder(1, 3, [8])
        own = Prior.members(1, 0, 3)[0] if prior else None
        return IWELBO(MNAR(GaussianDecoder(1, 3, [8]), encoder, mechanism, prior=own), 5)


def killed_at(bound, step):
    """Let the ``step``-th update from now on be the last: it is begun and not ended."""
    loss, seen = bound.loss, []

    def counted(*args):
        seen.append(None)
        if len(seen) > step:
            raise Killed
        return loss(*args)

    object.__setattr__(bound, "loss", counted)
    return bound


def state(bound):
    return {name: value.clone() for name, value in bound.module.state_dict().items()}


def same(a, b):
    return sorted(a) == sorted(b) and all(torch.equal(a[name], b[name]) for name in a)


#: An epoch has 2 batches and a rest, a look comes in the middle of one.
OPTIONS = {"steps": 23, "every": 5, "batch_size": 17, "progress": False, "seed": 3}
WAYS = {
    "plain": {},
    "held out": {"held_out": 0.2},
    "patience": {"held_out": 0.2, "patience": 1, "lr": 0.3},
    "prior": {"prior": True},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_killed_before_any_step_it_ends_as_if_it_had_not_been(table, tmp_path, way):
    options = OPTIONS | way
    prior = options.pop("prior", False)
    whole, heard = fresh(prior), []
    expected = fit(whole, *table, callback=heard.append, **options)
    assert ("patience" in way) == (expected.stopped == "patience")
    for step in {0, 1, 6, 9, 11} & set(range(expected.evaluations[-1].step)):
        path = tmp_path / f"{step}.safetensors"
        with pytest.raises(Killed):
            fit(killed_at(fresh(prior), step), *table, checkpoints=[Checkpoint(path, 0.0)], **options)
        again, said = fresh(prior), []
        assert fit(again, *table, checkpoints=[Checkpoint(path)], callback=said.append, **options) == expected
        assert same(state(again), state(whole)) and said == heard


def test_killed_time_and_again_members_end_as_if_they_had_not_been(table, tmp_path):
    whole = [fresh(), fresh()]
    expected = fit(whole, *table, **OPTIONS)
    files = [Checkpoint(tmp_path / f"{i}.safetensors", 0.0) for i in range(2)]
    for _ in range(40):
        bounds = [killed_at(fresh(), 3) for _ in range(2)]
        try:
            found = fit(bounds, *table, checkpoints=files, **OPTIONS)
        except Killed:
            continue
        break
    assert found == expected
    assert all(same(state(a), state(b)) for a, b in zip(bounds, whole, strict=True))


def test_what_is_finished_is_read_and_not_done_again(table, tmp_path):
    file = Checkpoint(tmp_path / "a.safetensors")
    whole, again = fresh(), killed_at(fresh(), 0)
    expected = fit(whole, *table, checkpoints=[file], **OPTIONS)
    before = file.path.read_bytes()
    assert fit(again, *table, checkpoints=[file], **OPTIONS) == expected and same(state(again), state(whole))
    assert file.path.read_bytes() == before


def test_an_interrupted_training_is_not_taken_for_a_finished_one(table, tmp_path):
    file = Checkpoint(tmp_path / "a.safetensors", 0.0)

    def stop(look):
        if look.step == 10:
            raise KeyboardInterrupt

    assert fit(fresh(), *table, checkpoints=[file], callback=stop, **OPTIONS).stopped == "interrupted"
    whole, again = fresh(), fresh()
    assert fit(again, *table, checkpoints=[file], **OPTIONS) == fit(whole, *table, **OPTIONS)
    assert same(state(again), state(whole))


def test_a_damaged_file_is_said_and_its_work_done_again(table, tmp_path):
    whole, file = fresh(), Checkpoint(tmp_path / "a.safetensors")
    expected = fit(whole, *table, checkpoints=[file], **OPTIONS)
    held = bytearray(file.path.read_bytes())
    held[len(held) // 2] ^= 1
    file.path.write_bytes(held)
    again = fresh()
    with pytest.warns(UserWarning, match=r"a\.safetensors: damaged .*; what it held is done again"):
        assert fit(again, *table, checkpoints=[file], **OPTIONS) == expected
    assert same(state(again), state(whole))


def test_every_flipped_bit_of_a_file_is_found_or_changes_nothing(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.arange(3.0), "b": torch.tensor([True])}, {"step": 3, "rate": 0.1})
    held, (tensors, plain) = path.read_bytes(), read_tensors(path)
    found = 0
    for bit in range(0, 8 * len(held), 5):
        changed = bytearray(held)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            other = read_tensors(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: damaged (")
            found += 1
        else:
            assert same(other[0], tensors) and json.dumps(other[1]) == json.dumps(plain)
    assert found > 0.95 * 8 * len(held) / 5
    for size in range(0, len(held), 5):
        path.write_bytes(held[:size])
        with pytest.raises(ValueError, match="damaged"):
            read_tensors(path)


def test_an_objective_whose_chains_are_not_kept_is_refused(table, tmp_path):
    module = MNAR(GaussianDecoder(1, 3, [8]), GaussianEncoder(1, 3, [8]), tilt=EnergyTilt(energy_net(3)))
    with pytest.raises(ValueError, match="checkpoint: got one with an objective for a tilt"):
        fit(SelfNormalized(IWELBO(module, 2)), *table, checkpoints=[Checkpoint(tmp_path / "a")], **OPTIONS)


def test_batches_hold_every_row_once_an_epoch_but_for_the_rest():
    with seeded(0):
        batches = Batches(torch.arange(10, 20), 3)
        for _ in range(5):
            epoch = torch.cat([next(batches) for _ in range(3)]).tolist()
            assert len(set(epoch)) == 9 and set(epoch) <= set(range(10, 20))
