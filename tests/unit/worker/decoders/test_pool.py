"""Files are read in processes of their own; if one dies, hangs or swells, its file is the culprit and no other."""

import io
import os
import signal
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from structlog.testing import capture_logs

from tests.support.decoders import LocalDecoders
from tests.support.provenance import make_authority
from tests.unusual_files import animation, grey, photo
from worker.decoders.child import UNREAD
from worker.decoders.pool import DecoderPool
from worker.decoders.process import DecoderDefectError, DecoderProcess, DecoderStartError, Limits
from worker.errors import CrashesDecoderError, PermanentError, Reason, TooComplexError
from worker.images.views import ViewPlan
from worker.provenance.findings import SignatureState

PLANS: Mapping[str, ViewPlan] = {"clip": ViewPlan(16, 1, 2), "srm": ViewPlan(32, 0, 1, mirrored=True)}
LIMITS = Limits(max_pixels=1_000_000, cpu_seconds=30, wall_seconds=60, memory_bytes=2 * 1024**3)

# A decoder process that misbehaves at files which ask it to.
SABOTAGE = """
import os, signal, sys, time
from worker.decoders import child, look

def act(data):
    kind = data[41:45] if data[37:41] == b"asSb" else b""
    if kind == b"die ":
        os._exit(9)
    if kind == b"kill":
        os.abort()
    if kind == b"hang":
        time.sleep(60)
    if kind == b"spin":
        while True: pass
    if kind == b"swel":
        bytearray(8 * 1024**3)
    if kind == b"odd ":
        raise ZeroDivisionError("odd")

def after(real):
    def work(data, *about, **more):
        act(data)
        return real(data, *about, **more)
    return work

child.look_at = after(look.look_at)
child.main()
"""
HOSTILE = (sys.executable, "-P", "-c", SABOTAGE)


def picture(act: bytes = b"", size: int = 256) -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((size, size)).convert("RGB").save(buffer, "PNG")
    data = buffer.getvalue()
    if not act:
        return data
    chunk = b"asSb" + act
    return data[:33] + struct.pack(">I", len(act)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


@pytest.fixture
def make_pool() -> Iterator[Callable[..., DecoderPool]]:
    """Make pools of one process; what is logged is kept from being drawn for a terminal."""
    pools: list[DecoderPool] = []

    def make(*, count: int = 1, limits: Limits = LIMITS, anchors: str = "", **options: Any) -> DecoderPool:
        pools.append(DecoderPool(count, limits, anchors, **options))
        return pools[-1]

    with capture_logs():
        yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def pool(make_pool: Callable[..., DecoderPool]) -> DecoderPool:
    return make_pool()


def pid_of(pool: DecoderPool) -> int:
    process = pool._children[0]._process
    assert process is not None
    return process.pid


def test_it_gives_what_the_same_work_gives_here(pool: DecoderPool) -> None:
    here = LocalDecoders()
    for data in (picture(), picture(size=500)):
        assert pool.read(data) == here.read(data)
        one, other = pool.look(data, PLANS), here.look(data, PLANS)
        assert (one.pdq, one.prepared.size, one.prepared.covariates) == (
            other.pdq,
            other.prepared.size,
            other.prepared.covariates,
        )
        assert one.preview.tobytes() == other.preview.tobytes()
        for name in PLANS:
            assert np.array_equal(one.prepared.views[name], other.prepared.views[name])


def test_frames_of_an_animation_and_a_file_that_breaks_off_come_over_as_they_are(pool: DecoderPool) -> None:
    data = animation("WEBP", photo(), grey(), [300, 500], lossless=True)
    one, other = pool.look(data, PLANS), LocalDecoders().look(data, PLANS)
    assert one.animation is not None
    assert other.animation is not None
    assert replace(one.animation, others=()) == replace(other.animation, others=())
    for mine, theirs in zip(one.animation.others, other.animation.others, strict=True):
        assert (mine.number, mine.at_ms, mine.preview.tobytes()) == (
            theirs.number,
            theirs.at_ms,
            theirs.preview.tobytes(),
        )
        for name in PLANS:
            assert np.array_equal(mine.prepared.views[name], theirs.prepared.views[name])
    assert pool.look(picture()[:-200], PLANS).truncated


def test_no_more_frames_are_cut_than_the_limits_allow(make_pool: Callable[..., DecoderPool]) -> None:
    pool = make_pool(limits=replace(LIMITS, most_frames=1))
    look = pool.look(animation("WEBP", photo(), grey(), [300, 500]), PLANS)
    assert look.animation is not None
    assert (look.animation.count, look.animation.others) == (2, ())


def test_one_process_serves_many_files_and_tells_where_the_time_went(pool: DecoderPool) -> None:
    stages: dict[str, float] = {}
    pids = set()
    for size in (10, 20, 30):
        pool.read(picture(size=size), stages.__setitem__)
        pool.look(picture(size=size), PLANS, stages.__setitem__)
        pids.add(pid_of(pool))
    assert len(pids) == 1
    assert stages.keys() == {"provenance", "decode", "views"}


def test_many_threads_share_few_processes(make_pool: Callable[..., DecoderPool]) -> None:
    pool = make_pool(count=2)
    pool.start()
    bodies = [picture(size=size) for size in range(10, 30)]
    with ThreadPoolExecutor(8) as threads:
        sizes = list(threads.map(lambda data: pool.look(data, PLANS).prepared.size, bodies))
    assert sizes == [(size, size) for size in range(10, 30)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"<html>", Reason.UNSUPPORTED_TYPE), (b"", Reason.UNDECODABLE), (picture()[:60], Reason.UNDECODABLE)],
)
def test_a_bad_picture_is_rejected_for_the_reason_it_has_here(pool: DecoderPool, data: bytes, reason: Reason) -> None:
    with pytest.raises(PermanentError) as here:
        LocalDecoders().look(data, PLANS)
    with pytest.raises(PermanentError) as there:
        pool.look(data, PLANS)
    assert (there.value.reason, there.value.detail) == (reason, here.value.detail)


def test_a_file_that_kills_its_process_twice_is_the_culprit_and_the_next_one_is_read(
    make_pool: Callable[..., DecoderPool],
) -> None:
    pool = make_pool(command=HOSTILE)
    with pytest.raises(CrashesDecoderError, match="ended with code 9"):
        pool.look(picture(b"die "), PLANS)
    with pytest.raises(CrashesDecoderError, match="ended by signal"):
        pool.look(picture(b"kill"), PLANS)
    assert pool.look(picture(), PLANS).prepared.size == (256, 256)


def test_a_process_that_was_killed_by_others_costs_no_file_anything(pool: DecoderPool) -> None:
    expected = pool.read(picture())
    os.kill(pid_of(pool), signal.SIGKILL)
    assert pool.read(picture()) == expected


def test_a_process_that_stood_still_is_replaced_and_its_file_tried_again(
    make_pool: Callable[..., DecoderPool],
) -> None:
    pool = make_pool(limits=Limits(1_000_000, 30, 2.0, 2 * 1024**3))
    pool.holds()
    os.kill(pid_of(pool), signal.SIGSTOP)
    assert pool.look(picture(), PLANS).prepared.size == (256, 256)


def test_a_file_that_hangs_its_process_is_too_complex(make_pool: Callable[..., DecoderPool]) -> None:
    pool = make_pool(command=HOSTILE, limits=Limits(1_000_000, 30, 0.5, 2 * 1024**3))
    with pytest.raises(TooComplexError, match=r"within 0\.5 s"):
        pool.look(picture(b"hang"), PLANS)


def test_a_file_that_takes_too_much_of_a_processor_is_too_complex_at_once(
    make_pool: Callable[..., DecoderPool],
) -> None:
    pool = make_pool(command=HOSTILE, limits=Limits(1_000_000, 0.1, 60, 2 * 1024**3))
    with pytest.raises(TooComplexError, match="of a processor"):
        pool.look(picture(b"spin"), PLANS)


def test_a_file_that_takes_too_much_memory_is_too_complex(make_pool: Callable[..., DecoderPool]) -> None:
    pool = make_pool(command=HOSTILE)
    with pytest.raises(TooComplexError, match="more memory"):
        pool.look(picture(b"swel"), PLANS)


def test_a_defect_of_the_process_accuses_no_picture(make_pool: Callable[..., DecoderPool]) -> None:
    with pytest.raises(DecoderDefectError, match="ZeroDivisionError: odd"):
        make_pool(command=HOSTILE).look(picture(b"odd "), PLANS)


@pytest.mark.parametrize("command", [("/bin/false",), ("/nonexistent/python",)])
def test_a_process_that_cannot_start_accuses_no_picture(
    make_pool: Callable[..., DecoderPool], command: tuple[str, ...]
) -> None:
    with pytest.raises(DecoderStartError):
        make_pool(command=command).read(picture())


def test_a_manifest_that_cannot_be_read_costs_the_picture_only_its_signature(
    make_pool: Callable[..., DecoderPool],
) -> None:
    authority = make_authority()
    signed = authority.sign(picture(), mime="image/png")
    whole = make_pool(anchors=authority.anchor).read(signed).provenance.manifest
    assert whole is not None
    assert whole.state is SignatureState.TRUSTED
    broken = "from worker.decoders import child, look\ndef no(*_): raise SystemExit(3)\nchild.read_manifest = no\n"
    unread = make_pool(command=(sys.executable, "-P", "-c", f"{broken}child.main()")).read(signed)
    assert unread.provenance.manifest == UNREAD


def test_its_environment_is_empty_and_it_imports_neither_torch_nor_settings(
    make_pool: Callable[..., DecoderPool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_DATABASE_URL", "postgresql://secret")
    (tmp_path / "json.py").write_text("raise SystemExit('run')")  # of the folder that is scanned, nothing is run
    monkeypatch.chdir(tmp_path)
    tell = (
        "import os, sys\nfrom worker.decoders import child\n"
        "bad = {'torch', 'worker.settings', 'pydantic', 'sqlalchemy'} & sys.modules.keys()\n"
        "def read(*_): raise ValueError(f'{sorted(os.environ)} {sorted(bad)}')\n"
        "child.read_file = read\nchild.main()"
    )
    pool = make_pool(command=(sys.executable, "-P", "-c", tell))
    with pytest.raises(DecoderDefectError) as error:
        pool.read(picture())
    assert "secret" not in error.value.detail
    names = set(error.value.detail.split("[")[1].split("]")[0].split(", "))
    assert names <= {"'LC_CTYPE'", "'OPENBLAS_NUM_THREADS'", "'PYTHONPATH'"}
    assert error.value.detail.endswith("[]")
    environment = Path(f"/proc/{pid_of(pool)}/environ").read_bytes()
    assert b"secret" not in environment


def test_it_finds_assay_where_its_worker_did_though_nothing_is_installed() -> None:
    # As in an image, whose folder of sources is named by PYTHONPATH alone: -S leaves out what is installed.
    process = DecoderProcess((sys.executable, "-S", "-P", "-c", "import worker"), LIMITS, "")
    process.spawn()
    assert process._process is not None
    assert process._process.wait(60) == 0
    process.end()


def test_all_processes_end_with_the_pool(make_pool: Callable[..., DecoderPool]) -> None:
    pool = make_pool(count=2)
    pool.start()
    processes = [child._process for child in pool._children]
    pool.close()
    assert all(process is not None and process.returncode is not None for process in processes)
