"""Schemas become tables that people read."""

from typing import Any

from api.reference.fields import Field, fields_of

PART = {"properties": {"name": {"type": "string", "description": "its name"}}, "required": ["name"]}
PARTS: dict[str, dict[str, Any]] = {
    "Part": PART,
    "Word": {"enum": ["a", "b"], "type": "string", "description": "one of two"},
}


def test_parts_lists_and_alternatives_are_followed() -> None:
    schema = {
        "required": ["parts"],
        "properties": {
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
            "word": {"anyOf": [{"$ref": "#/components/schemas/Word"}, {"type": "null"}]},
            "at": {"type": "string", "format": "date-time"},
        },
    }
    assert fields_of(schema, PARTS) == [
        Field("parts", "list of anything", required=True, meaning=""),
        Field("parts[].name", "string", required=True, meaning="its name"),
        Field("word", "`a` | `b` or null", required=False, meaning="one of two"),
        Field("at", "date-time", required=False, meaning=""),
    ]


def test_what_nests_for_ever_ends() -> None:
    node = {"properties": {"child": {"$ref": "#/components/schemas/Node"}}}
    found = fields_of({"$ref": "#/components/schemas/Node"}, {"Node": node})
    assert [field.name for field in found] == ["child", "child.child", "child.child.child"]
