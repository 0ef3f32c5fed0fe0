"""RabbitMQ as a process of ours, from Debian's package: the other broker, for the tests that prove it."""

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from infra.embedded.ports import LOOPBACK
from infra.embedded.private_files import write_private
from infra.embedded.process import Process

_PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one in /usr/sbin wants to become another user
_PATH = "/usr/lib/rabbitmq/bin:/usr/bin:/bin"


class RabbitMq:
    """One broker with its data in one folder, on the loopback address alone."""

    def __init__(
        self,
        folder: Path,
        port: int,
        names_port: int,
        cluster_port: int,
        tls: tuple[int, Path, Path] | None = None,
    ) -> None:
        """Keep what is needed; nothing is touched before `processes`.

        Args:
            folder: empty; for its data and logs.
            port: where clients connect.
            names_port: of the name server that Erlang needs beside it.
            cluster_port: where other nodes would connect; its own tools do.
            tls: port for clients with TLS, its authority's certificate, and a file with the server's own and its key.
        """
        self._tls = tls
        self._folder = folder
        self._port = port
        self._names_port = names_port
        self._cluster_port = cluster_port
        self._password = secrets.token_hex(16)

    @property
    def url(self) -> str:
        """The broker as Celery names it."""
        return f"amqp://assay:{self._password}@{LOOPBACK}:{self._port}//"

    @property
    def tls_url(self) -> str:
        """The same over TLS, by its address: Celery makes one of `localhost`, and no certificate names that."""
        assert self._tls is not None
        return f"amqps://assay:{self._password}@{LOOPBACK}:{self._tls[0]}//"

    def processes(self) -> list[Process]:
        """Describe its name server and the broker; the first must run before the second starts."""
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "listeners.tcp.local": f"{LOOPBACK}:{self._port}",
            "default_user": "assay",
            "default_pass": self._password,
            "log.console": "true",
            **self._tls_options(),
        }
        lines = "".join(f"{name} = {value}\n" for name, value in configuration.items())
        write_private(self._folder / "rabbitmq.conf", lines)
        (self._folder / "enabled_plugins").write_text("[].\n", encoding="ascii")
        # Left to itself, RabbitMQ starts a name server that outlives it.
        names = ("/usr/bin/epmd", "-address", LOOPBACK, "-port", str(self._names_port))
        environment = self._environment()
        return [
            Process("epmd", names, environment, self._folder / "epmd.log", self._answers(self._names_port)),
            Process(
                "rabbitmq",
                (_PROGRAM,),
                environment,
                self._folder / "rabbitmq.log",
                self._answers(self._port),
                ready_seconds=120.0,
                stop_seconds=30.0,
            ),
        ]

    def _tls_options(self) -> dict[str, str]:
        if self._tls is None:
            return {}
        port, authority, server = self._tls
        return {
            "listeners.ssl.local": f"{LOOPBACK}:{port}",
            "ssl_options.cacertfile": str(authority),
            "ssl_options.certfile": str(server),
            "ssl_options.keyfile": str(server),
        }

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": _PATH,
            "HOME": folder,  # the cookie that its tools show lies here
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": "assay@localhost",
            "RABBITMQ_DIST_PORT": str(self._cluster_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
        }

    @staticmethod
    def _answers(port: int) -> Callable[[], bool]:
        def ready() -> bool:
            with socket.create_connection((LOOPBACK, port), timeout=1):
                return True

        return ready
