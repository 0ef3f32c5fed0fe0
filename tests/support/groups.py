"""Which tests share a process when pytest runs in several: a process takes whole groups."""

from xdist.scheduler.loadscope import LoadScopeScheduling

# These folders' tests share one running Assay each, but for the files that start another.
_ONE_ASSAY = ("tests/acceptance/", "tests/browser/", "tests/chaos/")
_OWN_ASSAY = (
    "tests/acceptance/test_compose_as_processes.py",
    "tests/acceptance/test_learning_loop.py",
    "tests/acceptance/test_operations_guide.py",
    "tests/acceptance/test_rabbitmq.py",
    "tests/acceptance/test_trust_withdrawn.py",
    "tests/acceptance/test_upgrade.py",
    "tests/chaos/test_backup_and_restore.py",
    "tests/chaos/test_faults.py",
    "tests/chaos/test_lost_workers.py",
    "tests/chaos/test_mutated_files.py",
    "tests/chaos/test_promotion_under_load.py",
)
# Both look at detectors that are trained once in a process.
_PLANTED_MARK = (
    "tests/integration/training/test_heatmap_checks.py",
    "tests/integration/worker/test_planted_artefact.py",
)


def group_of(node_id: str) -> str:
    """Return the group of a test: its folder where that shares an Assay, else its file."""
    file = node_id.partition("::")[0]
    if file in _PLANTED_MARK:
        return "planted mark"
    shared = next((folder for folder in _ONE_ASSAY if file.startswith(folder)), file)
    return file if file in _OWN_ASSAY else shared


class Groups(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Hands out whole groups. xdist's own `loadgroup` does not see marks under this pytest."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
