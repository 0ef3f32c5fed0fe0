"""A picture's way in plain words: nothing that anybody can write is told as if it were proof."""

from datetime import UTC, datetime

import pytest

from api.console.provenance_words import Step, steps_of
from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance, Says, SignatureState

STORED, JUDGED = datetime(2026, 11, 21, 10, tzinfo=UTC), datetime(2026, 11, 21, 11, tzinfo=UTC)


def steps(provenance: Provenance) -> list[Step]:
    return steps_of(provenance, STORED, JUDGED)


def test_a_file_that_says_nothing_has_no_way_to_tell() -> None:
    assert steps(Provenance()) == []


def test_a_trusted_signature_is_told_from_camera_to_check() -> None:
    manifest = Manifest(SignatureState.TRUSTED, Says.CAPTURED, "Camera Maker", "Model 5")
    way = steps(Provenance((), manifest, camera="Model 5"))
    assert [(step.title, step.believed) for step in way] == [
        ("EXIF names the camera Model 5", None),
        ("Model 5 wrote a C2PA manifest", True),
        ("Signed by Camera Maker", True),
        ("It arrived", True),
        ("Assay checked the signature", True),
    ]
    assert "a camera took the picture" in way[1].text
    assert (way[3].at, way[4].at) == (STORED, JUDGED)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (SignatureState.UNTRUSTED, "no certificate that you trust vouches"),
        (SignatureState.TAMPERED, "was changed after it was signed"),
    ],
)
def test_a_signature_that_is_not_trusted_is_told_as_worth_less(state: SignatureState, words: str) -> None:
    way = steps(Provenance((), Manifest(state, Says.AI_GENERATED, problems=("certificate has expired",))))
    assert (way[0].title, way[0].believed) == ("Signed by somebody whom the certificate does not name", False)
    assert words in way[0].text
    assert "a generative model made the whole picture" in way[0].text
    assert (way[-1].text, way[-1].believed) == ("It found: certificate has expired.", False)


def test_what_a_file_declares_is_told_with_its_place_and_as_forgeable() -> None:
    mark = Declaration(strong=True, kind=DeclarationKind.GENERATOR, tool="ComfyUI", where='PNG text "prompt"')
    way = steps(Provenance(("comfyui",), declaration=mark, marks=(mark,)))
    assert way[0].title == (
        'The file calls itself AI-generated with ComfyUI, in the parameters that a generator writes (PNG text "prompt")'
    )
    assert (way[0].text, way[0].believed) == ("Anybody can write this into a file.", None)
    assert way[-1] == Step("Assay read the file", "It has no signature.", JUDGED)
