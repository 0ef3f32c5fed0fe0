"""A signature stops deciding once its signer is trusted no more and the policy ignores declarations."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from api.client import Assay
from tests.acceptance.test_evidence import texture
from tests.support.assay_up import AssayUp, wait_until
from tests.support.provenance import make_authority

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600)]

IMAGE = "signed/picture.jpg"


def served(assay: AssayUp) -> Any:
    with Assay(assay.doors.api_url, assay.doors.api_key, timeout=30) as client:
        return client.image(IMAGE)["verdict"]


def test_a_rescan_without_the_anchor_is_served_in_place_of_what_the_signature_decided(tmp_path: Path) -> None:
    signer, another = make_authority("Picture Maker Inc."), make_authority("Another Inc.")
    anchors = tmp_path / "anchors.pem"
    anchors.write_text(signer.anchor)
    with AssayUp(tmp_path / "data", ASSAY_BUNDLE="cifake", ASSAY_C2PA_TRUST_ANCHORS=str(anchors)) as assay:
        assay.put(IMAGE, signer.sign(texture(1)))
        assay.wait_ended([IMAGE], 120)
        before = served(assay)
        assert (before["verdict"], before["decided_by"]) == ("ai_generated", "provenance")
        # A worker reads the anchors when it starts.
        anchors.write_text(another.anchor)
        os.kill(assay.pid("worker"), signal.SIGKILL)
        with Assay(assay.doors.api_url, assay.doors.api_key, timeout=30) as client:
            client.add_policy(false_positive_budget=0.01, miss_budget=0.05, declared_origin="ignore")
            client.rescan([IMAGE])
        wait_until(lambda: served(assay)["decided_by"] != "provenance", 120, "the rescan's verdict")
        after = served(assay)
    assert after["decided_by"] == "machine"
    assert after["provenance"]["c2pa"]["state"] == "untrusted"
