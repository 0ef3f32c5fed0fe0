from pathlib import Path

import pytest

from infra.interpreter import refusal


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    (tmp_path / "Python.h").touch()
    return tmp_path


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 11, 2), (3, 12, 1), (3, 13, 9)])
def test_assay_is_set_up_with_python_3_11_to_3_13(version: tuple[int, int, int], headers: Path) -> None:
    assert refusal(version, headers) is None


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0), (2, 7, 18)])
def test_another_python_is_refused_with_what_to_type(version: tuple[int, int, int], headers: Path) -> None:
    message = refusal(version, headers) or ""
    assert f"this one is {version[0]}.{version[1]}" in message
    assert "make PYTHON=python3.11" in message


def test_a_python_without_headers_is_refused_with_the_package_to_install(tmp_path: Path) -> None:
    assert "apt-get install python3-dev" in (refusal((3, 11, 2), tmp_path) or "")
