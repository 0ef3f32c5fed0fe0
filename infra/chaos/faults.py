"""The faults: what each does while images pour in. Those that need hands on processes run on this machine alone."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from functools import partial
from itertools import combinations
from random import Random

from infra.chaos.hostile_files import TOO_COMPLEX, TOO_MANY_PIXELS
from infra.chaos.local import PAIRS, PARTS
from infra.chaos.proxy import Trouble
from infra.chaos.scene import BOMB, MAY_BE_GONE, Scene
from worker.errors import AssayError

_FREEZE_SECONDS = 20.0
_TROUBLE_SECONDS = 3.0
_STORE_SECONDS = 6.0
_LOADED_SECONDS = 120.0
_SOME = 4
_WRITE_FILES = ("postgres", "valkey", "object_store")
_PAIR = 2
_OF_STORES = (Trouble.ERROR_500, Trouble.SLOW_DOWN, Trouble.TRUNCATE, Trouble.STALL)


@dataclass(frozen=True)
class Fault:
    """A fault: how to strike it, and how to mend it.

    Attributes:
        name: what people call it.
        strike: makes it happen; returns once it is over.
        local: it needs the stack on this machine.
        kills: parts that it kills.
        promotes: it needs a second bundle.
    """

    name: str
    strike: Callable[[Scene], None]
    local: bool = True
    kills: tuple[str, ...] = ()
    promotes: bool = False


def all_faults() -> list[Fault]:
    """Return every fault."""
    names = [(name,) for name in PARTS] + list(combinations(PARTS, 2))
    return [
        *(Fault("kill " + " + ".join(parts), partial(_kill, parts), kills=parts) for parts in names),
        *(Fault(f"freeze {part}", partial(_freeze, part)) for part in PARTS),
        *(Fault(f"cut {a} - {b}", partial(_make_trouble, Trouble.CUT, (a, b))) for a, b in PAIRS),
        *(Fault(f"slow {a} - {b}", partial(_make_trouble, Trouble.SLOW, (a, b))) for a, b in PAIRS),
        *(Fault(f"disk full {part}", partial(_fill_disk, part)) for part in _WRITE_FILES),
        *(Fault(f"store {trouble.name.lower()}", partial(_store_trouble, trouble)) for trouble in _OF_STORES),
        Fault("SIGTERM in a batch", _terminate),
        Fault("freeze across a promotion", _freeze_across_promotion),
        Fault("lost events", _lose_events),
        Fault("flush broker", _flush, local=False),
        Fault("duplicate events", _duplicate_events, local=False),
        Fault("late events", _late_events, local=False),
        Fault("stale events", _stale_events, local=False),
        Fault("overwrite", _overwrite, local=False),
        Fault("delete", _delete, local=False),
        Fault("promotion", partial(_change_champion, ["promote"]), local=False, promotes=True),
        Fault("promotion and rollback", partial(_change_champion, ["promote", "rollback"]), local=False, promotes=True),
        Fault("bombs among innocents", _bombs, local=False),
    ]


def chosen_faults(only: Sequence[str], random: Random) -> list[Fault]:
    """Return the faults to strike, in an order of chance; raises AssayError where none is called so.

    Args:
        only: names, with `*` for any part of one. Without any, of all pairs of killed parts as many are chosen as
            bring each part into two.
        random: where chance comes from.
    """
    faults = all_faults()
    ring = random.sample(PARTS, len(PARTS))
    pairs = [{first, second} for first, second in zip(ring, [*ring[1:], ring[0]], strict=True)]
    chosen = [
        fault
        for fault in faults
        if any(fnmatch(fault.name, name) for name in only)
        or (not only and (len(fault.kills) != _PAIR or set(fault.kills) in pairs))
    ]
    if not chosen:
        raise AssayError(f"no fault is called so; there are: {', '.join(fault.name for fault in faults)}")
    return random.sample(chosen, len(chosen))


def _kill(names: tuple[str, ...], scene: Scene) -> None:
    scene.local.kill(*names)


def _freeze(name: str, scene: Scene) -> None:
    with scene.local.freeze(name):
        time.sleep(_FREEZE_SECONDS)


def _make_trouble(trouble: Trouble, pair: tuple[str, str], scene: Scene) -> None:
    with scene.local.trouble(trouble, pair):
        time.sleep(_TROUBLE_SECONDS)


def _fill_disk(part: str, scene: Scene) -> None:
    with ThreadPoolExecutor(1) as platform:
        with scene.local.full_disk(part):
            # It insists, so it ends once there is room again.
            putting = platform.submit(scene.put, _SOME)
            time.sleep(_TROUBLE_SECONDS)
        putting.result()


def _store_trouble(trouble: Trouble, scene: Scene) -> None:
    pairs = [pair for pair in scene.local.proxies if pair[1] == "object_store"]
    with scene.local.trouble(trouble, *pairs):
        scene.put(_SOME)
        time.sleep(_STORE_SECONDS)


def _terminate(scene: Scene) -> None:
    scene.put(2 * _SOME)
    scene.local.terminate("worker")


def _freeze_across_promotion(scene: Scene) -> None:
    """What a frozen worker held, others have judged by another bundle when it thaws; it must not judge it again."""
    _change_champion(["promote"], scene)
    scene.wait(scene.deployment.all_loaded, _LOADED_SECONDS)  # else the others would go on with the same bundle
    scene.put(4 * _SOME)
    with scene.local.freeze("worker"):
        _change_champion(["promote"], scene)
        time.sleep(_FREEZE_SECONDS)


def _lose_events(scene: Scene) -> None:
    with _without_notifications(scene):
        scene.put(2 * _SOME)


def _flush(scene: Scene) -> None:
    for _ in range(3):
        scene.deployment.flush_broker()
        time.sleep(scene.random.random())


def _duplicate_events(scene: Scene) -> None:
    for _ in range(_SOME):
        (key,) = scene.put()
        version = scene.deployment.put(key, scene.picture())
        for times in (1, 3):
            scene.deployment.post_event(key, version, _at(), times)


def _late_events(scene: Scene) -> None:
    """Events of hours ago, for objects that were overwritten since."""
    for _ in range(_SOME):
        key = scene.name(MAY_BE_GONE)
        old = scene.deployment.put(key, scene.picture())
        scene.deployment.put(key, scene.picture())
        scene.deployment.post_event(key, old, _at(hours=-5))


def _stale_events(scene: Scene) -> None:
    """Events of states that never were, one of them from the future: what was really stored goes on counting."""
    for _ in range(_SOME):
        (key,) = scene.put()
        scene.deployment.post_event(key, f"never-{scene.random.getrandbits(32):x}", _at(hours=24))


def _overwrite(scene: Scene) -> None:
    for _ in range(_SOME):
        (key,) = scene.put()
        for _ in range(2):
            scene.deployment.put(key, scene.picture())


def _delete(scene: Scene) -> None:
    for number in range(2 * _SOME):
        key = scene.name(MAY_BE_GONE)
        version = scene.deployment.put(key, scene.picture())
        scene.deployment.delete(key, version if number % 2 else None)


def _change_champion(acts: list[str], scene: Scene) -> None:
    for act in acts:
        scene.deployment.change_champion(act)
        scene.put(_SOME)


def _bombs(scene: Scene) -> None:
    for make in (*TOO_COMPLEX.values(), *TOO_MANY_PIXELS.values()):
        scene.put(endings=BOMB, data=make())
        scene.put()


def _at(hours: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


class _without_notifications(AbstractContextManager[None]):  # noqa: N801 - read as a phrase
    """Takes the bucket's notifications away, as a store does that loses events; the sweep has to find the images."""

    def __init__(self, scene: Scene) -> None:
        self._s3, self._bucket = scene.deployment.s3, scene.deployment.bucket

    def __enter__(self) -> None:
        kept = self._s3.get_bucket_notification_configuration(Bucket=self._bucket)
        self._kept = {name: value for name, value in kept.items() if name != "ResponseMetadata"}
        self._s3.put_bucket_notification_configuration(Bucket=self._bucket, NotificationConfiguration={})

    def __exit__(self, *raised: object) -> None:
        self._s3.put_bucket_notification_configuration(
            Bucket=self._bucket,
            NotificationConfiguration=self._kept,  # type: ignore[arg-type]
        )
