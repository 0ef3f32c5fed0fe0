"""The database's address is looked at before anything connects, and never shown."""

import pytest

from worker.database.session import DatabaseUrlError, connect


@pytest.mark.parametrize(
    "url",
    [
        "",
        "notaurl",
        "postgresql+psycopg://assay:hush@db:port/assay",
        "mysql://assay:hush@db/assay",
        "postgresql://assay:hush@db/assay",
        "postgresql+nonsense://assay:hush@db/assay",
    ],
)
def test_an_address_of_anything_else_is_refused_with_what_it_must_be(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as refused:
        connect(url)
    assert refused.value.detail.startswith("ASSAY_DATABASE_URL must be an address such as postgresql+psycopg://")
    assert "hush" not in refused.value.detail


def test_a_sound_address_connects_to_nothing_yet() -> None:
    url = connect("postgresql+psycopg://assay:hush@db:5432/assay").engine.url
    assert (url.password, url.host, url.port) == ("hush", "db", 5432)
