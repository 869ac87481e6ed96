"""The reasons of refusals, and which of them make a query go elsewhere."""

from __future__ import annotations

import json
import pickle

import orjson
import pytest

from serving.errors import NotServedError, RefusalReason, RefusedError, raise_first


def test_faults_of_a_node_are_told_from_decisions() -> None:
    """A query that met a fault is tried elsewhere; a decision is final."""
    assert {str(reason) for reason in RefusalReason if reason.is_fault} == {
        "peer_lost", "peer_silent", "peer_unreachable", "device_failed", "model_not_loaded",
        "stopping",
    }  # fmt: skip


def test_want_of_room_passes_and_may_be_repeated() -> None:
    assert {str(reason) for reason in RefusalReason if reason.passes_soon} == {
        "overloaded", "queue_full",
    }  # fmt: skip


def test_every_reason_has_a_sentence_of_its_own() -> None:
    sentences = [reason.sentence for reason in RefusalReason]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence and "\n" not in sentence for sentence in sentences)


@pytest.mark.parametrize("reason", RefusalReason)
def test_a_reason_is_its_word_on_every_way_out(reason: RefusalReason) -> None:
    assert RefusalReason.parse(str(reason)) is reason
    assert pickle.loads(pickle.dumps(reason)) is reason
    assert json.loads(orjson.dumps({"reason": reason})) == {"reason": reason.value}
    again = pickle.loads(pickle.dumps(RefusedError(reason, retry_after_s=0.5)))
    assert (again.reason, str(again), again.retry_after_s) == (reason, reason.sentence, 0.5)


def test_a_word_that_is_no_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="'bad_image' is no reason for a refusal"):
        RefusalReason.parse("bad_image")


def test_an_error_that_nobody_means_to_raise_is_not_hidden_by_a_refusal() -> None:
    refusal, bug = RefusedError(RefusalReason.SHED), ZeroDivisionError("a bug")
    outcomes: list[object] = [1, refusal, NotServedError(), bug, KeyError("a second one")]
    with pytest.raises(ZeroDivisionError):
        raise_first(outcomes)
    assert not outcomes


def test_of_errors_that_are_meant_the_first_is_raised() -> None:
    with pytest.raises(NotServedError):
        raise_first([1, NotServedError(), RefusedError(RefusalReason.SHED)])
    raise_first([1, 2])
