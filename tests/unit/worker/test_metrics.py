"""The number of series is bounded, however many sources a platform has."""

from prometheus_client import CollectorRegistry, Counter

from worker.metrics import OTHER_SOURCES, BySource


def test_sources_beyond_the_first_many_share_one_label() -> None:
    registry = CollectorRegistry()
    counter = BySource(Counter("seen", "Test.", ["verdict", "source"], registry=registry), most=2)
    for source in ("a", "b", "c", "d", "a"):
        counter.labels("uncertain", source).inc()

    def value(source: str) -> float | None:
        return registry.get_sample_value("seen_total", {"verdict": "uncertain", "source": source})

    assert (value("a"), value("b"), value(OTHER_SOURCES), value("c")) == (2, 1, 2, None)
