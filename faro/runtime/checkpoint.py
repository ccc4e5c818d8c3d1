"""Steps of a long computation that a killed run does not repeat: `keeper.once(name, program, args)`.

A step is a file: the arrays of its result one after another, each as numpy writes it. A file is written elsewhere and
renamed, so what exists is whole.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..files import replacing, write_json
from . import devices

FORMAT = "faro-steps/3"  # the first kept them in folders of orbax, the second knew no selection loss


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
        key, own = self.folder / "fingerprint.json", f"{FORMAT} {fingerprint}"
        if devices.first():
            if self.folder.exists() and not (key.exists() and json.loads(key.read_text() or "null") == own):
                shutil.rmtree(self.folder)
            write_json(key, own)
        devices.together("checkpoints")

    def stored(self, name: str) -> bool:
        """Whether the result of this step is there already."""
        return self.folder is not None and (self.folder / name).exists()

    def once(self, name: str, program: Any, args: tuple, sharding: Any = None) -> Any:
        """The stored result of this step, on devices as `sharding` says (a list: one for each of several results); or
        that of the jitted `program(*args)`, which is stored before it is returned."""
        if self.folder is None:
            return program(*args)
        if self.stored(name):
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
            (self.folder / f"{name}-{other}").unlink()

    def drop(self, name: str) -> None:
        """Remove what `keep` stored under this name."""
        for position in self._kept(name) if devices.first() else ():
            (self.folder / f"{name}-{position}").unlink()  # type: ignore[operator]

    def _kept(self, name: str) -> list[int]:
        paths = [] if self.folder is None else self.folder.glob(f"{name}-*")
        positions = [path.name.removeprefix(f"{name}-") for path in paths]
        return [int(position) for position in positions if position.isdecimal()]

    def write(self, name: str, tree: Any) -> None:
        """Store this pytree."""
        assert self.folder is not None
        with contextlib.ExitStack() as stack:
            file = None
            if devices.first():
                file = stack.enter_context(open(stack.enter_context(replacing(self.folder / name)), "wb"))
            for leaf in jax.tree.leaves(tree):  # of several processes each has a piece
                own = np.asarray(_whole(_plain(leaf)), order="C")
                if file is not None:
                    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(own))
                    file.write(own.reshape(-1).view(np.uint8).data)
            if file is not None:
                file.close()  # before it is renamed
        devices.together("stored")

    def read(self, name: str, shapes: Any, sharding: Any) -> Any:
        """What `write` stored, on devices; of these shapes."""
        assert self.folder is not None
        leaves = jax.tree.leaves(shapes)
        places = [sharding] * len(leaves)
        if isinstance(sharding, list):
            places = [place for place, shape in zip(sharding, shapes, strict=True) for _ in jax.tree.leaves(shape)]
        found = []
        with open(self.folder / name, "rb") as file:
            for leaf, place in zip(leaves, places, strict=True):
                stored = np.load(file, allow_pickle=False)
                stored = stored.view(leaf.dtype) if stored.dtype.kind == "V" else stored  # numpy knows no bfloat16
                found.append(_like(stored if place is None else devices.place(stored, place), leaf))
        return jax.tree.unflatten(jax.tree.structure(shapes), found)

    def close(self) -> None:
        """Remove what was stored: the computation is finished."""
        if self.folder is not None and devices.first():
            shutil.rmtree(self.folder, ignore_errors=True)


def _whole(leaf: Any) -> Any:
    return devices.fetch(leaf) if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable else leaf


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(stored: Any, shape: Any) -> Any:
    return jax.random.wrap_key_data(stored) if _is_key(shape) else stored
