"""Model folders that someone made worse on purpose: each a mutant of a saved one, most with a digest that is right again."""

import copy
import json
import os
import pickle
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.saving.model_files import HEAD, WEIGHTS, digest_of

#: Values that take another's place.
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    1.5,
    1e308,
    -0.0,
    "",
    "x",
    "../../etc/passwd",
    "a\0b",
    [],
    {},
    [[]],
    [0],
    ["x"],
    {"x": 1},
]
ODD += [10**9, 10**12, -(10**9), 2**63, 10**30, 10**400, "A" * 10**5, [0] * 10**4, "__import__('os').system('true')", "ünï", "nan", "1"]
ODD += [
    [None],
    [1e308, 1e308],
    1e-320,
    "self-masking",
    "none",
    "linear",
    "high",
    "categorical",
    "float64",
    "bounded",
    "angle",
    "datetime64[ns]",
]


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def bases(home: Path) -> list[tuple[Path, Any]]:
    """Save small models of several kinds under ``home``, and return their folders with tables that they can complete."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(12, 3))
    plain = pd.DataFrame(z, columns=list("abc"))
    plain.loc[plain.a > 0.3, "a"] = np.nan
    plain.loc[3:5, "b"] = np.nan
    mixed = pd.DataFrame({"n": rng.poisson(3, 12).astype(float), "pos": np.exp(z[:, 1]), "cat": pd.Categorical(list("xyzx") * 3)})
    mixed["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, 12), unit="D")
    mixed["grade"] = pd.Categorical(["lo", "mid", "hi"] * 4, categories=["lo", "mid", "hi"], ordered=True)
    mixed["flag"], mixed["hour"] = rng.random(12) < 0.5, rng.uniform(0, 24, 12)
    mixed["semi"], mixed["score"] = np.where(np.arange(12) < 6, 0.0, np.exp(z[:, 2])), rng.uniform(0, 100, 12)
    mixed["same"] = 7.0
    for j, name in enumerate(mixed.columns):
        if name != "flag":
            mixed.loc[[j, (j + 5) % 12], name] = np.nan
    kinds = {"n": "count", "pos": "positive", "semi": "semicontinuous:0", "score": "bounded:0:100", "hour": "angle:24"}
    models = {
        "plain": (plain, {"direction": {"a": "high"}}),
        "mixed": (mixed, {"mechanism": "none", "kinds": kinds, "add_indicator": True}),
        "masked": (mixed.drop(columns=["hour"]), {"mechanism": "self-masking", "direction": "free", "kinds": kinds | {"hour": None}}),
        "linear": (plain.to_numpy(), {"mechanism": "linear", "members": 2}),
        "undecided": (plain, {"members": 3}),  # so few rows tell no reasons apart
    }
    found = []
    for name, (table, settings) in models.items():
        settings = {"steps": 2, "members": 1, "hidden": (4,), "progress": False} | settings
        if "kinds" in settings:
            settings["kinds"] = {key: word for key, word in settings["kinds"].items() if word is not None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is said of so small tables
            MNARImputer(**settings).fit(table).save(home / name)
        found.append((home / name, table))
    return found


def mutated(base: Path, others: list[Path], folder: Path, rng: random.Random) -> str:
    """Make ``folder`` a mutant of ``base`` and return what was done."""
    shutil.copytree(base, folder)
    text, weights = (base / HEAD).read_bytes(), (base / WEIGHTS).read_bytes()
    share = rng.random()
    if share < 0.5:
        head, said = _edited(json.loads(text), rng)
        _put(folder, head, weights)
    elif share < 0.75:
        weights, said = _other_weights(weights, rng)
        _put(folder, json.loads(text), weights)
    elif share < 0.83:
        said = _flipped(folder, rng)
    elif share < 0.87:
        other = rng.choice(others)
        name = rng.choice([HEAD, WEIGHTS])
        shutil.copy(other / name, folder / name)
        _put(folder, json.loads((folder / HEAD).read_bytes()), (folder / WEIGHTS).read_bytes())
        said = f"{name} of {other.name}"
    else:
        said = rng.choice(sorted(SPECIAL))
        SPECIAL[said](folder, json.loads(text), weights)
    return said


def _put(folder: Path, head: dict[str, Any], weights: bytes) -> None:
    """Write both files with a digest that is right, as who means harm would."""
    (folder / WEIGHTS).write_bytes(weights)
    head.pop("digest", None)
    (folder / HEAD).write_text(json.dumps(head | {"digest": digest_of(head, weights)}), encoding="utf-8", errors="replace")


def _paths(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield from _paths(node[key], (*at, key))


def _at(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def _edited(head: dict[str, Any], rng: random.Random) -> tuple[dict[str, Any], str]:
    said = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        paths = [path for path in _paths(head) if path and path[0] == "description"]
        if not paths:
            break
        depth = rng.choice(sorted({len(path) for path in paths}))  # shallow ones as often as deep ones
        path = rng.choice([path for path in paths if len(path) == depth])
        parent, key = _at(head, path[:-1]), path[-1]
        way = rng.choice(["odd", "odd", "odd", "gone", "another", "more", "near"])
        said.append(f"{way} {'.'.join(map(str, path))}")
        if way == "odd":
            parent[key] = copy.deepcopy(rng.choice(ODD))
        elif way == "gone":
            del parent[key]
        elif way == "another":
            parent[key] = copy.deepcopy(_at(head, rng.choice(paths)))
        elif way == "more" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif way == "more":
            parent[rng.choice(["extra", "__class__", "", f"{key}2"])] = copy.deepcopy(rng.choice(ODD))
        else:
            parent[key] = _near(parent[key], rng)
        said[-1] += f" = {_at(head, path) if way in ('odd', 'near') else ''!r:.40}"
    return head, ", ".join(said)


def _near(value: Any, rng: random.Random) -> Any:
    """Return a value of the same type, or nearly."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice([-1, 1, 7, 10**6, -(10**6)])
    if isinstance(value, float):
        return value * rng.choice([-1, 0, 1e300, 1e-300, 2])
    if isinstance(value, str):
        return value[::-1] + rng.choice(["", "\n", "'", ":0"])
    if isinstance(value, list):
        return rng.sample(value, len(value))
    return list(value.items()) if isinstance(value, dict) else rng.choice(ODD)


def _other_weights(weights: bytes, rng: random.Random) -> tuple[bytes, str]:
    length = int.from_bytes(weights[:8], "little")
    header, body = json.loads(weights[8 : 8 + length]), bytearray(weights[8 + length :])
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names)
    entry, way = header[name], rng.randrange(11)
    begin, end = entry["data_offsets"]
    if way == 0:
        flipped = bytearray(weights)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped), "a bit of the weights, digest right"
    if way == 1:
        return weights[: rng.randrange(len(weights))], "weights cut"
    if way == 2:
        del header[name]
    elif way == 3:
        header[rng.choice(["extra", "../../x", "0.decoder", "", "9.x"])] = entry
    elif way == 4:
        entry["dtype"] = rng.choice(["F64", "F16", "I64", "I32", "BOOL", "U8", "BF16", "XX", "F8_E4M3", None, 3])
    elif way == 5:
        entry["shape"] = rng.choice(
            [[10**12], [2**63], [-1], [0], [], [1, 1, 1], "x", [1.5], [*entry["shape"], 1], entry["shape"][::-1]]
        )
    elif way == 6:
        entry["data_offsets"] = rng.choice([[0, 10**15], [0, 0], [10, 5], [-1, 4], [0, len(body)], "x", None])
    elif way == 7:
        fill = rng.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e30, 0.0, 1e-38])
        body[begin:end] = np.full((end - begin) // 4, fill, "<f4").tobytes()
    elif way == 8:
        return rng.choice([0, 2**63, 2**64 - 1, 10**8, length + 1, length - 1]).to_bytes(8, "little") + weights[8:], "header length"
    elif way == 9:
        other = rng.choice(names)
        header[name], header[other] = header[other], header[name]
    else:
        body[begin:end] = rng.randbytes(end - begin)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(body), f"weights, way {way}, {name}"


def _flipped(folder: Path, rng: random.Random) -> str:
    path = folder / rng.choice([HEAD, HEAD, WEIGHTS])
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data[: rng.choice([len(data), len(data), rng.randrange(len(data))])])
    return f"bits of {path.name}"


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def _declared(**changes: Any) -> Any:
    return lambda folder, head, weights: (head["description"]["specification"].update(changes), _put(folder, head, weights))


def _text(change: Any) -> Any:
    return lambda folder, head, weights: (folder / HEAD).write_bytes(change(json.dumps(head)))


def _instead(name: str, make: Any) -> Any:
    return lambda folder, head, weights: ((folder / name).unlink(), make(folder / name))


#: Mutants that chance would not find.
SPECIAL: dict[str, Any] = {
    "deep": _text(lambda text: (text[:-1] + ', "deep": ' + _nested(990) + "}").encode()),
    "deeper": _text(lambda text: _nested(10**5).encode()),
    "giant number": _text(lambda text: text.replace('"seed": ', '"seed": ' + "9" * 5000, 1).encode()),
    "byte order mark": _text(lambda text: b"\xef\xbb\xbf" + text.encode()),
    "utf-16": _text(lambda text: text.encode("utf-16")),
    "latin-1": _text(lambda text: text.encode() + "é".encode("latin-1")),
    "nul": _text(lambda text: text.encode() + b"\0"),
    "twice": _text(lambda text: (text[:-1] + ', "description": {}}').encode()),
    "not a number": _text(lambda text: text.replace('"seed": 0', '"seed": NaN').encode()),
    "pickle for text": _text(lambda text: pickle.dumps(_Evil())),
    "pickle for weights": lambda folder, head, weights: _put(folder, head, pickle.dumps(_Evil())),
    "no members": _declared(members=0),
    "many members": _declared(members=10**9),
    "wide": _declared(hidden=[10**9]),
    "deep network": _declared(hidden=[4] * 10**5),
    "latent": _declared(latent_dim=10**9),
    "columns": _declared(columns=list(range(10**5))),
    "pipe": _instead(HEAD, os.mkfifo),
    "folder for a file": _instead(HEAD, os.mkdir),
    "zeros without end": _instead(HEAD, lambda path: os.symlink("/dev/zero", path)),
    "chance without end": _instead(WEIGHTS, lambda path: os.symlink("/dev/urandom", path)),
    "passwords": _instead(WEIGHTS, lambda path: os.symlink("/etc/passwd", path)),
    "link to itself": _instead(HEAD, lambda path: os.symlink(path.name, path)),
    "empty": _instead(WEIGHTS, lambda path: path.touch()),
    "holes": lambda folder, head, weights: os.truncate(folder / WEIGHTS, 3 * 10**9),
    "a module beside": lambda folder, head, weights: (folder / "__init__.py").write_text("raise SystemExit"),
    "no folder": lambda folder, head, weights: shutil.rmtree(folder),
    "a file": lambda folder, head, weights: (shutil.rmtree(folder), folder.write_text("x")),
}
