"""Rates rise, stay and fall; with ``auto`` they fall once the bound no longer rises, and training ends when they are at zero."""

import math

import pytest
import torch

from pyro_mnar import IWELBO, MNAR, GaussianDecoder, GaussianEncoder
from pyro_mnar.infer import schedule as module
from pyro_mnar.infer.checkpoints import Checkpoint
from pyro_mnar.infer.history import Evaluation
from pyro_mnar.infer.schedule import Schedule, most_steps
from pyro_mnar.infer.training import train


def looks(*bounds):
    return [Evaluation(50 * (i + 1), bound, None) for i, bound in enumerate(bounds)]


@pytest.mark.parametrize("steps", [1, 7, 20, 1000])
def test_a_number_of_steps_has_a_short_rise_and_a_cosine(steps):
    own, warm = Schedule(steps, columns=3, rows=100), max(1, steps // 20)
    for step in range(1, steps + 1):
        expected = min(1.0, step / warm) * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
        assert own.share(step) == pytest.approx(expected, abs=1e-15)
    own.hear(looks(-5.0, -5.0, -5.0))
    assert own.last == steps and not own.flat


def test_auto_stays_until_the_bound_no_longer_rises():
    # Four columns must rise by .006 nats a row and, of 800 rows, .01 for what noise gains.
    own, heard = Schedule("auto", columns=4, rows=800), looks(-9.0, -7.0, -6.0, -5.98399, -5.968, -5.0)
    for i in range(5):
        assert not own.flat and own.last == module.MOST and own.share(50 * (i + 1)) == 1.0
        own.hear(heard[: i + 1])
    assert own.flat and own.last == 400
    assert own.share(250) == own.share(251) == 1.0 and own.share(325) == pytest.approx(0.5, abs=0.02) and own.share(400) < 1e-3
    own.hear(heard)  # what comes after changes nothing
    assert own.last == 400


def test_auto_that_is_flat_late_ends_where_it_would_have_ended_all_the_same():
    own = Schedule("auto", columns=1, rows=1000)
    own.hear([Evaluation(900, 0.0, None), Evaluation(950, 0.0, None)])
    assert own.flat and own.last == 1000


def test_auto_has_an_end_where_the_bound_rises_on():
    own = Schedule("auto", columns=1, rows=1000)
    for i in range(20):
        own.hear(looks(*range(i + 1)))
    assert not own.flat and own.last == 1000
    assert own.share(850) == 1.0 and own.share(1000) < 1e-3


@pytest.mark.parametrize("wrong", ["soon", 0, -3, 2.5, True, None])
def test_what_is_no_number_of_steps_is_refused(wrong):
    with pytest.raises(ValueError, match=r"steps: got .*, expected a number of updates, at least 1, or 'auto'"):
        most_steps(wrong)


def trained(monkeypatch, **settings):
    monkeypatch.setattr(module, "MOST", 120)
    monkeypatch.setattr(module, "_FALL", 40)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, generator=generator)
    torch.manual_seed(0)
    bound = IWELBO(MNAR(GaussianDecoder(1, 2, [8]), GaussianEncoder(1, 2)), 5)
    history = train(bound, x, torch.ones_like(x) > 0, steps="auto", every=10, progress=False, **settings)
    return history, torch.cat([p.detach().flatten() for p in bound.parameters()])


def test_training_ends_40_steps_after_the_bound_is_flat(monkeypatch):
    monkeypatch.setattr(module, "FLAT", 0.05)
    history, _ = trained(monkeypatch)
    bounds = [look.train for look in history.evaluations]
    first = next(i for i in range(1, len(bounds)) if bounds[i] - bounds[i - 1] <= 0.12)
    assert history.stopped == "converged" and history.evaluations[-1].step == 10 * (first + 1) + 40 < 120


def test_training_that_rises_on_says_so(monkeypatch):
    monkeypatch.setattr(module, "FLAT", -math.inf)
    history, _ = trained(monkeypatch)
    assert history.stopped == "steps" and history.evaluations[-1].step == 120


@pytest.mark.parametrize("at", [35, 75])
def test_a_killed_training_goes_on_to_the_same_end(monkeypatch, tmp_path, at):
    monkeypatch.setattr(module, "FLAT", 0.05)
    history, whole = trained(monkeypatch)
    assert history.evaluations[-1].step > at

    class KilledError(Exception):
        pass

    def killed(self, checkpoint):
        kept(self, checkpoint)
        if self.step == at:
            raise KilledError

    from pyro_mnar.infer.checkpoints import TrainingState

    kept, checkpoint = TrainingState.keep, Checkpoint(tmp_path / "t.safetensors", every=0.0)
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(TrainingState, "keep", killed)
        trained(monkeypatch, checkpoint=checkpoint)
    again, weights = trained(monkeypatch, checkpoint=checkpoint)
    assert again == history and torch.equal(weights, whole)
