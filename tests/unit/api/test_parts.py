from functools import cached_property
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fastapi.params import Depends

from api import parts
from api.services import Services


def _aliases() -> dict[str, tuple[Any, parts.Part]]:
    found = {}
    for name, alias in vars(parts).items():
        if get_origin(alias) is Annotated:
            kind, depends = get_args(alias)
            assert isinstance(depends, Depends)
            assert isinstance(depends.dependency, parts.Part)
            found[name] = (kind, depends.dependency)
    return found


def _type_at(path: str) -> Any:
    kind: Any = Services
    for field in path.split("."):
        made = vars(kind).get(field)
        kind = get_type_hints(made.func)["return"] if isinstance(made, cached_property) else get_type_hints(kind)[field]
    return kind


def test_every_part_is_of_the_type_that_its_field_has() -> None:
    aliases = _aliases()
    assert len(aliases) > 30
    expected = {name: kind for name, (kind, _) in aliases.items()}
    assert {name: _type_at(part.path) for name, (_, part) in aliases.items()} == expected
