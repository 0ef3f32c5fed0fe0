"""One running stack for the tests that share it, and the ways to ask it things."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psycopg
import pytest
import redis
from botocore.config import Config

from infra.embedded.addresses import StackAddresses
from infra.embedded.stack import PARTS, EmbeddedStack

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

_CLIENT_CONFIG = Config(
    retries={"max_attempts": 0}, connect_timeout=2, read_timeout=5, proxies={}, signature_version="s3v4"
)
ANY_PORTS = dict.fromkeys(PARTS, 0)


def _eventually(check: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until something holds; fail when it does not within the time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        pause.wait(0.02)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    return _eventually


@dataclass(frozen=True)
class Clients:
    """What a user of the stack holds."""

    addresses: StackAddresses

    def postgres(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.addresses.database_url.replace("+psycopg", ""), autocommit=True, connect_timeout=2)

    def valkey(self) -> "redis.Redis":
        return redis.Redis.from_url(self.addresses.redis_url, socket_timeout=5)

    def s3(self, endpoint_url: str = "", access_key: str = "", secret_key: str = "") -> "S3Client":
        return boto3.client(
            "s3",
            endpoint_url=endpoint_url or self.addresses.s3_endpoint_url,
            region_name=self.addresses.s3_region,
            aws_access_key_id=access_key or self.addresses.s3_access_key,
            aws_secret_access_key=secret_key or self.addresses.s3_secret_key,
            config=_CLIENT_CONFIG,
        )

    def sqs(self) -> "SQSClient":
        return boto3.client(
            "sqs",
            endpoint_url=self.addresses.s3_endpoint_url,
            region_name=self.addresses.s3_region,
            aws_access_key_id=self.addresses.s3_access_key,
            aws_secret_access_key=self.addresses.s3_secret_key,
            config=_CLIENT_CONFIG,
        )

    def take_event_bodies(self) -> list[str]:
        """Receive and delete what is in the queue; gives the bodies."""
        sqs, url = self.sqs(), self.addresses.sqs_queue_url
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in received.get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in received.get("Messages", [])]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack") / ".assay"


@pytest.fixture(scope="session")
def stack(data_dir: Path) -> Iterator[EmbeddedStack]:
    running = EmbeddedStack(data_dir, fixed_ports=ANY_PORTS)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def clients(stack: EmbeddedStack) -> Clients:
    return Clients(stack.addresses)
