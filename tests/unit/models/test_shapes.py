from __future__ import annotations

import copy

from countersign.models.shapes import without_bounds


def test_bounds_go_and_everything_else_stays() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["maxLength", "items", "reason"],
        "properties": {
            "maxLength": {"type": "string", "maxLength": 10, "minLength": 1, "pattern": "a"},
            "items": {
                "type": "array",
                "items": {"$ref": "#/$defs/pattern"},
                "maxItems": 3,
                "minItems": 1,
                "uniqueItems": True,
            },
            "reason": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        },
        "$defs": {"pattern": {"type": "number", "multipleOf": 2, "enum": [2, 4]}},
    }
    before = copy.deepcopy(schema)
    assert without_bounds(schema) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["maxLength", "items", "reason"],
        "properties": {
            "maxLength": {"type": "string"},
            "items": {"type": "array", "items": {"$ref": "#/$defs/pattern"}},
            "reason": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "$defs": {"pattern": {"type": "number", "enum": [2, 4]}},
    }
    assert schema == before
