"""A checkpoint that an installation lacks comes from where the user says, and only that one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.zoo.cards import ModelCard
from models.zoo.fetch import (
    PLACE_VARIABLE,
    CheckpointError,
    fetch_checkpoint,
    local_checkpoint,
    present_checkpoint,
)
from models.zoo.registry import ZOO_VARIABLE, checkpoint_path, find_model
from serving.cli.main import run

CONTENT = checkpoint_path(find_model("rooms-small-depth")).read_bytes()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """Of a zoo without its checkpoint."""
    found = find_model("rooms-small-depth")
    lone = found.model_copy(update={"name": "lone-depth", "checkpoint": "lone-depth.safetensors"})
    lone.save(tmp_path / "zoo" / "cards" / "lone-depth.yaml")
    monkeypatch.setenv(ZOO_VARIABLE, str(tmp_path / "zoo"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(PLACE_VARIABLE, raising=False)
    return lone


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "lone-depth.safetensors").write_bytes(CONTENT)
    return folder


@pytest.fixture
def address(place: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    serving.join()
    server.server_close()


def test_one_that_is_in_the_zoo_is_taken_from_there() -> None:
    card = find_model("rooms-small-depth")
    assert present_checkpoint(card) == local_checkpoint(card) == checkpoint_path(card)


def test_without_a_place_the_message_says_what_to_set(card: ModelCard) -> None:
    with pytest.raises(CheckpointError) as caught:
        present_checkpoint(card)
    assert str(caught.value) == (
        "lone-depth.safetensors is not part of this installation; let TESTBED_ZOO_URL name a "
        "folder or an http(s) address that has it, for every verb, `testbed up` first of all"
    )


def test_it_is_fetched_once_from_a_folder(
    card: ModelCard, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACE_VARIABLE, str(place))
    assert local_checkpoint(card) == checkpoint_path(card), "nothing is fetched by a look"
    kept = present_checkpoint(card)
    assert kept.name == f"{card.checkpoint_sha256}.safetensors"
    assert kept.read_bytes() == CONTENT
    (place / "lone-depth.safetensors").unlink()
    assert present_checkpoint(card) == local_checkpoint(card) == kept
    with pytest.raises(CheckpointError, match=r"lone-depth.safetensors: No such file"):
        fetch_checkpoint(card, str(place))


def test_it_is_fetched_from_an_address(
    card: ModelCard, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACE_VARIABLE, address)
    assert present_checkpoint(card).read_bytes() == CONTENT


@pytest.mark.parametrize("cut", [0, 1000, -1], ids=["empty", "half", "changed"])
def test_another_file_is_not_kept(card: ModelCard, place: Path, address: str, cut: int) -> None:
    (place / "lone-depth.safetensors").write_bytes(CONTENT[:cut] if cut >= 0 else CONTENT + b"x")
    for source in (address, str(place)):
        with pytest.raises(CheckpointError, match=r"is not the card's .*; it was not kept"):
            fetch_checkpoint(card, source)
    assert not local_checkpoint(card).exists()


@pytest.mark.parametrize(
    ("tail", "says"),
    [("none/", "404"), (None, "Connection refused|connection attempts failed")],
    ids=["missing", "nobody there"],
)
def test_an_address_that_has_none_is_named(
    card: ModelCard, address: str, tail: str | None, says: str
) -> None:
    source = "http://127.0.0.1:1" if tail is None else address + tail
    with pytest.raises(CheckpointError, match=rf"^http://127.*lone-depth.safetensors: .*({says})"):
        fetch_checkpoint(card, source)


def test_a_verb_fetches_what_is_lacking_beforehand(
    card: ModelCard, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["zoo", "fetch", "lone-depth"]) == 2
    assert "is not part of this installation" in capsys.readouterr().err
    assert run(["zoo", "fetch", "lone-depth", "--from", str(place)]) == 0
    assert f"wrote {local_checkpoint(card)}" in capsys.readouterr().out
    assert run(["zoo", "fetch", "lone-depth"]) == 0
    assert capsys.readouterr().out == "checkpoints here: 1\n"
