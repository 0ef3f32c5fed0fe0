"""What was found of an image's origin, on its way to a row and back."""

import pytest

from worker.provenance.findings import (
    Declaration,
    DeclarationKind,
    Manifest,
    Provenance,
    Says,
    SignatureState,
    must_read_again,
    provenance_of,
)

PARAMETERS = Declaration(
    strong=True, kind=DeclarationKind.GENERATOR, tool="stable_diffusion_webui", where='PNG text "parameters"'
)


@pytest.mark.parametrize(
    "provenance",
    [
        Provenance(),
        Provenance(camera="NIKON Z 9", software="darktable"),
        Provenance(tags=("stable_diffusion_webui",), declaration=PARAMETERS),
        Provenance(tags=("iptc:compositeSynthetic",)),
        # Whom we trust may have changed since, so this one is read again.
        Provenance(manifest=Manifest(SignatureState.TRUSTED, Says.AI_GENERATED, "Adobe", "Firefly", ("x",))),
    ],
)
def test_what_a_file_declares_comes_back_from_its_record(provenance: Provenance) -> None:
    assert provenance_of(provenance.as_json()) == provenance
    assert must_read_again(provenance.as_json()) == (provenance.manifest is not None)


def test_a_record_of_tags_alone_is_read_again_and_a_silent_one_is_not() -> None:
    record = Provenance().as_json()
    del record["declaration"]  # as releases before declarations wrote it

    assert provenance_of(record) == Provenance()
    assert not must_read_again(record)
    assert must_read_again({**record, "tags": ["midjourney"], "declares_ai": True})


def test_of_an_erased_image_nothing_is_recorded() -> None:
    assert provenance_of({}) == Provenance()
    assert must_read_again({})


def test_a_declaration_declares_ai_and_bars_clearing() -> None:
    provenance = Provenance(declaration=PARAMETERS)

    assert provenance.declares_ai
    assert provenance.bars_clearing
    assert provenance.as_json()["forgeable"] is True
