"""Outputs are written to a temporary name beside their place and renamed: a reader never sees half a file.

Whoever writes holds a lock of the system on the temporary, which ends with the process. So no two writers meet in one,
and what can be locked is nobody's: what a killed writer left is removed by the next one in the same folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part(\..*)?")  # names of what is being written; none is used twice
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk is full, or one's share of it


def cache_folder() -> Path:
    """$FARO_CACHE, or ~/.cache/faro."""
    return Path(os.environ.get("FARO_CACHE") or Path.home() / ".cache" / "faro")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, renamed to it when the block ends well and removed when it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _unfinished(path.parent, path.suffix, os.O_RDWR | os.O_CREAT | os.O_EXCL) as temporary:
            yield temporary
            os.replace(temporary, path)
    except OSError as error:
        name = error.filename
        if error.errno is not None and (name is None or UNFINISHED.fullmatch(os.path.basename(os.fsdecode(name)))):
            error.filename, error.filename2 = str(path), None  # the name that the user knows
        raise


@contextlib.contextmanager
def scratch(folder: str | Path) -> Iterator[Path]:
    """A new folder in `folder`, which is gone when the block ends."""
    with _unfinished(Path(folder), "", os.O_RDONLY) as temporary:
        yield temporary


@contextlib.contextmanager
def _unfinished(folder: Path, suffix: str, flags: int) -> Iterator[Path]:
    """A locked file of its own, or without O_CREAT a folder, which does not outlive the block."""
    _clear(folder)
    while True:
        temporary = folder / f".{secrets.token_hex(8)}.part{suffix}"
        if not flags & os.O_CREAT:
            temporary.mkdir()
        try:
            file = os.open(temporary, flags, 0o666)
        except FileNotFoundError:  # cleared away before it was locked
            continue
        try:
            if locked(file) is not False and named(file, temporary):
                yield temporary
                return
        finally:
            _remove(temporary)
            os.close(file)


def _clear(folder: Path) -> None:
    """Remove what killed writers left in a folder; nothing on a file system without locks, for nobody knows."""
    left: list[os.DirEntry] = []
    with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
        left += [entry for entry in entries if UNFINISHED.fullmatch(entry.name)]
    for entry in left:
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            flags = os.O_RDONLY if entry.is_dir(follow_symlinks=False) else os.O_RDWR
            file = os.open(entry.path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if locked(file):
                    _remove(Path(entry.path))
            finally:
                os.close(file)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def locked(file: int) -> bool | None:
    """Whether the file is ours now; False: another one has it, None: this file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def named(file: int, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one piece, as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON in one piece, indented, keys in the order given; infinities as the strings "inf" and "-inf"."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def absent(path: str | Path, expected: str, endings: tuple[str, ...], begins: str) -> str:
    """What is said of a name that is no file: what was expected, and of a folder which of its files that may be.

    expected what the file is, in words
    endings  of names of such files
    begins   a text that is in the first 4 KiB of such a file
    """
    path = Path(path)
    if not path.is_dir():
        return f"{path}: no such file; expected {expected}"
    for file in sorted(path.iterdir()):
        if file.name.endswith(endings) and file.is_file():
            with file.open("rb") as opened:
                if begins.encode() in opened.read(4096):
                    return f"{path}: a folder; expected {expected}, as {file} seems to be"
    return f"{path}: a folder; expected {expected}"


def toml_text(values: Mapping[str, Any]) -> str:
    """Plain values (texts, numbers, truth values, lists, dicts of them) as TOML, a line a key; empty ones left out.

    values: key -> value
    """
    there = {key: value for key, value in values.items() if value not in ("", [], {}, None)}
    return "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in there.items())


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        there = {key: own for key, own in value.items() if own is not None}
        return "{" + ", ".join(f"{_key(key)} = {_toml(own)}" for key, own in there.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def sha256_of(path: str | Path) -> str:
    """sha256 of the bytes of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_toml(data: bytes, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The keys of a TOML file, which may begin with a byte order mark; a `ValueError` of one line if it is none."""
    try:
        return tomllib.loads(data.decode("utf-8-sig"), parse_float=parse_float)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError of no kind of its own
        raise ValueError(f"not TOML: {' '.join(str(error).split())}") from None
