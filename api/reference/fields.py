"""Fields of bodies as tables for people, out of the OpenAPI's schemas. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
# Deeper ones are named by their parent's description; a table that nests for ever helps nobody.
_DEPTH = 3


@dataclass(frozen=True)
class Field:
    """One field: its name with dots, its type in words, whether it has to be there, and what it means."""

    name: str
    type: str
    required: bool
    meaning: str


def fields_of(schema: Schema, components: Mapping[str, Schema]) -> list[Field]:
    """Return the fields of a body, parents before children; `[]` stands for an entry of a list.

    Args:
        schema: of the body.
        components: schemas that it may refer to, by name.
    """
    return list(_walk(schema, components, "", _DEPTH))


def _walk(schema: Schema, components: Mapping[str, Schema], prefix: str, depth: int) -> Iterator[Field]:
    whole = _resolved(schema, components)
    if not depth:
        return
    if "items" in whole:
        yield from _walk(whole["items"], components, f"{prefix}[]", depth)
        return
    for name, child in whole.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        whole_child = _resolved(child, components)
        meaning = child.get("description") or whole_child.get("description") or ""
        yield Field(path, _type_of(child, components), name in whole.get("required", ()), meaning)
        yield from _walk(whole_child, components, path, depth - 1)


def _resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    """Follow references; of several forms take the one that is not null."""
    while True:
        forms = [form for form in schema.get("anyOf", schema.get("oneOf", ())) if form.get("type") != "null"]
        if "$ref" in schema:
            schema = components[schema["$ref"].rpartition("/")[2]]
        elif forms:
            schema = forms[0]
        else:
            return schema


def _type_of(schema: Schema, components: Mapping[str, Schema]) -> str:
    whole = _resolved(schema, components)
    may_be_null = any(form.get("type") == "null" for form in schema.get("anyOf", ()))
    if "enum" in whole:
        words = " | ".join(f"`{value}`" for value in whole["enum"])
    elif whole.get("type") == "array":
        words = f"list of {_type_of(whole.get('items', {}), components)}"
    else:
        words = str(whole.get("format") or whole.get("type") or "anything")
    return f"{words} or null" if may_be_null else words
