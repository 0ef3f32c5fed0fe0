"""What the API counts; the only home of its metric names."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def failed_authentications(registry: CollectorRegistry) -> Counter:
    """Return what counts wrong API keys and failed sign-ins."""
    return Counter("assay_api_failed_authentications", "Requests and sign-ins with a wrong API key.", registry=registry)


class HttpMetrics:
    """Requests by route template, so that image ids never become label values."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # How many requests ended how.
        self._requests = Counter(
            "assay_api_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        # How long they took; the buckets stand close around the 20 ms a verdict may take.
        self._seconds = Histogram(
            "assay_api_request_seconds",
            "Time from the request's first byte to the response's last.",
            ("method", "route"),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; unusual methods share one label value."""
        label = method if method in _METHODS else "other"
        self._requests.labels(label, route, str(status)).inc()
        self._seconds.labels(label, route).observe(seconds)
