"""A rescan is judged by what an earlier scan saw where that suffices, and by the pixels where it does not."""

from typing import Any

import pytest

from tests.support.fakes import FakeBundle, FakeScan
from tests.unit.worker.scan.scan_world import BETWEEN, CLEAR, FLAGGED, World, grey
from worker.database.features import EarlierScan, StoredFeatures
from worker.decisions.calibration import logit_of
from worker.errors import TransientError
from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance, SignatureState

SILENT = Provenance().as_json()


def rescan(world: World, earlier: EarlierScan | None, pixels: int = BETWEEN) -> FakeScan:
    """Scan an image of known facts again; what is earlier may differ from the pixels, so that one sees which won."""
    scan_id = world.upload(grey(pixels), rescan=True)
    image = world.scans.scans[scan_id].image
    image.sha256, image.size_bytes, image.width, image.height = "00ff", 7, 32, 16
    if earlier is not None:
        world.scans.memory[image.id] = [earlier]
    return world.scan(scan_id)


def memory_of(brightness: int, provenance: dict[str, Any] | None = None, version: str = "fake-0") -> EarlierScan:
    logit = logit_of(brightness / 255)
    memory = StoredFeatures(b"\x00\x3c", {"clip": logit, "convnext": logit}, (0.1, 0.2))
    return EarlierScan(version, memory, SILENT if provenance is None else provenance)


def test_a_rescan_needs_no_pixels_where_an_earlier_scan_saw_the_same(world: World) -> None:
    scan = rescan(world, memory_of(CLEAR))
    assert scan.verdict is not None
    assert scan.verdict["verdict"] == "not_ai_generated"
    assert scan.verdict["probability"] == pytest.approx(CLEAR / 255)
    assert scan.facts is not None
    assert (scan.facts.sha256, scan.memory, world.bundles.bundle.batches) == ("00ff", memory_of(CLEAR).memory, [])
    assert "fetch" not in scan.timings


def test_what_the_file_declared_is_weighed_again_from_memory(world: World) -> None:
    declaration = Declaration(strong=True, kind=DeclarationKind.GENERATOR, tool="comfyui", where='PNG text "prompt"')
    declared = Provenance(tags=("comfyui",), declaration=declaration).as_json()

    scan = rescan(world, memory_of(CLEAR, declared))

    assert scan.verdict is not None
    assert (scan.verdict["verdict"], scan.verdict["decided_by"]) == ("ai_generated", "declared")
    assert (scan.verdict["provenance"], scan.heatmaps, world.bundles.bundle.batches) == (declared, [], [])


def test_a_rescan_reads_a_file_with_a_manifest_again_since_whom_we_trust_may_have_changed(world: World) -> None:
    rescan(world, memory_of(CLEAR, Provenance(manifest=Manifest(SignatureState.TRUSTED)).as_json()))
    assert world.bundles.bundle.batches == [[BETWEEN]]


@pytest.mark.parametrize(
    "earlier",
    [
        pytest.param(None, id="nothing is earlier"),
        pytest.param(memory_of(CLEAR, {"tags": ["Stable Diffusion"]}), id="an older release recorded tags alone"),
        pytest.param(memory_of(FLAGGED), id="it would be flagged, which needs heatmaps"),
    ],
)
def test_a_rescan_looks_at_the_pixels_where_memory_does_not_suffice(world: World, earlier: EarlierScan | None) -> None:
    scan = rescan(world, earlier)
    assert scan.verdict is not None
    assert scan.verdict["probability"] == pytest.approx(BETWEEN / 255)
    assert world.bundles.bundle.batches == [[BETWEEN]]


def test_a_bundle_that_sees_otherwise_looks_for_itself(world: World) -> None:
    world.bundles.bundle = FakeBundle(version="another-1")
    other = world.bundles
    found = {"fake-0": FakeBundle(version="fake-0")}
    known = other.get

    def get(version: str) -> FakeBundle:
        return found.get(version) or known(version)

    other.get = get  # type: ignore[method-assign]
    rescan(world, memory_of(CLEAR))
    assert world.bundles.bundle.batches == [[BETWEEN]]


def test_a_bundle_that_is_gone_is_no_trouble(world: World) -> None:
    known = world.bundles.get

    def get(version: str) -> FakeBundle:
        if version == "fake-0":
            raise TransientError
        return known(version)

    world.bundles.get = get  # type: ignore[method-assign]
    rescan(world, memory_of(CLEAR))
    assert world.bundles.bundle.batches == [[BETWEEN]]


def test_a_live_scan_never_goes_by_memory(world: World) -> None:
    scan_id = world.upload(grey(BETWEEN))
    world.scans.memory[scan_id] = [memory_of(CLEAR)]
    world.scan(scan_id)
    assert world.bundles.bundle.batches == [[BETWEEN]]
