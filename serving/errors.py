"""Every error of the serving side, and every reason for which a query is refused.

    ServingError
    |-- RefusedError       the system's decision: HTTP 503, gRPC UNAVAILABLE, DEADLINE_EXCEEDED
    |-- NotServedError     no onloaded model serves the task: HTTP 404, gRPC NOT_FOUND
    |-- BadQueryError      the caller's mistake: HTTP 4xx, gRPC INVALID_ARGUMENT and others
    |-- FrameError         a node said what no honest node says: its connection is closed
    |-- BudgetError        a plan breaks a budget and is not deployed
    |-- UnfinishedError    something was changed before what was asked for turned out to be wrong
    |-- OutputError        a result could not be written where it was wanted
    |-- ModelLoadError     a model did not load in time; the node goes on with those it has
    |-- LeaseHeldError     somebody else does what only one may do at a time
    |-- PlanningError      no plan was found in time; the one in force stays
    `-- PlanChangeError    a change of plan broke off; the message says what holds now
        `-- PlanChangeConflictError   another change is under way, or took over

What a user got wrong is an `InputError` (`cluster.errors`), raised before anything is changed.

The errors that a caller of the Python client meets are another tree, under `ClientError`
(`serving.client.wire`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

__all__ = [
    "BadQueryError", "BudgetError", "FrameError", "LeaseHeldError", "ModelLoadError",
    "NotServedError", "OutputError", "PlanChangeConflictError", "PlanChangeError", "PlanningError",
    "RefusalReason", "RefusedError", "ServingError", "UnfinishedError", "raise_first",
]  # fmt: skip


class RefusalReason(StrEnum):
    """Why a query was not answered: the word that answers, metrics and measurements carry.

    `sentence` explains it to people. `is_fault` tells a node's failure, after which a query is
    tried elsewhere, from a decision. `is_full` tells a want of room on the way that was picked, or
    of time: the query takes another one that has it, if there is one. `passes_soon` tells a want of
    room at a device, which the node below repeats by itself until room is expected.
    """

    sentence: str
    is_fault: bool
    is_full: bool
    passes_soon: bool

    def __new__(
        cls,
        word: str,
        sentence: str,
        is_fault: bool = False,
        is_full: bool = False,
        passes_soon: bool = False,
    ) -> RefusalReason:
        """A word, and what is known of it."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        member.is_fault = is_fault
        member.is_full = is_full
        member.passes_soon = passes_soon
        return member

    @classmethod
    def parse(cls, word: str) -> RefusalReason:
        """The reason that `word` stands for. Raises `ValueError` for any other word."""
        for reason in cls:
            if reason.value == word:
                return reason
        raise ValueError(f"{word!r} is no reason for a refusal")

    SHED = "shed", "the plan serves only a part of this load"
    OVERLOADED = "overloaded", "the device could not answer within its bound", False, True, True
    QUEUE_FULL = "queue_full", "as many queries wait for the device as may", False, True, True
    DEADLINE = "deadline", "the answer would come, or came, too late for the caller", False, True
    LINK_FULL = (
        "link_full", "the link's backlog, or what is under way on it, is at its bound", False, True,
    )  # fmt: skip
    DOOR_FULL = "door_full", "the door holds as many connections or undecoded pictures as it may"
    NOT_SERVED = "not_served", "no onloaded model serves the task"
    NO_WAY = "no_way", "a route of the plan leads over a link that is not there"
    PEER_UNREACHABLE = "peer_unreachable", "the node above cannot be connected to", True
    PEER_LOST = "peer_lost", "the node above went away", True
    PEER_SILENT = "peer_silent", "the node above is connected but gives no answer", True
    DEVICE_FAILED = "device_failed", "the device failed on the batch", True
    MODEL_NOT_LOADED = "model_not_loaded", "the node does not hold the model, after a restart", True
    STOPPING = "stopping", "the node is shutting down", True


class ServingError(Exception):
    """Base of the errors of the serving side."""


class RefusedError(ServingError):
    """The query was refused on purpose (HTTP 503).

    `retry_after_s` is when the refuser expects room again; 0 where it cannot say. Without a
    `message` the reason's own sentence is said.
    """

    def __init__(
        self, reason: RefusalReason, message: str = "", retry_after_s: float = 0.0
    ) -> None:
        super().__init__(reason, message, retry_after_s)
        self.reason = reason
        self.message = message or reason.sentence
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


def raise_first(outcomes: list[Any]) -> None:
    """Raise the first error of `outcomes`, if there is one, and empty the list. An error that no
    part of the system means to raise goes first: it must be heard of, and not hide behind a
    refusal.

    An exception refers to the frames that it passed, and a frame that refers to the exception in
    turn keeps both, with all that the frame holds, until the next collection of cycles: under
    overload these were the pictures of nearly every query that had been refused.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    outcomes.clear()
    if errors:
        errors.sort(key=lambda error: isinstance(error, ServingError))  # which keeps their order
        try:
            raise errors[0]
        finally:
            errors.clear()


class NotServedError(ServingError):
    """No onloaded model serves the task, or there is no such task (HTTP 404)."""


class BadQueryError(ServingError):
    """The query itself is wrong (HTTP 4xx); the message says what was expected."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


class FrameError(ServingError):
    """A frame that no honest peer sends; the message says what was expected."""


class ModelLoadError(ServingError):
    """A model did not load within the time that a load has."""


class BudgetError(ServingError):
    """A plan breaks a constraint of its problem, so it is not put in force.

    `violations` has a sentence for each broken constraint; `plan` names the plan's file, if any.
    """

    def __init__(self, violations: Sequence[str], plan: str = "the plan") -> None:
        super().__init__(tuple(violations), plan)
        self.violations = tuple(violations)
        self.plan = plan

    def __str__(self) -> str:
        return f"{self.plan} breaks {'; '.join(self.violations)}; nothing was deployed"


class UnfinishedError(ServingError):
    """What was asked for turned out to be wrong after the work on it had begun, so that something
    may have been changed; the message says what was wrong."""


class OutputError(ServingError):
    """A result could not be written where it was wanted; the message says where it is instead."""


class LeaseHeldError(ServingError):
    """`name` can be held by one at a time, and `owner` holds it, for `left_s` unless renewed."""

    def __init__(self, name: str, owner: str, left_s: float) -> None:
        super().__init__(name, owner, left_s)
        self.name, self.owner, self.left_s = name, owner, left_s

    def __str__(self) -> str:
        return (
            f"the {self.name} is held by {self.owner}; wait until it ends "
            f"(if it was killed: {self.left_s:.0f} s)"
        )


class PlanChangeError(ServingError):
    """A change of plan broke off. The message says why, and what the nodes hold now."""


class PlanChangeConflictError(PlanChangeError):
    """Another change of plan is under way, came first, or took over; the message says which, and
    the nodes are the other one's."""


class PlanningError(ServingError):
    """Planning failed, died or took too long; the message says which. The plan in force stays."""
