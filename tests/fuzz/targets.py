"""Every fuzz target that needs no torch; `fuzz.decoded_pictures` has the one that does."""

from __future__ import annotations

from fuzz.documents import DOCUMENTS
from fuzz.frames import FRAMES
from fuzz.http_streams import HTTP
from fuzz.inference_bodies import OIP_JSON, OIP_PROTOBUF
from fuzz.measurement_files import MEASUREMENTS
from fuzz.pictures import PICTURE_HEADERS
from fuzz.recording_files import RECORDINGS
from fuzz.target import Target
from fuzz.text_files import JSON, YAML

__all__ = ["TARGETS"]

TARGETS: tuple[Target, ...] = (
    HTTP, OIP_JSON, OIP_PROTOBUF, FRAMES, PICTURE_HEADERS, YAML, JSON, DOCUMENTS, MEASUREMENTS,
    RECORDINGS,
)  # fmt: skip
