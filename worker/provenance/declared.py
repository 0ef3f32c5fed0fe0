"""Unsigned declarations: what generators and editors write into files. Anybody can write, change or strip them.

So they never clear an image and never accuse one alone, and their absence proves nothing.
"""

import re
from collections.abc import Iterable, Mapping

# IPTC digital source types that say a generative model made the picture, or had a part in it
# (https://cv.iptc.org/newscodes/digitalsourcetype/).
_IPTC_WORDS = (b"AlgorithmicMedia", b"compositeSynthetic")
_IPTC_AI = re.compile(
    rb"(?i:digitalsourcetype)(?:/|[\s\"'=>:]{1,6})"
    rb"(trainedAlgorithmicMedia|compositeWithTrainedAlgorithmicMedia|compositeSynthetic)"
)
# What generators leave in PNG text, EXIF or XMP, each with the words it cannot do without: bytes are found fifty
# times faster than a pattern, and a pattern holds up every other thread of the process.
_GENERATORS: tuple[tuple[str, tuple[bytes, ...], re.Pattern[bytes]], ...] = (
    ("stable_diffusion_webui", (b"Steps: ",), re.compile(rb"Steps: \d+, Sampler: ")),
    ("comfyui", (b'class_type"',), re.compile(rb'class_type"\s*:\s*"(?:KSampler|SamplerCustom)')),
    ("invokeai", (b"invokeai_metadata", b"sd-metadata"), re.compile(rb"invokeai_metadata|sd-metadata")),
    ("novelai", (b"NovelAI",), re.compile(rb"NovelAI")),
    ("fooocus", (b"fooocus_scheme", b"Fooocus v"), re.compile(rb"fooocus_scheme|Fooocus v\d")),
    ("midjourney", (b"Midjourney", b"Job ID: "), re.compile(rb"Midjourney|\bJob ID: [0-9a-f-]{36}")),
    ("dall_e", (b"DALL",), re.compile(rb"DALL[-\xc2\xb7\xe2\x8b\x85]{1,3}E")),
    ("firefly", (b"Adobe Firefly",), re.compile(rb"Adobe Firefly")),
    ("google_ai", (b"with Google AI",), re.compile(rb"(?:Made|Edited) with Google AI")),
)
# ComfyUI keeps the graph that made the picture under this name, and what its editor shows under the second.
_COMFY_TEXTS = ("prompt", "workflow")
_COMFY_GRAPH = re.compile(r'"(?:class_type|nodes|last_node_id)"\s*:')
# Words stand at the ends of a file; bounded, so that a large image costs no more than a small one.
_WINDOW = 256 * 1024


def declared_tags(beside_pixels: bytes, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the declarations in a file, each once; never raises on junk.

    Args:
        beside_pixels: bytes of the file but for its pixels.
        texts: what a reader made of them, by name, with compressed and UTF-16 texts in clear.
    """
    window = beside_pixels if len(beside_pixels) <= 2 * _WINDOW else beside_pixels[:_WINDOW] + beside_pixels[-_WINDOW:]
    told = "\n".join(f"{name} {text}" for name, text in texts.items()).encode("utf-8", "replace")
    found = [*_tags(window), *_tags(told)]
    if any(_COMFY_GRAPH.search(texts.get(name, "")) for name in _COMFY_TEXTS):
        found.append("comfyui")
    return _each_once(found)


def _tags(words: bytes) -> Iterable[str]:
    for name, needed, pattern in _GENERATORS:
        if any(word in words for word in needed) and pattern.search(words):
            yield name
    if any(word in words for word in _IPTC_WORDS):
        for found in _IPTC_AI.finditer(words):
            yield "iptc:" + found.group(1).decode()


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
