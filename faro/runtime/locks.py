"""One writer at a time: a run and its folder, a model and its files, held by a lock of the system."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError
from ..files import locked, named

UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)

_HELD: contextvars.ContextVar[tuple[Path, ...]] = contextvars.ContextVar("held", default=())


@contextlib.contextmanager
def alone(path: str | Path, *, folder: bool = False) -> Iterator[None]:
    """Hold an output against other processes and threads until the block ends; who holds a folder holds what is in it.

    `UsageError` at once if another one holds it. The lock is on a file in the folder, or beside the output; it ends
    with the process, however that ends. The file system must have locks (flock).
    """
    real = Path(os.path.realpath(path)) if folder else Path(os.path.realpath(Path(path).parent), Path(path).name)
    held = _HELD.get()
    if real in held or any(other in held for other in real.parents):
        yield
        return
    lock = real / ".lock" if folder else real.with_name(f".{real.name}.lock")
    missing = [parent for parent in lock.parents if not parent.exists()]
    file = None
    try:
        file = _taken(lock, str(path))
        token = _HELD.set((*held, real))
        try:
            yield
        finally:
            _HELD.reset(token)
    finally:
        if file is not None:
            lock.unlink(missing_ok=True)  # before it is free, so that nobody takes a lock that goes
            os.close(file)
        for parent in missing:  # a run that was refused leaves no folder
            with contextlib.suppress(OSError):
                parent.rmdir()


def _taken(lock: Path, path: str) -> int | None:
    """The locked file; None where no file can be made, hence nothing written."""
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another run that was refused took its folder with it
            continue
        except OSError as error:
            if error.errno in UNWRITABLE and not lock.exists():
                return None
            raise
        free = locked(file)
        if free and named(file, lock):
            with contextlib.suppress(OSError):  # a full disk is met by what matters
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return file
        who = os.read(file, 300).decode(errors="replace") or "another process"
        os.close(file)
        if free is None:
            lock.unlink(missing_ok=True)
            raise UsageError(f"{path}: expected a file system with locks (flock), got none; write to a local folder")
        if not free:
            raise UsageError(f"{path}: {who} is writing there; wait until it ends, or choose another --out")
