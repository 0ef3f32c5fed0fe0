"""Plain words: no bare participles as names."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

HOUSES = ("worker", "api", "training", "infra", "migrations")
# Each stood for answers, arguments, queries and listeners alike. Longer names may hold them: `labelled_images`.
BANNED = {"asked", "found", "given", "judged", "known", "labelled", "said", "seen", "told", "wanted"}
# Names of fields in answers of the API, in lines of `assay doctor --json` and on cards.
WIRE = {
    ("api/routes/labelled_contents.py", "labelled"),
    ("api/schemas/verdicts.py", "judged"),
    ("infra/cli/bundles_card.py", "found"),
    ("infra/cli/doctor.py", "found"),
    ("infra/reference_docs.py", "found"),
    ("training/evaluation/whole_images.py", "found"),
    ("worker/bundles/card_charts.py", "found"),
    ("worker/bundles/card_measures.py", "found"),
    ("worker/bundles/headline.py", "found"),
}
IN_TESTS = {"said", "told"}


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)):
                yield name


def banned_in(source: str) -> set[str]:
    return {word for name in _names(ast.parse(source)) if (word := name.strip("_").lower()) in BANNED}


@pytest.mark.parametrize(
    "source",
    [
        "def told(): ...",
        "class Told: ...",
        "def f(told): ...",
        "_TOLD = 1",
        "a._told",
        "f(told=1)",
        "for told in a: ...",
        "import a as told",
    ],
)
def test_a_bare_participle_is_found_wherever_it_is_a_name(source: str) -> None:
    assert banned_in(source) == {"told"}


def test_longer_names_and_texts_are_free() -> None:
    assert banned_in('labelled_images = {"told": last_seen}') == set()


def names_in(repository: Path, houses: Iterable[str]) -> set[tuple[str, str]]:
    files = [path for house in houses for path in sorted((repository / house).rglob("*.py"))]
    return {(str(path.relative_to(repository)), word) for path in files for word in banned_in(path.read_text("utf-8"))}


def test_no_name_is_a_bare_participle(repository: Path) -> None:
    names = names_in(repository, HOUSES)
    assert names - WIRE == set()
    assert names >= WIRE


def test_no_class_is_named_by_a_bare_participle(repository: Path) -> None:
    """A noun says what it is: `Registration`, not `Registered`; `Feed` is one."""
    files = [path for house in HOUSES for path in sorted((repository / house).rglob("*.py"))]
    classes = [
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name in classes if re.fullmatch(r"_?[A-Z][a-z]*([^e]ed|own)", name)] == []
    assert classes


def test_no_name_in_tests_is_told_or_said(repository: Path) -> None:
    names = {(path, word) for path, word in names_in(repository, ["tests"]) if word in IN_TESTS}
    assert names == set()
