"""What every test shares: quick compilation, deselection of what cannot run here, double precision on request.

A test marked `real_data` needs the folder that FARO_DATA names, one marked `encoder` the weights that `make text`
fetches, one marked `gpu` a GPU that jax sees; one marked `slow` takes more than 2.5 seconds of a core, and `make test`
leaves it to `make test-slow`. Under xdist the workers deselect, and the controller adds up what they report, so that
the summary line counts them all the same.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", "")  # none: commands would keep programs in the user's cache
import jax

from faro.files import cache_folder

# Most of the time of tests is compiling, and these emitters took half of that. Processes that tests start inherit the
# flag. An XLA that does not know a flag ends at once, so newer ones go without until somebody has tried it with them.
QUICK = "--xla_cpu_use_fusion_emitters=false"
if jax.__version_info__ < (0, 11) and QUICK not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{QUICK} {os.environ.get('XLA_FLAGS', '')}".strip()

# Files that take longest, longest first: they begin first, so that no worker is left alone with one at the end.
LONGEST = (
    "repository/test_printed.py", "repository/test_docs.py", "end_to_end/test_bars.py", "constraints/test_catalogue.py",
    "training/test_game.py",
    "verify/test_mutants.py", "lagrangian/test_solve.py", "training/test_streaming.py", "cli/test_sweeps.py",
    "end_to_end/test_package.py", "runtime/test_devices.py", "baselines/test_baselines.py", "exact/test_of_run.py",
    "constraints/test_constraints.py",
    "end_to_end/test_plugin.py", "end_to_end/test_projects.py", "exact/test_exact.py", "sweep/test_execution.py",
    "sweep/test_exact_path.py", "constraints/test_mutants.py", "evaluate/test_bootstrap.py",
)  # fmt: skip

ENCODER = cache_folder() / "encoders" / "minilm"  # before a test moves the cache
DESELECTED = pytest.StashKey[list[str]]()
OURS = "|".join(
    ["faro", "constraints", "benchmarks", "tests", *(path.stem for path in Path(__file__).parent.glob("*.py"))]
)
DEPRECATIONS = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning",
                "numpy.exceptions.VisibleDeprecationWarning")  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--own-deprecations", action="store_true", help="a deprecation that a call of our own causes is an error"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--own-deprecations"):
        for kind in DEPRECATIONS:
            config.addinivalue_line("filterwarnings", rf"error::{kind}:({OURS})(\.|$)")


def data_folder() -> Path | None:
    """The folder that FARO_DATA names, or None if it is unset or no folder."""
    named = os.environ.get("FARO_DATA")
    return Path(named) if named and Path(named).is_dir() else None


def missing(config: pytest.Config) -> dict[str, str]:
    """Marker -> why tests with it cannot run here, or are not meant to."""
    reasons = {}
    if "browser" not in config.option.markexpr:
        reasons["browser"] = "make test-browser runs them"
    if data_folder() is None:
        named = os.environ.get("FARO_DATA")
        reasons["real_data"] = f"FARO_DATA={named} is not a folder" if named else "FARO_DATA is not set"
    if not ENCODER.is_dir():
        reasons["encoder"] = "no weights; make text fetches them"
    if all(device.platform != "gpu" for device in jax.devices()):
        reasons["gpu"] = "jax sees no GPU"
    return reasons


def explanation(config: pytest.Config) -> list[str]:
    used, left_out = data_folder(), missing(config)
    if "not slow" in config.option.markexpr:
        left_out["slow"] = "make test-slow runs them"
    lines = [f"deselected: tests marked {marker} ({why})" for marker, why in left_out.items()]
    return lines + ([f"real data: {used}"] if used else [])


def pytest_report_header(config: pytest.Config) -> list[str]:
    return explanation(config)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if config.get_verbosity() < 0:  # -q hides the header
        for line in explanation(config):
            terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    place = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))
    unavailable = missing(config)
    out = [item for item in items if any(item.get_closest_marker(marker) for marker in unavailable)]
    if out:
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=out)


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        item.config.stash.setdefault(DESELECTED, []).append(item.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)  # only a worker of xdist has one
    if output is not None:
        output["deselected"] = session.config.stash.get(DESELECTED, [])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """A file stays on one worker: what its tests share is compiled once. In the order of the files, see LONGEST."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    reporter = node.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        counted = reporter.stats.setdefault("deselected", [])
        known = {report.nodeid for report in counted}
        names = getattr(node, "workeroutput", {}).get("deselected", [])
        counted += [SimpleNamespace(nodeid=name) for name in names if name not in known]


@pytest.fixture(autouse=True, scope="module")
def collect_once() -> None:
    """What was imported and compiled before a file stays: later collections of garbage need not look at it again.

    Programs go where they have taken half of the places in memory that Linux gives a process: at 65,530 XLA dies."""
    if mapped() > 30_000:
        jax.clear_caches()
        gc.unfreeze()
    gc.collect()
    gc.freeze()


def mapped() -> int:
    """How many places in memory this process has mapped; 0 where nothing says it."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return 0


@pytest.fixture(autouse=True)
def compile_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Most tests run a small program once: their time is compiling. Those marked `whole_run` are worth optimising."""
    quick = request.node.get_closest_marker("whole_run") is None
    jax.config.update("jax_disable_most_optimizations", quick)
    yield


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision for one test; everything else runs in jax's default single precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def real_data() -> Path:
    """The folder of public data sets; use together with the marker `real_data`."""
    folder = data_folder()
    assert folder is not None, "mark the test real_data as well"
    return folder


@pytest.fixture
def minilm() -> Path:
    """The folder of the MiniLM encoder; use together with the marker `encoder`."""
    assert ENCODER.is_dir(), "mark the test encoder as well"
    return ENCODER


@pytest.fixture(scope="module")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of its own with a small encoder by the name of the known one, for a module."""
    from tests.builders import encoders

    folder = tmp_path_factory.mktemp("cache")
    encoders.install(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARO_CACHE", str(folder))
        yield folder


@pytest.fixture
def faro(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command in this process: words -> exit code, what it said on stdout and on stderr."""
    from faro.cli import main

    def call(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
