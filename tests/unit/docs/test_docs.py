"""The documents are true: links lead somewhere, commands exist, and what is generated is up to date."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.async_client import TWIN, async_client
from infra.reference_docs import PARTS, replace_part

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages(repository: Path) -> list[Path]:
    """Every page that people read."""
    return [
        *repository.glob("*.md"),
        *(repository / "docs").glob("*.md"),
        *repository.glob("training/*.md"),
        *repository.glob("infra/*/README.md"),
    ]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield f"{page.name}: {target}"


def test_every_link_leads_somewhere(repository: Path) -> None:
    assert [link for page in pages(repository) for link in broken_links(page)] == []


@pytest.mark.parametrize("name", PARTS)
def test_what_is_generated_is_up_to_date(name: str, repository: Path) -> None:
    file, make = PARTS[name]
    page = (repository / "docs" / file).read_text(encoding="utf-8")
    assert page == replace_part(page, name, make()), "run `python -m infra.reference_docs`"


def test_the_client_for_asyncio_is_up_to_date() -> None:
    assert TWIN.read_text("utf-8") == async_client(), "run `python -m infra.reference_docs`"


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="put `<!-- errors -->`"):
        replace_part("no markers", "errors", "table")


def test_every_command_that_a_page_shows_exists(repository: Path) -> None:
    known = set(re.findall(r"^### `assay ([a-z-]+)", (repository / "docs" / "commands.md").read_text(), re.MULTILINE))
    shown = {word for page in pages(repository) if page.name != "CHANGELOG.md" for word in commands_in(page)}
    assert {"demo", "scan", "bundles"} <= shown
    assert shown - known == set()


def commands_in(page: Path) -> Iterator[str]:
    """Yield the first word after `assay` of inline code and of shell blocks."""
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"`(?:\.venv/bin/)?assay ([a-z][a-z-]+)", text)
    for block in re.findall(r"^```sh.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^(?:\.venv/bin/)?assay ([a-z][a-z-]+)", block, re.MULTILINE)


def test_every_make_target_that_a_page_shows_exists(repository: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    shown = {
        target
        for page in pages(repository)
        if page.name != "CHANGELOG.md"
        for target in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert shown - targets == set()
