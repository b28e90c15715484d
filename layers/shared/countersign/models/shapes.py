"""JSON Schemas as providers take them."""

from __future__ import annotations

from typing import Any

_NAMED = {"$defs", "properties"}
_BOUNDS = {
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "uniqueItems",
}


def without_bounds(schema: Any) -> Any:
    """`schema` without the keywords that OpenAI or Claude refuse in a strict one.

    The caller checks the answer against the whole of it anyway.
    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
    """
    if isinstance(schema, list):
        return [without_bounds(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: without_bounds(one) for name, one in value.items()}
        if key in _NAMED
        else without_bounds(value)
        for key, value in schema.items()
        if key not in _BOUNDS
    }
