"""Files as people really send them: how each scan ends, what the file declares, and what is missing."""

import pytest

from tests.files_as_sent import FILES
from tests.unusual_files import SIDE, photo
from worker.errors import PermanentError
from worker.images.decode import decode
from worker.provenance.c2pa_manifest import read_manifest
from worker.provenance.reading import read_provenance

MAX_PIXELS = 1_000_000


@pytest.mark.parametrize("name", FILES)
def test_a_file_as_sent_ends_as_it_should_and_declares_what_it_does(name: str) -> None:
    sent = FILES[name]
    data = sent.make()
    assert read_provenance(data, lambda found: read_manifest(found, "")).tags == sent.tags
    if sent.reason is not None:
        with pytest.raises(PermanentError) as caught:
            decode(data, max_pixels=MAX_PIXELS)
        assert caught.value.reason == sent.reason
        return
    found = decode(data, max_pixels=MAX_PIXELS)
    assert found.image.mode == "RGB"
    assert found.image.size in {(SIDE, SIDE), (256, 256)}
    assert (found.truncated, len(found.frames)) == (sent.truncated, sent.frames)


@pytest.mark.parametrize("name", ["alpha of zeros, version 4.bmp", "alpha of zeros, version 5.bmp"])
def test_a_bitmap_whose_alpha_is_zero_everywhere_is_opaque(name: str) -> None:
    assert decode(FILES[name].make(), max_pixels=MAX_PIXELS).image.tobytes() == photo().tobytes()


def test_the_table_has_at_least_sixty_files() -> None:
    assert len(FILES) >= 60
