"""The bare loop: the same bundle over files on disk, decoding included, without any service around it."""

import json
import resource
import sys
import time
from pathlib import Path

from worker.bundles.loaded import shipped_bundle
from worker.bundles.opening import opening
from worker.decisions.policy import Rules
from worker.detectors.device import pick_device, set_threads
from worker.freed_memory import share_freed_memory
from worker.log import configure_logging
from worker.processes.decoders import decoder_pool
from worker.scan.scan_files import scan_files
from worker.settings import Settings


def main() -> None:
    """Scan a folder once warm, and print a JSON line: images, seconds, and the most memory resident, in MB."""
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)  # to stderr: stdout has the one line
    share_freed_memory()
    set_threads(settings.torch_threads)
    bundle = opening(settings, pick_device(settings.device)).open(shipped_bundle(settings.bundle))
    bundle.warm_up(settings.max_batch)
    paths = sorted(Path(sys.argv[1]).iterdir())
    rules = Rules(false_positive_budget=0.01, miss_budget=0.05, prior_shift=0.0)
    limits = {"max_batch": settings.max_batch, "max_bytes": settings.max_image_bytes}
    decoders = decoder_pool(settings)
    decoders.holds()  # started
    start = time.perf_counter()
    scanned = sum(1 for _ in scan_files(paths, bundle, rules, decoders=decoders, **limits))
    seconds = time.perf_counter() - start
    decoders.close()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux tells KiB
    print(json.dumps({"images": scanned, "seconds": seconds, "resident_mb": round(resident)}))


if __name__ == "__main__":
    main()
