"""Signed provenance: what is believed, of whom, and that damage never makes a file look cleaner."""

import json
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.provenance import CREATED_BY_AI, IPTC, OPENED, Authority
from worker.images.decode import decode
from worker.provenance.c2pa_manifest import has_traces, read_manifest, summed_up
from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance, Says, SignatureState
from worker.provenance.metadata import beside_pixels
from worker.provenance.reading import read_provenance

TRUSTED, UNTRUSTED, TAMPERED = SignatureState.TRUSTED, SignatureState.UNTRUSTED, SignatureState.TAMPERED
Picture = Callable[..., bytes]


def read(data: bytes, trusted: Authority) -> Provenance:
    return read_provenance(data, lambda found: read_manifest(found, trusted.anchor))


@pytest.fixture(scope="module")
def signed(authority: Authority, picture: Picture) -> bytes:
    return authority.sign(picture())


def test_a_trusted_signature_that_says_ai_decides(signed: bytes, authority: Authority) -> None:
    provenance = read(signed, authority)
    assert provenance.manifest == Manifest(
        TRUSTED, Says.AI_GENERATED, "Picture Maker Inc., Assay Tests", "Picture Maker", problems=()
    )
    assert provenance.decides
    assert (provenance.as_json()["signed"], provenance.as_json()["forgeable"]) == (True, False)


@pytest.mark.parametrize(("form", "mime"), [("PNG", "image/png"), ("WEBP", "image/webp"), ("TIFF", "image/tiff")])
def test_other_formats_are_read_too(authority: Authority, picture: Picture, form: str, mime: str) -> None:
    assert read(authority.sign(picture(form), mime=mime), authority).decides


@pytest.mark.parametrize("anchors", ["", "stranger"])
def test_a_signature_of_somebody_else_is_valid_and_decides_nothing(
    signed: bytes, stranger: Authority, anchors: str
) -> None:
    manifest = read_manifest(signed, stranger.anchor if anchors else "")
    assert (manifest.state, manifest.says) == (UNTRUSTED, Says.AI_GENERATED)
    provenance = Provenance(manifest=manifest)
    assert (provenance.decides, provenance.bars_clearing, provenance.as_json()["forgeable"]) == (False, True, True)


def test_without_a_manifest_nobody_is_asked_for_one(picture: Picture) -> None:
    def never(_data: bytes) -> Manifest:
        raise AssertionError

    assert read_provenance(picture(), never) == Provenance()


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        ([{"action": "c2pa.created", "digitalSourceType": IPTC + "digitalCapture"}], Says.CAPTURED),
        ([CREATED_BY_AI, {"action": "c2pa.color_adjustments"}], Says.AI_GENERATED),
        (
            [
                {"action": "c2pa.created", "digitalSourceType": IPTC + "digitalCapture"},
                {"action": "c2pa.edited", "digitalSourceType": IPTC + "compositeWithTrainedAlgorithmicMedia"},
            ],
            Says.PARTLY_AI,
        ),
        ([CREATED_BY_AI, {"action": "c2pa.edited", "digitalSourceType": IPTC + "compositeCapture"}], Says.PARTLY_AI),
        ([{"action": "c2pa.created", "digitalSourceType": IPTC + "digitalCreation"}], None),
    ],
)
def test_only_a_picture_made_by_a_model_as_a_whole_is_called_ai_generated(
    authority: Authority, picture: Picture, actions: list[dict[str, str]], says: Says | None
) -> None:
    provenance = read(authority.sign(picture(), actions), authority)
    assert provenance.manifest is not None
    assert (provenance.manifest.state, provenance.manifest.says) == (TRUSTED, says)
    assert provenance.decides == (says is Says.AI_GENERATED)


def test_a_trusted_editor_s_picture_is_what_its_trusted_parent_was(
    signed: bytes, authority: Authority, picture: Picture
) -> None:
    assert read(authority.sign(picture(), [OPENED], parent=signed), authority).decides


@pytest.mark.parametrize("what", ["a stranger's", "a damaged"])
def test_a_trusted_editor_does_not_vouch_for_a_parent_that_is(
    what: str, signed: bytes, authority: Authority, stranger: Authority, picture: Picture
) -> None:
    parent = stranger.sign(picture()) if what == "a stranger's" else damaged(signed, [len(signed) - 300])
    provenance = read(authority.sign(picture(), [OPENED], parent=parent), authority)
    assert provenance.manifest is not None
    assert (provenance.manifest.state, provenance.manifest.says) == (TRUSTED, Says.PARTLY_AI)
    assert not provenance.decides
    assert provenance.bars_clearing


def test_the_same_picture_saved_again_has_no_manifest(signed: bytes, picture: Picture, authority: Authority) -> None:
    assert read(signed, authority).manifest is not None
    assert read(picture(quality=60), authority) == Provenance()


def damaged(data: bytes, places: list[int]) -> bytes:
    broken = bytearray(data)
    for place in places:
        broken[place] ^= 0x55
    return bytes(broken)


def thirteen(data: bytes, seed: int) -> list[int]:
    """Choose thirteen bytes: anywhere, among those beside the pixels, or such as break as many words as they can."""
    rng = random.Random(seed)  # noqa: S311 - where to break a file, not a secret
    if seed % 3 == 0:
        return rng.sample(range(20, len(data)), 13)
    beside = len(beside_pixels(data)) - 64 * 1024 if len(data) > 64 * 1024 else data.index(b"\xff\xda")
    if seed % 3 == 1:
        return rng.sample(range(2, beside), 13)
    words = (b"c2pa", b"jumb", b"AlgorithmicMedia", b"\xff\xeb")
    places = [place for word in words for place in range(beside) if data.startswith(word, place)]
    return rng.sample(places, 13)


@pytest.mark.parametrize("seed", range(60))
def test_thirteen_changed_bytes_leave_something_that_bars_clearing(
    signed: bytes, authority: Authority, seed: int
) -> None:
    provenance = read(damaged(signed, thirteen(signed, seed)), authority)
    assert provenance.bars_clearing
    assert not provenance.decides


@pytest.mark.parametrize("name", [b"ALPH", b"ANMF", b"VP8 ", b"VP8L"])  # codespell:ignore alph
def test_a_manifest_renamed_to_look_like_pixels_is_found(authority: Authority, picture: Picture, name: bytes) -> None:
    signed = authority.sign(picture("WEBP"), mime="image/webp")
    renamed = signed.replace(b"C2PA", name, 1)
    decode(renamed, max_pixels=1_000_000)  # four bytes, and the picture is shown as before
    provenance = read(renamed, authority)
    assert provenance.bars_clearing
    assert not provenance.decides


def test_a_manifest_swallowed_by_the_picture_before_it_is_found(authority: Authority, picture: Picture) -> None:
    signed = bytearray(authority.sign(picture("WEBP", quality=100, lossless=False), mime="image/webp"))
    place = signed.index(b"VP8 ")
    signed[place + 4 : place + 8] = (len(signed) - place - 8).to_bytes(4, "little")
    decode(bytes(signed), max_pixels=1_000_000)
    assert read(bytes(signed), authority).bars_clearing


def test_one_changed_byte_of_the_pixels_breaks_the_signature(signed: bytes, authority: Authority) -> None:
    manifest = read(damaged(signed, [len(signed) - 300]), authority).manifest
    assert manifest is not None
    assert (manifest.state, manifest.says) == (TAMPERED, Says.AI_GENERATED)
    assert manifest.problems == ("the picture was changed since it was signed (assertion.dataHash.mismatch)",)


def test_a_manifest_moved_to_another_picture_is_invalid(signed: bytes, picture: Picture, authority: Authority) -> None:
    head = signed[: signed.index(b"\xff\xdb")]
    other = picture(quality=40)
    provenance = read(head + other[other.index(b"\xff\xdb") :], authority)
    assert provenance.manifest is not None
    assert provenance.manifest.state is TAMPERED
    assert (provenance.decides, provenance.bars_clearing) == (False, True)


@settings(max_examples=60, deadline=None)
@given(cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)), junk=st.binary(max_size=200), where=st.floats(0, 1))
def test_pieces_of_signed_files_mixed_with_junk_raise_nothing_and_decide_nothing(
    signed: bytes, authority: Authority, cuts: tuple[float, float], junk: bytes, where: float
) -> None:
    begin, end = sorted(round(cut * len(signed)) for cut in cuts)
    piece = signed[begin:end]
    at = round(where * len(piece))
    mixed = piece[:at] + junk + piece[at:]
    provenance = read(mixed, authority)
    assert provenance.decides == (mixed == signed)
    read_manifest(mixed, authority.anchor)


@given(st.binary(max_size=500))
def test_random_bytes_raise_nothing(data: bytes) -> None:
    assert read_manifest(data, "").state is TAMPERED


def test_a_manifest_of_thousands_of_parts_is_not_verified_at_all(authority: Authority) -> None:
    manifest = read_manifest(b"\xff\xd8\xff\xeb" + b"jumb" * 5000, authority.anchor)
    assert manifest == Manifest(TAMPERED, problems=("too many parts to verify",))


def test_words_about_c2pa_are_no_traces_of_a_manifest() -> None:
    assert not has_traces(b'dcterms:provenance="https://example.org/manifests/1.c2pa" c2pa')


@pytest.mark.parametrize(
    ("code", "tampered"),
    [
        ("signingCredential.expired", False),
        ("signingCredential.invalid", False),
        ("timeStamp.untrusted", False),
        ("cawg.identity.well-formed", False),
        ("assertion.dataHash.mismatch", True),
        ("claimSignature.mismatch", True),
        ("assertion.hashedURI.mismatch", True),
        ("claim.cbor.invalid", True),
        ("something.new", True),
    ],
)
def test_only_changes_and_unreadable_stores_count_as_tampered(code: str, *, tampered: bool) -> None:
    failure = {"failure": [{"code": code}]}
    store = {
        "active_manifest": "one",
        "manifests": {"one": {}},
        "validation_state": "Invalid",
        "validation_results": {"activeManifest": failure},
    }
    manifest = summed_up(store, "")
    assert code in manifest.problems[0]
    assert manifest.state is (TAMPERED if tampered else UNTRUSTED)
    assert Provenance(manifest=manifest).bars_clearing is tampered


FINISHING = [
    {"action": "c2pa.edited", "digitalSourceType": IPTC + "compositeWithTrainedAlgorithmicMedia"},
    {"action": "c2pa.edited", "description": "Added visible watermark"},
    {"action": "c2pa.resized"},
    {"action": "c2pa.converted"},
    {"action": "c2pa.transcoded"},
]


@pytest.mark.parametrize("action", FINISHING)
def test_a_platform_s_finishing_leaves_a_picture_wholly_ai(
    signed: bytes, authority: Authority, picture: Picture, action: dict[str, str]
) -> None:
    provenance = read(authority.sign(picture(), [OPENED, action], parent=signed), authority)
    assert provenance.manifest is not None
    assert provenance.manifest.says is Says.AI_GENERATED


def test_adobe_s_assertion_of_2023_says_ai() -> None:
    older = {"label": "com.adobe.generative-ai", "data": {"description": "Adobe Firefly", "version": "1.0"}}
    actions = {"label": "c2pa.actions", "data": {"actions": [{"action": "c2pa.created"}]}}
    store = {
        "active_manifest": "one",
        "manifests": {"one": {"assertions": [older, actions]}},
        "validation_state": "Valid",
    }
    assert summed_up(store, json.dumps(store)).says is Says.AI_GENERATED


def test_a_stranger_s_manifest_that_says_ai_is_a_strong_declaration(signed: bytes, stranger: Authority) -> None:
    provenance = read(signed, stranger)
    assert provenance.declaration == Declaration(
        strong=True, kind=DeclarationKind.C2PA, tool="Picture Maker", where="C2PA manifest"
    )
