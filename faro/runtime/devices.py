"""Which devices a run uses: a mesh of two axes, arrays placed on it, and several processes as one.

    sweep   trials of a sweep are dealt out; every device of the axis holds all of its choices
    data    choices are dealt out; sums over choices are added up across devices

Programs say how their inputs are placed, and the compiler partitions them. One device is the mesh of one by one.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..errors import UsageError
from . import locks
from .programs import Program

SWEEP, DATA = "sweep", "data"
ALIGNMENT = 64  # bytes
COORDINATOR, PROCESSES, PROCESS = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


def mesh(trials: int, requested: str | None = None) -> Mesh:
    """The mesh `[sweep, data]` of all devices of all processes, for a sweep of so many trials.

    `requested` is "data=4,sweep=2"; an axis that is left out takes the rest. By default the sweep axis comes first: the
    largest size that divides the devices and does not exceed the trials. `UsageError` for axes that do not fit.
    """
    everything = jax.devices()
    count = len(everything)
    sizes = {} if requested is None else _sizes(requested, count)
    if not sizes:
        sizes[SWEEP] = max(size for size in range(1, min(count, max(trials, 1)) + 1) if count % size == 0)
    sweep = sizes[SWEEP] if SWEEP in sizes else count // sizes[DATA]
    return Mesh(np.array(everything).reshape(sweep, count // sweep), (SWEEP, DATA))


def _sizes(requested: str, count: int) -> dict[str, int]:
    pairs = [part.partition("=") for part in requested.replace(" ", "").split(",")]
    sizes = {name: int(size) for name, _, size in pairs if size.isdecimal() and name in (SWEEP, DATA)}
    product = math.prod(sizes.values())
    fits = product > 0 and (count % product == 0 if len(sizes) == 1 else count == product)
    if len(sizes) < len(pairs) or not fits:
        raise UsageError(
            f"mesh: expected sizes of data and sweep whose product is the number of devices ({count}), "
            f"as data={count},sweep=1, got {requested!r}"
        )
    return sizes


def memory() -> int:
    """Bytes that the steps of a program may take on a device by default: half of what it has, where it says so."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return limit // 2 if limit else 2**63


def room() -> int:
    """Bytes that a program and all that it holds may take on a device by default: half of what it has, where it says
    so; of a CPU half of what the machine has."""
    if jax.default_backend() != "cpu":
        return memory()
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return memory()


def spelled(count: int) -> str:
    """So many bytes as `parse_bytes` reads them: 2 GB."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.3g} {unit}"


def parse_bytes(text: str | int | None) -> int | None:
    """Bytes from "2GB", "500 MB" or a number; `UsageError` for anything else."""
    if text is None or (isinstance(text, int) and not isinstance(text, bool) and text > 0):
        return text
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]?)i?b?", str(text).strip().lower())
    count = float(match[1]) * 1024 ** " kmgt".index(match[2] or " ") if match else 0
    if count < 1:
        raise UsageError(f"memory: expected bytes, as 500MB or 2GB, got {text!r}")
    return int(count)


def on(mesh: Mesh, *axes: str | None) -> NamedSharding:
    """Leading axes of an array on these axes of the mesh (None: whole on each); no axes: whole on every device."""
    return NamedSharding(mesh, PartitionSpec(*axes))


def compiled(
    mesh: Mesh,
    function: Callable[..., Any],
    inputs: Sequence[Any],
    output: tuple | list[tuple],
    options: dict[str, Any] | None = None,
    consumed: tuple[int, ...] = (),
    known: Any = None,
) -> Program:
    """`function`, compiled for the mesh: the leading axes of every input and of the output are placed as in `on`, or an
    input as a pytree of such placements says; a list of outputs is placed one by one. The inputs at the positions
    `consumed` are gone afterwards, and their memory is that of the output. `known` says what the function is, see
    `Program`; on one device alone it is kept."""

    @functools.wraps(function)
    def partitioned(*args):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args)

    places = tuple(on(mesh, *axes) if type(axes) is tuple else axes for axes in inputs)
    returned: Any = tuple(on(mesh, *axes) for axes in output) if isinstance(output, list) else on(mesh, *output)
    alone = mesh.size == 1 and jax.process_count() == 1
    known = known if alone else None
    return Program(partitioned, options, consumed, known, {"in_shardings": places, "out_shardings": returned})


@functools.cache
def options(quick: bool = True, effort: int | None = None) -> dict[str, Any]:
    """Options with which a CPU compiles in less time, if this jaxlib has them.

    `quick`: in half of it. A linear model of pairs runs as fast with them; among more alternatives it takes 1.3 times
    as long, a network twice. `effort` 1: in three quarters of it, for a program without a long loop. `effort` 0: in a
    third, for one that runs once over little data; it may take eight times as long.
    """
    flags: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False} if quick else {}
    flags |= {} if effort is None else {"xla_backend_optimization_level": effort}
    if not flags or jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=flags).lower().compile()
    except Exception:  # whatever this jaxlib calls an option that it does not know
        return {}
    return flags


def place(tree: Any, shardings: Any) -> Any:
    """Host arrays, the same in every process, as arrays of the mesh: each device is given its own piece only.
    `shardings` is one, or a pytree of them that is a prefix of `tree`."""

    def one(sharding: NamedSharding, leaf: Any) -> Array:
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(lambda own, part: jax.tree.map(functools.partial(one, own), part), shardings, tree)


def aligned(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An empty array of the host that `place` need not copy for a CPU: it begins where XLA wants arrays to begin. Who
    fills it leaves it alone once it is placed."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    held = np.empty(size + ALIGNMENT, np.uint8)
    first = -held.ctypes.data % ALIGNMENT
    return held[first : first + size].view(dtype).reshape(shape)


def fetch(tree: Any) -> Any:
    """Arrays of the mesh as whole numpy arrays, in every process."""
    return multihost_utils.process_allgather(tree, tiled=True)


# Inside a `compiled` program; elsewhere there is one device -----------------------------------------------------------


def _dealers(count: int) -> int:
    """Over how many devices so many choices are dealt out: all of the axis, or one if that does not come out even."""
    axes = jax.sharding.get_abstract_mesh()
    size = 1 if axes.empty else axes.shape[DATA]
    return size if count % size == 0 else 1


def dealt(count: int) -> bool:
    """Whether so many choices are dealt out over several devices."""
    return _dealers(count) > 1


def spread(tree: Any) -> Any:
    """Choices `[n, ...]` dealt out along `data`, so that no device repeats the work of another."""

    def one(leaf: Array) -> Array:
        return jax.lax.with_sharding_constraint(leaf, PartitionSpec(DATA)) if dealt(leaf.shape[0]) else leaf

    return jax.tree.map(one, tree)


def slices(tree: Any, size: int) -> Any:
    """Choices `[n, ...]` as slices `[n / size, size, ...]`, of which every device has its part in each."""
    dealers = _dealers(size)

    def one(leaf: Array) -> Array:
        blocks = leaf.reshape(dealers, -1, size // dealers, *leaf.shape[1:])
        return blocks.swapaxes(0, 1).reshape(-1, size, *leaf.shape[1:])

    return jax.tree.map(one, tree)


# Several processes ----------------------------------------------------------------------------------------------------


def join(heartbeat: int = 100) -> None:
    """Make this process one of several, if the environment names a coordinator; before anything else uses jax.

    JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES, JAX_PROCESS_ID. `UsageError` for half of them.
    If one of them dies, the others end with an error, at the latest after `heartbeat` seconds.
    """
    if COORDINATOR not in os.environ or jax.distributed.is_initialized():
        return
    numbers = [os.environ.get(name, "") for name in (PROCESSES, PROCESS)]
    if not all(number.isdecimal() for number in numbers) or not int(numbers[1]) < int(numbers[0]):
        raise UsageError(
            f"{COORDINATOR} is set: expected {PROCESSES} (how many) and {PROCESS} (0 to one less) as well, "
            f"got {numbers[0]!r} and {numbers[1]!r}"
        )
    count, number_of_this = map(int, numbers)
    jax.distributed.initialize(num_processes=count, process_id=number_of_this, heartbeat_timeout_seconds=heartbeat)


def first() -> bool:
    """Whether this process is the one that writes files."""
    return jax.process_index() == 0


@contextlib.contextmanager
def alone(path: str | Path, *, folder: bool = False) -> Iterator[None]:
    """`locks.alone`, held by the first process for all of them; where it cannot, all end."""
    with contextlib.ExitStack() as stack:
        refused: Exception | None = None
        if first():
            try:
                stack.enter_context(locks.alone(path, folder=folder))
            except (UsageError, OSError) as error:
                refused = error
        if jax.process_count() > 1 and multihost_utils.broadcast_one_to_all(np.int32(refused is not None)):
            raise refused or UsageError(f"{path}: the first process could not begin to write there; it says why")
        if refused is not None:
            raise refused
        yield


def together(what: str) -> None:
    """Wait until every process is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)
