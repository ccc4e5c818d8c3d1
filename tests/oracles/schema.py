"""The published shape of certificates, read by the few rules of JSON Schema that it uses."""

from __future__ import annotations

import json
import re
from pathlib import Path

from faro import verify

SCHEMA = json.loads(Path(verify.__file__).with_name("certificate.schema.json").read_text("utf-8"))
KEYWORDS = {
    "$schema", "title", "description", "$defs", "$ref", "anyOf", "const", "enum", "type", "pattern", "minimum",
    "maximum", "minItems", "maxItems", "maxLength", "items", "properties", "required", "additionalProperties",
}  # fmt: skip
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}


def fits(value, schema):
    """Whether a value is of the shape: the part of JSON Schema that the published file uses, and no more."""
    assert set(schema) <= KEYWORDS
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema:
        return any(fits(value, other) for other in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool):
        return False
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value)) and bool(re.search(schema.get("pattern", ""), value))
    if isinstance(value, int):
        return schema["minimum"] <= value <= schema["maximum"]
    if isinstance(value, list):
        size = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return size and all(fits(child, schema["items"]) for child in value)
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
        shapes = {key: known.get(key, rest) for key in value}
        needed = set(schema.get("required", ())) <= set(value)
        return needed and all(
            shape is not False and (not shape or fits(value[key], shape)) for key, shape in shapes.items()
        )
    return True
