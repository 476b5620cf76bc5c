"""Spark on a local cluster of two workers, one of which is killed on the way: the rows of one process, bit for bit."""

import hashlib
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyro_mnar import MNARImputer, impute_batches
from pyro_mnar.imputer.shards.spark import completer, impute_spark

pytestmark = [pytest.mark.spark, pytest.mark.filterwarnings("ignore")]
N = 200


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql", reason="needs the extra spark, and a JRE")
    home = str(Path(__file__).parents[3])
    os.environ["PYTHONPATH"] = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    # Two workers of one core each, in processes of their own.
    builder = sql.SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.executorEnv.PYTHONPATH", os.environ["PYTHONPATH"]).config("spark.executorEnv.OMP_NUM_THREADS", "1")
    session = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "17").getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, 3)) @ rng.normal(size=(3, 3))
    columns = {name: pa.array(np.where(rng.random(N) < 0.3, np.nan, values[:, j]), from_pandas=True) for j, name in enumerate("abc")}
    levels = [None if i % 9 == 0 else "uvw"[k] for i, k in enumerate(rng.integers(0, 3, N))]
    return pa.table({"id": [f"row {i}" for i in range(N)], **columns, "k": levels})


@pytest.fixture(scope="module")
def model(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    frame = table.drop_columns(["id"]).to_pandas()
    MNARImputer("self-masking", "high", members=5, steps=3, hidden=(8,), progress=False).fit(frame).save(folder)
    return folder


def digest(rows):
    return hashlib.sha256(repr(sorted(tuple(row.values()) for row in rows)).encode()).hexdigest()


@pytest.fixture(scope="module")
def completed(table, model):
    imputer = MNARImputer.load(model)
    imputer.progress = False
    rows = [row for batch in impute_batches(imputer, table.to_batches(), label="id") for row in batch.to_pylist()]
    assert len(rows) == N and all(value is not None for row in rows for value in row.values())
    return digest(rows)


def test_rows_of_spark_are_those_of_one_process(spark, table, model, completed, tmp_path):
    pq.write_table(table, tmp_path / "t.parquet")
    frame = spark.read.parquet(str(tmp_path / "t.parquet")).repartition(5)
    found = [row.asDict() for row in impute_spark(frame, model, label="id").collect()]
    assert digest(found) == completed


def test_a_worker_killed_on_the_way_loses_nothing_and_doubles_nothing(spark, table, model, completed, tmp_path):
    pq.write_table(table, tmp_path / "t.parquet")
    complete, marker = completer(model, label="id"), str(tmp_path / "killed")

    def killing(batches):
        for i, batch in enumerate(complete(batches)):
            yield batch
            if i == 1:  # with a part of the partition done
                try:
                    os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    continue
                executor = Path(f"/proc/{os.getppid()}/stat").read_text().rsplit(")", 1)[1].split()[1]
                os.kill(int(executor), signal.SIGKILL)
                signal.pause()

    frame = spark.read.parquet(str(tmp_path / "t.parquet")).repartition(4)
    found = [row.asDict() for row in frame.mapInArrow(killing, frame.schema).collect()]
    assert os.path.exists(marker) and len(found) == N and digest(found) == completed


def test_labels_that_name_no_row_or_two_are_refused_before_anything_is_done(spark, table, model):
    rows = [(f"row {i}", 1.0, 2.0, 3.0, "u") for i in (1, 2, 2)]
    frame = spark.createDataFrame(rows, "id string, a double, b double, c double, k string")
    with pytest.raises(ValueError, match="column 'id' has 'row 2' more than once"):
        impute_spark(frame, model, label="id")
    holed = spark.createDataFrame([(None, 1.0, 2.0, 3.0, "u"), ("x", 1.0, 2.0, 3.0, "u")], frame.schema)
    with pytest.raises(ValueError, match="column 'id' has 1 holes"):
        impute_spark(holed, model, label="id")
    with pytest.raises(ValueError, match="label: got 'name'"):
        impute_spark(frame, model, label="name")
    with pytest.raises(ValueError, match="lacks the model's column"):
        impute_spark(frame.drop("c"), model, label="id")
