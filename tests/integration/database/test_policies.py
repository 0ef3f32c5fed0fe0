"""What a policy's preview stands on, in a real Postgres."""

from typing import Any

import pytest

from tests.integration.api.conftest import BUNDLE, Rows
from worker.database.policies import Policies
from worker.database.session import Database
from worker.provenance.findings import Manifest, Provenance, Says, SignatureState

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("provenance", "barred"),
    [
        ({}, False),
        (Provenance(camera="Canon").as_json(), False),
        (Provenance(manifest=Manifest(SignatureState.TRUSTED, Says.CAPTURED)).as_json(), False),
        (Provenance(tags=("comfyui",)).as_json(), True),
        (Provenance(manifest=Manifest(SignatureState.UNTRUSTED, Says.PARTLY_AI)).as_json(), True),
        (Provenance(manifest=Manifest(SignatureState.TAMPERED)).as_json(), True),
    ],
)
def test_a_preview_knows_which_files_bar_clearing(
    database: Database, rows: Rows, provenance: dict[str, Any], *, barred: bool
) -> None:
    rows.verdict(rows.image("asked"), provenance=provenance)
    assert [one.provenance.bars_clearing for one in Policies(database).judged_images(BUNDLE)] == [barred]


def test_a_preview_knows_the_gravest_frame_of_an_animation(database: Database, rows: Rows) -> None:
    rows.verdict(rows.image("still"))
    rows.verdict(rows.image("moving"), frames={"gravest": {"number": 3, "at_ms": 30.0, "probability": 0.75}})
    judged = {one.image_id: one.gravest_frame for one in Policies(database).judged_images(BUNDLE)}
    assert judged == {"still": None, "moving": 0.75}
