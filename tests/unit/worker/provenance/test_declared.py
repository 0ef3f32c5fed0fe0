"""What a file declares of its own origin without a signature, wherever in it the words stand."""

from collections.abc import Callable

import pytest
from PIL import ExifTags, Image, ImageFile

from tests.made_files import (
    AIGC,
    COMPOSITE,
    DRAW_THINGS,
    DREAM,
    EASY_DIFFUSION,
    EXIF_WRITERS,
    GRAPH,
    GROK_ARTIST,
    GROK_SIGNATURE,
    IIM_WRITERS,
    JOB,
    NOVELAI,
    PARAMETERS,
    SDNEXT,
    SWARM,
    TEXT_WRITERS,
    TRAINED,
    WORKFLOW,
    XMP_WRITERS,
    exif_of,
    file_of,
    iim_of,
    jpeg_segment,
    png_text,
    stealth,
    xmp_of,
)
from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance
from worker.provenance.reading import read_provenance


def no_manifest(_data: bytes) -> Manifest:
    raise AssertionError("this file has no trace of a manifest")


def read(data: bytes) -> Provenance:
    return read_provenance(data, no_manifest)


def strength(data: bytes) -> tuple[tuple[str, ...], bool]:
    provenance = read(data)
    return provenance.tags, provenance.declaration is not None and provenance.declaration.strong


# Field, text, tag and whether it may decide, as the tools themselves write them into texts with names.
NAMED = [
    ("parameters", PARAMETERS, "stable_diffusion_webui", True),
    ("parameters", SDNEXT, "sdnext", True),
    ("parameters", SWARM, "swarmui", True),
    ("prompt", GRAPH, "comfyui", True),
    ("workflow", WORKFLOW, "comfyui", True),
    ("workflow", '{"last_node_id": 9, "nodes": [{"type": "LoadImage"}]}', "comfyui", False),
    ("invokeai_metadata", '{"generation_mode": "txt2img"}', "invokeai", True),
    ("Dream", DREAM, "invokeai", True),
    ("Software", "NovelAI", "novelai", False),
    ("Source", "NovelAI Diffusion V4 37442FCA", "novelai", True),
    ("fooocus_scheme", "a1111", "fooocus", True),
    ("AIGC", AIGC, "tc260", True),
    ("AIGC", AIGC.replace('"1"', '"2"'), "tc260", False),
    ("Description", JOB, "midjourney", True),
]


@pytest.mark.parametrize("where", TEXT_WRITERS)
@pytest.mark.parametrize(("name", "text", "tag", "strong"), NAMED)
def test_a_mark_is_found_in_every_kind_of_png_text(where: str, name: str, text: str, tag: str, *, strong: bool) -> None:
    assert strength(TEXT_WRITERS[where](name, text)) == ((tag,), strong)


COMMENTS = [
    (PARAMETERS, "stable_diffusion_webui", True),
    (SDNEXT, "sdnext", True),
    (SWARM, "swarmui", True),
    (GRAPH, "comfyui", True),
    ('{"AIGC": ' + AIGC + "}", "tc260", True),
    (DRAW_THINGS, "draw_things", True),
    (EASY_DIFFUSION, "easy_diffusion", True),
    (JOB, "midjourney", True),
]


@pytest.mark.parametrize("container", EXIF_WRITERS)
@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(("text", "tag", "strong"), COMMENTS)
def test_a_mark_is_found_in_the_exif_comment_of_every_container(
    container: str, encoding: str, text: str, tag: str, *, strong: bool
) -> None:
    data = EXIF_WRITERS[container](exif_of("UserComment", text, encoding=encoding))
    assert strength(data) == ((tag,), strong)


@pytest.mark.parametrize("container", EXIF_WRITERS)
@pytest.mark.parametrize(
    ("field", "text", "tag", "strong"),
    [
        ("ImageDescription", JOB, "midjourney", True),
        ("Make", "workflow:" + WORKFLOW, "comfyui", True),
        ("Model", "prompt:" + GRAPH, "comfyui", True),
        ("Software", "Adobe Firefly", "firefly", False),
        ("Software", "Fooocus v2.5.5", "fooocus", False),
    ],
)
def test_a_mark_is_found_in_the_exif_fields_of_every_container(
    container: str, field: str, text: str, tag: str, *, strong: bool
) -> None:
    provenance = read(EXIF_WRITERS[container](exif_of(field, text)))
    assert (provenance.tags, provenance.declaration is not None and provenance.declaration.strong) == ((tag,), strong)
    assert provenance.camera is None


@pytest.mark.parametrize("container", EXIF_WRITERS)
def test_grok_s_signature_is_found_in_every_container(container: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription], exif[ExifTags.Base.Artist] = GROK_SIGNATURE, GROK_ARTIST
    assert strength(EXIF_WRITERS[container](exif.tobytes())) == (("grok",), True)


PROPERTIES = [
    ("Iptc4xmpExt:DigitalSourceType", TRAINED, "iptc:trainedAlgorithmicMedia", True),
    ("Iptc4xmpExt:DigitalSourceType", "trainedAlgorithmicMedia", "iptc:trainedAlgorithmicMedia", True),
    ("Iptc4xmpExt:DigitalSourceType", COMPOSITE, "iptc:compositeWithTrainedAlgorithmicMedia", False),
    ("Iptc4xmpExt:AISystemUsed", "Imagen 4", "iptc:AISystemUsed", False),
    ("Iptc4xmpExt:AIPromptInformation", "a cat", "iptc:AIPromptInformation", False),
    ("TC260:AIGC", AIGC, "tc260", True),
    ("comfy:prompt", GRAPH, "comfyui", True),
    ("exif:UserComment", DRAW_THINGS, "draw_things", True),
    ("photoshop:Credit", "Made with Google AI", "google_ai", False),
    ("xmp:CreatorTool", "Adobe Firefly 1.0", "firefly", False),
    ("dc:description", PARAMETERS, "stable_diffusion_webui", True),
]


@pytest.mark.parametrize("element", [False, True])
@pytest.mark.parametrize("container", XMP_WRITERS)
@pytest.mark.parametrize(("name", "value", "tag", "strong"), PROPERTIES)
def test_a_mark_is_found_in_the_xmp_of_every_container(
    container: str, name: str, value: str, tag: str, *, strong: bool, element: bool
) -> None:
    value = value.replace("\n", " ")  # as attributes have it
    assert strength(XMP_WRITERS[container](xmp_of(name, value, element=element))) == ((tag,), strong)


@pytest.mark.parametrize("container", IIM_WRITERS)
@pytest.mark.parametrize(
    ("dataset", "value", "tag"), [(110, "Made with Google AI", "google_ai"), (65, "Midjourney", "midjourney")]
)
def test_a_mark_is_found_in_the_iptc_of_every_container(container: str, dataset: int, value: str, tag: str) -> None:
    provenance = read(IIM_WRITERS[container](iim_of(dataset, value)))
    assert provenance.tags == (tag,)
    assert provenance.declaration is not None
    assert not provenance.declaration.strong


@pytest.mark.parametrize(
    "data",
    [
        file_of("GIF", comment=PARAMETERS.encode()),
        file_of("JPEG", comment=PARAMETERS.encode()),
        file_of("JPEG") + PARAMETERS.encode(),
        file_of("PNG") + PARAMETERS.encode(),
        file_of("WEBP") + PARAMETERS.encode(),
        file_of("GIF") + PARAMETERS.encode(),
        jpeg_segment(file_of("JPEG"), 0xEA, PARAMETERS.encode()),
        stealth(PARAMETERS),
        stealth(PARAMETERS, zipped=False),
        stealth(PARAMETERS, "WEBP"),
    ],
)
def test_parameters_are_found_wherever_a_container_has_room_for_text(data: bytes) -> None:
    assert strength(data) == (("stable_diffusion_webui",), True)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_novelai_s_stealth_text_is_read_from_the_alpha_channel(form: str) -> None:
    provenance = read(stealth(NOVELAI, form))
    assert provenance.tags == ("novelai",)
    assert provenance.declaration is not None
    assert provenance.declaration.strong
    assert "alpha channel" in str(provenance.declaration.where)


def test_samsung_s_mark_behind_the_picture_is_found_and_an_edit_without_ai_is_none() -> None:
    trailer = b'\x00\x00PhotoEditor_Re_Edit_Data{"originalPath":"x","genAIType":%d,"isBlending":true}'
    assert strength(file_of("JPEG") + trailer % 1) == (("samsung_genai",), False)
    assert read(file_of("JPEG") + trailer % 0) == Provenance()


PROSE = "Artists suing Midjourney, NovelAI, DALL-E and Adobe Firefly; made with Google AI and Stable Diffusion"


@pytest.mark.parametrize(
    "data",
    [
        *(png_text(name, PROSE) for name in ("Title", "Description", "Comment", "Author", "Copyright")),
        *(write(exif_of("ImageDescription", PROSE)) for write in EXIF_WRITERS.values()),
        *(write(exif_of("UserComment", PROSE)) for write in EXIF_WRITERS.values()),
        *(write(xmp_of("dc:description", PROSE)) for write in XMP_WRITERS.values()),
        *(write(iim_of(120, PROSE)) for write in IIM_WRITERS.values()),
        *(write(iim_of(105, PROSE)) for write in IIM_WRITERS.values()),
        file_of("GIF", comment=PROSE.encode()),
        file_of("JPEG", comment=PROSE.encode()),
        file_of("JPEG") + PROSE.encode(),
        png_text("seed", "123"),
        png_text("Software", "Adobe Photoshop 26.0"),
        png_text("parameters", "Steps: many"),
        file_of("JPEG", xmp=xmp_of("Iptc4xmpExt:DigitalSourceType", TRAINED.replace("trainedA", "a"))),
    ],
)
def test_no_name_in_prose_accuses(data: bytes) -> None:
    assert (read(data).tags, read(data).bars_clearing) == ((), False)


def test_a_source_type_of_an_ingredient_or_a_region_is_not_the_picture_s() -> None:
    whole = xmp_of("Iptc4xmpExt:DigitalSourceType", TRAINED, element=True).decode()
    part = whole.replace("<Iptc4xmpExt:", '<xmpMM:Ingredients><rdf:li rdf:parseType="Resource"><Iptc4xmpExt:', 1)
    part = part.replace(
        "</Iptc4xmpExt:DigitalSourceType>", "</Iptc4xmpExt:DigitalSourceType></rdf:li></xmpMM:Ingredients>"
    )
    assert strength(file_of("JPEG", xmp=part.encode())) == (("iptc:trainedAlgorithmicMedia",), False)


def test_each_mark_says_which_tool_and_where() -> None:
    provenance = read(png_text("parameters", PARAMETERS))
    assert provenance.declaration == Declaration(
        strong=True,
        kind=DeclarationKind.GENERATOR,
        tool="Stable Diffusion web UI",
        where='PNG text "parameters"',
    )
    assert provenance.marks == (provenance.declaration,)


def test_of_several_marks_the_strongest_is_the_declaration_and_all_are_kept() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = "Adobe Firefly"
    provenance = read(file_of("JPEG", exif=exif.tobytes(), xmp=xmp_of("Iptc4xmpExt:DigitalSourceType", TRAINED)))
    assert provenance.tags == ("iptc:trainedAlgorithmicMedia", "firefly")
    assert [mark.where for mark in provenance.marks] == ["XMP Iptc4xmpExt:DigitalSourceType", "EXIF Software"]
    assert provenance.declaration == provenance.marks[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_words_are_read_without_decoding_any_pixels(
    picture: Callable[..., bytes], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []  # a few hundred kilobytes may be gigabytes of pixels
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda opened: decoded.append(opened.format))
    read(picture(form))
    assert decoded == []


def test_camera_and_software_are_told_and_change_nothing(picture: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Canon\x00", "EOS R5"
    exif[ExifTags.Base.Software] = "Photo\x00shop\n" + "x" * 500
    provenance = read(picture("JPEG", exif=exif))
    assert provenance.camera == "Canon EOS R5"
    assert provenance.software is not None
    assert provenance.software.isprintable()
    assert len(provenance.software) <= 120
    assert not provenance.declares_ai
    assert not provenance.bars_clearing


def test_what_is_stored_says_that_anybody_could_have_written_it() -> None:
    assert Provenance(tags=("comfyui",)).as_json() == {
        "declares_ai": True,
        "signed": False,
        "forgeable": True,
        "tags": ["comfyui"],
        "c2pa": None,
        "camera": None,
        "software": None,
        "declaration": None,
        "marks": [],
    }
