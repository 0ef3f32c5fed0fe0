from pathlib import Path

import pytest

from tests.support import groups


@pytest.mark.parametrize(
    ("node_id", "group"),
    [
        ("tests/acceptance/test_doors.py::test_it[a::b]", "tests/acceptance/"),
        ("tests/acceptance/test_upgrade.py::test_it", "tests/acceptance/test_upgrade.py"),
        ("tests/browser/test_console.py::test_it", "tests/browser/"),
        ("tests/unit/infra/test_stack.py::test_it", "tests/unit/infra/test_stack.py"),
    ],
)
def test_tests_that_share_an_assay_are_one_group_and_others_go_by_file(node_id: str, group: str) -> None:
    assert groups.group_of(node_id) == group


def test_the_files_with_an_assay_of_their_own_are_there(repository: Path) -> None:
    named = (*groups._OWN_ASSAY, *groups._PLANTED_MARK)
    assert [name for name in named if not (repository / name).exists()] == []
