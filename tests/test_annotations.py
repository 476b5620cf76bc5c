"""Annotations say what is meant: few are of any type."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pyro_mnar"
#: Share of the package's annotations that may contain ``Any``: plain data of model files, what libraries without types return.
MOST = 0.03


def annotations(source: str) -> Iterator[ast.expr]:
    """Yield the annotations of arguments, results, variables and attributes, and what aliases of types stand for."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
                if argument is not None and argument.annotation is not None:
                    yield argument.annotation
            if node.returns is not None:
                yield node.returns
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation
            if ast.unparse(node.annotation).endswith("TypeAlias") and node.value is not None:
                yield node.value


def is_any(annotation: ast.expr) -> bool:
    parts = [node.value for node in ast.walk(annotation) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    nodes = [*ast.walk(annotation), *(node for part in parts for node in ast.walk(ast.parse(part, mode="eval")))]
    return any(getattr(node, "id", getattr(node, "attr", "")) == "Any" for node in nodes)


def counts(paths: list[Path]) -> dict[str, tuple[int, int]]:
    found = {}
    for path in paths:
        every = list(annotations(path.read_text()))
        found[str(path)] = (sum(map(is_any, every)), len(every))
    return found


def test_few_annotations_are_of_any_type():
    found = counts(sorted(PACKAGE.rglob("*.py")))
    some, every = (sum(column) for column in zip(*found.values(), strict=True))
    worst = sorted(found, key=lambda name: -found[name][0])[:10]
    assert some <= MOST * every, f"{some} of {every}; most in {[(Path(name).name, found[name][0]) for name in worst]}"


def test_annotations_are_found_wherever_they_stand(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "class A:\n    x: Any\n    y: int\n"
        "def f(a: Any, *b: int, c: dict[str, Any] = {}, **d: 'list[Any]') -> typing.Any: ...\n"
        "async def g(a, /, b: str) -> None: ...\n"
        "Alias: TypeAlias = Mapping[str, Any]\n"
    )
    assert list(counts([path]).values()) == [(6, 11)]
