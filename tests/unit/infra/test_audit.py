"""What `make audit` asks about is exactly what is locked."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from infra.audit import script_of


def test_every_pin_of_the_lock_is_asked_about(repository: Path) -> None:
    lock = (repository / "requirements.lock").read_text(encoding="utf-8")
    block = [line.removeprefix("# ") for line in script_of(lock).splitlines() if not line.startswith("# ///")]
    asked = [Requirement(pin) for pin in tomllib.loads("\n".join(block))["dependencies"]]
    assert {one.name for one in asked} == set(re.findall(r"^([a-z0-9._-]+)", lock, re.MULTILINE))
    assert all(str(one.specifier).startswith("==") for one in asked)
    assert any(one.marker for one in asked)
