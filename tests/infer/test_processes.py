"""Calls in other processes: the same numbers in the same order, warnings and errors not lost, and nothing left changed."""

import copy
import warnings
from functools import partial

import joblib
import pytest
import torch

from pyro_mnar.imputation.ensemble import impute, score_ensemble
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder

N = 90
X = torch.sin(torch.arange(2.0 * N)).reshape(N, 2)
MASK = X < 0.8


def threads():
    return torch.get_num_threads()


def warned(word):
    warnings.warn(word, UserWarning, stacklevel=1)
    return word


def failed(message):
    raise FloatingPointError(message)


def interrupted():
    raise KeyboardInterrupt


def ensemble(size=3):
    torch.manual_seed(0)
    return [MNAR(GaussianDecoder(1, 2, [4]), GaussianEncoder(1, 2, [4]), SelfMasking(2)) for _ in range(size)]


def everything(n_jobs):
    """What comes of an ensemble, and what global randomness was drawn."""
    members, looks = ensemble(), []
    torch.manual_seed(5)
    before = torch.get_rng_state()
    options = {"steps": 6, "batch_size": 16, "seed": 3, "progress": False, "n_jobs": n_jobs}
    histories = fit([IWELBO(member, 5) for member in members], X, MASK, callback=looks.append, **options)
    imputed = impute(members, X, MASK, draws=5, seed=2, progress=False, n_jobs=n_jobs)
    score = score_ensemble(members, X, MASK, particles=10, seed=1, n_jobs=n_jobs)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [member.state_dict() for member in members]
    return weights, histories, looks, imputed, score


def test_an_ensemble_is_the_same_whatever_the_number_of_processes():
    one, two = everything(None), everything(2)
    for ours, theirs in zip(one[0], two[0], strict=True):
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert one[1] == two[1] and one[2] == two[2] and len(one[2]) == 3
    for name in ("completed", "draws", "ess", "pareto_k"):
        assert torch.equal(getattr(one[3], name), getattr(two[3], name))
    assert torch.equal(one[4], two[4])


def test_every_call_has_one_thread_and_the_caller_s_number_is_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for jobs in (1, 2):
            assert list(each([threads] * 3, n_jobs=jobs)) == [1, 1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# Of calls given up after an error, joblib's own thread may look for one more that is there no longer.
@pytest.mark.filterwarnings("ignore:Exception in thread ExecutorManagerThread:pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_with_their_warnings_and_errors(jobs):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert list(each([partial(warned, word) for word in "abc"], n_jobs=jobs)) == ["a", "b", "c"]
    assert [str(one.message) for one in seen if one.category is UserWarning] == ["a", "b", "c"]
    with warnings.catch_warnings(), pytest.raises(UserWarning, match="a"):
        warnings.simplefilter("error")
        list(each([partial(warned, word) for word in "ab"], n_jobs=jobs))
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        list(each([partial(pow, 2, 3), partial(failed, "the loss is nan")], n_jobs=jobs))


def test_members_that_were_done_before_an_interruption_are_kept(monkeypatch):
    """Of several processes: as if the second of three had been interrupted."""
    from pyro_mnar.infer import ensembles

    def some(calls, **options):
        yield calls[0]()
        raise KeyboardInterrupt

    members = ensemble()
    before = [copy.deepcopy(member.state_dict()) for member in members]
    monkeypatch.setattr(ensembles, "each", some)
    histories = fit([IWELBO(member, 5) for member in members], X, MASK, steps=3, batch_size=16, progress=False)
    same = [all(torch.equal(v, old[k]) for k, v in m.state_dict().items()) for m, old in zip(members, before, strict=True)]
    assert len(histories) == 1 and same == [False, True, True]
    monkeypatch.setattr(ensembles, "each", lambda calls, **_: (interrupted() for _ in calls))
    with pytest.raises(KeyboardInterrupt):
        fit([IWELBO(member, 5) for member in members], X, MASK, steps=3, batch_size=16, progress=False)


def test_numbers_of_processes_are_scikit_learn_s():
    assert n_processes(None, 8) == n_processes(1, 8) == 1 and n_processes(5, 3) == 3
    assert n_processes(-1, 10**6) == joblib.cpu_count()
    for wrong in (0, 1.5, "two"):
        with pytest.raises(ValueError, match="n_jobs: got"):
            n_processes(wrong, 8)


def test_calls_that_nobody_waits_for_are_given_up_in_silence():
    results = each([partial(pow, 2, k) for k in range(6)], n_jobs=2)
    assert next(results) == 1
    results.close()
