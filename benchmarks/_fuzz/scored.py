"""A scored table with a description, true or not."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from benchmarks._fuzz import mutations
from benchmarks._fuzz.mutations import Table
from benchmarks._fuzz.projects import Ground


def put_scored(folder: Path, table: Table, container: str, describe: str, ground: Ground) -> str:
    """A scored table with the description of the ground's: `fresh`, of this table; `stale`, as it was; or none."""
    from faro.certify import description
    from faro.certify.columns import read_columns

    name = f"scored{container}"
    said = json.loads((ground.folder / "scored.csv-metadata.json").read_text())
    place = folder / name
    place.write_bytes(mutations.written(table, container))
    beside = description.place(place)
    beside.unlink(missing_ok=True)
    if describe == "none":
        return name
    if describe == "fresh":
        with contextlib.suppress(Exception):  # what that is, commands will say
            said["table_sha256"] = description.table_digest(read_columns(place))
    said = sealed_description(said)
    if container == ".parquet":
        import pyarrow.parquet as pq

        with contextlib.suppress(Exception):
            content = pq.read_table(place)
            pq.write_table(content.replace_schema_metadata({b"faro": json.dumps(said).encode()}), place)
    else:
        beside.write_text(json.dumps(said))
    return name


def sealed_description(said: dict[str, Any]) -> dict[str, Any]:
    """With the seal of what it says now."""
    body = {key: value for key, value in said.items() if key != "sha256"}
    return body | {"sha256": digest(body)}


def digest(value: Any) -> str:
    try:
        return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    except (RecursionError, TypeError, ValueError):
        return "0" * 64
