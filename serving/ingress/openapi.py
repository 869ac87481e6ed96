"""The HTTP door described in OpenAPI 3.1, and the page that shows it. Made once, when it opens.

The description is what the fuzzer of the tests follows: an answer that it does not name is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment

from serving.errors import RefusalReason
from serving.ingress.access import DoorConfig
from serving.ingress.door import Door
from serving.ingress.oip_names import DATATYPES, INPUT, OUTPUT

__all__ = ["describe_http", "describe_pages"]

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
NAMES: Json = {"type": "array", "items": TEXT}
NUMBERS: Json = {"type": "array", "items": {}}
RAW: Json = {"type": "string", "format": "binary"}
REASON: Json = {
    "type": "string",
    "oneOf": [{"const": str(reason), "description": reason.sentence} for reason in RefusalReason],
}


def describe_pages(
    door: Door, config: DoorConfig, others: Collection[str] = ()
) -> Mapping[str, Any]:
    """`/openapi.json` and `/docs`, as `HttpApi` serves pages; `others` are beside them."""
    described = describe_http(door, config, others)
    document = json.dumps(described).encode()
    template = Path(__file__).with_name("openapi.html").read_text()
    page = Environment(autoescape=True).from_string(template).render(api=described).encode()
    return {
        "/openapi.json": lambda: ("application/json", document),
        "/docs": lambda: ("text/html; charset=utf-8", page),
    }


def describe_http(door: Door, config: DoorConfig, pages: Collection[str] = ()) -> Json:
    """The OpenAPI document of `door`, and of `pages` that it serves beside the protocol."""
    words = "a task, or `all`; under a plan with deadline classes also TASK@CLASS, see `/v2`"
    model = {**_path("model", words), "schema": {"enum": list(door.models)}}
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": f"J3O testbed, client node {door.describe()['name']}",
            "version": version("j3o-testbed"),
            "description": "Open Inference Protocol v2: an image in, predictions of tasks out.",
        },
        "paths": {
            "/v2": _get("The node, its plan version and its tasks", "Server"),
            "/v2/health/live": _get("Whether the process answers", "Live"),
            "/v2/health/ready": _get("Whether a plan is in force", "Ready", unready="Ready"),
            "/v2/callers": _get("Requests by the name that callers give themselves", "Callers"),
            "/v2/models/stats": _get("Statistics of every model", "Statistics"),
            "/v2/models/{model}": _get("The tensors of a model", "Model", [model]),
            "/v2/models/{model}/ready": _get(
                "Whether the plan serves a model", "ModelReady", [model], unready="ModelReady"
            ),
            "/v2/models/{model}/stats": _get("Statistics of a model", "Statistics", [model]),
            "/v2/models/{model}/infer": {"post": _infer(door, config, model)},
            **{path: {"get": _page()} for path in pages},
        },
        "components": {"schemas": _schemas(door, config)},
    }
    if config.token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"]["401"] = _answer("the token is missing or wrong", "Error")
    return document


def _infer(door: Door, config: DoorConfig, model: Json) -> Json:
    height, width = door.size
    return {
        "summary": "Answer one task, or several, of an image",
        "description": (
            f"Tensors hold images of {width} x {height} pixels; pictures become that. A picture "
            "asks model `all` for the tasks in `outputs`, a tensor request names its own."
        ),
        "parameters": [
            model,
            _header("x-deadline-ms", "milliseconds after which no answer is wanted",
                    {"type": "number", "exclusiveMinimum": 0, "maximum": 3_600_000}),
            _header("x-request-id", "comes back as it was sent", _printable()),
            _header("x-client-id", "name to be counted under", _printable()),
            _header("Inference-Header-Content-Length",
                    "bytes of JSON in front of raw tensors", COUNT),
            {"name": "outputs", "in": "query", "required": False, "schema": TEXT,
             "description": "tasks, comma between; only with a picture and model `all`"},
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ref("Request")},
                "application/octet-stream": {"schema": RAW},
                "image/png": {"schema": RAW},
                "image/jpeg": {"schema": RAW},
            },
        },
        "responses": {
            "200": {
                "description": "the predictions: JSON, or (for raw tensors) the JSON header and "
                "the tensors; to a picture for one task, the tensor alone",
                "headers": {
                    name: {"description": words, "schema": TEXT}
                    for name, words in (
                        ("Inference-Header-Content-Length", "bytes of JSON before raw tensors"),
                        ("x-testbed-tensor", "to a picture: dtype;d0,d1,..."),
                        ("x-testbed-answer", "to a picture: the way the answer took, as JSON"),
                        ("x-request-id", "as it was sent"),
                    )
                },
                "content": {
                    "application/json": {"schema": _ref("Response")},
                    "application/octet-stream": {"schema": RAW},
                },
            },
            **_answers({
                400: "the request is malformed",
                404: "there is no such task, or the plan serves it not (reason `not_served`)",
                408: f"the body was not whole within {config.limits.body_s:g} s",
                413: f"the body is over {config.limits.body_bytes} bytes, or its JSON over "
                     f"{config.limits.json_bytes}",
                415: "a body of another type, or an encoded one",
                422: "a tensor of another size, or no picture that can be decoded",
            }),
            "503": _refusal("refused; `reason` says why, in one of the words of the schema"),
        },
    }  # fmt: skip


def _get(
    summary: str, schema: str, parameters: list[Json] | None = None, unready: str = ""
) -> Json:
    responses: Json = {"200": _answer("as asked", schema)}
    if parameters:
        responses |= _answers({404: "there is no such task"})
    if unready:
        responses["503"] = _refusal("not yet", unready)
    return {"get": {"summary": summary, "parameters": parameters or [], "responses": responses}}


def _page() -> Json:
    described = {"description": "as it stands", "content": {"*/*": {"schema": TEXT}}}
    return {"summary": "A page of this node", "parameters": [], "responses": {"200": described}}


def _schemas(door: Door, config: DoorConfig) -> dict[str, Json]:
    height, width = door.size
    pixels = height * width * 3
    duration = _object({"count": COUNT, "ns": COUNT})
    kinds = ("compute_input", "compute_infer", "compute_output")
    stages = dict.fromkeys(
        ("success", "fail", "queue", *kinds, "cache_hit", "cache_miss"), _ref("Duration")
    )
    batch = _object({"batch_size": COUNT, **dict.fromkeys(kinds, _ref("Duration"))})
    parameters = {"type": "object", "additionalProperties": True}
    datatype = {"enum": sorted(set(DATATYPES.values()))}
    shape = {"type": "array", "items": {"type": "integer"}}
    tensor = _object({"name": TEXT, "datatype": datatype, "shape": shape})
    return {
        "Error": _object({"error": TEXT, "reason": TEXT}),
        "Refusal": _object(
            {"error": TEXT, "reason": REASON, "retry_after_s": {"type": "number", "minimum": 0}}),
        "Server": _object(
            {"name": TEXT, "version": TEXT, "extensions": NAMES, "plan_version": COUNT,
             "tasks": NAMES, "models": NAMES}),
        "Live": _object({"live": {"type": "boolean"}}),
        "Ready": _object({"ready": {"type": "boolean"}}),
        "ModelReady": _object({"name": TEXT, "ready": {"type": "boolean"}}),
        "Callers": _object({"callers": {"type": "object", "additionalProperties": {
            "type": "object", "additionalProperties": COUNT}}}),
        "Tensor": tensor,
        "Model": _object(
            {"name": TEXT, "versions": NAMES, "platform": TEXT,
             "inputs": {"type": "array", "items": _ref("Tensor")},
             "outputs": {"type": "array", "items": _ref("Tensor")}}),
        "Duration": duration,
        "Statistics": _object({"model_stats": {"type": "array", "items": _object(
            {"name": TEXT, "version": TEXT, "last_inference": COUNT, "inference_count": COUNT,
             "execution_count": COUNT, "inference_stats": _object(stages),
             "batch_stats": {"type": "array", "items": batch}})}}),
        "Request": _object({
            "id": TEXT,
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _object({
                "name": {"const": INPUT}, "datatype": {"const": "UINT8"},
                "shape": {"enum": [[height, width, 3], [1, height, width, 3]],
                          "description": f"or [n, {height}, {width}, 3] for n images, at most "
                          f"{config.limits.images}, with n times the data"},
                "data": {"type": "array", "minItems": pixels, "maxItems": pixels,
                         "items": {"type": "integer", "minimum": 0, "maximum": 255},
                         "description": "or, after the JSON, as many raw bytes: then `parameters` "
                         "has `binary_data_size`"},
            }, "name", "datatype", "shape", "data")},
            "outputs": {"type": "array", "items": _object(
                {"name": {"enum": [OUTPUT, *door.tasks]},
                 "parameters": _object({"binary_data": {"type": "boolean"}}, any_of_them=True)},
                "name")},
            "parameters": _object({
                "binary_data_output": {"type": "boolean"},
                "timeout": {"type": "integer", "minimum": 1, "description": "microseconds"},
                "client_id": TEXT,
            }, any_of_them=True),
        }, "inputs"),
        "Response": _object({
            "model_name": TEXT, "model_version": TEXT, "id": TEXT,
            "outputs": {"type": "array", "items": _object({
                "name": TEXT, "datatype": datatype, "shape": shape, "data": NUMBERS,
                "parameters": parameters}, "name", "datatype", "shape")},
        }),
    }  # fmt: skip


def _object(properties: Json, *required: str, any_of_them: bool = False) -> Json:
    """An object that must have `required`; by default every one of `properties`."""
    needed = () if any_of_them else required or tuple(properties)
    return {"type": "object", "properties": properties, "required": list(needed)}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _answer(words: str, schema: str) -> Json:
    return {"description": words, "content": {"application/json": {"schema": _ref(schema)}}}


def _answers(words: Mapping[int, str]) -> Json:
    return {str(status): _answer(text, "Error") for status, text in words.items()}


def _refusal(words: str, schema: str = "Refusal") -> Json:
    header = {"description": "whole seconds", "schema": COUNT}
    return {**_answer(words, schema), "headers": {"Retry-After": header}}


def _path(name: str, words: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": TEXT, "description": words}


def _header(name: str, words: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": words}


def _printable() -> Json:
    return {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"}
