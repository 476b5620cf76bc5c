"""A model fitted to Parquet files: the same one however the rows are dealt out, and in memory no more than a member's rows."""

import hashlib
import os
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from kills import killed_at

from pyro_mnar import MNARImputer, impute_batches
from pyro_mnar.cli.main import main
from pyro_mnar.data.shards import streamed_sample
from pyro_mnar.data.shards.keyed_rows import counts_of, keys_of
from pyro_mnar.data.shards.labels import hashes_of
from pyro_mnar.data.shards.shards import Shards
from pyro_mnar.data.shards.streamed_sample import Distinct, StreamedSample
from pyro_mnar.imputer import member_rows
from pyro_mnar.imputer.member_rows import MemberRows
from pyro_mnar.imputer.saving import checkpoints
from pyro_mnar.imputer.shards.parquet_fit import fit_parquet, sampled
from pyro_mnar.infer import ensembles

N = 120
SETTINGS = {"mechanism": "self-masking", "direction": "high", "steps": 4, "members": 3, "hidden": (4,), "batch_size": 16}
SETTINGS |= {"progress": False, "kinds": {"n": "count"}, "rules": ["b <= c"]}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def table():
    """Rows of numbers, counts, dates, levels as text and by dictionary, one of which only one row has; ``b`` is never above ``c``."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, 3)) @ rng.normal(size=(3, 3))
    values[:, 2] = values[:, 1] + np.abs(values[:, 2])
    holes = rng.random((N, 3)) < 0.2
    days = np.datetime64("2020-01-01") + rng.integers(0, 900, N).astype("timedelta64[D]")
    columns = {
        "id": [f"row {i}" for i in range(N)],
        "note": [f"{i}!" for i in range(N)],
        "a": pa.array(np.where(values[:, 0] > 1, np.nan, values[:, 0]), from_pandas=True),
        "b": pa.array(np.where(holes[:, 0], np.nan, values[:, 1]), from_pandas=True),
        "c": pa.array(values[:, 2]),
        "n": pa.array([None if hole else int(v) for hole, v in zip(holes[:, 1], rng.poisson(3, N), strict=True)]),
        "day": pa.array([None if hole else day for hole, day in zip(holes[:, 2], days.tolist(), strict=True)], pa.date32()),
        "k": pa.array(["rare" if i == 77 else "uvw"[k] for i, k in enumerate(rng.integers(0, 3, N))]).dictionary_encode(),
        "t": pa.array([None if i % 7 == 0 else "xy"[k] for i, k in enumerate(rng.integers(0, 2, N))]),
    }
    return pa.table(columns)


def folder_of(table, home, shards, group, order=None):
    home.mkdir()
    table = table if order is None else table.take(order)
    for i, rows in enumerate(np.array_split(np.arange(len(table)), shards)):
        part = table.take(rows)
        # Each file's dictionary is its own.
        own = part.column("k").combine_chunks()
        encoded = pa.array([*own.to_pylist()][::-1]).dictionary_encode().dictionary
        levels = encoded.to_pylist()
        part = part.set_column(
            part.schema.get_field_index("k"),
            table.schema.field("k"),
            pa.DictionaryArray.from_arrays(pa.array([levels.index(v) for v in own.to_pylist()], pa.int32()), encoded),
        )
        pq.write_table(part, home / f"part-{i}.parquet", row_group_size=group)
    return home


def weights_of(imputer):
    found = hashlib.sha256(repr([imputer.codec_.to_json(), imputer.specification_, imputer.reasons_.to_dict()]).encode())
    for member in imputer.members_:
        for name, value in member.state_dict().items():
            found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def fit(source, **options):
    return fit_parquet(MNARImputer(**SETTINGS), source, label="id", sample=60, **options)


@pytest.fixture(scope="module")
def model_table(table):
    return table.drop_columns(["note"])


@pytest.fixture(scope="module")
def whole(model_table, tmp_path_factory):
    """The digest of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return weights_of(fit(folder_of(model_table, tmp_path_factory.mktemp("whole") / "in", 1, N)))


@pytest.mark.parametrize("shards, group, read", [(2, 50, 2**16), (5, 7, 3)])
def test_the_model_is_the_same_for_any_number_of_shards_order_of_rows_and_batch(
    model_table, whole, tmp_path, monkeypatch, shards, group, read
):
    monkeypatch.setattr(streamed_sample, "READ", read)
    order = np.random.default_rng(shards).permutation(N)
    assert weights_of(fit(folder_of(model_table, tmp_path / "in", shards, group, order))) == whole


def test_ranks_share_members_out_one_dies_and_nothing_is_done_twice(model_table, whole, tmp_path, monkeypatch):
    source, trained = folder_of(model_table, tmp_path / "in", 2, 50), []
    own = MemberRows.table

    class DiedError(Exception):
        pass

    def table(self, reader, member):
        if (self.rank, member) == (1, 0):
            raise DiedError  # with a member that it would have done for rank 0
        trained.append((self.rank, member))
        return own(self, reader, member)

    monkeypatch.setattr(MemberRows, "table", table)
    with pytest.raises(DiedError):
        fit(source, checkpoint=tmp_path / "c", rank=1, world_size=2)
    assert trained == [(1, 1)]
    assert weights_of(fit(source, checkpoint=tmp_path / "c", rank=0, world_size=2)) == whole
    assert weights_of(fit(source, checkpoint=tmp_path / "c", rank=1, world_size=2)) == whole
    assert trained == [(1, 1), (0, 0), (0, 2)]


def test_the_model_is_the_same_on_several_processes(model_table, whole, tmp_path):
    source = folder_of(model_table, tmp_path / "in", 2, 50)
    found = fit_parquet(MNARImputer(**SETTINGS, n_jobs=2), source, label="id", sample=60, checkpoint=tmp_path / "c")
    assert weights_of(found) == whole


def test_one_member_is_that_of_a_table_in_memory(model_table, tmp_path):
    source = folder_of(model_table, tmp_path / "in", 2, 50)
    settings = SETTINGS | {"members": 1, "mechanism": "none", "direction": None}  # no pilots, which are trained on the sample
    found = fit_parquet(MNARImputer(**settings), source, label="id", sample=N)
    labels = np.array(model_table.column("id").to_pylist(), object)
    order = np.argsort(keys_of(hashes_of(labels), 0, "sample"))
    frame = model_table.drop_columns(["id"]).to_pandas().set_axis(labels, axis=0).iloc[order]
    frame["k"] = frame.k.cat.set_categories(sorted(frame.k.cat.categories))
    frame["n"] = frame.n.astype("Int64")
    # Rows are trained on in the order of the member's own keys.
    member = np.argsort(keys_of(hashes_of(frame.index.to_numpy()), 0, "order of member 0"))
    in_memory = MNARImputer(**settings).fit(frame)
    assert found.codec_.to_json() == in_memory.codec_.to_json() and found.specification_ == in_memory.specification_
    train = ensembles.train
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ensembles, "train", lambda bound, x, mask, **o: train(bound, x[member], mask[member], **_at(o, member)))
        in_order = MNARImputer(**settings).fit(frame)
    assert weights_of(found) == weights_of(in_order)


def _at(options, rows):
    return options | {"limits": None if options["limits"] is None else options["limits"][rows]}


def test_a_sample_is_drawn_from_all_and_what_few_rows_have_is_found(table, tmp_path):
    source = folder_of(table, tmp_path / "in", 5, 7)
    shards, size = Shards.of(source), 30
    times, column = np.zeros(N), {name: i for i, name in enumerate(table.column("id").to_pylist())}
    for seed in range(100):
        found = StreamedSample.of(shards, "id", seed, size)
        times[[column[name] for name in found.labels]] += 1
        if seed:
            continue
        together = pa.concat_tables([found.rows, found.beside])
        for name in ("a", "b", "c", "n", "day"):
            ends = [min(v for v in t.column(name).to_pylist() if v is not None) for t in (table, together)]
            ends += [max(v for v in t.column(name).to_pylist() if v is not None) for t in (table, together)]
            assert ends[0] == ends[1] and ends[2] == ends[3], name
        assert set(together.column("k").to_pylist()) >= {"rare", *"uvw"} and set(together.column("n").to_pylist()) == {
            *table.column("n").to_pylist()
        }
        for row in found.beside.to_pylist():
            assert sum(value is not None for value in row.values()) == 1
    # As often as 100 simple random samples have each.
    share = size / N
    assert (np.abs(times - 100 * share) < 5 * (100 * share * (1 - share)) ** 0.5).all() and times.sum() == 100 * size


def test_values_are_remembered_while_they_are_few_and_ends_always():
    most = streamed_sample.MOST_DISTINCT
    for count, known in ((most, set(range(most))), (most + 1, None)):
        found = Distinct()
        found.add(pa.array([*range(count // 2), None]))
        found.add(pa.array(range(count // 2, count)))
        assert found.values == known and found.ends == [0, count - 1] and most == 1000
    found = Distinct()
    found.add(pa.array([1.5, np.nan, np.inf, -np.inf, -2.0]))
    assert found.values == {1.5, -2.0} and found.ends == [-2.0, 1.5] and found.beside(pa.chunked_array([[1.5]])) == [-2.0]


def test_whatever_members_rows_follow_from_is_in_their_digest(model_table, tmp_path):
    shards = Shards.of(folder_of(model_table, tmp_path / "in", 2, 50))
    given = {"shards": shards, "label": "id", "names": ("a", "b"), "seed": 0, "fewest": 60}
    others = [{"label": "t"}, {"names": ("b", "a")}, {"seed": 1}, {"fewest": 61}]
    others.append({"shards": Shards.of(folder_of(model_table, tmp_path / "other", 3, 50))})
    digests = [MemberRows(**given | other).digest for other in ({}, *others)]
    assert len(set(digests)) == len(digests)
    assert MemberRows(**given, rank=1, world_size=2).digest == digests[0]  # who trains them is no matter


def test_a_level_that_the_sample_lacks_is_one_of_the_model_s(model_table, tmp_path):
    source = folder_of(model_table, tmp_path / "in", 2, 50)
    keys = keys_of(hashes_of(np.array([f"row {i}" for i in range(N)], object)), 0, "sample")
    size = int((keys < keys[77]).sum())
    found = sampled(Shards.of(source), "id", 0, size)
    assert len(found.labels) == size and "row 77" not in found.labels
    codec = fit_parquet(MNARImputer(**SETTINGS | {"members": 1}), source, label="id", sample=size).codec_
    (column,) = (column for column in codec.columns if column.name == "k")
    assert sorted(column.levels) == ["rare", "u", "v", "w"]


def test_what_the_sample_does_not_show_is_taken_as_it_comes(model_table, tmp_path):
    """A hole in a column that the sample sees whole, and values of one in which it sees one value."""
    keys = keys_of(hashes_of(np.array([f"row {i}" for i in range(N)], object)), 0, "sample")
    size = int((keys < keys[77]).sum())
    c = [None if i == 77 else value for i, value in enumerate(model_table.column("c").to_pylist())]
    same = [{77: 9.0, int(np.argmin(keys)): None}.get(i, 5.0) for i in range(N)]
    table = model_table.set_column(model_table.column_names.index("c"), "c", pa.array(c)).append_column("same", pa.array(same))
    source = folder_of(table, tmp_path / "in", 2, 50)
    imputer = fit_parquet(MNARImputer(**SETTINGS | {"members": 2}), source, label="id", sample=size)
    assert "c" not in imputer.reasons_.index
    found = pa.Table.from_batches(impute_batches(imputer, table.to_batches(), label="id"))
    assert found.column("c").null_count == found.column("same").null_count == 0
    assert found.column("same").to_pylist() == [5.0 if value is None else value for value in same]


def test_a_member_s_rows_are_those_of_its_keys_as_often_as_its_counts_say(model_table, tmp_path):
    source = folder_of(model_table, tmp_path / "in", 2, 50)
    imputer = fit(source)
    rows = MemberRows(Shards.of(source), "id", tuple(model_table.column_names[1:]), 0, 60)
    labels = np.array(model_table.column("id").to_pylist(), object)
    x = imputer.codec_.encode(model_table.drop_columns(["id"]).to_pandas())[0].astype(np.float32)
    for member in range(3):
        keys = keys_of(hashes_of(labels), 0, f"order of member {member}")
        counts = counts_of(hashes_of(labels), 0, f"counts of member {member}")
        order = np.argsort(keys)
        expected = np.repeat(x[order], counts[order], 0)[:64]  # four steps of sixteen
        table = rows._tables(imputer, imputer.codec_)[member]()
        np.testing.assert_array_equal(table.x.numpy(), expected)
        assert len(table.x) == 64 == len(table.mask) == len(table.limits)
        same = (table.copies[:, None] == table.copies).numpy()
        assert all(len(table.x[torch.from_numpy(row)].unique(dim=0)) == 1 for row in same)


def test_rows_in_memory_are_bounded_by_training_and_by_cells(model_table, tmp_path, monkeypatch):
    source = folder_of(model_table, tmp_path / "in", 1, N)
    imputer = fit(source)
    names, shards = tuple(model_table.column_names[1:]), Shards.of(source)

    def length(steps, fewest):
        imputer.steps = steps
        return len(MemberRows(shards, "id", names, 0, fewest)._tables(imputer, imputer.codec_)[0]().x)

    assert length(3, 10) == 48 and length(3, 60) == 60
    assert N * 0.7 < length(1000, 10) < N * 1.3
    monkeypatch.setattr(member_rows, "MOST_CELLS", 7 * 100)
    assert length(1000, 10) == 100 and length(1000, 120) == 120


def digest(folder):
    rows = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]).sort_by("id")
    return hashlib.sha256(repr(sorted(map(repr, rows.to_pylist()))).encode()).hexdigest()


COMMAND = ["--label", "id", "--steps", "2", "--jobs", "1", "--kind", "n=count", "--mechanism", "none"]


@pytest.fixture(scope="module")
def completed(table, tmp_path_factory):
    home = tmp_path_factory.mktemp("completed")
    assert main(["impute", str(folder_of(table, home / "in", 1, N)), "--output", str(home / "out"), *COMMAND]) == 0
    assert {path.name for path in (home / "out").iterdir()} == {"_run.json", "_fit", "part-0-00000.parquet"}
    rows = pq.read_table(home / "out" / "part-0-00000.parquet")
    assert all(rows.column(name).null_count == 0 for name in rows.column_names)
    for name in table.column_names:
        seen = table.column(name).is_valid()
        assert rows.column(name).filter(seen).to_pylist() == table.column(name).filter(seen).to_pylist()
    return digest(home / "out")


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_command_fits_and_completes_files_with_one_digest_whatever_their_layout(table, completed, tmp_path, monkeypatch, ranks):
    source = folder_of(table, tmp_path / "in", 5, 11, np.random.default_rng(3).permutation(N))
    for rank in reversed(range(ranks)):
        if ranks > 1:
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", str(ranks))
        assert main(["impute", str(source), "--output", str(tmp_path / "out"), *COMMAND]) == 0
    assert digest(tmp_path / "out") == completed


@pytest.mark.parametrize("every", [23])
def test_the_command_killed_at_changes_of_files_ends_as_if_it_had_not_been(table, completed, tmp_path, monkeypatch, every):
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    source, out, kills = folder_of(table, tmp_path / "in", 2, 60), tmp_path / "out", 0
    command = ["impute", str(source), "--output", str(out), *COMMAND]
    while killed_at(every, lambda: main(command)):
        kills += 1
        assert kills < 50
    assert kills > 2 and digest(out) == completed and main(command) == 0
    assert not [name for name in os.listdir(out) if name.startswith(".")] and sorted(os.listdir(out / "_fit")) == ["_run.json", "model"]


def refused(capsys, *command):
    assert main(["impute", *map(str, command)]) == 2
    return capsys.readouterr().err


def test_what_is_wrong_is_named_and_nothing_is_written(table, tmp_path, capsys, monkeypatch):
    source, out = folder_of(table, tmp_path / "in", 2, 60), tmp_path / "out"
    usual = [source, "--output", out, "--label", "id", "--steps", "2", "--jobs", "1"]
    wrong = {
        ("--mechanism", "chance"): "mechanism: got 'chance'",
        ("--direction", "z=high"): "z",
        ("--kind", "z=count"): "unknown column 'z'",
        ("--kind", "id=count"): "unknown column 'id'",
        ("--columns", "a,id"): "'id'",
        ("--kind", "c=count"): "column 'c'",
        ("--steps", "0"): "--steps: got 0",
        ("--device", "tpu"): "device: got 'tpu'",
        ("--save", tmp_path / "m"): "--save: got one with --label",
        ("--rule", "day <= day2"): "day2",
    }
    for more, said in wrong.items():
        assert said in refused(capsys, *usual, *more), more
        assert not out.exists()
    pq.write_table(table.slice(0, 1), source / "part-2.parquet")
    assert "column 'id' has 'row 0' more than once" in refused(capsys, *usual)
    holed = table.slice(0, 3).set_column(0, "id", pa.array(["x", None, "y"]))
    pq.write_table(holed, source / "part-2.parquet")
    assert "part-2.parquet" in (said := refused(capsys, *usual)) and "has 1 holes" in said
    (source / "part-2.parquet").unlink()
    for name in ("RANK", "WORLD_SIZE"):
        with monkeypatch.context() as context:
            context.setenv(name, "1")
            assert "RANK, WORLD_SIZE: got" in refused(capsys, *usual)
    assert "--output: got - with --label, expected a folder" in refused(capsys, source, "--output", "-", "--label", "id")
    assert not out.exists()
    assert main(["impute", *map(str, usual)]) == 0
    said = capsys.readouterr().out
    assert "row groups written" in said and "Assumed: per column" in said and "Columns taken as" in said and "Filled with" in said
    assert "is another run's, of other model" in refused(capsys, *usual, "--direction", "low")
    assert "is another run's, of other settings" in refused(capsys, *usual, "--seed", "3")
    pq.write_table(table.slice(0, 5), source / "part-1.parquet")
    assert "is another run's, of other files" in refused(capsys, *usual)


def test_settings_that_files_cannot_be_fitted_with_are_named(model_table, tmp_path):
    source = folder_of(model_table, tmp_path / "in", 1, N)
    for seed in (None, np.random.RandomState(0)):
        with pytest.raises(ValueError, match="random_state: got"):
            fit_parquet(MNARImputer(random_state=seed), source, label="id")
    with pytest.raises(ValueError, match="checkpoint: got none with several ranks"):
        fit_parquet(MNARImputer(), source, label="id", rank=0, world_size=2)
    with pytest.raises(ValueError, match="label: got 'name', expected a column of the table"):
        fit_parquet(MNARImputer(), source, label="name")
    with pytest.raises(ValueError, match="label: got column 'day' of type date32"):
        fit_parquet(MNARImputer(), source, label="day")
    fit(source, checkpoint=tmp_path / "c")
    pq.write_table(model_table.slice(0, 100), source / "part-0.parquet")
    with pytest.raises(ValueError, match="c: is another run's, of other table, rows"):
        fit(source, checkpoint=tmp_path / "c")
    imputer = MNARImputer(direction={"z": "high"}, progress=False)
    with pytest.raises(ValueError, match="z"):
        fit_parquet(imputer, source, label="id")
    assert not hasattr(imputer, "codec_") and not hasattr(imputer, "members_")


def test_a_frame_and_the_files_have_the_same_kinds(model_table, tmp_path):
    found = fit_parquet(MNARImputer(**SETTINGS), folder_of(model_table, tmp_path / "in", 2, 50), label="id", sample=40)
    frame = model_table.drop_columns(["id"]).to_pandas()
    known = MNARImputer(**SETTINGS).fit(frame)
    assert [column.kind for column in found.codec_.columns] == [column.kind for column in known.codec_.columns]
    assert isinstance(found.transform(frame), pd.DataFrame)
