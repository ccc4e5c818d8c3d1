"""The tree of tests mirrors faro's rooms; what tests share lies in `builders` and `oracles`; no test imports a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracles.imports import imports

ROOT = Path(__file__).parents[2]
SHARED = ("builders", "oracles")
WITHOUT_ROOM = {"constraints", "end_to_end", "golden", "repository", "verify", *SHARED}


def borrowed(sources: dict[str, str]) -> list[str]:
    """Which of these sources, path relative to the root -> text, import of the tests what is not shared."""
    wrong = []
    for path, source in sources.items():
        names = imports(source, ".".join(Path(path).with_suffix("").parts), is_package=path.endswith("__init__.py"))
        for parts in (name.split(".") for name in sorted(names) if name.split(".")[0] == "tests"):
            if any(part.startswith("test_") or part == "conftest" for part in parts[1:3]) or parts[1] not in SHARED:
                wrong.append(f"{path}: imports {'.'.join(parts)}; what tests share belongs in builders or oracles")
    return wrong


def test_no_test_imports_a_test():
    files = sorted((ROOT / "tests").rglob("*.py"))
    assert len(files) > 60
    assert not borrowed({str(file.relative_to(ROOT)): file.read_text("utf-8") for file in files})


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tests/cli/test_sweeps.py", "from tests.verify.test_verify import claim"),
        ("tests/cli/test_sweeps.py", "from ..verify.test_verify import claim"),
        ("tests/cli/test_sweeps.py", "from ..verify import test_verify"),
        ("tests/cli/test_sweeps.py", "def test():\n    import tests.test_files"),
        ("tests/cli/test_sweeps.py", "from tests.conftest import data_folder"),
        ("tests/builders/claims.py", "from tests.cli import words"),
    ],
)
def test_a_planted_import_of_a_test_is_found(path, source):
    assert borrowed({path: source})


def test_builders_and_oracles_may_be_imported():
    assert not borrowed(
        {"tests/cli/test_sweeps.py": "from tests.builders.claims import claim\nimport tests.oracles.schema"}
    )


def test_every_room_has_its_folder_of_tests():
    rooms = {folder.parent.name for folder in (ROOT / "faro").glob("*/__init__.py")}
    folders = {folder.parent.name for folder in (ROOT / "tests").glob("*/__init__.py")}
    assert rooms <= folders
    assert folders - rooms <= WITHOUT_ROOM
