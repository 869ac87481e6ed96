"""Why a query is not answered. A refusal is the system's decision; a bad query is the caller's."""

from __future__ import annotations

__all__ = ["BadQueryError", "NotServedError", "RefusedError"]


class RefusedError(Exception):
    """The query was refused on purpose (HTTP 503); `reason` is a short machine-readable word.

    `retry_after_s` is when the refuser expects room again; 0 where it cannot say.
    """

    def __init__(self, reason: str, message: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(reason, message, retry_after_s)
        self.reason = reason
        self.message = message or reason
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class NotServedError(Exception):
    """No onloaded model serves the task, or there is no such task (HTTP 404)."""


class BadQueryError(Exception):
    """The query itself is wrong (HTTP 4xx); the message says what was expected."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message
