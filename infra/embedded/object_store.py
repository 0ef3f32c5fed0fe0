"""The embedded object store: ministack, S3 with SQS notifications, objects and state on disk."""

import http.client
import shutil
from pathlib import Path

from infra.embedded.credentials import Credentials
from infra.embedded.errors import StackError, from_os_error
from infra.embedded.object_store_setup import (
    ARTIFACT_BUCKET,
    QUEUE,
    UPLOAD_BUCKET,
    ObjectStoreSetup,
)
from infra.embedded.ports import LOOPBACK
from infra.embedded.process import Process

DEFAULT_PORT = 14566
REGION = "us-east-1"
_SERVER = Path(__file__).with_name("object_store_server.py")


class ObjectStore:
    """One server with its data in one folder."""

    def __init__(self, folder: Path, log_file: Path, port: int, credentials: Credentials, interpreter: Path) -> None:
        """Keep what is needed; nothing is touched before `process`.

        Args:
            folder: Where its data lies.
            log_file: Where its output goes.
            port: Where it listens on the loopback address.
            credentials: Holds its access key and secret key.
            interpreter: The Python of ministack's virtual environment.
        """
        self._folder = folder
        self._log_file = log_file
        self._port = port
        self._url = f"http://{LOOPBACK}:{port}"
        self._credentials = credentials
        self._interpreter = interpreter

    def addresses(self) -> dict[str, str]:
        """Give the endpoint of both S3 and SQS, the credentials, and the names within."""
        return {
            "s3_endpoint_url": self._url,
            "s3_access_key": self._credentials.s3_access_key,
            "s3_secret_key": self._credentials.s3_secret_key,
            "s3_region": REGION,
            "upload_bucket": UPLOAD_BUCKET,
            "artifact_bucket": ARTIFACT_BUCKET,
            "sqs_queue_url": f"{self._url}/000000000000/{QUEUE}",
        }

    def process(self) -> Process:
        """Describe the server process.

        Raises:
            StackError: If ministack is not installed or a folder cannot be made.
        """
        if not self._interpreter.exists():
            raise StackError(f"ministack is not installed ({self._interpreter} is missing); run `make setup`")
        temporary = self._folder / "tmp"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
        except OSError as error:
            raise from_os_error(error, "preparation of the object store") from error
        return Process(
            name="object_store",
            # -P keeps our folder off the module path: its file names are ours, not ministack's.
            argv=(str(self._interpreter), "-P", str(_SERVER)),
            env=self._environment(temporary),
            log_file=self._log_file,
            ready=self._answers,
            after_ready=ObjectStoreSetup(
                self._url, REGION, self._credentials.s3_access_key, self._credentials.s3_secret_key
            ).make_sure,
            cwd=self._folder,
        )

    def _environment(self, temporary: Path) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self._folder),
            "TMPDIR": str(temporary),
            "SERVICES": "s3,sqs",
            "GATEWAY_PORT": str(self._port),
            "BIND_HOST": LOOPBACK,
            "MINISTACK_HOST": LOOPBACK,
            "MINISTACK_REGION": REGION,
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": self._credentials.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self._credentials.s3_secret_key,
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self._folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._folder / "s3"),
            "MINISTACK_WORKER_THREADS": "16",
            "LOG_LEVEL": "WARNING",
            # Other services of ministack would open ports of their own.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # At its start and end ministack removes every container with its label; not on this machine.
            "DOCKER_HOST": "unix:///nonexistent",
        }

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=1)
        try:
            connection.request("GET", "/_ministack/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
