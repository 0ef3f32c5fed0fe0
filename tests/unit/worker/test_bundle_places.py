import pytest

from worker.bundle_places import artifact_prefix, files_of
from worker.errors import AssayError


def test_a_description_names_its_files_and_comes_last_itself() -> None:
    files = files_of({"detectors": {"clip": {}, "convnext": {}}})
    assert files == ["clip.safetensors", "convnext.safetensors", "card.json", "bundle.json"]


@pytest.mark.parametrize(
    "detectors", [{"../clip": {}}, {"a/b": {}}, {"": {}}, {"CLIP": {}}, {"clip\n": {}}, ["clip"], None]
)
def test_a_description_never_names_a_file_elsewhere(detectors: object) -> None:
    with pytest.raises(AssayError, match=r"describes no bundle: export it again"):
        files_of({"detectors": detectors})


def test_every_version_has_a_prefix_of_its_own() -> None:
    assert artifact_prefix("wild-0123456789ab") == "bundles/wild-0123456789ab/"
