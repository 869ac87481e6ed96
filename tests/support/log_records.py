"""What a record of a log says beside its text."""

from __future__ import annotations

import logging

__all__ = ["error_of", "node_of"]


def node_of(record: logging.LogRecord) -> str | None:
    """The node that a `NodeLogger` put on the record."""
    node = getattr(record, "node", None)
    assert node is None or isinstance(node, str)
    return node


def error_of(record: logging.LogRecord) -> type[BaseException] | None:
    """The type of the error whose traceback the record has."""
    return record.exc_info[0] if record.exc_info else None
