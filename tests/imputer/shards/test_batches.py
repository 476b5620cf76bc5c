"""Record batches, and Parquet files row group by row group: a row has one result, whatever comes with it and whoever does it."""

import datetime
import hashlib
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kills import killed_at

from pyro_mnar import MNARImputer, impute_batches
from pyro_mnar.cli.main import main
from pyro_mnar.data.files.run_folder import RUN
from pyro_mnar.data.shards.labels import check_distinct
from pyro_mnar.data.shards.shards import Shards
from pyro_mnar.imputer.shards.shard_run import impute_shards, run_of

N = 90


@pytest.fixture(scope="module")
def table():
    """Rows of every kind of Arrow type that a model has use for, and a column that it does not know."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, 3)) @ rng.normal(size=(3, 4))
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(d)) for d in rng.integers(0, 900, N)]
    holes = rng.random((N, 6)) < 0.3
    columns = {name: np.where(holes[:, j], np.nan, values[:, j]) for j, name in enumerate("ab")}
    arrays = {name: pa.array(column, from_pandas=True) for name, column in columns.items()}
    arrays["whole"] = pa.array([None if h else int(v * 10) for h, v in zip(holes[:, 2], values[:, 2], strict=True)], pa.int32())
    arrays["day"] = pa.array([None if h else d for h, d in zip(holes[:, 3], days, strict=True)], pa.date32())
    arrays["time"] = pa.array(
        [
            None if h else datetime.datetime.combine(d, datetime.time(i % 24))
            for i, (h, d) in enumerate(zip(holes[:, 4], days, strict=True))
        ],
        pa.timestamp("us"),
    )
    arrays["zoned"] = arrays["time"].cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("s", "Europe/Berlin"))
    arrays["single"] = pa.array([None if h else v for h, v in zip(holes[:, 5], values[:, 3], strict=True)], pa.float32())
    return pa.table({"id": [f"row {i}" for i in range(N)], "note": [f"{i}!" for i in range(N)]} | arrays)


@pytest.fixture(scope="module")
def model(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    frame = table.drop_columns(["id", "note"]).to_pandas()
    kinds = {"whole": "continuous", "day": "date", "time": "date", "zoned": "date"}
    MNARImputer("self-masking", "high", members=2, steps=3, hidden=(8,), kinds=kinds, progress=False).fit(frame).save(folder)
    return folder


def imputer_of(model):
    imputer = MNARImputer.load(model)
    imputer.progress = False
    return imputer


def digest(tables):
    """Of all rows of some tables, in the order of their labels, bit for bit."""
    whole = pa.concat_tables(tables).sort_by("id").combine_chunks()
    return hashlib.sha256(repr([whole.schema.names, *(column.to_pylist() for column in whole.columns)]).encode()).hexdigest()


def folder_of(table, home, shards, group=17):
    home.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(table)), shards)):
        pq.write_table(table.take(rows), home / f"part-{i}.parquet", row_group_size=group)
    return home


def read(folder):
    return [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]


@pytest.fixture(scope="module")
def completed(table, model):
    """The digest of all."""
    batches = list(impute_batches(imputer_of(model), table.to_batches(), label="id"))
    whole = pa.Table.from_batches(batches)
    assert whole.schema == table.schema and whole.column("id") == table.column("id") and whole.column("note") == table.column("note")
    for name in table.column_names:
        seen = table.column(name).is_valid()
        assert whole.column(name).filter(seen).equals(table.column(name).filter(seen)) and whole.column(name).null_count == 0
    return digest([whole])


def test_batches_of_any_size_and_rows_in_any_order_have_the_same_results(table, model, completed):
    imputer = imputer_of(model)
    shuffled = table.take(np.random.default_rng(1).permutation(N)).combine_chunks()
    for given, size in ((table, 1), (table, 7), (shuffled, 40), (shuffled, N)):
        batches = given.combine_chunks().to_batches(size)
        assert digest([pa.Table.from_batches(impute_batches(imputer, batches, label="id"))]) == completed, size


def test_results_are_those_of_a_frame_whose_index_is_the_label(table, model):
    imputer = imputer_of(model)
    frame = table.select(["id", "a", "b", "whole", "day", "time", "zoned", "single"]).to_pandas().set_index("id")
    whole = pa.Table.from_batches(impute_batches(imputer, table.to_batches(20), label="id"))
    filled = imputer.impute(frame).completed.numpy()
    for j, name in enumerate("ab"):
        np.testing.assert_array_equal(whole.column(name).to_numpy(), filled[:, j])


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_one_digest_for_any_number_of_shards(table, model, completed, tmp_path, shards):
    source, output = folder_of(table, tmp_path / "in", shards, group=[90, 17, 5][shards // 2]), tmp_path / "out"
    done = impute_shards(imputer_of(model), "m", source, output, label="id", batch_size=11)
    assert done.rows == N and digest(read(output)) == completed


def test_two_ranks_share_the_row_groups_and_have_the_same_rows(table, model, completed, tmp_path, monkeypatch):
    source = folder_of(table, tmp_path / "in", 2)
    command = ["impute", str(source), "--model", str(model), "--label", "id", "--output", str(tmp_path / "out")]
    for rank in "10":
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert main(command) == 0
        assert len(list((tmp_path / "out").glob("*.parquet"))) == (3 if rank == "1" else 6)
    assert digest(read(tmp_path / "out")) == completed
    # Another run of the same finds everything there.
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert main(command) == 0 and before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("event", [2, 9, 16, 23])
def test_a_run_killed_at_a_change_of_files_is_gone_on_with(table, model, completed, tmp_path, event):
    source, output = folder_of(table, tmp_path / "in", 2), tmp_path / "out"

    def run():
        return impute_shards(imputer_of(model), "m", source, output, label="id")

    killed = killed_at(event, run)
    there = [path.name for path in output.glob("*.parquet")] if output.exists() else []
    assert killed and all(pq.read_metadata(output / name).num_rows for name in there)
    done = run()
    assert done.there == len(there) and done.written == done.all - done.there and digest(read(output)) == completed
    assert not [name for name in os.listdir(output) if name.startswith(".")]


def test_a_full_disk_is_said_and_what_is_there_is_kept(table, model, completed, tmp_path):
    source, output = folder_of(table, tmp_path / "in", 2), tmp_path / "out"

    def run(**ranks):
        return impute_shards(imputer_of(model), "m", source, output, label="id", **ranks)

    assert run(rank=1, world_size=3).written == 2
    before, limits = read(output), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))  # files of more bytes cannot be written, as on a full disk
    try:
        with pytest.raises(ValueError, match=r"part-0-00000.parquet: cannot be written"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path for path in os.listdir(output) if path.startswith(".")] == [] and read(output) == before
    done = run()
    assert (done.there, done.written) == (2, 4) and digest(read(output)) == completed


@pytest.mark.script
def test_a_process_killed_in_the_middle_is_gone_on_with_and_a_torn_file_is_made_anew(table, model, completed, tmp_path):
    source, output = folder_of(table, tmp_path / "in", 5, group=2), tmp_path / "out"
    command = ["impute", str(source), "--model", str(model), "--label", "id", "--output", str(output)]
    child = subprocess.Popen([sys.executable, "-m", "pyro_mnar", *command], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(output.glob("*.parquet"))) < 3:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    there = sorted(output.glob("*.parquet"))
    assert 3 <= len(there) < 45
    there[0].write_bytes(there[0].read_bytes()[:-10])
    assert main(command) == 0 and digest(read(output)) == completed


def refused(capsys, *command):
    assert main(["impute", *map(str, command)]) == 2
    return capsys.readouterr().err


def test_what_is_wrong_is_named_before_anything_is_written(table, model, tmp_path, capsys, monkeypatch):
    source, out = folder_of(table, tmp_path / "in", 2), tmp_path / "out"
    usual = ["--model", model, "--output", out]
    assert "--label: got none" in refused(capsys, source, *usual)
    assert "--missing: got one with --model" in refused(capsys, source, *usual, "--label", "id", "--missing", "x")
    assert "--limit: got one with --model" in refused(capsys, source, *usual, "--label", "id", "--limit", "a<3")
    assert "expected a column of the table" in refused(capsys, source, *usual, "--label", "name")
    assert "expected whole numbers or text" in refused(capsys, source, *usual, "--label", "day")
    assert "--draws: got one with --label" in refused(capsys, source, *usual, "--label", "id", "--draws", 3)
    assert "lies in the folder that is read" in refused(capsys, source, *usual[:3], source / "out", "--label", "id")
    for environment in ({"RANK": "0"}, {"WORLD_SIZE": "2"}, {"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "-1", "WORLD_SIZE": "2"}):
        with monkeypatch.context() as context:
            for name, value in environment.items():
                context.setenv(name, value)
            assert "RANK, WORLD_SIZE: got" in refused(capsys, source, *usual, "--label", "id")
    other = table.set_column(1, "note", pa.array(range(N)))
    pq.write_table(other, source / "part-9.parquet")
    said = refused(capsys, source, *usual, "--label", "id")
    assert "part-9.parquet: has another schema than part-0.parquet (column 'note': int64, not string)" in said
    (source / "part-9.parquet").write_bytes(b"PAR1 torn")
    assert "part-9.parquet" in refused(capsys, source, *usual, "--label", "id")
    # A name twice, in two files; a hole.
    pq.write_table(table.slice(5, 1), source / "part-9.parquet")
    assert "column 'id' has 'row 5' more than once" in refused(capsys, source, *usual, "--label", "id")
    holed = table.slice(0, 3).set_column(0, "id", pa.array(["x", None, "y"]))
    pq.write_table(holed, source / "part-9.parquet")
    said = refused(capsys, source, *usual, "--label", "id")
    assert "part-9.parquet" in said and "has 1 holes (the first in row 2)" in said
    (source / "part-9.parquet").unlink()
    assert not out.exists()
    assert main(["impute", str(source), *map(str, usual), "--label", "id"]) == 0
    assert "is another run's, of other settings" in refused(capsys, source, *usual, "--label", "id", "--seed", 5)
    pq.write_table(table.slice(50, 3), source / "part-1.parquet")
    assert "is another run's, of other files" in refused(capsys, source, *usual, "--label", "id")
    (out / RUN).unlink()
    assert "expected a new or an empty folder" in refused(capsys, source, *usual, "--label", "id")


def test_a_run_is_another_one_where_anything_that_rows_follow_from_differs(table, model, tmp_path):
    shards, runs = Shards.of(folder_of(table, tmp_path / "in", 2)), []
    for change in ({}, {"point": "median"}, {"tolerance": 0.1}, {"random_state": 5}):
        imputer = MNARImputer(**{"random_state": 0} | change)
        runs.append(run_of(imputer, "m", shards, "id"))
    runs += [run_of(MNARImputer(), "other", shards, "id"), run_of(MNARImputer(), "m", shards, "note")]
    assert len({repr(run) for run in runs}) == 6


def test_batches_that_do_not_fit_are_refused(table, model):
    imputer = imputer_of(model)

    def run(*batches, label="id"):
        return list(impute_batches(imputer, batches, label=label))

    (batch,) = table.to_batches()
    with pytest.raises(ValueError, match="column 'id' has 'row 3' more than once"):
        run(batch, batch.slice(3, 1))
    with pytest.raises(ValueError, match="column 'id' has 'row 0' more than once"):
        run(batch.take(pa.array([0, 0])))
    with pytest.raises(ValueError, match=r"another schema \(column 'note': absent, not string\)"):
        run(batch, batch.drop_columns(["note"]))
    with pytest.raises(ValueError, match=r"lacks the model's column\(s\) b"):
        run(batch.drop_columns(["b"]))
    with pytest.raises(ValueError, match="a column of the model"):
        run(batch, label="whole")
    as_text = batch.set_column(batch.schema.get_field_index("day"), "day", batch.column("day").cast(pa.string()))
    with pytest.raises(ValueError, match="column 'day': got dates of type string"):
        run(as_text)
    assert run() == []
    imputer.add_indicator = True
    with pytest.raises(ValueError, match="add_indicator"):
        run(batch)


@pytest.mark.parametrize("rows", [10, 2**21 + 10])
def test_a_name_that_comes_twice_is_found_however_many_there_are(rows):
    names = np.arange(rows)
    parts = np.array_split(names, 7)
    check_distinct(lambda: parts, "id", rows)
    with pytest.raises(ValueError, match=f"column 'id' has {rows - 3} more than once"):
        check_distinct(lambda: [*parts, names[-3:-2]], "id", rows + 1)


def test_names_are_read_no_more_than_64_times(monkeypatch):
    monkeypatch.setattr("pyro_mnar.data.shards.labels.AT_ONCE", 2)
    reads, names = [], np.arange(1000)
    check_distinct(lambda: reads.append(1) or [names], "id", 1000)
    assert len(reads) == 64
    with pytest.raises(ValueError, match="column 'id' has 7 more than once"):
        check_distinct(lambda: [names, np.array([7])], "id", 1001)


def test_a_folder_s_hidden_files_do_not_count_and_folders_in_it_are_refused(table, tmp_path):
    source = folder_of(table, tmp_path / "in", 2)
    (source / "_SUCCESS").write_text("")
    (source / ".crc.parquet").write_text("")
    assert Shards.of(source).rows == N and len(Shards.of(source).parts) == 6
    (source / "year=2020").mkdir()
    with pytest.raises(ValueError, match="holds the folder 'year=2020'"):
        Shards.of(source)
    with pytest.raises(ValueError, match="no such file or folder"):
        Shards.of(tmp_path / "absent")


def test_stated_holes_and_columns_that_are_always_the_same_are_filled():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=list("ab")).assign(same=5)
    frame.loc[::4, "a"], frame.loc[1::4, "a"], frame.loc[::5, "same"] = np.nan, -9.0, -9
    imputer = MNARImputer("none", members=1, steps=2, hidden=(8,), missing=-9, progress=False).fit(frame)
    table = pa.Table.from_pandas(frame.assign(id=range(40)), preserve_index=False)
    found = pa.Table.from_batches(impute_batches(imputer, table.to_batches(7), label="id")).to_pandas()
    assert found.same.tolist() == [5] * 40 and not (found.a == -9).any() and found.a.notna().all()
    pd.testing.assert_series_equal(found.a[2::4], frame.a[2::4])


@pytest.mark.parametrize("point", ["mean", "median", "draw"])
def test_the_last_bit_of_a_mean_over_many_members_hangs_on_no_other_row(table, point):
    """Of eight members, as by default: torch adds up the last few cells of a stack in another order than the others."""
    frame = table.drop_columns(["id", "note"]).to_pandas()
    kinds = {"whole": "continuous", "day": "date", "time": "date", "zoned": "date"}
    imputer = MNARImputer("none", members=8, steps=2, hidden=(4,), kinds=kinds, point=point, progress=False).fit(frame)
    few = table.slice(0, 40).combine_chunks()
    sizes = (40, 3 if point == "mean" else 13)
    found = [digest([pa.Table.from_batches(impute_batches(imputer, few.to_batches(size), label="id"))]) for size in sizes]
    assert found[0] == found[1]
