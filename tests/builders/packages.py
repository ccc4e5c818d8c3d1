"""Packages of somebody else: installed by pip from a wheel made here, and in reach of this process for a while."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from faro import registry
from faro.store import spec


def install(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Where the package is installed, a folder of its own in `folder`; its wheel is written by hand, so that no build
    tool is needed."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", folder / "site", wheel], check=True)
    return folder / "site"


def _forget() -> None:
    registry.declared.cache_clear()
    spec._declared_modules.cache_clear()


@contextmanager
def in_reach(site: Path) -> Iterator[None]:
    """This process finds what is installed there, and what it declares; afterwards it knows nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        _forget()
        yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(f"{site}/"):
            del sys.modules[name]
    _forget()
