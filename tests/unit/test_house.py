"""The house rules that no linter knows: sizes, circles, complexity and names."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import grimp
import pytest

HOUSES = ("worker", "api", "training", "infra", "migrations")
MOST_LINES = 300
# Made to be copied into other projects, each as one file.
COPIED = {"api/client.py", "api/async_client.py"}
MOST_COMPLEXITY = 10
MOST_COMPLEXITY_OF_THE_STORY = 8


@pytest.fixture(scope="module")
def modules(repository: Path) -> list[Path]:
    return [path for house in HOUSES for path in sorted((repository / house).rglob("*.py"))]


def test_no_module_is_longer_than_three_hundred_lines(repository: Path, modules: list[Path]) -> None:
    lines = {str(path.relative_to(repository)): len(path.read_text("utf-8").splitlines()) for path in modules}
    assert {path: count for path, count in lines.items() if count > MOST_LINES and path not in COPIED} == {}


def test_no_test_file_is_longer_than_three_hundred_lines(repository: Path) -> None:
    files = {str(path.relative_to(repository)): path for path in (repository / "tests").rglob("*.py")}
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in files.items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_modules_import_each_other_in_a_circle_not_even_for_their_types() -> None:
    graph = grimp.build_graph(*HOUSES, exclude_type_checking_imports=False, cache_dir=None)
    below = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    # Modules that import nothing that is left are taken away, again and again; what stays is a circle or leads to one.
    while free := [module for module, imported in below.items() if not imported & below.keys()]:
        for module in free:
            del below[module]
    assert below == {}


class _Complexity(ast.NodeVisitor):
    """McCabe's number as radon counts it: boolean operators, comprehensions and assertions too."""

    def __init__(self) -> None:
        self.number = 1

    def generic_visit(self, node: ast.AST) -> None:
        match node:
            case ast.BoolOp():
                self.number += len(node.values) - 1
            case ast.Try() | ast.TryStar():
                self.number += len(node.handlers) + bool(node.orelse)
            case ast.For() | ast.AsyncFor() | ast.While():
                self.number += 1 + bool(node.orelse)
            case ast.comprehension():
                self.number += 1 + len(node.ifs)
            case ast.If() | ast.IfExp() | ast.Assert() | ast.Lambda() | ast.match_case():
                self.number += 1
        super().generic_visit(node)


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _complexity(function: ast.AST) -> int:
    counter = _Complexity()
    counter.visit(function)
    return counter.number


def test_boolean_operators_comprehensions_and_assertions_count_as_branches() -> None:
    function = "def f(a):\n    assert a\n    return [x for x in a if x or a] if a and x else None\n"
    assert _complexity(ast.parse(function)) == 7


def _complex(paths: Iterable[Path], most: int) -> dict[str, int]:
    numbers = {f"{path.name}:{function.name}": _complexity(function) for path in paths for function in _functions(path)}
    return {name: number for name, number in numbers.items() if number > most}


def test_no_function_is_more_complex_than_ten(modules: list[Path]) -> None:
    assert _complex(modules, MOST_COMPLEXITY) == {}


def test_no_function_of_the_story_is_more_complex_than_eight(repository: Path) -> None:
    story = sorted((repository / "worker" / "scan").rglob("*.py"))
    assert len(story) > 10
    assert _complex(story, MOST_COMPLEXITY_OF_THE_STORY) == {}
