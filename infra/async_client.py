"""Writes `api/async_client.py`, the twin of `api/client.py` for asyncio, out of it: there is one source for both.

`python -m infra.reference_docs` writes it; a test fails where it is out of date.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

API = Path(__file__).parents[1] / "api"
TWIN = API / "async_client.py"
# Methods of the client that the twin awaits, as they are named there.
_AWAITED = {
    "self._json": "self._json",
    "self._send": "self._send",
    "self._sleep": "self._sleep",
    "self._http.request": "self._http.request",
    "self._http.close": "self._http.aclose",
}
_HEAD = '''"""The client of `client.py` for asyncio, generated from it by `python -m infra.reference_docs`: copy both.

    async with AsyncAssay("https://assay.example", key) as assay:
        await assay.upload(Path("picture.jpg").read_bytes(), image_id="post-4711")
        print((await assay.wait_for_verdict("post-4711"))["verdict"])

What `client.py` returns is awaited here, and what it yields comes by ``async for``.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote
from uuid import uuid4

import httpx

from api.client import '''
_ALL = '__all__ = ["AsyncAssay", "Problem", "verify_webhook"]'
_WORDS = (
    ("class Assay:", "class AsyncAssay:"),
    ("safe to share between threads", "safe to share between tasks"),
    ("httpx.Client(", "httpx.AsyncClient("),
    ("Callable[[float], None] = time.sleep", "Callable[[float], Awaitable[None]] = asyncio.sleep"),
    ("def __enter__", "def __aenter__"),
    ("def __exit__", "def __aexit__"),
    ("Iterator[", "AsyncIterator["),
)


def async_client() -> str:
    """Return the twin's source, formatted."""
    source = (API / "client.py").read_text("utf-8")
    tree = ast.parse(source)
    client = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Assay")
    lines = source.splitlines(keepends=True)
    twin = _replaced(lines, client)
    used = set(re.findall(r"\w+", twin + _ALL))
    shared = sorted(name for name in _names(tree, client) if name in used)
    return _formatted(f"{_HEAD}{', '.join(shared)}\n\n{_ALL}\n\n\n{twin}")


def _names(tree: ast.Module, client: ast.ClassDef) -> Iterator[str]:
    """Yield what `client.py` has beside the client."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node is not client:
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _replaced(lines: list[str], client: ast.ClassDef) -> str:
    """Return the class with its calls awaited, its methods asynchronous and its words changed."""
    lines = list(lines)
    for line, column, inserted in sorted(_insertions(client), reverse=True):
        text = lines[line - 1].encode()
        lines[line - 1] = (text[:column] + inserted.encode() + text[column:]).decode()
    twin = "".join(lines[client.lineno - 1 : client.end_lineno])
    # What is yielded from is a list here; in an asynchronous generator it is yielded one by one.
    twin = re.sub(r"( *)yield from (.+)\n", r"\1for one in \2:\n\1    yield one\n", twin)
    for former, latter in (*_WORDS, *((f"await {name}(", f"await {new}(") for name, new in _AWAITED.items())):
        twin = twin.replace(former, latter)
    return twin


def _insertions(client: ast.ClassDef) -> Iterator[tuple[int, int, str]]:
    """Yield line, column and text of every word that the twin has more."""
    for method in client.body:
        if isinstance(method, ast.FunctionDef) and method.name != "__init__" and not _hands_on(method):
            yield method.lineno, method.col_offset, "async "
    # What is looked into is awaited first.
    inner = {node.value for node in ast.walk(client) if isinstance(node, ast.Attribute | ast.Subscript)}
    for node in ast.walk(client):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _AWAITED:
            yield from _awaited(node, inner=node in inner)


def _awaited(call: ast.Call, *, inner: bool) -> Iterator[tuple[int, int, str]]:
    yield call.lineno, call.col_offset, "(await " if inner else "await "
    if inner and call.end_lineno is not None and call.end_col_offset is not None:
        yield call.end_lineno, call.end_col_offset, ")"


def _hands_on(method: ast.FunctionDef) -> bool:
    """Tell whether a method returns the generator of another one and so stays as it is."""
    returned = [node.value for node in ast.walk(method) if isinstance(node, ast.Return)]
    return any(isinstance(value, ast.Call) and ast.unparse(value.func) == "self._pages" for value in returned)


def _formatted(source: str) -> str:
    for command in (["check", "--fix", "--quiet", "--select", "I"], ["format"]):
        arguments = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TWIN), "-"]
        source = subprocess.run(arguments, input=source, capture_output=True, text=True, check=True).stdout
    return source
