"""How many examples a fuzzing test sees, of which seed, and in which blocks.

``make test`` sees a few hundred, the same ones each time; PYRO_MNAR_TEST_SEED gives others. ``-m fuzz`` sees thousands, in blocks of
100: PYRO_MNAR_FUZZ_TABLES, PYRO_MNAR_FUZZ_COMMANDS and PYRO_MNAR_FUZZ_MODELS say how many.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

_BLOCK = 100
BASE_SEED = int(os.environ.get("PYRO_MNAR_TEST_SEED", "0"))


def blocks(name: str, few: int, many: int) -> list[Any]:
    """Return blocks of numbers of examples as a test's parameters: ``few`` of each run, and those of a campaign."""
    first = BASE_SEED * 10_000_000
    many = int(os.environ.get(f"PYRO_MNAR_FUZZ_{name}", many))
    own = [pytest.param(range(first, first + few), id=f"{few}")]
    for start in range(few, few + many, _BLOCK):
        numbers = range(first + start, first + min(start + _BLOCK, few + many))
        own.append(pytest.param(numbers, marks=[pytest.mark.long, pytest.mark.fuzz], id=f"from {start}"))
    return own


def examined(strategy: Any, check: Callable[[Any], Any], block: range) -> None:
    """Call ``check`` with as many examples of ``strategy`` as ``block`` has numbers, and shrink one that fails."""

    @seed(block.start)
    @settings(max_examples=len(block), deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=_PHASES)
    @given(strategy)
    def run(example: Any) -> None:
        check(example)

    run()


_PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
