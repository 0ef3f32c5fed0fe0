"""What people call the two classes and the parts of a data set: names of folders and words in tables → labels.

Pure decisions. A name that says both (`real-vs-fake`) or neither says nothing.
"""

import re
from collections.abc import Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_AI = _words("ai aigc aigen aigenerated fake fakes deepfake deepfakes generated synthetic synth artificial")
_REAL = _words(
    "real reals human humans nature natural photo photos photograph photographs photography authentic genuine "
    "original originals camera pristine"
)
_LABELS = dict.fromkeys(_REAL, 0) | dict.fromkeys(_AI, 1)
_NOT = frozenset({"not", "non", "no"})
_NONE_OF = "no"  # `no-ai` is a photograph, but `no-photos` says only what is not there
_BETWEEN = _words("a an the by with from of using made created")  # and the fillers: a negation reaches over these
# What stands beside the class in a folder's name without meaning anything more, as in `training_fake` or `0_real`.
_FILLERS = _words("0 1 image images img imgs picture pictures data dataset set face faces art class made vs and")
_PARTS = {
    "training": frozenset({"train", "training", "trainset"}),
    "validation": frozenset({"val", "valid", "validation", "dev"}),
    "test": frozenset({"test", "testing", "testset"}),
}
_YES, _NO = frozenset({"true", "yes"}), frozenset({"false", "no"})


class AmbiguousNameError(ValueError):
    """The folders on an image's way name both classes."""


def tokens(name: str) -> list[str]:
    """Part a name into lower-case words: `AiArtData` → ai art data, `0_real` → 0 real."""
    return re.findall(r"[a-z]+|[0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def label_of(name: str) -> int | None:
    """Tell the class a name stands for: 1 = AI-generated, 0 = not, None where it says both or neither."""
    labels: set[int | None] = set()
    negated, lost = "", False  # the negation that reaches up to here; whether one has reached nothing
    for word in tokens(name):
        label = _LABELS.get(word)
        if word in _NOT:
            negated, lost = word, False
        elif label is not None:
            refused = lost or (label == 0 and negated == _NONE_OF)  # who knows what `not_edited_real` means
            labels.add(None if refused else label ^ bool(negated))
        elif negated and word not in _FILLERS | _BETWEEN:
            negated, lost = "", negated != _NONE_OF  # `photos_no_flash` is no negation of photographs
    return labels.pop() if len(labels) == 1 else None


def label_of_value(value: str) -> int | None:
    """Read a table's cell: 1 and above, true, or a word of the class; the design's own words among them."""
    text = value.strip().lower()
    if re.fullmatch(r"[0-9]+(\.0+)?", text):
        return int(float(text) > 0)
    if text in _YES | _NO:
        return int(text in _YES)
    return label_of(value)


def part_of(name: str) -> str | None:
    """Tell the part of a data set that a name stands for: `training`, `validation`, `test`, or None."""
    words = set(tokens(name))
    parts = [part for part, spellings in _PARTS.items() if spellings & words]
    return parts[0] if len(parts) == 1 else None


def says_only_class_or_part(name: str) -> bool:
    """Tell whether a folder's name says nothing else than class and part: `training_fake` yes, `sdxl_fake` no."""
    vocabulary = _AI | _REAL | _NOT | _FILLERS | frozenset().union(*_PARTS.values())
    return set(tokens(name)) <= vocabulary


def class_folder(folders: Sequence[str]) -> int | None:
    """Find the folder that gives an image's class, among those on the way to it from the data set's root.

    Names that say nothing but the class go before names that say more (`real_esrgan` is a generator below `fake`);
    of several the outermost.

    Returns:
        its index, or None.

    Raises:
        AmbiguousNameError: folders that say nothing but the class name both classes.
    """
    with_label = [index for index, name in enumerate(folders) if label_of(name) is not None]
    plain = [index for index in with_label if says_only_class_or_part(folders[index])]
    if len({label_of(folders[index]) for index in plain}) > 1:
        raise AmbiguousNameError(f"{'/'.join(folders)} names both classes; rename the folder that is none")
    return next(iter(plain or with_label), None)
