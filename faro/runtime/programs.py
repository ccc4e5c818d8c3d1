"""Programs that are compiled once: in this process, and in the user's cache for later ones.

Of a program two things are kept: what XLA makes of it, by jax's own cache; and what jax makes of the Python code
before, as `jax.export` writes it, for tracing often takes longer than what it is traced for. A kept trace is known by
all that it follows from: the code of faro, versions, configuration, and the program's own identity and shapes. What is
not of faro's own classes, such as a model of one's own, has no such identity and is traced each time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import json
import platform
import re
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import files
from .versions import version

OURS = ("faro", "constraints")  # packages whose code is known by its text
KNOWN = (*OURS, "optax", "builtins")  # whose classes of pytrees are, by that or by a version
PLAIN = (type(None), bool, int, float, complex, str, bytes)


def keep_programs() -> None:
    """Programs are kept in the user's cache for later runs, unless jax was told of another place for its own.

    On a CPU they are machine code, so the place is named after the versions and what the processor can do.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        try:
            features = re.search(r"^(flags|Features)\s*:.*$", Path("/proc/cpuinfo").read_text(), re.M)
        except OSError:
            features = None
        machine = [jax.__version__, platform.machine(), platform.processor(), features[0] if features else ""]
        name = hashlib.sha256("\n".join(machine).encode()).hexdigest()[:16]
        jax.config.update("jax_compilation_cache_dir", str(files.cache_folder() / "programs" / name))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        _kept.append(files.cache_folder() / "programs" / name / "traced")


_kept: list[Path] = []  # where traces are kept, if anywhere


class Program:
    """A function that is compiled for the shapes that it is given, once. `ahead` compiles for shapes to come on another
    thread, while this one traces the next program or prepares data.

    function: of pytrees of arrays
    options: of XLA, see `faro.runtime.devices.options`
    consumed: positions of the inputs that are gone afterwards; their memory is that of the output
    known: what the function follows from beside its inputs, of faro's own classes; None: not to be kept
    how: more for `jax.jit` where it is not kept, such as shardings
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: dict[str, Any] | None = None,
        consumed: tuple[int, ...] = (),
        known: Any = None,
        how: dict[str, Any] | None = None,
    ):
        self.function, self.options, self.consumed = function, options or {}, consumed
        self.known = known
        self.jitted = jax.jit(function, **how or {}, donate_argnums=consumed, compiler_options=self.options)
        self.begun: dict[Any, Future] = {}
        self.shapes: dict[Any, Any] = {}
        self.flat: set[Any] = set()  # of which inputs and outputs are leaves alone

    def ahead(self, *args: Any) -> Any:
        """Trace for these arguments, or shapes of them, and begin to compile; the shapes of what the program returns.
        Several processes compile in step, when they call."""
        key = self._key(args)
        if key not in self.shapes:
            traced, self.shapes[key] = self._traced(args, key)
            if jax.process_count() == 1:
                self.begun[key] = _compilers().submit(traced.lower().compile)
        return self.shapes[key]

    def __call__(self, *args: Any) -> Any:
        key = self._key(args)
        if key not in self.begun and self._keeps():
            self.ahead(*args)
        begun = self.begun.get(key)
        if begun is None:
            return self.jitted(*args)
        if key not in self.flat:
            return begun.result()(*args)
        return jax.tree.unflatten(jax.tree.structure(self.shapes[key]), begun.result()(*jax.tree.leaves(args)))

    def wait(self) -> None:
        """Until everything that was begun is compiled."""
        for begun in self.begun.values():
            begun.result()

    def eval_shape(self, *args: Any) -> Any:
        """The shapes of what the program returns."""
        found = self.shapes.get(self._key(args))
        return self.jitted.eval_shape(*args) if found is None else found

    def _keeps(self) -> bool:
        return bool(_kept) and self.known is not None and jax.process_count() == 1

    def _traced(self, args: tuple, key: Any) -> tuple[Any, Any]:
        """A trace that can be lowered, and the shapes of what it returns."""
        if self._keeps():
            with contextlib.suppress(_Unknown):
                name = _name((self.known, sorted(self.options.items())), args)
                exported, shapes = _trace(self.function, args, _kept[-1] / name)
                leaves, spots = jax.tree.leaves(args), _places(args, self.consumed)
                own = jax.jit(exported.call, donate_argnums=spots, compiler_options=self.options)
                self.flat.add(key)
                return own.trace(*map(_shape, leaves)), shapes
        traced = self.jitted.trace(*args)
        return traced, traced.out_info

    @staticmethod
    def _key(args: tuple) -> Any:
        leaves, structure = jax.tree.flatten(args)
        return structure, tuple((np.shape(leaf), getattr(leaf, "dtype", type(leaf))) for leaf in leaves)


@functools.cache
def _compilers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="compile")


def remembered(known: Any, args: tuple, make: Callable[[], Any]) -> Any:
    """What `make` gives, a plain value that follows from `known` and the shapes of `args` alone: made once in this
    process, where `known` is hashable, and kept for later ones as traces are."""
    key = known, Program._key(args)
    try:
        hash(key)
    except TypeError:  # options of somebody's own
        return _kept_value(known, args, make)
    if key not in _remembered:
        _remembered[key] = _kept_value(known, args, make)
    return _remembered[key]


_remembered: dict[Any, Any] = {}


def _kept_value(known: Any, args: tuple, make: Callable[[], Any]) -> Any:
    if not _kept:
        return make()
    with contextlib.suppress(_Unknown):
        file = _kept[-1] / f"{_name(known, args)}.json"
        with contextlib.suppress(OSError, ValueError):
            return json.loads(file.read_text())
        found = make()
        with contextlib.suppress(OSError):
            files.write_text(file, json.dumps(found))
        return found
    return make()


# Traces that are kept -------------------------------------------------------------------------------------------------


class _Unknown(Exception):
    """Something has no identity, so nothing that follows from it is kept."""


def _trace(function: Callable[..., Any], args: tuple, file: Path) -> tuple[Any, Any]:
    """The function of the leaves of these arguments as `jax.export` has it, from the file if it is there and else into
    it; and the shapes of what it returns."""
    from jax import export

    with contextlib.suppress(OSError, ValueError, ImportError):  # none, or damaged: made anew
        digest, head, body = file.read_bytes().split(b"\n", 2)
        if digest == _digest(head + body):
            exported = export.deserialize(bytearray(body))
            return exported, _built(json.loads(head), iter(exported.out_avals))
    leaves, structure = jax.tree.flatten(args)
    returned = []

    def flat(*own: Any) -> list[Any]:
        found, tree = jax.tree.flatten(function(*jax.tree.unflatten(structure, own)))
        returned.append(tree)
        return found

    try:
        exported = export.export(jax.jit(flat))(*map(_shape, leaves))
    except (ValueError, NotImplementedError) as error:  # it calls what jax does not promise to keep
        raise _Unknown from error
    tree = returned[-1]
    with contextlib.suppress(OSError, ImportError, _Unknown):  # no room, or what it returns is of somebody's own class
        head, body = json.dumps(_recipe(tree)).encode(), bytes(exported.serialize())
        with files.replacing(file) as temporary:
            temporary.write_bytes(b"\n".join((_digest(head + body), head, body)))
    return exported, jax.tree.unflatten(tree, [_shape(leaf) for leaf in exported.out_avals])


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    if not hasattr(leaf, "dtype"):  # a Python number, whose type depends on what it meets
        raise _Unknown
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=getattr(leaf, "weak_type", False))


def _places(args: tuple, consumed: tuple[int, ...]) -> tuple[int, ...]:
    """Positions of the leaves of the arguments at the positions `consumed`."""
    owner = [position for position, own in enumerate(args) for _ in jax.tree.leaves(own)]
    return tuple(place for place, position in enumerate(owner) if position in consumed)


def _recipe(tree: Any) -> Any:
    """How what a program returns is built of its leaves, as JSON: of tuples, lists, dictionaries and named tuples."""
    data = tree.node_data()
    if data is None:
        return "leaf"
    kind, keys = data
    if kind is type(None):
        return None
    if not (kind in (tuple, list, dict) or (issubclass(kind, tuple) and _root(kind) in KNOWN)):
        raise _Unknown
    return [f"{kind.__module__}:{kind.__qualname__}", keys if kind is dict else [], list(map(_recipe, tree.children()))]


def _built(recipe: Any, leaves: Any) -> Any:
    if recipe is None:
        return None
    if recipe == "leaf":
        return _shape(next(leaves))
    place, keys, children = recipe
    found = [_built(each, leaves) for each in children]
    module, _, name = place.partition(":")
    kind = getattr(importlib.import_module(module), name)
    return (
        dict(zip(keys, found, strict=True)) if kind is dict else kind(found) if kind in (tuple, list) else kind(*found)
    )


def _name(known: Any, args: tuple) -> str:
    """What all that a trace follows from hashes to; `_Unknown` for what is not known by its value."""
    leaves, structure = jax.tree.flatten(args)
    shapes = [
        f"{getattr(leaf, 'dtype', type(leaf))}{np.shape(leaf)}{getattr(leaf, 'weak_type', False)}" for leaf in leaves
    ]
    configured = [f"{name}={getattr(jax.config, name, None)}" for name in sorted(jax.config.values)]
    told = [_code(), *configured, jax.default_backend(), _said(known), _of_tree(structure), *shapes]
    return hashlib.sha256("\n".join(map(str, told)).encode()).hexdigest()


@functools.cache
def _code() -> str:
    """The text of everything that may be traced, and versions of what it calls."""
    found = hashlib.sha256(sys.version.encode())
    for name in ("jax", "jaxlib", "numpy", "optax"):
        found.update(f"{name} {version(name)}".encode())
    for package in OURS:
        folder = Path(str(importlib.import_module(package).__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            found.update(f"{package} {path.relative_to(folder)}".encode() + path.read_bytes())
    return found.hexdigest()


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _said(thing: Any) -> str:
    """A value in words that no other one has: plain ones, and dataclasses of faro with such fields."""
    if isinstance(thing, PLAIN):
        return f"{type(thing).__name__} {thing!r}"
    if isinstance(thing, type):
        return _place(thing)
    if isinstance(thing, np.dtype):
        return str(thing)
    if dataclasses.is_dataclass(thing) and _root(type(thing)) in OURS:
        fields: Iterable[Any] = [(field.name, getattr(thing, field.name)) for field in dataclasses.fields(thing)]
    elif isinstance(thing, dict):
        fields = thing.items()
    elif type(thing) in (tuple, list) or (isinstance(thing, tuple) and _root(type(thing)) in OURS):
        fields = enumerate(thing)
    else:
        raise _Unknown
    return f"{_place(type(thing))}({', '.join(f'{name!r}: {_said(own)}' for name, own in fields)})"


def _place(kind: type) -> str:
    if _root(kind) not in KNOWN:
        raise _Unknown
    return f"{kind.__module__}:{kind.__qualname__}"


def _of_tree(tree: Any) -> str:
    """A structure of pytrees in such words."""
    data = tree.node_data()
    if data is None:
        return "leaf"
    kind, static = data
    return f"{_place(kind)}<{_said(static)}>({', '.join(map(_of_tree, tree.children()))})"
