import numpy as np
import pytest

from training.evaluation.pictures import Pictures
from training.export.published_networks import NetworkError
from training.export.wrapped import LEAST_IMAGES, part_off


def pictures(sources: np.ndarray, hashes: np.ndarray) -> Pictures:
    places, labels = np.arange(len(sources)), (np.arange(len(sources)) % 2).astype(np.int8)
    text = np.full(len(sources), "")
    return Pictures((), places, text, labels, sources, text, text, hashes)


def test_no_bytes_are_both_for_the_head_and_for_calibration() -> None:
    """Six sources of sixty pictures; the first ten of each lie in every one of them."""
    sources = np.repeat([f"source {place}" for place in range(6)], 60)
    hashes = np.array([f"{place % 60 if place % 60 < 10 else 1000 + place:04x}" for place in range(360)])
    head, calibrating = part_off(pictures(sources, hashes))
    assert not set(head.sources) & set(calibrating.sources)
    assert not set(head.hashes) & set(calibrating.hashes)
    assert len(head) == 120
    assert len(calibrating) == 200


def test_too_few_pictures_for_a_head_are_refused() -> None:
    few = np.array([f"{place:04x}" for place in range(LEAST_IMAGES // 2)])
    with pytest.raises(NetworkError, match="cannot be parted"):
        part_off(pictures(np.full(len(few), "one"), few))
