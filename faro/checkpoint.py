"""Steps of a long computation that a killed run does not repeat: `keeper.once(name, compute)`, stored with orbax."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from . import devices
from .files import write_json


class Keeper:
    """Results of named steps in `folder`; without one nothing is stored. A folder with another fingerprint is emptied.

    Stored pytrees are arrays and PRNG keys; their structure is that of `compute`'s result, so no code is stored. Of
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
            write_json(key, fingerprint)
        devices.together("checkpoints")

    def once(self, name: str, compute: Callable[[], Any], sharding: Any = None) -> Any:
        """The stored result of this step, on devices as `sharding` says; or that of `compute()`, which is stored before
        it is returned."""
        if self.folder is None:
            return compute()
        import orbax.checkpoint as ocp  # here: a second of import that unstored runs do not need

        place = self.folder / name
        with ocp.StandardCheckpointer() as store:
            if place.exists():  # orbax writes elsewhere and renames: what exists is whole
                shapes = jax.eval_shape(compute)
                plain = [jax.eval_shape(_plain, leaf) for leaf in jax.tree.leaves(shapes)]
                plain = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding) for leaf in plain]
                stored = store.restore(place, {str(i): leaf for i, leaf in enumerate(plain)})
                self.resumed.append(name)
                leaves = [_like(stored[str(i)], leaf) for i, leaf in enumerate(jax.tree.leaves(shapes))]
                return jax.tree.unflatten(jax.tree.structure(shapes), leaves)
            result = compute()
            store.save(place, {str(i): _plain(leaf) for i, leaf in enumerate(jax.tree.leaves(result))})
            return result

    def close(self) -> None:
        """Remove what was stored: the computation is finished."""
        if self.folder is not None and devices.first():
            shutil.rmtree(self.folder, ignore_errors=True)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(stored: Any, shape: Any) -> Any:
    return jax.random.wrap_key_data(stored) if _is_key(shape) else stored
