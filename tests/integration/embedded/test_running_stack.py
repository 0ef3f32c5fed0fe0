"""What must hold of a stack that is up, and after each of its parts was killed."""

import json
import os
import signal
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psycopg
import pytest
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.embedded.addresses import StackAddresses, read_running_stack
from infra.embedded.errors import StackError
from infra.embedded.ports import inodes_of, listeners
from infra.embedded.stack import PARTS, EmbeddedStack
from tests.support.assay_up import descendants

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

pytestmark = pytest.mark.integration

_CLIENT_CONFIG = Config(
    retries={"max_attempts": 0}, connect_timeout=2, read_timeout=5, proxies={}, signature_version="s3v4"
)
ANY_PORTS = dict.fromkeys(PARTS, 0)
MESSY_KEY = "dir/a b+ü%.jpg"


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


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack") / ".assay"


@pytest.fixture(scope="module")
def stack(data_dir: Path) -> Iterator[EmbeddedStack]:
    running = EmbeddedStack(data_dir, fixed_ports=ANY_PORTS)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def clients(stack: EmbeddedStack) -> Clients:
    return Clients(stack.addresses)


def kill_and_wait(stack: EmbeddedStack, name: str, eventually: Callable[..., None]) -> None:
    before = stack.supervisor.pids()[name]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: stack.supervisor.pids().get(name, before) != before)
    assert stack.supervisor.wait_ready(name, 60.0)


def sees_event_of(clients: Clients, key: str) -> bool:
    return any(key in body for body in clients.take_event_bodies())


def test_every_part_answers(clients: Clients, eventually: Callable[..., None]) -> None:
    with clients.postgres() as connection:
        assert str(connection.execute("SHOW server_version").fetchone()).startswith("('18.")
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
    assert clients.valkey().config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert clients.valkey().config_get("append*")["appendonly"] == "yes"
    put = clients.s3().put_object(Bucket="uploads", Key=MESSY_KEY, Body=b"bytes", Metadata={"image-id": "7"})
    assert put["VersionId"] not in {"", "null"}
    eventually(lambda: sees_event_of(clients, "dir/a+b%2B%C3%BC%25.jpg"))
    got = clients.s3().get_object(Bucket="uploads", Key=MESSY_KEY, VersionId=put["VersionId"])
    assert got["Body"].read() == b"bytes"


def test_other_commands_find_the_running_stack(data_dir: Path, stack: EmbeddedStack, clients: Clients) -> None:
    assert stack.supervisor.pids().keys() == {"postgres", "valkey", "object_store"}
    assert read_running_stack(data_dir) == clients.addresses


def test_a_second_start_on_the_same_folder_is_refused_in_one_line(data_dir: Path, stack: EmbeddedStack) -> None:
    assert stack.supervisor.pids()
    with pytest.raises(StackError) as refused:
        EmbeddedStack(data_dir).start()
    assert f"a stack already runs on {data_dir} (pid {os.getpid()})" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nothing_listens_beyond_the_loopback_address(stack: EmbeddedStack, clients: Clients) -> None:
    ours = set(stack.supervisor.pids().values())
    everyone = ours.union(*(descendants(pid) for pid in ours))
    inodes = set().union(*(inodes_of(pid) for pid in everyone))
    found = [listener for listener in listeners() if listener.inode in inodes]
    urls = (clients.addresses.database_url, clients.addresses.redis_url, clients.addresses.s3_endpoint_url)
    ports = {int(url.rpartition(":")[2].partition("/")[0]) for url in urls}
    assert {(listener.address, listener.port) for listener in found} == {("127.0.0.1", port) for port in ports}


def test_files_with_secrets_are_for_their_owner_alone(data_dir: Path, stack: EmbeddedStack) -> None:
    assert stack.supervisor.pids()
    for secret in ("credentials.json", "stack.json", "valkey/valkey.conf"):
        assert stat.S_IMODE((data_dir / secret).stat().st_mode) == 0o600, secret
    assert not (data_dir / "postgres" / "password").exists()


def test_no_command_line_and_no_log_shows_a_secret(data_dir: Path, stack: EmbeddedStack) -> None:
    assert stack.supervisor.pids()
    credentials: dict[str, str] = json.loads((data_dir / "credentials.json").read_text(encoding="utf-8"))
    texts = {}
    for path in (*Path("/proc").glob("[0-9]*/cmdline"), *(data_dir / "logs").iterdir()):
        try:
            texts[path] = path.read_bytes()
        except OSError:  # the process has ended meanwhile
            continue
    assert len(texts) > 3
    showing = [(name, path) for name, secret in credentials.items() for path in texts if secret.encode() in texts[path]]
    assert showing == []


def test_the_object_store_refuses_what_is_not_signed_with_its_secret(clients: Clients) -> None:
    for wrong in (clients.s3(secret_key="no"), clients.s3(access_key="test", secret_key="test")):
        with pytest.raises(ClientError, match="AccessDenied"):
            wrong.list_buckets()


def test_the_object_store_serves_presigned_addresses_and_no_forged_ones(clients: Clients) -> None:
    clients.s3().put_object(Bucket="assay-artifacts", Key=MESSY_KEY, Body=b"map")
    address = clients.s3().generate_presigned_url("get_object", {"Bucket": "assay-artifacts", "Key": MESSY_KEY})
    with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - an http address by construction
        assert answer.read() == b"map"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address.replace("Signature=", "Signature=0"), timeout=5)  # noqa: S310 - likewise


def test_nobody_can_wipe_the_object_store_through_its_administrative_routes(clients: Clients) -> None:
    request = urllib.request.Request(clients.addresses.s3_endpoint_url + "/_ministack/reset", method="POST")  # noqa: S310
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=5)  # noqa: S310 - an http address by construction


def test_postgres_comes_back_with_its_rows(
    stack: EmbeddedStack, clients: Clients, eventually: Callable[..., None]
) -> None:
    with clients.postgres() as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (42)")
        kill_and_wait(stack, "postgres", eventually)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with clients.postgres() as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(42,)]


def test_valkey_comes_back_with_its_keys(
    stack: EmbeddedStack, clients: Clients, eventually: Callable[..., None]
) -> None:
    clients.valkey().set("kept", "42")
    # The append-only file reaches the kernel at once and the disk within a second: SIGKILL loses nothing.
    kill_and_wait(stack, "valkey", eventually)
    assert clients.valkey().get("kept") == b"42"
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(clients.addresses.redis_url.replace("redis://:", "redis://:x")).ping()


def test_the_object_store_comes_back_with_objects_versions_and_events(
    stack: EmbeddedStack, clients: Clients, eventually: Callable[..., None]
) -> None:
    s3 = clients.s3()
    versions = [s3.put_object(Bucket="uploads", Key="kept.jpg", Body=body)["VersionId"] for body in (b"one", b"two")]
    kill_and_wait(stack, "object_store", eventually)
    bodies = [s3.get_object(Bucket="uploads", Key="kept.jpg", VersionId=v)["Body"].read() for v in versions]
    assert bodies == [b"one", b"two"]
    listed = s3.list_object_versions(Bucket="uploads", Prefix="kept.jpg")["Versions"]
    assert {entry["VersionId"] for entry in listed} == set(versions)
    s3.put_object(Bucket="uploads", Key="after-the-kill.jpg", Body=b"three")
    eventually(lambda: sees_event_of(clients, "after-the-kill.jpg"))


def test_a_killed_part_answers_nobody_until_it_is_back(clients: Clients) -> None:
    # The clients above fail at once and do not hang: what the parts' users build their retries on.
    absent = clients.s3(endpoint_url="http://127.0.0.1:9")
    with pytest.raises(BotoCoreError):
        absent.list_buckets()
