"""Saved models: whole under kills, refused when a bit differs, and never more memory than their files."""

import json
import os
import resource
import stat
import time
import warnings

import numpy as np
import pytest
import torch
from kills import killed_at

from pyro_mnar import MNARImputer
from pyro_mnar.data.files import replacement
from pyro_mnar.imputer.saving.model_files import digest_of, load_model, save_model
from pyro_mnar.imputer.saving.model_sizes import check_sizes

TENSORS = {"a.weight": torch.arange(6.0).reshape(3, 2), "b": torch.zeros(2)}
OLD, NEW = {"of": "the old"}, {"of": ["the new", 2.5, None]}


def described(folder):
    return load_model(folder)[1]


def digested(folder, head, weights):
    """Write a model whose digest is right, whatever is in it."""
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "model.json").write_text(json.dumps(head | {"digest": digest_of(head, weights)}))


def test_only_a_new_name_an_empty_folder_and_a_whole_model_are_touched(tmp_path, monkeypatch):
    save_model(tmp_path / "m", TENSORS, OLD)
    (tmp_path / "empty").mkdir()
    save_model(tmp_path / "empty", TENSORS, OLD)
    save_model(tmp_path / "m", TENSORS, NEW)
    assert described(tmp_path / "m") == NEW and described(tmp_path / "empty") == OLD
    head = (tmp_path / "m" / "model.json").read_text()
    folders = {
        "more": {"model.json": head, "weights.safetensors": "", "thesis.tex": "x"},
        "other": {"model.json": '{"format": "a chair"}', "weights.safetensors": ""},
        "half": {"model.json": head},
        "damaged": {"model.json": head[:-9], "weights.safetensors": ""},
        "precious": {"thesis.tex": "x"},
    }
    for name, files in folders.items():
        (tmp_path / name).mkdir()
        for own, text in files.items():
            (tmp_path / name / own).write_text(text)
        with pytest.raises(ValueError, match="is not a model") as caught:
            save_model(tmp_path / name, TENSORS, NEW)
        assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)
        assert {path.name: path.read_text() for path in (tmp_path / name).iterdir()} == files
    (tmp_path / "file").write_text("x")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, said in (("file", "is not a model"), ("here", "is the working folder"), ("a/b", "no folder")):
        with pytest.raises(ValueError, match=said):
            save_model(tmp_path / name, TENSORS, NEW)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_links_are_followed_and_permissions_stay(tmp_path):
    (tmp_path / "folder").mkdir()
    save_model(tmp_path / "folder" / "m", TENSORS, OLD)
    (tmp_path / "folder" / "m").chmod(0o750)
    (tmp_path / "folder" / "m" / "model.json").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "m")
    (tmp_path / "dangling").symlink_to(tmp_path / "folder" / "other")
    for name in ("link", "dangling"):
        save_model(tmp_path / name, TENSORS, NEW)
        assert (tmp_path / name).is_symlink() and described(tmp_path / name) == NEW
    assert described(tmp_path / "folder" / "m") == described(tmp_path / "folder" / "other") == NEW
    assert stat.S_IMODE((tmp_path / "folder" / "m").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "folder" / "m" / "model.json").stat().st_mode) == 0o640
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "folder" / "other").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(os.listdir(tmp_path / "folder")) == ["m", "other"]


@pytest.mark.parametrize("exchange", [True, False], ids=["exchanged", "renamed"])
@pytest.mark.parametrize("there", [True, False], ids=["replaced", "new"])
def test_a_kill_at_any_moment_leaves_the_old_model_or_the_new_one_and_the_next_run_cleans_up(tmp_path, exchange, there, monkeypatch):
    if not exchange:
        monkeypatch.setattr(replacement, "_exchanged", lambda *_: False)
    event, seen = 1, set()
    while True:
        home = tmp_path / str(event)
        home.mkdir()
        if there:
            save_model(home / "m", TENSORS, OLD)
        if not killed_at(event, lambda home=home: save_model(home / "m", TENSORS, NEW)):
            break
        if (exchange and there) or (home / "m").exists():
            seen.add(str(described(home / "m")))
        else:
            seen.add("none")
        if there and not (home / "m").exists():
            # Between two renames, where the file system cannot exchange: the next run that writes here puts it back.
            replacement.remove_leftovers(home)
            assert described(home / "m") == OLD
        save_model(home / "m", TENSORS, NEW)
        assert os.listdir(home) == ["m"] and described(home / "m") == NEW
        event += 1
    assert event > 7 and os.listdir(home) == ["m"] and described(home / "m") == NEW
    assert seen == ({str(OLD), str(NEW)} if exchange and there else {str(OLD), str(NEW), "none"} if there else {str(NEW), "none"})


def test_what_a_living_run_is_writing_is_no_leftover(tmp_path):
    with replacement.replacement(tmp_path / "a") as mine:
        mine.write_text("half")
        save_model(tmp_path / "m", TENSORS, OLD)
        mine.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole" and sorted(os.listdir(tmp_path)) == ["a", "m"]


def test_an_error_between_two_renames_puts_the_old_model_back(tmp_path, monkeypatch):
    save_model(tmp_path / "m", TENSORS, OLD)
    rename = os.rename
    monkeypatch.setattr(replacement, "_exchanged", lambda *_: False)

    def failing(source, target):
        if os.path.basename(source) == "new":
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(KeyboardInterrupt):
        save_model(tmp_path / "m", TENSORS, NEW)
    assert described(tmp_path / "m") == OLD and os.listdir(tmp_path) == ["m"]


def test_a_reader_beside_a_writer_always_finds_a_model(tmp_path):
    save_model(tmp_path / "m", TENSORS, OLD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            for i in range(150):
                save_model(tmp_path / "m", {"b": torch.full((2,), float(i))}, {"of": i})
        finally:
            os._exit(0)
    tries = 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        tensors, description = load_model(tmp_path / "m")
        assert description == OLD or float(tensors["b"][0]) == description["of"]
        tries += 1
    assert tries > 10 and described(tmp_path / "m") == {"of": 149}


def test_any_changed_bit_is_refused_or_changes_nothing(tmp_path):
    description = {"x": [1, 2.5, None, 0.1234567890123456789], "word": "high", "on": True}
    save_model(tmp_path / "m", TENSORS, description)
    loaded = 0
    for name in ("model.json", "weights.safetensors"):
        path = tmp_path / "m" / name
        whole = path.read_bytes()
        with path.open("r+b", buffering=0) as file:
            for place in range(len(whole)):
                for bit in range(8):
                    os.pwrite(file.fileno(), bytes([whole[place] ^ 1 << bit]), place)
                    try:
                        tensors, found = load_model(tmp_path / "m")
                    except ValueError as error:
                        assert "\n" not in str(error) and str(tmp_path / "m") in str(error)
                        continue
                    loaded += 1
                    assert found == description and all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)
                os.pwrite(file.fileno(), whole[place : place + 1], place)
    assert loaded < 100  # white space


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    x[x[:, 0] > 0.5, 0] = np.nan
    folder = tmp_path_factory.mktemp("models") / "m"
    MNARImputer(steps=2, members=2, hidden=(4,), direction="high", progress=False).fit(x).save(folder)
    return json.loads((folder / "model.json").read_text()), (folder / "weights.safetensors").read_bytes()


def declared(**changes):
    def harm(head, weights):
        head["description"]["specification"] |= changes
        return head, weights

    return harm


def described_as(**changes):
    def harm(head, weights):
        head["description"] |= changes
        return head, weights

    return harm


def in_codec(change):
    def harm(head, weights):
        change(head["description"]["codec"])
        return head, weights

    return harm


def nested(depth):
    return "[" * depth + "]" * depth


def remade(change):
    """Weights changed as tensors."""

    def harm(head, weights):
        from safetensors.torch import load, save

        tensors = load(weights)
        change(tensors)
        return head, save(tensors)

    return harm


def first(tensors):
    return "0.decoder.linear.weight", tensors["0.decoder.linear.weight"]


HARMS = {
    "an odd mechanism": declared(mechanism="odd"),
    "words for one": described_as(specification={"mechanism": "odd"}),
    "no schema": in_codec(lambda codec: codec.pop("schema")),
    "another latent": declared(latent_dim=1),
    "members": declared(members=10**9),
    "members, true": declared(members=True),
    "columns": declared(kinds=["continuous"] * 10**5),
    "another kind": declared(kinds=["continuous", "continuous", "positive"]),
    "a kind of none": declared(kinds=[[], "continuous", "continuous"]),
    "latent": declared(latent_dim=10**8),
    "hidden": declared(hidden=[10**5, 10**5]),
    "many hidden": declared(hidden=[1] * 10**6),
    "hidden, a fraction": declared(hidden=[4.0]),
    "below zero": declared(latent_dim=-1),
    "a giant integer": declared(latent_dim=10**4000),
    "seed": described_as(seed=[]),
    "histories": lambda head, weights: (
        head | {"description": head["description"] | {"histories": head["description"]["histories"] * 10**4}},
        weights,
    ),
    "no histories": described_as(histories=[]),
    "layout": in_codec(lambda codec: codec["layout"].update(known=[0, 1, "x"])),
    "scaling": in_codec(lambda codec: codec["scaling"].update(center=[0.0] * 10**5, scale=[1.0] * 10**5)),
    "nan": remade(lambda t: t.update([(first(t)[0], first(t)[1] * torch.nan)])),
    "infinite": remade(lambda t: t.update([(first(t)[0], first(t)[1] / 0.0)])),
    "double": remade(lambda t: t.update([(first(t)[0], first(t)[1].double())])),
    "whole": remade(lambda t: t.update([(first(t)[0], first(t)[1].long())])),
    "shape": remade(lambda t: t.update([(first(t)[0], first(t)[1].T.contiguous())])),
    "missing": remade(lambda t: t.pop(first(t)[0])),
    "extra": remade(lambda t: t.update(extra=torch.zeros(1))),
    "no member": remade(lambda t: [t.pop(name) for name in list(t) if name.startswith("1.")]),
    "length": lambda head, weights: (head, (2**63).to_bytes(8, "little") + weights[8:]),
    "short": lambda head, weights: (head, weights[:-1]),
    "long": lambda head, weights: (head, weights + b"x"),
    "empty": lambda head, weights: (head, b""),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
def test_what_is_not_as_large_as_it_says_or_no_finite_number_is_refused_at_once(saved, tmp_path, harm):
    """Though its digest be right."""
    head, weights = json.loads(json.dumps(saved[0])), saved[1]
    head.pop("digest")
    head, weights = harm(head, weights)
    digested(tmp_path, head, weights)
    refused(tmp_path)


TEXTS = {
    "deep": lambda text: text.replace('"description": {', '"description": {"deep": ' + nested(990) + ", ", 1),
    "deeper": lambda text: text.replace('"description": {', '"description": {"deep": ' + nested(10**6) + ", ", 1),
    "deep alone": lambda text: '{"a":' * 10**6,
    "nan": lambda text: text.replace('"seed": 0', '"seed": NaN'),
    "infinite": lambda text: text.replace('"seed": 0', '"seed": 1e999'),
    "giant": lambda text: text.replace('"seed": 0', '"seed": ' + "9" * 10**6),
    "twice": lambda text: text[:-2] + ', "description": {}}',
    "large": lambda text: text + " " * 2**26,
    "version": lambda text: text.replace('"version": 4', '"version": 4.0'),
    "truth": lambda text: text.replace('"version": 4', '"version": true'),
}


@pytest.mark.parametrize("harm", TEXTS.values(), ids=TEXTS.keys())
def test_a_hostile_text_is_refused_at_once(saved, tmp_path, harm):
    text = json.dumps(saved[0], indent=1)
    assert harm(text) != text
    (tmp_path / "model.json").write_text(harm(text))
    (tmp_path / "weights.safetensors").write_bytes(saved[1])
    refused(tmp_path)


def test_files_that_are_none_and_files_of_no_end_are_refused_at_once(saved, tmp_path):
    text = json.dumps(saved[0])
    for name in ("model.json", "weights.safetensors"):
        for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink(path, path)):
            home = tmp_path / f"{name}{time.monotonic_ns()}"
            home.mkdir()
            (home / "model.json").write_text(text)
            (home / "weights.safetensors").write_bytes(saved[1])
            (home / name).unlink()
            make(home / name)
            refused(home)
    (tmp_path / "model.json").write_text(text)
    (tmp_path / "weights.safetensors").write_bytes(saved[1])
    os.truncate(tmp_path / "weights.safetensors", 3 * 10**9)  # of holes
    refused(tmp_path)


def refused(folder):
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=str(folder)) as caught:
        MNARImputer.load(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_model_of_other_widths_than_its_weights_is_not_built():
    weights = {f"{i}.w": torch.zeros(100) for i in range(2)}
    check_sizes(2, 3, 2, [8], 3, weights)
    for wrong in ((2, 3, 2, [100], 3), (2, 3, 40, [], 3), (2, 2, 2, [1], 100), (3, 3, 2, [8], 3), (2, 10**5, 1, [], 10**5)):
        with pytest.raises(ValueError, match="got"):
            check_sizes(*wrong, weights)
