"""Which queries are traced, and where their spans go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cluster.errors import InputError
from cluster.extras import import_extra

__all__ = ["OTLP", "SPANS", "TracingConfig", "span_file"]

OTLP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
SPANS = "spans"
"""the folder of span files in that of the logs"""


@dataclass(frozen=True)
class TracingConfig:
    """`share` of the queries that come without a `traceparent` header is traced; of those that
    come with one, what it says. Spans go to a file of each node, or to an OTLP collector at the URL
    `collector`. Raises `InputError`.
    """

    share: float
    collector: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"--trace: expected a share of queries from 0 to 1, not {self.share}")
        if self.collector is not None:
            parts = urlsplit(self.collector)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise InputError(
                    f"--trace-to: expected the URL of an OTLP collector, such as "
                    f"http://127.0.0.1:4318, not {self.collector}"
                )

    def check_extra(self) -> None:
        """Raise `MissingExtraError` where a package is missing that makes spans, or sends them."""
        import_extra("opentelemetry.sdk.trace", "tracing", "--trace")
        if self.collector is not None:
            import_extra(OTLP, "tracing", "--trace-to")


def span_file(log_folder: Path, node: str) -> Path:
    """Where the spans of `node` are, one a line."""
    return log_folder / SPANS / f"{node}.jsonl"
