"""Fetching: from a loopback server, with the published content or not at all."""

from __future__ import annotations

import functools
import gzip
import http.server
import socket
import threading
from pathlib import Path

import pytest

from faro.data import fetch, load, read_table
from faro.data.fetch import SOURCES, Source, _adult, _swissmetro
from faro.data.sets import SETS
from faro.data.table import content_digest
from faro.errors import DataError, UsageError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """(folder, its address on the loopback interface)."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


HEADER = "age,workclass,fnlwgt,education,education-num,marital-status,occupation,relationship,race,sex,capital-gain,"
HEADER += "capital-loss,hours-per-week,native-country,classification\n"
ROW = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, ?, "


@pytest.fixture
def toy(served, monkeypatch):
    """Two rows of Adult, served as UCI writes them, and pinned."""
    folder, address = served
    (folder / "adult.data").write_text(ROW + "<=50K\n" + ROW + ">50K\n\n")
    (folder / "adult.test").write_text("|1x3 Cross validator\n" + ROW + "<=50K.\n\n")
    made = [_adult(folder / name) for name in ("adult.data", "adult.test")]
    assert [table["classification"].tolist() for table in made] == [["<=50K", ">50K"], ["<=50K"]]
    pinned = [
        Source(source.folder, source.file, source.convert, content_digest(table, table.columns))
        for source, table in zip(SOURCES["adult"], made, strict=True)
    ]
    monkeypatch.setitem(SOURCES, "adult", tuple(pinned))
    return folder, address


def kept(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_fetch_writes_our_layout(toy, tmp_path):
    root = tmp_path / "cache"
    assert fetch("adult", root=root, url=toy[1]) == root
    assert sorted(str(path.relative_to(root)) for path in kept(root)) == sorted(SETS["adult"].files)
    table = read_table(root / "adult/adult_train.csv.gz")
    assert ",".join(table.columns) + "\n" == HEADER and table["native-country"].tolist() == ["?", "?"]
    assert load("adult", root=root).n == 3


def test_fetch_again_needs_no_network_and_mends_a_damaged_file(toy, tmp_path):
    fetch("adult", root=tmp_path / "c", url=toy[1])
    fetch("adult", root=tmp_path / "c", url="http://127.0.0.1:9")
    (tmp_path / "c/adult/adult_test.csv.gz").write_bytes(b"damaged")
    fetch("adult", root=tmp_path / "c", url=toy[1])
    assert load("adult", root=tmp_path / "c").n == 3


def test_a_changed_cell_is_refused_and_nothing_is_kept(toy, tmp_path):
    folder, address = toy
    (folder / "adult.test").write_text("|1x3 Cross validator\n" + ROW.replace("39", "38") + "<=50K.\n")
    with pytest.raises(DataError, match=r"adult\.test: its content differs from the published table; nothing was kept"):
        fetch("adult", root=tmp_path / "cache", url=address)
    assert kept(tmp_path / "cache") == []


@pytest.mark.parametrize("content", [b"", b"<html>not here</html>", b"\x1f\x8bxxxx", b"\xff\xfe\x00"])
def test_whatever_else_is_served_is_refused(toy, tmp_path, content):
    (toy[0] / "adult.data").write_bytes(content)
    with pytest.raises(DataError, match="nothing was kept") as caught:
        fetch("adult", root=tmp_path / "cache", url=toy[1])
    assert kept(tmp_path / "cache") == [] and "\n" not in str(caught.value)


def test_not_found_and_refused(served, tmp_path):
    with pytest.raises(DataError, match=r"swissmetro\.csv\.gz: cannot be downloaded: 404") as caught:
        fetch("swissmetro", root=tmp_path / "cache", url=served[1])
    assert "\n" not in str(caught.value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("compas", root=tmp_path / "cache", url=f"http://127.0.0.1:{port}")
    assert kept(tmp_path / "cache") == []


def test_names_that_cannot_be_fetched(tmp_path):
    with pytest.raises(UsageError, match="nothing to fetch"):
        fetch("demo", root=tmp_path)
    with pytest.raises(UsageError, match="swissmetro, immigration, adult, compas"):
        fetch("adlut", root=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write there"):
        fetch("adult", root=tmp_path / "file")


def test_the_immigration_file_needs_a_reader_of_r(served, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rdata", None)
    monkeypatch.setitem(__import__("sys").modules, "pyreadr", None)
    (served[0] / "immigration.rda").write_bytes(b"RDX2")
    with pytest.raises(UsageError, match="pip install rdata"):
        fetch("immigration", root=tmp_path / "cache", url=served[1])


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["swissmetro", "immigration", "adult", "compas"])
def test_the_pinned_contents_are_those_of_the_published_tables(name, real_data):
    for source, file in zip(SOURCES[name], SETS[name].files, strict=True):
        table = read_table(real_data / file)
        assert content_digest(table, table.columns) == source.content
        changed = table.copy()
        changed.iloc[-1, 3] = changed.iloc[-1, 3] + "1"
        assert content_digest(changed, table.columns) != source.content


@pytest.mark.slow
@pytest.mark.real_data
def test_real_tables_as_their_sources_write_them(real_data, served, tmp_path):
    folder, address = served
    swissmetro = read_table(real_data / SETS["swissmetro"].files[0])
    (folder / "swissmetro.csv.gz").write_bytes(gzip.compress(swissmetro.to_csv(index=False).encode(), 1))
    tabbed = folder / "swissmetro.dat"
    tabbed.write_text(swissmetro.to_csv(index=False, sep="\t"))
    assert content_digest(_swissmetro(tabbed), swissmetro.columns) == SOURCES["swissmetro"][0].content
    compas = read_table(real_data / SETS["compas"].files[0])
    compas.assign(name="somebody", dob="1970-01-01").iloc[:, ::-1].to_csv(
        folder / "compas-scores-two-years.csv", index=False
    )
    for file, original in zip(SETS["adult"].files, ("adult.data", "adult.test"), strict=True):
        lines = gzip.decompress((real_data / file).read_bytes()).decode().split("\n", 1)[1]
        (folder / original).write_text(
            lines if original == "adult.data" else "|1x3\n" + lines.replace("50K\n", "50K.\n")
        )
    for name in ("swissmetro", "compas", "adult"):
        fetch(name, root=tmp_path / "cache", url=address)
        assert load(name, root=tmp_path / "cache").digest == load(name, root=real_data).digest
