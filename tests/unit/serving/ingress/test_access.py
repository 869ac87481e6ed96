"""Who may enter, what is refused at the threshold, and that no port takes pickles."""

from __future__ import annotations

import ast
import gzip
import http.client
import pickle
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.addresses import is_loopback, is_wildcard
from serving.cli.main import main
from serving.http.limits import Limits
from serving.ingress.access import DoorConfig, read_door
from support.open_door import Served, picture, serve_node
from support.paths import ROOT

TOKEN = "a token of 16 signs or more"
PNG = {"content-type": "image/png"}
INFER = "/v2/models/depth/infer"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_node(DoorConfig(token=TOKEN)) as door:
        yield door


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/live", "/v2/models/depth", "/docs", "/openapi.json", "/nothing"]
)
def test_every_path_asks_for_the_token(served: Served, path: str) -> None:
    for headers in ({}, bearer(TOKEN[:-1]), bearer("x"), {"authorization": f"Basic {TOKEN}"}):
        refused = httpx.get(served.url + path, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["reason"] == "unauthorised"
    assert httpx.get(served.url + path, headers=bearer()).status_code in (200, 404)


def test_inference_asks_for_the_token_before_it_reads_the_body(served: Served) -> None:
    refused = httpx.post(served.url + INFER, content=picture(), headers=PNG)
    assert refused.status_code == 401
    allowed = httpx.post(served.url + INFER, content=picture(), headers=PNG | bearer())
    assert allowed.status_code == 200
    assert served.model.images >= 1


def test_by_default_the_doors_listen_on_loopback_only() -> None:
    assert DoorConfig().host == "127.0.0.1"
    with serve_node() as served:
        found = {
            entry.laddr.port: entry.laddr.ip.removeprefix("::ffff:")
            for entry in psutil.Process().net_connections("tcp")
            if entry.status == psutil.CONN_LISTEN
        }
        assert (found[served.http], found[served.grpc]) == ("127.0.0.1", "127.0.0.1")


def test_beyond_loopback_a_token_is_needed(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "testbed.example"):
        with pytest.raises(
            ValueError, match=f"listening on {host} lets others in and needs a token"
        ):
            DoorConfig(host)
        assert DoorConfig(host, TOKEN).host == host
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        assert is_loopback(host)
        assert DoorConfig(host).token is None
    assert is_wildcard("0.0.0.0")
    assert is_wildcard("::")
    assert not is_wildcard("localhost")


def test_tokens_are_read_from_files_and_must_be_long(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    door = read_door("0.0.0.0", file)
    assert door is not None
    assert (door.host, door.token) == ("0.0.0.0", TOKEN)
    assert TOKEN not in repr(door)
    assert read_door(None, None) is None
    file.write_text("short")
    with pytest.raises(ValueError, match="at least 16"):
        read_door(None, file)
    with pytest.raises(ValueError, match="the token file cannot be read"):
        read_door(None, tmp_path / "none")


def test_deploy_refuses_an_open_door_without_a_token_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["testbed", "deploy", "--listen", "0.0.0.0"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("testbed: listening on 0.0.0.0 lets others in and needs a token")
    assert said.count("\n") == 1


def raw_exchange(port: int, sent: bytes) -> bytes:
    found = bytearray()
    with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as caller:
        try:
            caller.sendall(sent)
            while chunk := caller.recv(65_536):
                found += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return bytes(found)


POST = b"POST /v2 HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", (431,)),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 4_000_000 + b"\r\n\r\n", (431,)),
        (b"GET /v2 HTTP/1.1\r\n" + b"x: y\r\n" * 65 + b"\r\n", (431,)),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\nbroken\r\n\r\n", (400,)),
        (POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", (400,)),
        (POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0", (400,)),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", (400, 404)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
    ],
    ids=[
        "long path", "long header", "many headers", "no header", "two lengths", "smuggling",
        "connect", "http2", "tls",
    ],
)  # fmt: skip
def test_heads_that_are_too_large_or_ambiguous_are_refused(
    sent: bytes, status: tuple[int, ...]
) -> None:
    with serve_node() as served:
        said = raw_exchange(served.http, sent)
        assert said.startswith(b"HTTP/1.1 "), said[:60]
        assert int(said[9:12]) in status
        assert httpx.get(f"{served.url}/v2").status_code == 200


def test_packed_bodies_are_refused() -> None:
    """A few bytes could unpack to any size, so none are unpacked."""
    with serve_node() as served:
        for encoding in ("gzip", "deflate", "br", "zstd"):
            refused = httpx.post(
                served.url + INFER,
                content=gzip.compress(b"\0" * 100),
                headers=PNG | {"content-encoding": encoding},
            )
            assert refused.status_code == 415
            assert "content-encoding" in refused.json()["error"]


def test_endless_bodies_are_cut_off() -> None:
    """Chunks without an announced length, beyond the limit."""

    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 65_536

    with serve_node(DoorConfig(limits=Limits(body_bytes=1_000_000))) as served:
        caller = http.client.HTTPConnection("127.0.0.1", served.http, timeout=5)
        with closing(caller):
            caller.request("POST", INFER, body=chunks(), headers=PNG, encode_chunked=True)
            assert caller.getresponse().status == 413


def test_a_pickle_is_only_bytes_to_every_port() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
            return (Path.touch, (marker,))

    marker = ROOT / "out" / "a-pickle-was-run"
    body = pickle.dumps(Bomb())
    with serve_node() as served:
        peer = served.peer()
        for kind in ("application/octet-stream", "application/python-pickle", "image/png", ""):
            refused = httpx.post(served.url + INFER, content=body, headers={"content-type": kind})
            assert 400 <= refused.status_code < 500
        for port in (served.http, served.grpc, peer):
            raw_exchange(port, len(body).to_bytes(4, "big") + body)
        assert httpx.get(f"{served.url}/v2").status_code == 200
    assert not marker.exists()


def test_nothing_that_callers_reach_can_load_pickles() -> None:
    unsafe = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
    for folder in ("ingress", "node"):
        for path in (ROOT / "serving" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [
                    alias.name for alias in getattr(node, "names", ()) if hasattr(alias, "name")
                ]
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                assert not unsafe & {name.split(".")[0] for name in names}, path


def test_the_case_of_a_tokens_scheme_means_nothing() -> None:
    token = "a token of 16 signs or more"
    config = DoorConfig(token=token)
    for scheme in (b"Bearer", b"bearer", b"BEARER"):
        assert config.admits(scheme + b" " + token.encode())
    for wrong in (b"Basic " + token.encode(), token.encode(), b"Bearer", b"Bearer ", b"", None):
        assert not config.admits(wrong)
    assert not config.admits(b"Bearer " + token.encode() + b"x")
    assert not config.admits(b"Bearer x" + token.encode())
