"""Unsigned declarations: what generators and editors write into files. Anybody can write, change or strip them.

So they never clear an image, their absence proves nothing, and whether a strong one decides is the policy's word.
A rule counts either a form that only a tool writes, wherever it stands, or a name in the fields in which tools name
themselves. No name in a caption, a title or a comment accuses.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from worker.provenance.findings import Declaration, DeclarationKind
from worker.provenance.texts import Text

_GENERATOR, _IPTC, _TC260 = DeclarationKind.GENERATOR, DeclarationKind.IPTC, DeclarationKind.TC260

# Fields in which a program names itself or an agency its source; captions, titles, comments and keywords are none.
_TOOL_FIELDS = {
    "software",
    "xmp:creatortool",
    "creatortool",
    "creator tool",
    "credit",
    "photoshop:credit",
    "originatingprogram",
    "pdf:producer",
    "stevt:softwareagent",
    "tiff:software",
    "generator",
}
_NAMES: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("novelai", "NovelAI", re.compile(r"\bNovelAI\b")),
    ("midjourney", "Midjourney", re.compile(r"\bMidjourney\b", re.IGNORECASE)),
    ("dall_e", "DALL·E", re.compile(r"\bDALL[-·⋅•\s]{0,3}E\b", re.IGNORECASE)),
    ("firefly", "Adobe Firefly", re.compile(r"\bAdobe Firefly\b")),
    ("google_ai", "Google AI", re.compile(r"\b(?:Made|Edited) with Google AI\b", re.IGNORECASE)),
    ("draw_things", "Draw Things", re.compile(r"^Draw Things\b")),
    ("fooocus", "Fooocus", re.compile(r"\bFooocus\b")),
    ("comfyui", "ComfyUI", re.compile(r"\bComfyUI\b")),
    ("stable_diffusion", "Stable Diffusion", re.compile(r"\bStable ?Diffusion\b", re.IGNORECASE)),
    ("invokeai", "InvokeAI", re.compile(r"\bInvokeAI\b", re.IGNORECASE)),
)
_TRAINED = "trainedAlgorithmicMedia"
_SOURCE_TYPE = re.compile(r"(trainedAlgorithmicMedia|compositeWithTrainedAlgorithmicMedia|compositeSynthetic)/?\s*$")
_AI_FIELDS = re.compile(r"Iptc4xmpExt:(AISystemUsed|AISystemVersionUsed|AIPromptInformation|AIPromptWriterName)$")
_PARAMETERS = re.compile(r"\bSteps: \d+, (?=[^\n]{0,2000}\bSampler: )(?=[^\n]{0,2000}\b(?:Seed|CFG scale): )[^\n]*")
_GRAPH = re.compile(r'"class_type"\s*:\s*"|"nodes"\s*:\s*\[|"last_node_id"\s*:')
_SAMPLER = re.compile(r'"(?:class_type|type)"\s*:\s*"[^"]{0,80}Sampler')
_GRAPH_FIELDS = {"prompt", "workflow", "comfy:prompt", "make", "model", "usercomment", "imagedescription", "software"}
_LABEL = re.compile(r'"?Label"?\s*[:=]\s*"?\s*([123])\b')
_MIDJOURNEY_JOB = re.compile(r"\bJob ID: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_GROK = re.compile(r"^Signature: [A-Za-z0-9+/]{300,}={0,2}$")
_UUID = re.compile(r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_DREAM = re.compile(r"(?=.*\s-s ?\d)(?=.*\s-S ?\d)", re.DOTALL)
_SAMSUNG = re.compile(r'"genAIType"\s*:\s*"?([1-9]\d{0,3})\b')
_EASY_DIFFUSION = {"num_inference_steps", "guidance_scale", "sampler_name", "use_stable_diffusion_model"}
_DRAW_THINGS = {"c", "model", "sampler", "scale", "seed", "steps"}
_NOVELAI = {"sampler", "steps", "seed", "uc"}
# A text of another length is looked at from both ends.
_WINDOW = 512 * 1024

Rule = Callable[[Sequence[Text]], Iterator["Mark"]]


@dataclass(frozen=True)
class Mark:
    """A declaration under its short name.

    Attributes:
        tag: the name that records, filters and figures know it by.
        declaration: what it says, and where.
    """

    tag: str
    declaration: Declaration


def find_marks(texts: Sequence[Text]) -> tuple[Mark, ...]:
    """Return the declarations in a file's texts: of each tag the gravest, the gravest tags first; never raises."""
    first: dict[str, Mark] = {}
    for rule in _RULES:
        for mark in rule(texts):
            earlier = first.get(mark.tag)
            if earlier is None or (mark.declaration.strong and not earlier.declaration.strong):
                first[mark.tag] = mark
    return tuple(sorted(first.values(), key=lambda mark: not mark.declaration.strong))


def marks_of_bytes(words: bytes) -> tuple[Mark, ...]:
    """Return what bytes hold of forms that only tools write: damage that hides a text from a reader leaves most bytes.

    None of them is strong: where it stood, nobody can tell.
    """
    window = words if len(words) <= 2 * _WINDOW else words[:_WINDOW] + words[-_WINDOW:]
    marks = []
    for tag, tool, kind, needed, pattern in _IN_BYTES:
        if needed in window and (match := pattern.search(window)):
            name = tag + match.group(1).decode() if match.groups() else tag
            marks.append(Mark(name, Declaration(strong=False, kind=kind, tool=tool, where="damaged metadata")))
    return tuple(marks)


_IN_BYTES: tuple[tuple[str, str | None, DeclarationKind, bytes, re.Pattern[bytes]], ...] = (
    (
        "iptc:",
        None,
        _IPTC,
        b"igital",
        re.compile(
            rb"(?i:digitalsourcetype)(?:/|[\s\"'=>:]{1,6})"
            rb"(trainedAlgorithmicMedia|compositeWithTrainedAlgorithmicMedia|compositeSynthetic)"
        ),
    ),
    (
        "stable_diffusion_webui",
        "Stable Diffusion web UI",
        _GENERATOR,
        b"Steps: ",
        re.compile(rb"Steps: \d+, (?:Size: [^\n]{1,20}, )?Sampler: "),
    ),
    ("comfyui", "ComfyUI", _GENERATOR, b"class_type", re.compile(rb'"class_type"\s*:\s*"[^"]{0,80}Sampler')),
    ("midjourney", "Midjourney", _GENERATOR, b"Job ID: ", re.compile(rb"\bJob ID: [0-9a-f]{8}-[0-9a-f-]{27}")),
    ("tc260", None, _TC260, b"AIGC", re.compile(rb"AIGC[^\x00]{0,200}Label[^\x00]{1,12}1[^\x00]{1,12}Content")),
)


def _mark(tag: str, tool: str | None, text: Text, kind: DeclarationKind = _GENERATOR, *, strong: bool = True) -> Mark:
    return Mark(tag, Declaration(strong=strong and not text.part, kind=kind, tool=tool, where=text.where))


def _ends(value: str) -> str:
    return value if len(value) <= 2 * _WINDOW else value[:_WINDOW] + value[-_WINDOW:]


def _source_types(texts: Sequence[Text]) -> Iterator[Mark]:
    for text in texts:
        if text.name.rpartition(":")[2].casefold() == "digitalsourcetype":
            kind = _SOURCE_TYPE.search(text.value)
            if kind:
                yield _mark(f"iptc:{kind.group(1)}", None, text, _IPTC, strong=kind.group(1) == _TRAINED)


def _ai_fields(texts: Sequence[Text]) -> Iterator[Mark]:
    for text in texts:
        field = _AI_FIELDS.match(text.name)
        if field:
            tool = text.value if field.group(1) == "AISystemUsed" else None
            yield _mark(f"iptc:{field.group(1)}", tool, text, _IPTC, strong=False)


def _chinese_labels(texts: Sequence[Text]) -> Iterator[Mark]:
    for text in texts:
        named = text.name.rpartition(":")[2] == "AIGC"
        if text.name == "TC260:Label" and text.value.strip() in {"1", "2", "3"}:
            yield Mark("tc260", Declaration(text.value.strip() == "1", _TC260, None, text.where))
        elif named or '"AIGC"' in text.value[:_WINDOW]:
            label = _LABEL.search(text.value)
            if label:
                yield _mark("tc260", None, text, _TC260, strong=label.group(1) == "1")


def _parameters(texts: Sequence[Text]) -> Iterator[Mark]:
    for text in texts:
        line = _PARAMETERS.search(_ends(text.value)) if "Steps: " in text.value else None
        if line is None:
            continue
        if "App: SD.Next" in line.group():
            yield _mark("sdnext", "SD.Next", text)
        elif _says(texts, {"fooocus_scheme"}) or "Version: Fooocus" in line.group():
            yield _mark("fooocus", "Fooocus", text)
        else:
            yield _mark("stable_diffusion_webui", "Stable Diffusion web UI", text)


def _graphs(texts: Sequence[Text]) -> Iterator[Mark]:
    for text in texts:
        name = text.name.casefold()
        if (name in _GRAPH_FIELDS or '"class_type"' in text.value) and _GRAPH.search(text.value):
            yield _mark("comfyui", "ComfyUI", text, strong=_SAMPLER.search(text.value) is not None)


def _own_fields(texts: Sequence[Text]) -> Iterator[Mark]:
    for text in texts:
        name = text.name.casefold()
        if name in {"invokeai_metadata", "sd-metadata", "invokeai_graph", "invokeai_workflow"}:
            yield _mark("invokeai", "InvokeAI", text, strong=text.value.lstrip().startswith("{"))
        elif name == "dream" and _DREAM.search(text.value):
            yield _mark("invokeai", "InvokeAI", text)
        elif name == "fooocus_scheme":
            yield _mark("fooocus", "Fooocus", text)
        elif name == "sui_image_params":
            yield _mark("swarmui", "SwarmUI", text)


def _several_fields(texts: Sequence[Text]) -> Iterator[Mark]:
    """Find generators known by several members of theirs that stand together."""
    together: dict[str, dict[str, Text]] = {}
    for text in texts:
        together.setdefault(text.carrier, {})[text.name] = text
    for fields in together.values():
        if len(_EASY_DIFFUSION & fields.keys()) >= 2:  # noqa: PLR2004 (one alone may be anybody's)
            yield _mark("easy_diffusion", "Easy Diffusion", fields[min(_EASY_DIFFUSION & fields.keys())])
        if fields.keys() >= _DRAW_THINGS:
            yield _mark("draw_things", "Draw Things", fields["sampler"])
        if fields.keys() >= _NOVELAI and _says(texts, {"software", "source"}, "NovelAI"):
            yield _mark("novelai", "NovelAI", fields["sampler"])


def _values(texts: Sequence[Text], name: str) -> list[str]:
    return [text.value for text in texts if text.name == name]


def _signatures(texts: Sequence[Text]) -> Iterator[Mark]:
    for text in texts:
        if _MIDJOURNEY_JOB.search(text.value[:_WINDOW]):
            yield _mark("midjourney", "Midjourney", text)
        elif _GROK.match(text.value) and any(_UUID.match(artist) for artist in _values(texts, "Artist")):
            yield _mark("grok", "Grok", text)
        elif "genAIType" in text.value and _SAMSUNG.search(_ends(text.value)):
            yield _mark("samsung_genai", "Samsung Galaxy AI", text, strong=False)
        elif text.name.casefold() == "source" and text.value.startswith("NovelAI Diffusion"):
            yield _mark("novelai", "NovelAI", text)


def _names(texts: Sequence[Text]) -> Iterator[Mark]:
    for text in texts:
        if text.name.casefold() in _TOOL_FIELDS:
            for tag, tool, pattern in _NAMES:
                if pattern.search(text.value[:1000]):
                    yield _mark(tag, tool, text, strong=False)


def _says(texts: Iterable[Text], names: set[str], word: str = "") -> bool:
    return any(text.name.casefold() in names and word in text.value for text in texts)


_RULES: tuple[Rule, ...] = (
    _source_types,
    _chinese_labels,
    _parameters,
    _graphs,
    _own_fields,
    _several_fields,
    _signatures,
    _ai_fields,
    _names,
)
