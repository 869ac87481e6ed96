"""What every protocol asks of a client node: the answer to a request, and what the node offers.

Between the protocols (HTTP, gRPC) and the node. It turns a model's name into tasks, holds the
caller's deadline, and counts what became of each request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cluster.deadline_classes import base_task, class_labels, has_class
from serving.errors import BadQueryError, NotServedError, RefusalReason, RefusedError, raise_first
from serving.http.limits import Limits
from serving.ingress.inference_protocol import (
    InferenceRequest,
    InferenceResponse,
    OutputTensor,
    TensorSpec,
    input_spec,
    output_specs,
    shown,
)
from serving.ingress.oip_names import ALL, OUTPUT, VERSION
from serving.ingress.statistics import Callers, ModelStatistics
from serving.node.node_core import Routed
from serving.node.server import NodeServer
from serving.routing.early_refusal import StandingRefusal
from serving.tracing.active import ActiveSpan, Value, within
from serving.wall_clock import WallClock

__all__ = ["Door", "way_of"]

EXTENSIONS = ("binary_tensor_data", "statistics")


class Door:
    """A client node as its callers see it. `size` is the (height, width) of the models' images.

    `clock` must be the node's: deadlines are absolute on it. `wall_clock` dates the statistics.
    """

    def __init__(
        self,
        node: NodeServer,
        size: tuple[int, int],
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: WallClock | None = None,
    ) -> None:
        self.size = size
        self.limits = limits or Limits()
        self.tasks = node.config.tasks
        self.models = (*self.tasks, ALL)
        self._node = node
        self._clock = clock
        self._wall_clock = wall_clock or WallClock()
        self._statistics = {model: ModelStatistics(model) for model in self.models}
        self._callers = Callers()

    @property
    def traced(self) -> bool:
        """Whether requests may be traced, so that it matters what they say of that."""
        return self._node.tracing is not None

    def now_s(self) -> float:
        """The node's clock."""
        return self._clock()

    async def answer(self, model: str, request: InferenceRequest) -> InferenceResponse:
        """Answer every task asked for on every image, or raise; see `_answer`.

        A request that is traced (`serving.tracing`) is told so by `trace_id` beside its answers.
        """
        span = self._begin_span(model, request)
        if span is None:
            return await self._answer(model, request)
        with within(span):
            answer = await self._answer(model, request)
            outputs = tuple(
                output._replace(parameters={**output.parameters, "trace_id": span.trace_id})
                for output in answer.outputs
            )
            return answer._replace(outputs=outputs)

    def _begin_span(self, model: str, request: InferenceRequest) -> ActiveSpan | None:
        tracing = self._node.tracing
        if tracing is None:
            return None
        asked: dict[str, Value] = {"task": model, "images": len(request.images_nhw3)}
        if request.request_id:
            asked["request"] = request.request_id
        begun_s = request.received_s
        span = tracing.begin("query", request.traceparent, asked, begun_s)
        if span is not None and begun_s is not None:
            span.add("decode", begun_s, self._clock())
        return span

    async def _answer(self, model: str, request: InferenceRequest) -> InferenceResponse:
        """Answer every task asked for on every image, or raise.

        Raises `BadQueryError`, `NotServedError`, and `RefusedError` (reason "deadline" if the
        request's time-out passes first). A cancelled caller's queries are cancelled with it.
        """
        self.check_model(model)
        tasks = self._tasks_of(model, request.outputs)
        statistics = self._statistics_of(model)
        began_s = self._clock()
        outcome = "refused"
        try:
            if request.timeout_s is None:
                answers = await self._ask(tasks, request, None)
            else:
                async with asyncio.timeout(request.timeout_s):
                    answers = await self._ask(tasks, request, began_s + request.timeout_s)
            outcome = "answered"
        except TimeoutError:
            raise RefusedError(
                RefusalReason.DEADLINE, f"not answered within the caller's {request.timeout_s:g} s"
            ) from None
        except asyncio.CancelledError:
            outcome = "gone"
            raise
        finally:
            self._callers.count(request.caller, outcome)
            if outcome != "answered":
                statistics.fail.add(self._clock() - began_s)
        statistics.answered(
            self._clock() - began_s,
            [routed for image in answers for routed in image.values()],
            len(answers),
            int(self._wall_clock() * 1e3),
        )
        return InferenceResponse(
            model,
            tuple(
                OutputTensor(
                    name=task if model == ALL else OUTPUT,
                    values=_values(task, answers, request.batched),
                    parameters=way_of(answers[0][task]),
                )
                for task in tasks
            ),
        )

    def refuse_early(self, model: str, caller: str) -> StandingRefusal | None:
        """The refusal of a request to `model` that arrives now, counted as if it had been read;
        None if it has to be read."""
        standing = self._node.refuse_early(model)
        if standing is not None:
            self._callers.count(caller, "refused")
        return standing

    @property
    def ready(self) -> bool:
        """Whether a plan is in force."""
        return self._node.table.version > 0

    def model_ready(self, model: str) -> bool:
        """Whether the plan in force serves `model`; for `all`, any task."""
        self.check_model(model)
        routes = self._node.table.routes
        return any(routes.get(task) for task in (self.tasks if model == ALL else (model,)))

    def describe(self) -> dict[str, Any]:
        """Server metadata, with what this node is beyond the protocol."""
        version = self._node.table.version
        return {
            "name": self._node.config.node.name,
            "version": str(version),
            "extensions": list(EXTENSIONS),
            "plan_version": version,
            "tasks": list(self.tasks),
            "models": [*self.models, *filter(has_class, self._node.table.deadlines_s)],
        }

    def tensors(self, model: str) -> tuple[TensorSpec, tuple[TensorSpec, ...]]:
        """The input and the outputs of `model`."""
        self.check_model(model)
        return input_spec(self.size), output_specs(base_task(model), self.tasks, self.size)

    def describe_model(self, model: str) -> dict[str, Any]:
        """Model metadata."""
        taken, given = self.tensors(model)
        return {
            "name": model,
            "versions": [VERSION],
            "platform": "j3o-testbed",
            "inputs": [taken.as_json()],
            "outputs": [output.as_json() for output in given],
        }

    def statistics(self, model: str = "") -> dict[str, Any]:
        """`model_stats` of one model, or of all."""
        if model:
            self.check_model(model)
        wanted = (model,) if model else tuple(self._statistics)
        told = [
            self._statistics_of(name).as_json(self._node.refused_early(name)) for name in wanted
        ]
        return {"model_stats": told}

    def callers(self) -> dict[str, Any]:
        """Requests by caller and outcome."""
        return {"callers": self._callers.as_json()}

    def check_model(self, model: str, version: str = "") -> None:
        """Raise `BadQueryError` if there is no such model."""
        known = self._is_class(model) if has_class(model) else model in self._statistics
        if not known:
            raise BadQueryError(404, self._unknown(model, f", or {ALL}"))
        if version not in ("", VERSION):
            raise BadQueryError(404, f"model {model!r} has version {VERSION}, not {shown(version)}")

    def _is_class(self, name: str) -> bool:
        """Whether `name` is TASK@CLASS, and a deadline class (F20) of the plan in force."""
        is_one = has_class(name) and base_task(name) in self.tasks
        return is_one and name in self._node.table.deadlines_s

    def _unknown(self, name: str, others: str = "") -> str:
        """What is said of a name that is no task and no class; `others` may be named besides."""
        task = base_task(name)
        if has_class(name) and task in self.tasks:
            known = ", ".join(class_labels(task, self._node.table.deadlines_s))
            label = shown(name.removeprefix(task)[1:])
            return f"{task} has no class {label}; its classes: {known or 'none'}"
        return f"there is no task {shown(name)}; tasks: {', '.join(self.tasks)}{others}"

    def _statistics_of(self, model: str) -> ModelStatistics:
        """Those of a model that `check_model` knows; a class has them from its first request on."""
        found = self._statistics.get(model)
        if found is None:
            found = self._statistics[model] = ModelStatistics(model)
        return found

    def _tasks_of(self, model: str, outputs: tuple[str, ...]) -> tuple[str, ...]:
        if model != ALL:
            if outputs in ((), (OUTPUT,)):
                return (model,)
            raise BadQueryError(
                400,
                f"outputs: model {model!r} has one, {OUTPUT!r}, got {', '.join(outputs[:3])[:80]}",
            )
        for name in outputs:
            if name not in self.tasks and not self._is_class(name):
                raise BadQueryError(400, f"outputs: {self._unknown(name)}")
        if outputs:
            return tuple(dict.fromkeys(outputs))
        routes = self._node.table.routes
        served = tuple(task for task in self.tasks if routes.get(task))
        if not served:
            raise NotServedError("the plan in force serves no task here")
        return served

    async def _ask(
        self, tasks: tuple[str, ...], request: InferenceRequest, deadline_s: float | None
    ) -> Sequence[dict[str, Routed]]:
        """One dictionary an image."""
        node, images = self._node, request.images_nhw3
        if len(images) == 1:
            if len(tasks) == 1:
                routed = await node.answer(tasks[0], images[0], deadline_s=deadline_s)
                return ({tasks[0]: routed},)
            return (await node.answer_all(tasks, images[0], deadline_s=deadline_s),)
        outcomes = await asyncio.gather(
            *(node.answer_all(tasks, image, deadline_s=deadline_s) for image in images),
            return_exceptions=True,
        )
        # All have ended: a refused image leaves no other one behind.
        answers = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        if len(answers) < len(outcomes):
            raise_first(outcomes)
        return answers


def way_of(routed: Routed) -> dict[str, str | int | float]:
    """Which way an answer took, and where its time went (seconds)."""
    served = routed.forwarded.served
    spilled = {} if routed.spilled is None else {"spilled": str(routed.spilled)}
    return {
        "tier": str(routed.target.tier),
        "node": routed.target.node,
        "model": routed.target.model,
        "plan_version": routed.plan_version,
        "batch_size": served.batch_size,
        "bound_s": routed.bound_s,
        "queue_s": served.queue_s,
        "batch_wait_s": served.batch_wait_s,
        "compute_s": served.compute_s,
        "link_s": routed.forwarded.link_s,
        **spilled,
    }


def _values(
    task: str, answers: Sequence[dict[str, Routed]], batched: bool
) -> np.ndarray[Any, np.dtype[Any]]:
    """Answers of a task as one tensor, with a leading axis if the request had one."""
    predictions = [image[task].forwarded.served.prediction for image in answers]
    if not batched:
        return predictions[0]
    return predictions[0][np.newaxis] if len(predictions) == 1 else np.stack(predictions)
