"""Steps of a long computation that a killed run does not repeat: `keeper.once(name, program, args)`, kept by orbax."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ..files import write_json
from . import devices

HALF = ".orbax-checkpoint-tmp"  # in the names of what orbax is writing


class Keeper:
    """Results of named steps in `folder`; without one nothing is stored. A folder with another fingerprint is emptied.

    Stored pytrees are arrays and PRNG keys; their structure is that of the program's result, so no code is stored. Of
    several processes, which must share the folder, the first one keeps it in order.
    """

    def __init__(self, folder: Path | None, fingerprint: str = ""):
        self.folder = None if folder is None else Path(folder).absolute()
        self.resumed: list[str] = []
        if self.folder is None:
            return
        key = self.folder / "fingerprint.json"
        if devices.first():
            if self.folder.exists() and not (key.exists() and json.loads(key.read_text() or "null") == fingerprint):
                shutil.rmtree(self.folder)
            for half in self.folder.glob(f"*{HALF}*"):  # of a run that was killed
                shutil.rmtree(half)
            write_json(key, fingerprint)
        devices.together("checkpoints")

    def stored(self, name: str) -> bool:
        """Whether the result of this step is there already."""
        return self.folder is not None and (self.folder / name).exists()

    def once(self, name: str, program: Any, args: tuple, sharding: Any = None) -> Any:
        """The stored result of this step, on devices as `sharding` says (a list: one for each of several results); or
        that of the jitted `program(*args)`, which is stored before it is returned."""
        if self.folder is None:
            return program(*args)
        if self.stored(name):  # orbax writes elsewhere and renames: what exists is whole
            self.resumed.append(name)
            return self.read(name, program.eval_shape(*args), sharding)
        result = program(*args)
        self.write(name, result)
        return result

    def newest(self, name: str, state: Any, sharding: Any = None) -> tuple[int, Any]:
        """Position and state that `keep` stored last under this name; (0, `state`) if there is none."""
        positions = sorted(self._kept(name))
        if not positions:
            return 0, state
        self.resumed.append(f"{name}-{positions[-1]}")
        return positions[-1], self.read(f"{name}-{positions[-1]}", jax.eval_shape(lambda: state), sharding)

    def keep(self, name: str, position: int, state: Any) -> None:
        """Store the state of a computation at this position, in place of earlier ones under this name."""
        if self.folder is None:
            return
        earlier = self._kept(name)
        self.write(f"{name}-{position}", state)
        for other in earlier if devices.first() else ():
            shutil.rmtree(self.folder / f"{name}-{other}")

    def drop(self, name: str) -> None:
        """Remove what `keep` stored under this name."""
        for position in self._kept(name) if devices.first() else ():
            shutil.rmtree(self.folder / f"{name}-{position}")  # type: ignore[operator]

    def _kept(self, name: str) -> list[int]:
        paths = [] if self.folder is None else self.folder.glob(f"{name}-*")
        positions = [path.name.removeprefix(f"{name}-") for path in paths]
        return [int(position) for position in positions if position.isdecimal()]  # others are half-written

    def write(self, name: str, tree: Any) -> None:
        """Store this pytree."""
        import orbax.checkpoint as ocp  # here: a second of import that unstored runs do not need

        assert self.folder is not None
        plain = {str(i): _plain(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}
        with _quiet(), _told_by_the_system(self.folder / name), ocp.StandardCheckpointer() as store:
            store.save(self.folder / name, plain)

    def read(self, name: str, shapes: Any, sharding: Any) -> Any:
        """What `write` stored, on devices; of these shapes."""
        import orbax.checkpoint as ocp

        assert self.folder is not None
        leaves = jax.tree.leaves(shapes)
        plain = [jax.eval_shape(_plain, leaf) for leaf in leaves]
        places = [sharding] * len(leaves)
        if isinstance(sharding, list):
            places = [place for place, shape in zip(sharding, shapes, strict=True) for _ in jax.tree.leaves(shape)]
        placed = {
            str(i): jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=place)
            for i, (p, place) in enumerate(zip(plain, places, strict=True))
        }
        with ocp.StandardCheckpointer() as store:
            stored = store.restore(self.folder / name, placed)
        return jax.tree.unflatten(jax.tree.structure(shapes), [_like(stored[str(i)], p) for i, p in enumerate(leaves)])

    def close(self) -> None:
        """Remove what was stored: the computation is finished."""
        if self.folder is not None and devices.first():
            shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracebacks that orbax logs beside what it raises."""
    logger = logging.getLogger("absl")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


@contextlib.contextmanager
def _told_by_the_system(path: Path) -> Iterator[None]:
    """What the system said, as of a full disk, as an `OSError` of this path, without what is half-written."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # tensorstore raises ValueError
        told = re.search(r"os_error_code='(\d+)'", str(error))
        number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
        if number is None:
            raise
        for half in path.parent.glob(f"{path.name}{HALF}*"):
            shutil.rmtree(half, ignore_errors=True)
        raise OSError(number, os.strerror(number), str(path)) from None


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(stored: Any, shape: Any) -> Any:
    return jax.random.wrap_key_data(stored) if _is_key(shape) else stored
