"""When the images of a scene have ended."""

from collections.abc import Collection, Mapping, Sequence
from random import Random

import pytest

from infra.chaos.deployment import Deployment, Ending
from infra.chaos.scene import INNOCENT, Scene
from worker.database.session import DatabaseDownError


class Waiting(Deployment):
    """Live scans as a test sets them, two in shadow that wait, and no parts behind."""

    def __init__(self) -> None:
        self.live_ended = True
        self.down = False

    def endings(self, image_ids: Collection[str]) -> Mapping[str, Sequence[Ending]]:
        if self.down:
            raise DatabaseDownError("away")
        return {image_id: [Ending("completed", self.live_ended)] for image_id in image_ids}

    def open_scans(self, image_ids: Collection[str]) -> int:
        return 2 * len(image_ids)


@pytest.fixture
def scene() -> Scene:
    scene = Scene("a rollback", Waiting(), None, Random(0))  # noqa: S311 - no secrets
    scene.name(INNOCENT)
    return scene


def test_scans_in_shadow_hold_up_the_end_of_all_and_not_that_of_what_is_served(scene: Scene) -> None:
    assert not scene.has_ended()
    assert scene.live_scans_have_ended()


@pytest.mark.parametrize("name", ["live_ended", "down"])
def test_nothing_has_ended_while_a_live_scan_waits_or_the_database_is_away(scene: Scene, name: str) -> None:
    setattr(scene.deployment, name, not getattr(scene.deployment, name))
    assert not scene.live_scans_have_ended()
    assert not scene.has_ended()
