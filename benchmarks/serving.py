"""How long a service takes to answer one row: a saved model, loaded once, asked over HTTP on this machine.

    python benchmarks/serving.py [--repeats 50]

Eleven columns, five of them self-masked, models of one, two and eight members. Printed are the median and the 95th percentile of a
request by the clock, and the median of the processor's time of ``impute`` alone, which a busy machine does not stretch as much.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pandas as pd
import torch

from pyro_mnar import MNARImputer

COLUMNS = [f"x{j}" for j in range(11)]


def table(rows: int) -> pd.DataFrame:
    """Return related columns, large values of the first five missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 1)) + rng.normal(size=(rows, len(COLUMNS)))
    x[:, :5] = np.where(x[:, :5] > 1, np.nan, x[:, :5])
    return pd.DataFrame(x, columns=COLUMNS)


def server_of(imputer: MNARImputer, processor: list[float]) -> ThreadingHTTPServer:
    """Return a server that completes posted rows, and notes the processor's seconds of each."""

    class Rows(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            start = time.process_time()
            result = imputer.impute(pd.DataFrame([asked["row"]], index=[asked["id"]]).astype(float))
            processor.append(time.process_time() - start)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(result.completed[0].tolist()).encode())

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Rows)


def times_of(imputer: MNARImputer, rows: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Return the seconds of a request for each row, by the clock and of the processor; two before them are not counted."""
    clock: list[float] = []
    processor: list[float] = []
    server = server_of(imputer, processor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for i, row in enumerate(rows.replace({np.nan: None}).to_dict("records")):
        start = time.perf_counter()
        with urlopen(f"http://127.0.0.1:{server.server_port}", json.dumps({"id": f"row {i}", "row": row}).encode()) as reply:
            reply.read()
        clock.append(time.perf_counter() - start)
    server.shutdown()
    server.server_close()
    return clock[2:], processor[2:]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=50, help="rows that are asked for")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = table(2000)
    rows = rows[rows.isna().any(axis=1)].iloc[: options.repeats + 2]
    print("| members | median, ms | 95 % below | of the processor |\n|---|---|---|---|")
    for members in (1, 2, 8):
        with tempfile.TemporaryDirectory() as home:
            directions = dict.fromkeys(COLUMNS[:5], "high")
            fitted = MNARImputer("self-masking", directions, members=members, steps=50, progress=False).fit(table(500))
            fitted.save(Path(home, "model"))
            imputer = MNARImputer.load(Path(home, "model"))
        imputer.progress = False
        clock, processor = (1e3 * np.array(seconds) for seconds in times_of(imputer, rows))
        print(f"| {members} | {np.median(clock):.0f} | {np.quantile(clock, 0.95):.0f} | {np.median(processor):.0f} |", flush=True)


if __name__ == "__main__":
    main()
