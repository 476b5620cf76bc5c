"""The page on callbacks runs, with TensorBoard and Weights & Biases where they are installed, and logs what training saw."""

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "callbacks.md").read_text()
pytestmark = [pytest.mark.script, pytest.mark.filterwarnings("ignore::UserWarning")]


def run(*names):
    """Run the page's first code, and then that of each name."""
    left = {"__name__": "page"}
    for block in (re.findall(rf"```python{name}\n(.*?)```", PAGE, re.S)[0] for name in ("", *(f" {name}" for name in names))):
        exec(compile(block.replace('"steps": 200', '"steps": 5'), "callbacks.md", "exec"), left)
    return left


def test_loggers_get_every_look_of_every_member(monkeypatch):
    logged, runs = [], []

    @contextmanager
    def writer(folder):
        yield SimpleNamespace(add_scalar=lambda *given: logged.append(given))

    @contextmanager
    def init(**given):
        yield SimpleNamespace(define_metric=lambda *_, **__: None, log=runs.append)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=writer))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    left = run("tensorboard", "wandb")
    assert left["looks"] == [(0, 5), (1, 5)]
    names = [(f"member {member}/{what}", step) for member, step in left["looks"] for what in ("train", "held out")]
    assert [(name, step) for name, _, step in logged] == names and all(isinstance(value, float) for _, value, _ in logged)
    assert [(f"train/{member}" in one, one["update"]) for (member, _), one in zip(left["looks"], runs, strict=True)] == [
        (True, step) for _, step in left["looks"]
    ]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_the_packages_themselves_take_it(name, monkeypatch, tmp_path):
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    run(name)
