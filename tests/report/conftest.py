"""A finished run that nobody trained."""

from __future__ import annotations

import pytest

from tests.builders.invented import Invented


@pytest.fixture
def folder(tmp_path):
    return Invented().write(tmp_path / "run")
