"""Where the running stack can be reached, for the processes that use it and for other commands."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.embedded.data_lock import is_held
from infra.embedded.private_files import write_private

ADDRESS_FILE = "stack.json"
LOCK_FILE = "stack.lock"


@dataclass(frozen=True, repr=False)
class StackAddresses:
    """Addresses and credentials; the fields of a part that was not started are empty."""

    database_url: str = ""
    redis_url: str = ""
    s3_endpoint_url: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""
    s3_region: str = ""
    upload_bucket: str = ""
    artifact_bucket: str = ""
    sqs_queue_url: str = ""

    def environment(self) -> dict[str, str]:
        """Give the settings that point Assay's processes at this stack, without the empty ones."""
        named = {
            "ASSAY_DATABASE_URL": self.database_url,
            "ASSAY_REDIS_URL": self.redis_url,
            "ASSAY_S3_ENDPOINT_URL": self.s3_endpoint_url,
            "ASSAY_S3_ACCESS_KEY_ID": self.s3_access_key,
            "ASSAY_S3_SECRET_ACCESS_KEY": self.s3_secret_key,
            "ASSAY_S3_REGION": self.s3_region,
            "ASSAY_UPLOAD_BUCKETS": json.dumps([self.upload_bucket]) if self.upload_bucket else "",
            "ASSAY_ARTIFACT_BUCKET": self.artifact_bucket,
            "ASSAY_SQS_QUEUE_URL": self.sqs_queue_url,
            "ASSAY_SQS_ENDPOINT_URL": self.s3_endpoint_url if self.sqs_queue_url else "",
        }
        return {name: value for name, value in named.items() if value}


def write_addresses(data_dir: Path, addresses: StackAddresses) -> None:
    """Publish the addresses to other commands of the same user."""
    write_private(data_dir / ADDRESS_FILE, json.dumps(asdict(addresses), indent=2) + "\n")


def last_addresses(data_dir: Path) -> StackAddresses | None:
    """Read the addresses of the latest start on this folder, running or not."""
    try:
        return StackAddresses(**json.loads((data_dir / ADDRESS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def read_running_stack(data_dir: Path) -> StackAddresses | None:
    """Find the stack that runs on a data folder.

    Args:
        data_dir: The folder given to `EmbeddedStack`.

    Returns:
        Its addresses, or None when no stack is up there.
    """
    lock = data_dir / LOCK_FILE
    return last_addresses(data_dir) if lock.exists() and is_held(lock) else None
