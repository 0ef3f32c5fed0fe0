"""The one list of detectors' names, for bundles, recipes, API, console and command line; importable without torch."""

from enum import StrEnum


class DetectorName(StrEnum):
    """A detector as bundles and answers name it; a new one is named here first."""

    CLIP = "clip"
    CONVNEXT = "convnext"
    LITE2 = "lite2"
    LITE2X2 = "lite2x2"
    SRM = "srm"


# As people read them.
TITLES = {
    DetectorName.CLIP: "CLIP",
    DetectorName.CONVNEXT: "ConvNeXt",
    DetectorName.LITE2: "EfficientNet-Lite2",
    DetectorName.LITE2X2: "EfficientNet-Lite2, enlarged",
    DetectorName.SRM: "SRM",
}


def title_of(name: str) -> str:
    """Return how people read a detector's name; a name that is not in the list stands for itself."""
    return TITLES.get(name, name)  # type: ignore[call-overload, no-any-return]
