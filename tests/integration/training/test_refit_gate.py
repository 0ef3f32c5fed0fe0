"""A refit goes through the gate: what it has learnt passes, what flipped labels taught it does not."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.training.retraining.test_refit import KNOWS_ONE, drawn, small_base
from training.retraining.gate_case import Terms
from training.retraining.heads import with_head
from training.retraining.refit import refit
from training.retraining.refit_data import joined
from worker.bundles.parts import BundleParts


@pytest.fixture(scope="module")
def base() -> BundleParts:
    return small_base()


def test_a_refit_finds_the_new_and_passes_the_gate(base: BundleParts) -> None:
    knowing = with_head(base, KNOWS_ONE)
    # To the base head the new ones look like photographs.
    new, known = drawn(2400, 3, shift=9.0, known=-4.0), drawn(4000, 11)
    # Photographs of the new kind are known already: only its AI-generated images are new.
    made = refit(knowing, joined(new.take(new.labels == 1), known), Terms(), {"training": {"run": 7}})
    assert made.gate["passed"], [rule for rule in made.gate["rules"] if not rule["passed"]]
    assert made.gate["champion"] == knowing.version()
    assert made.parts.card["training"] == {"run": 7}
    assert made.parts.card["same_features_as"] == [knowing.version()]
    assert made.parts.detectors["convnext"] is base.detectors["convnext"]
    card = made.parts.card
    assert card["held_out"] == made.evaluation["overall"]
    assert card["by_source"] == made.evaluation["by_source"]
    again = refit(knowing, joined(new.take(new.labels == 1), known), Terms(), {})
    assert again.parts.version() == made.parts.version()


def test_a_refit_on_flipped_labels_is_stopped(base: BundleParts) -> None:
    known = drawn(3000, 5)
    flipped = drawn(600, 6)
    flipped = replace(flipped, labels=(1 - flipped.labels).astype(np.int8), origins=np.full(600, "new", "U7"))
    made = refit(with_head(base, KNOWS_ONE), joined(flipped, known), Terms(), {})
    assert not made.gate["passed"]
