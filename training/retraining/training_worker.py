"""The training worker: hears the bell, takes the lease of a run, and keeps it alive while a process executes it.

The run is executed in a process of its own, so that its memory is given back, a cancellation ends it at once, and a
crash of it is seen. Celery's message is acknowledged when it is heard: whatever happens then, the lease ends by itself
and the bell is rung again.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from training.fitting.checkpoints import Checkpoints
from worker.database.tables import RunState
from worker.database.training_leases import RunLease, TrainingLeases
from worker.errors import LeaseLostError, TransientError
from worker.log import get_logger
from worker.objects.trouble import ObjectStoreDownError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


log = get_logger()

# As in training.retraining.run_process, which this process must not import: torch would take memory for nothing.
TEMPORARY_FAILURE, FENCED = 75, 76
_BEATS_A_LEASE = 20
_Result = TypeVar("_Result")
_RUN = re.compile(r"run-(\d{1,18})$")
_END_SECONDS = 5.0


class TrainingWorker:
    """Executes runs one after the other, as long as there are any."""

    def __init__(
        self,
        leases: TrainingLeases,
        *,
        command: Callable[[RunLease], Sequence[str]],
        root: Path,
        checkpoints: Callable[[int, Path], Checkpoints],
        lease_seconds: float,
        checkpoint_seconds: float,
        exit_seconds: float = 60.0,
        pause_seconds: float = 15.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the parts.

        Args:
            leases: of the runs.
            command: what executes the run of a lease.
            root: folder of the runs' own folders, on this machine.
            checkpoints: what copies them to the bucket.
            lease_seconds: for which a run is held without a heartbeat.
            checkpoint_seconds: between copies.
            exit_seconds: that a process may take to exit once it has ended its run.
            pause_seconds: before the next run, when one was given back because a part is away.
            monotonic: clock, in seconds.
        """
        self._leases = leases
        self._command = command
        self._root = root
        self._checkpoints = checkpoints
        self._lease_seconds = lease_seconds
        self._beat_seconds = min(1.0, lease_seconds / _BEATS_A_LEASE)
        self._checkpoint_seconds = checkpoint_seconds
        self._exit_seconds = exit_seconds
        self._pause_seconds = pause_seconds
        self._monotonic = monotonic
        self._stop = threading.Event()

    def __call__(self) -> None:
        """Execute runs until none waits, or until told to stop."""
        try:
            while not self._stop.is_set() and (lease := self._leases.claim(self._lease_seconds)) is not None:
                self._run(lease)
            self.clear()
        except TransientError as error:
            log.warning("training_left", error=error.detail)  # the bell is rung again

    def clear(self) -> None:
        """Delete what is left here of runs that have ended elsewhere: cancelled while they waited, or taken over.

        People's uploads are among it.
        """
        left = {int(match[1]): folder for folder in self._root.glob("run-*") if (match := _RUN.match(folder.name))}
        for run_id in self._leases.ended(left.keys()):
            self._forget(left[run_id], self._checkpoints(run_id, left[run_id]))

    def stop(self) -> None:
        """End the process that runs, and give its run back; another worker resumes it."""
        self._stop.set()

    def _run(self, lease: RunLease) -> None:
        folder = self._root / f"run-{lease.run_id}"
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints = self._checkpoints(lease.run_id, folder)
        try:
            self._bring(lease, checkpoints)
            log.info("training_taken", run=lease.run_id)
            final = self._copied_while_executed(lease, folder, checkpoints)
        except LeaseLostError as error:
            log.warning("training_lost", error=error.detail)
        except ObjectStoreDownError as error:
            log.warning("checkpoints_not_brought", run=lease.run_id, error=error.detail)
            self._give_back(lease)
        else:
            if final:
                self._forget(folder, checkpoints)

    def _bring(self, lease: RunLease, checkpoints: Checkpoints) -> None:
        """Fetch the run's checkpoints, which may be large and far away, without losing the run meanwhile.

        Raises:
            ObjectStoreDownError: they are out of reach; nothing may be begun anew before they are here.
        """
        pool = ThreadPoolExecutor(1, thread_name_prefix="bring")
        bringing = pool.submit(checkpoints.bring)
        pool.shutdown(wait=False)
        while not wait([bringing], self._beat_seconds).done:
            try:
                self._leases.beat(lease, self._lease_seconds)
            except TransientError as error:
                log.warning("heartbeat_missed", error=error.detail)
        bringing.result()

    def _copied_while_executed(self, lease: RunLease, folder: Path, checkpoints: Checkpoints) -> bool:
        """Execute the run while its checkpoints are copied; return whether it has come to its end."""
        ended = threading.Event()
        copying = checkpoints.keep_copying(self._checkpoint_seconds, ended)
        try:
            return self._run_process(lease, folder)
        except LeaseLostError:
            checkpoints.leave()
            raise
        finally:
            ended.set()
            copying.join()

    def _run_process(self, lease: RunLease, folder: Path) -> bool:
        """Execute the run; return whether it has come to its end, be it a bad one."""
        with (folder / "log.txt").open("ab") as written:
            process = subprocess.Popen(
                self._command(lease), stdin=subprocess.PIPE, stdout=written, stderr=subprocess.STDOUT
            )
        try:
            cancelled = self._watched(lease, process)
            # Ended by us: the worker is to stop, or could not renew the lease.
            interrupted = process.poll() is None
        finally:
            _end(process)
        if cancelled:
            self._insist(lambda: self._leases.end(lease, RunState.CANCELLED))
            return True
        if interrupted or (process.returncode and self._stop.is_set()) or process.returncode == TEMPORARY_FAILURE:
            self._give_back(lease)
            return False
        return self._insist(lambda: self._conclude(lease, process.returncode, folder))

    def _watched(self, lease: RunLease, process: subprocess.Popen[bytes]) -> bool:
        """Keep the lease alive until the process ends, or has to; return whether the run was cancelled.

        It has to end when Postgres was away for longer than the lease, since somebody else may hold the run by now.

        Raises:
            LeaseLostError: somebody else holds the run.
        """
        beaten = self._monotonic()
        while not self._stop.is_set() and not _ended(process, self._beat_seconds):
            try:
                if self._leases.beat(lease, self._lease_seconds):
                    return True
                beaten = self._monotonic()
            except TransientError as error:
                log.warning("heartbeat_missed", error=error.detail)
                if self._monotonic() - beaten > self._lease_seconds:
                    return False
            except LeaseLostError:
                # The process may have ended the run a moment ago, and be on its way out.
                if not _ended(process, self._exit_seconds):
                    raise
        return False

    def _give_back(self, lease: RunLease) -> None:
        """Queue the run again, which costs it none of its lives."""
        self._insist(lambda: self._leases.give_back(lease))
        log.info("training_given_back", run=lease.run_id)
        self._stop.wait(self._pause_seconds)  # a part was away: not again at once

    def _insist(self, act: Callable[[], _Result]) -> _Result:
        """Write down how a run left this worker, as soon as Postgres answers.

        A lease that expires instead counts as a worker's death, and three of them end a run.

        Raises:
            TransientError: Postgres does not answer, and the worker is to stop.
        """
        while True:
            try:
                return act()
            except TransientError as error:
                log.warning("training_not_settled", error=error.detail)
                if self._stop.wait(self._beat_seconds):
                    raise

    def _forget(self, folder: Path, checkpoints: Checkpoints) -> None:
        """Delete what is left of a run that has ended.

        While the store does not delete the copies, an empty folder reminds of them at the next bell.
        """
        shutil.rmtree(folder, ignore_errors=True)
        try:
            checkpoints.drop()
        except (ObjectStoreDownError, RefusedError) as error:
            log.warning("checkpoints_not_dropped", error=error.detail)
            folder.mkdir(parents=True, exist_ok=True)

    def _conclude(self, lease: RunLease, status: int, folder: Path) -> bool:
        """Make sure that the run ends as its process did; return whether it has come to its end."""
        if status == 0:  # it has ended the run itself
            return True
        try:
            if status == FENCED:  # somebody else holds the run, or it was cancelled at the very end
                if self._leases.beat(lease, self._lease_seconds):
                    self._leases.end(lease, RunState.CANCELLED)
                    return True
                return False
            if status < 0:
                # Killed, by the machine's lack of memory perhaps: resumed, some times.
                log.warning("training_killed", run=lease.run_id, signal=signal.Signals(-status).name)
                self._leases.beat(lease, self._lease_seconds)
                self._leases.let_expire(lease)
                return False
            self._leases.end(lease, RunState.FAILED, f"the run ended with status {status}: {_last_line(folder)}")
        except LeaseLostError:
            return False
        return True


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs; its checkpoints are written in one move, so any moment is good."""
    process.terminate()
    if not _ended(process, _END_SECONDS):
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _last_line(folder: Path) -> str:
    lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"
