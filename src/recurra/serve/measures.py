"""The figures of a server for Prometheus, at ``/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

__all__ = ["Measures"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Measures:
    """Counters of one server, in a registry of its own.

    Example:
        >>> measures = Measures()
        >>> measures.texts.labels("reviews").inc(3)
        >>> 'recurra_texts_total{model="reviews"} 3.0' in measures.page().decode()
        True
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "recurra_requests", "Requests by route and HTTP status.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "recurra_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.active = Gauge("recurra_requests_in_progress", "Requests in progress.", registry=registry)
        self.waiting = Gauge("recurra_texts_waiting", "Texts that wait for an answer.", registry=registry)
        self.texts = Counter("recurra_texts", "Texts answered, by model.", ["model"], registry=registry)
        self.batches = Histogram(
            "recurra_batch_texts", "Texts computed together.", buckets=_TEXTS, registry=registry
        )
        self.refused = Counter(
            "recurra_refused", "Refused requests by reason.", ["reason"], registry=registry
        )
        self.loaded = Gauge(
            "recurra_model_loaded_seconds",
            "Time at which a model was loaded, in seconds since 1970.",
            ["model", "version"],
            registry=registry,
        )
        self.reloads = Counter(
            "recurra_reloads", "Models loaded while the server runs.", ["model"], registry=registry
        )

    def page(self) -> bytes:
        """Returns all figures in the text format of Prometheus."""
        return generate_latest(self.registry)
