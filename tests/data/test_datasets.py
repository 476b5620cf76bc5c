"""Data sets: bundled, read from a folder, or downloaded there (with the network played)."""

import os
from pathlib import Path

import pandas as pd
import pytest

from pyro_mnar.data import load
from pyro_mnar.data.datasets import HEADERS

DATA = Path(os.environ.get("PYRO_MNAR_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.parametrize(("name", "shape"), [("breast", (569, 30)), ("diabetes", (442, 10)), ("wine", (178, 13))])
def test_bundled_tables_have_features_only(name, shape):
    assert load(name).shape == shape and "target" not in load(name)


@pytest.mark.parametrize(
    ("name", "file", "shape", "last"),
    [
        ("banknote", "banknote.csv", (1372, 4), "entropy"),
        ("concrete", "concrete.csv", (1030, 8), "age"),
        ("red", "winequality-red.csv", (1599, 11), "alcohol"),
        ("white", "winequality-white.csv", (4898, 11), "alcohol"),
        ("letter", "letter.csv", (20000, 16), "yegvx"),
        ("magic", "magic.csv", (19020, 10), "fDist"),
        ("obesity", "obesity.csv", (2111, 16), "Transportation"),
        ("spambase", "spambase.csv", (4601, 57), "run_total"),
    ],
)
def test_uci_tables_lose_their_target(name, file, shape, last):
    if not (DATA / "uci" / file).is_file():
        pytest.skip(f"no {file} in {DATA / 'uci'} (set PYRO_MNAR_DATA)")
    frame = load(name, DATA)
    assert frame.shape == shape and frame.columns[-1] == last
    if name in HEADERS:
        assert list(pd.read_csv(DATA / "uci" / file, nrows=0)) == HEADERS[name].split()


#: A line in the archive is the table's, but for where the target stands.
ARCHIVES = {
    "letter": ("letter-recognition.data", "T,2,8,3,5,1,8,13,0,6,6,10,8,0,8,0,8\n", 16),
    "magic": ("magic04.data", "28.8,16.0,2.6,0.4,0.2,27.7,22.0,-8.2,40.1,81.9,g\n", 10),
    "spambase": ("spambase.data", ",".join(str(j / 2) for j in range(58)) + "\n", 57),
    "banknote": ("data_banknote_authentication.txt", "1,2,3,4,0\n5,6,7,8,1\n", 4),
    "red": ("winequality-red.csv", '"fixed acidity";"pH";"quality"\n7.4;3.5;5\n', 2),
    "yeast": ("yeast.data", "P_1  0.5  0.6  0.4  0.1  0.5  0.0  0.4  0.2  MIT\n", 8),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_downloaded_table_is_kept_in_data_home_and_read_from_there_again(name, tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    member, text, d = ARCHIVES[name]
    asked = []

    def retrieve(url, known_hash, path, **_):
        asked.append(url)
        Path(path, member).write_text(text)
        return [str(Path(path, member))]

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    first = load(name, tmp_path)
    pd.testing.assert_frame_equal(load(name, tmp_path), first)
    assert len(asked) == 1 and asked[0].startswith("https://archive.ics.uci.edu/static/public/")
    assert first.shape[1] == d and first.iloc[0].tolist() == [
        float(v)
        for v in text.splitlines()[-2 if name == "banknote" else -1]
        .replace(";", ",")
        .replace("  ", ",")
        .split(",")[name in ("yeast", "letter") : None if name == "letter" else -1]
    ]
    assert len(list((tmp_path / "uci").iterdir())) == 1


@pytest.mark.parametrize("failure", [ConnectionError("no\nnetwork"), OSError("damaged archive")])
def test_a_failed_download_says_what_was_tried_and_where_to_put_the_file(failure, tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")

    def retrieve(*_, **__):
        raise failure

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(
        ValueError, match=r"uci/yeast\.csv: no such file, and https://.*/110/yeast\.zip could not be read .*put a CSV there"
    ) as caught:
        load("yeast", tmp_path)
    assert "\n" not in str(caught.value) and list((tmp_path / "uci").iterdir()) == []


def test_load_refuses(tmp_path):
    with pytest.raises(ValueError, match="name: got 'odd', expected one of breast, .* yeast"):
        load("odd")
    with pytest.raises(ValueError, match="data_home: got none"):
        load("yeast")
    (tmp_path / "uci").mkdir()
    (tmp_path / "uci" / "yeast.csv").write_text("")
    with pytest.raises(ValueError, match=r"yeast\.csv: the file is empty"):
        load("yeast", tmp_path)


def test_words_of_a_download_stay_words(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")

    def retrieve(url, known_hash, path, **_):
        line = "Male,21,1.62,64,yes,no,2,3,Sometimes,no,2,no,0,1,no,Walking,Normal_Weight"
        Path(path, "o.csv").write_text("Gender," + ",".join(f"c{j}" for j in range(16)) + f"\n{line}\n")
        return [str(Path(path, "o.csv"))]

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    frame = load("obesity", tmp_path)
    assert list(frame) == HEADERS["obesity"].split()[:-1] and frame.loc[0, "Transportation"] == "Walking"
