"""The API over its services on a free port of this machine, as uvicorn serves it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import uvicorn

from api.main import create_app
from api.services import Services


@contextmanager
def served(services: Services) -> Iterator[int]:
    """Serve while the block lasts; yield the port."""
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None, access_log=False))
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
