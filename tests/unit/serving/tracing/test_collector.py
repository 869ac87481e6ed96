"""Spans reach a collector by OTLP over HTTP, and one that is away costs nothing but its spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving.tracing.config import TracingConfig
from serving.tracing.exporters import open_tracing

pytestmark = pytest.mark.real_time


@pytest.fixture
def collected() -> Iterator[tuple[str, list[tuple[str, ExportTraceServiceRequest]]]]:
    """The URL of a collector, and what it got."""
    got: list[tuple[str, ExportTraceServiceRequest]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()
    thread.join()


def test_spans_are_sent_to_the_collector(
    collected: tuple[str, list[tuple[str, ExportTraceServiceRequest]]], tmp_path: Path
) -> None:
    url, got = collected
    tracing = open_tracing(TracingConfig(1.0, url), "edge-0", tmp_path)
    span = tracing.begin("query", "", {"task": "depth"})
    assert span is not None
    span.end()
    tracing.close()
    ((path, request),) = got
    assert path == "/v1/traces"
    (resource,) = request.resource_spans
    names = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert names["service.instance.id"] == "edge-0"
    (sent,) = resource.scope_spans[0].spans
    assert (sent.name, sent.trace_id.hex()) == ("query", span.trace_id)
    assert not list(tmp_path.iterdir())
