"""Clients that know nothing of this repository: Triton's over HTTP, curl, and Locust."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from support.open_door import SIZE, Served, picture, serve_node
from support.paths import ROOT

IMAGE = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(1, SIZE, SIZE, 3)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_node() as door:
        yield door


def test_tritons_client_over_http(served: Served) -> None:
    """Both encodings, over its own connection pool."""
    from tritonclient import http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{served.http}")
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("depth")
        assert client.is_model_ready("depth", "1")
        assert not client.is_model_ready("normals")
        assert client.get_server_metadata()["name"] == "client"
        assert client.get_model_metadata("depth")["inputs"][0]["name"] == "image"
        tensor = triton.InferInput("image", list(IMAGE.shape), "UINT8")
        for binary in (True, False):
            tensor.set_data_from_numpy(IMAGE, binary_data=binary)
            wanted = triton.InferRequestedOutput("prediction", binary_data=binary)
            result = client.infer(
                "depth", [tensor], outputs=[wanted], request_id="r1", timeout=5_000_000
            )
            assert result.get_response()["id"] == "r1"
            assert result.as_numpy("prediction").dtype == np.float16
            assert result.as_numpy("prediction").tolist() == IMAGE[..., 0].tolist()
            both = [
                triton.InferRequestedOutput(task, binary_data=binary)
                for task in ("segmentation", "depth")
            ]
            result = client.infer("all", [tensor], outputs=both)
            assert result.as_numpy("segmentation").tolist() == IMAGE[..., 1].tolist()
            assert result.as_numpy("depth").tolist() == IMAGE[..., 0].tolist()
        with pytest.raises(triton.InferenceServerException, match="no onloaded model"):
            client.infer("normals", [tensor])
        with pytest.raises(triton.InferenceServerException, match="content-encoding"):
            client.infer("depth", [tensor], request_compression_algorithm="gzip")
        stats = client.get_inference_statistics("depth")["model_stats"][0]
        assert stats["inference_stats"]["success"]["count"] == 2
        assert len(client.get_inference_statistics()["model_stats"]) == 5
    finally:
        client.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("form", ["json", "binary", "png", "jpeg", "several"])
def test_curl(served: Served, tmp_path: Path, form: str) -> None:
    tensor: dict[str, object] = {
        "name": "image", "datatype": "UINT8", "shape": list(IMAGE.shape),
    }  # fmt: skip
    path, headers, body = "/v2/models/depth/infer", [], b""
    if form == "json":
        body = json.dumps({"inputs": [{**tensor, "data": IMAGE.ravel().tolist()}]}).encode()
        headers = ["content-type: application/json"]
    elif form == "binary":
        tensor["parameters"] = {"binary_data_size": IMAGE.size}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        body = head + IMAGE.tobytes()
        headers = [
            "content-type: application/octet-stream",
            f"inference-header-content-length: {len(head)}",
        ]
    else:
        kind = "jpeg" if form == "jpeg" else "png"
        body, headers = picture(kind), [f"content-type: image/{kind}"]
        if form == "several":
            path = "/v2/models/all/infer?outputs=depth,segmentation"
    (tmp_path / "body").write_bytes(body)
    words = ["curl", "-sS", "--max-time", "10", "-D", "head", "-o", "answer"]
    words += [word for header in headers for word in ("-H", header)]
    subprocess.run(
        [*words, "--data-binary", "@body", served.url + path], cwd=tmp_path, check=True, timeout=20
    )
    assert (tmp_path / "head").read_text().startswith("HTTP/1.1 200 OK")
    answer = (tmp_path / "answer").read_bytes()
    if form == "json":
        assert json.loads(answer)["outputs"][0]["data"] == IMAGE[..., 0].ravel().tolist()
    elif form == "binary":
        assert answer.endswith(IMAGE[..., 0].astype(np.float16).tobytes())
    elif form == "several":
        assert answer.endswith(np.full(16, 7, np.float16).tobytes() + bytes([7] * 16))
    else:
        assert answer == np.full(16, 7, np.float16).tobytes()


def test_locust(served: Served, tmp_path: Path) -> None:
    """The locustfile of the benchmarks, as its page says, for two seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(ROOT / "benchmarks" / "locustfile.py"),
         "--headless", "-u", "4", "-r", "100", "-t", "2s", "--host", served.url, "--json",
         "--only-summary", "--image-size", str(SIZE), "--tasks", "depth,segmentation"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {"picture", "tensor", "several"}
    assert all(row["num_requests"] > 0 == row["num_failures"] for row in rows.values())
    stats = httpx.get(f"{served.url}/v2/callers").json()["callers"]["locust"]
    assert stats["answered"] >= sum(row["num_requests"] for row in rows.values())
    assert set(stats) <= {"answered", "gone"}  # Locust hangs up in the middle when its time is over
