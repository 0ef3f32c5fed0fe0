import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from training.export import card as export_card
from training.export.card import evaluation_entry, weaknesses

CERTIFICATE = {"holds": True, "budget": 0.01, "negatives": 400, "rate_at_most": 0.007}


def report(**changes: Any) -> dict[str, Any]:
    kept = ("overall", "intervals_95", "intervals_are", "negatives", "worst_source", "worst_generator", "worst_group")
    return {
        "bundle": "tiny-0123456789ab",
        "certificate": CERTIFICATE,
        "by_source": {},
        "by_generator": {},
        "by_detector": {},
        **{key: {} for key in (*kept, "data", "policy")},
        "overall": {"images": 400},
        "thresholds": {"lower": 0.2, "upper": 0.9},
        **changes,
    }


def test_every_change_that_costs_is_named_the_worst_first() -> None:
    lost = {"unchanged": 0.0, "jpeg_90": 0.004, "resize_0.5": 0.134, "resize_0.25": 0.222, "blur": 0.18, "webp": None}
    changes = {name: {"auroc_lost": value} for name, value in lost.items()}
    assert weaknesses(report(robustness={"changes": changes})) == [
        "AUROC lost by resize 0.25 0.222, blur 0.180, resize 0.5 0.134"
    ]
    assert weaknesses(report()) == []


def test_an_evaluation_of_what_a_recipe_holds_out_says_which_pictures_are_not_in_it() -> None:
    entry = evaluation_entry("--data wild-0.parquet --held-out-of wild", report())
    assert "drawings by programs" in (entry.covers or "")
    assert "covers" not in evaluation_entry("--data wild-0.parquet", report()).document()


def test_a_source_with_few_negatives_is_not_said_to_be_accused() -> None:
    found = {"images": 100, "accuracy": 0.9, "wrongly_accused": 0.2}
    many, few = {**found, "ai_generated": 80}, {**found, "ai_generated": 95}
    assert weaknesses(report(by_source={"many": many, "few": few})) == [
        "more than 1 % of negatives accused on source many (20.0 %)"
    ]


def test_an_accuracy_just_below_the_limit_does_not_read_as_at_it() -> None:
    almost = {"images": 100, "ai_generated": 100, "accuracy": 0.697}
    assert weaknesses(report(by_generator={"sd": almost})) == ["accuracy below 70 % on generator sd (69.7 %)"]


def test_a_commit_that_is_not_all_of_the_code_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*order: str) -> None:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", *order]
        subprocess.run(command, check=True, capture_output=True)

    code = tmp_path / "export_card.py"
    code.write_text("one")
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    monkeypatch.setattr(export_card, "__file__", str(code))
    clean = export_card.code_version().commit
    assert clean is not None
    assert re.fullmatch("[0-9a-f]{40}", clean)
    code.write_text("two")
    assert export_card.code_version().commit == f"{clean}+changes"
