from pathlib import Path

import pytest

from tests.support.provenance import Authority
from worker.provenance.anchors import TrustAnchorsError, read_anchors


def test_no_place_is_no_anchor() -> None:
    assert read_anchors(None) == ""


def test_a_file_and_a_folder_give_their_certificates_and_no_keys(
    tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    (tmp_path / "one.pem").write_text("# ours\n" + authority.anchor + authority.key)
    (tmp_path / "two.crt").write_text(stranger.anchor)
    (tmp_path / "notes.txt").write_text("not a certificate")
    assert read_anchors(tmp_path / "one.pem") == authority.anchor
    assert read_anchors(tmp_path) == authority.anchor + stranger.anchor


@pytest.mark.parametrize("place", ["missing.pem", "empty.pem", "binary.pem", "."])
def test_a_place_without_certificates_is_refused_with_what_to_do(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty.pem").touch()
    (tmp_path / "binary.pem").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrustAnchorsError, match="ASSAY_C2PA_TRUST_ANCHORS"):
        read_anchors(tmp_path / place)
