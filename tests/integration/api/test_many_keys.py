"""Thousands of keys ask at the same time: each is answered as itself, none is refused for another's sake."""

import asyncio
import threading
from collections import Counter
from contextlib import closing
from secrets import token_urlsafe
from socket import create_server

import httpx
import pytest
import uvicorn
from sqlalchemy import insert

from api.main import create_app
from api.services import Services
from worker.database.api_keys import PREFIX, fingerprint
from worker.database.session import Database
from worker.database.tables import ApiKey

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

KEYS = 3000
CONNECTIONS = 200  # at once; each request has one of its own, as from so many clients


def many_keys(database: Database) -> list[tuple[str, list[str]]]:
    """Make keys, every second one with the scope that the request needs."""
    keys = [(PREFIX + token_urlsafe(32), ["read"] if number % 2 else ["ingest"]) for number in range(KEYS)]
    rows = [{"name": f"key {n}", "hash": fingerprint(key), "scopes": scopes} for n, (key, scopes) in enumerate(keys)]
    with database.transaction() as session:
        session.execute(insert(ApiKey), rows)
    return keys


async def ask_all(address: str, keys: list[tuple[str, list[str]]]) -> list[int]:
    # The client's own pool takes quadratic time over thousands that wait for a connection.
    turn = asyncio.Semaphore(CONNECTIONS)
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=300) as client:

        async def ask(key: str) -> int:
            async with turn:
                answer = await client.get("/v1/verdicts?limit=1", headers={"Authorization": f"Bearer {key}"})
            return answer.status_code

        return await asyncio.gather(*(ask(key) for key, _ in keys))


def test_thousands_of_keys_at_once_are_each_answered_as_themselves(services: Services, database: Database) -> None:
    keys = many_keys(database)
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None, access_log=False))
    with closing(create_server(("127.0.0.1", 0), backlog=2048)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            statuses = asyncio.run(ask_all(f"http://127.0.0.1:{listening.getsockname()[1]}", keys))
        finally:
            server.should_exit = True
            thread.join()
    expected = [200 if "read" in scopes else 403 for _, scopes in keys]
    assert statuses == expected
    assert Counter(statuses) == {200: KEYS // 2, 403: KEYS // 2}
