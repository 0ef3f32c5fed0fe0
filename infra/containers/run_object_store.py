"""Stands in for RustFS: the embedded object store behind its gate, with the bucket's events posted to a webhook.

It reads RustFS' variables as docker-compose.yml gives them. Events wait in a queue
of the store's own until the webhook takes them, as RustFS keeps them on disk. It runs
under ministack's interpreter, beside `object_store_server.py`.
"""

import asyncio
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from object_store_server import Application, Gate, Receive, Scope, Send, serve  # type: ignore[import-not-found]

QUEUE = "webhook"
_HEALTH, _READY = "/health", "/_ministack/ready"
_WEBHOOK = "RUSTFS_NOTIFY_WEBHOOK_"
_PAUSE_SECONDS = 1.0
_POST_SECONDS = 10.0


class Door:
    """Answers RustFS' health check with ministack's, and leaves all else to the gate."""

    def __init__(self, gate: Application) -> None:
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http" and scope["path"] == _HEALTH:
            scope = {**scope, "path": _READY, "raw_path": _READY.encode()}
        await self._gate(scope, receive, send)


def ministack_variables(rustfs: Mapping[str, str]) -> dict[str, str]:
    """Return ministack's variables, made of those of RustFS."""
    data = rustfs["RUSTFS_VOLUMES"]
    return {
        "SERVICES": "s3,sqs",
        "GATEWAY_PORT": rustfs["RUSTFS_ADDRESS"].rpartition(":")[2],
        "BIND_HOST": rustfs["RUSTFS_ADDRESS"].rpartition(":")[0] or "0.0.0.0",  # noqa: S104 - a container's own network  # nosec B104
        "MINISTACK_REGION": rustfs["RUSTFS_REGION"],
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": Path(rustfs["RUSTFS_ACCESS_KEY_FILE"]).read_text(encoding="utf-8").strip(),
        "AWS_SECRET_ACCESS_KEY": Path(rustfs["RUSTFS_SECRET_KEY_FILE"]).read_text(encoding="utf-8").strip(),
        "AWS_DEFAULT_REGION": rustfs["RUSTFS_REGION"],
        "PERSIST_STATE": "1",
        "STATE_DIR": f"{data}/state",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": f"{data}/s3",
        "MINISTACK_WORKER_THREADS": "16",
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
    }


class Relay:
    """Posts what waits in the queue to the webhook; what it does not take stays in the queue."""

    def __init__(self, sqs: Any, url: str, token: str) -> None:
        self._sqs = sqs
        self._url = url
        self._token = token

    def run(self) -> None:
        """Send events to their webhook for ever."""
        while True:
            try:
                queue = self._queue()
                while True:
                    self.pass_on(queue)
            except Exception as error:  # noqa: BLE001 - a thread's boundary: the store may not be up yet
                print(f"events wait: {error!r}", flush=True)  # noqa: T201
                time.sleep(_PAUSE_SECONDS)

    def pass_on(self, queue: str) -> None:
        """Post the next events; one that was taken leaves the queue."""
        answer = self._sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        for message in answer.get("Messages", ()):
            self._post(message["Body"].encode())
            self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    def _queue(self) -> str:
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "s3.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": f"arn:aws:sqs:*:*:{QUEUE}",
                }
            ],
        }
        attributes = {"VisibilityTimeout": "15", "MessageRetentionPeriod": "1209600", "Policy": json.dumps(policy)}
        return str(self._sqs.create_queue(QueueName=QUEUE, Attributes=attributes)["QueueUrl"])

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - the address is the operator's
        with urllib.request.urlopen(request, timeout=_POST_SECONDS):  # noqa: S310  # nosec B310
            pass


def main() -> None:
    """Serve until SIGTERM."""
    variables = os.environ  # noqa: TID251 - RustFS' own interface
    variables.update(ministack_variables(variables))
    port, region = variables["GATEWAY_PORT"], variables["RUSTFS_REGION"]
    credentials = (variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    if variables.get(f"{_WEBHOOK}ENABLE_ASSAY") == "on":
        config = Config(connect_timeout=2, read_timeout=15, retries={"max_attempts": 1}, proxies={})
        sqs = botocore.session.get_session().create_client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name=region,
            aws_access_key_id=credentials[0],
            aws_secret_access_key=credentials[1],
            config=config,
        )
        relay = Relay(sqs, variables[f"{_WEBHOOK}ENDPOINT_ASSAY"], variables[f"{_WEBHOOK}AUTH_TOKEN_ASSAY"])
        threading.Thread(target=relay.run, daemon=True).start()

    def door(gate: Gate) -> Application:
        return Door(gate)

    asyncio.run(serve(f"{variables['BIND_HOST']}:{port}", credentials, door))


if __name__ == "__main__":
    main()
