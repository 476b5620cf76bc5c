"""One thread, one seed (PYRO_MNAR_TEST_SEED: every test must pass for any), and no test may leave global state
changed. Tests of benchmarks, examples and pages are marked ``script``.
"""

import os
from functools import partial
from pathlib import Path

import pyro
import pytest
import torch

torch.set_num_threads(1)
# What takes all cores by default takes this one alone: the tests of several processes ask for them.
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

TESTS = Path(__file__).parent
#: What runs other code than the package, from here.
SCRIPTS = {"benchmarks", "examples", "test_docs.py"}

BASE_SEED = int(os.environ.get("PYRO_MNAR_TEST_SEED", "0"))


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).parts[0] in SCRIPTS:
            item.add_marker(pytest.mark.script)


def _global_state() -> dict:
    return {
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients enabled": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch argument validation": torch.distributions.Distribution._validate_args,
        "pyro validation": pyro.poutine.runtime._PYRO_STACK == [] and pyro.settings.get("validate_infer"),
        "pyro settings": dict(pyro.settings.get()),
        "pyro parameters": sorted(pyro.get_param_store().keys()),
    }


@pytest.fixture(autouse=True)
def _global_state_is_left_alone():
    before = _global_state()
    assert before["pyro parameters"] == [], "an earlier test left parameters in Pyro's store"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(BASE_SEED)
        yield
    assert _global_state() == before, "the test changed global state"


@pytest.fixture(scope="module", autouse=True)
def _commands_fit_two_models(request):
    """The command line has no option for how many: two are as many as a test tells from one. A module may say ``COMMAND_MODELS``."""
    if not getattr(getattr(request.module, "main", None), "__module__", "").startswith("pyro_mnar."):
        yield
        return
    from pyro_mnar.cli import asked

    fewer = partial(asked.MNARImputer, members=getattr(request.module, "COMMAND_MODELS", 2))
    fewer.load = asked.MNARImputer.load
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asked, "MNARImputer", fewer)
        yield


@pytest.fixture
def seed() -> int:
    """The run's seed, for generators that are not torch's global one."""
    return BASE_SEED
