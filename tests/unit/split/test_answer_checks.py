"""Checks of an embed service's answers, and the errors that clients get for its errors."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from gateways.core import errors
from gateways.core.backend import Embeddings, Scores, SparseEmbeddings, SparseVector
from gateways.split.gateway import answer_checks

OURS = {"error": {"message": "input.2 is empty", "type": "invalid_request_error", "param": "input.2", "code": "c"}}
NAN = float("nan")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, OURS, errors.InvalidInput),
        (413, OURS, errors.TooLarge),
        (429, OURS, errors.Overloaded),
        (503, OURS, errors.BackendUnavailable),
        (504, OURS, errors.DeadlineExceeded),
        (404, {"error": OURS["error"] | {"code": "unknown_model"}}, errors.NotFound),
        (500, {"error": OURS["error"] | {"code": "model_failed"}}, errors.ModelFailed),
        (500, OURS, errors.UpstreamFailed),
        # A wrong path or a wrong key of this gateway's own is not its client's fault.
        (404, {"detail": "Not Found"}, errors.UpstreamFailed),
        (401, OURS, errors.UpstreamFailed),
        # text-embeddings-inference
        (
            413,
            {"error": "batch size 64 > maximum allowed batch size 32", "error_type": "Validation"},
            errors.TooLarge,
        ),
        (422, {"error": "`inputs` must have less than 512 tokens", "error_type": "Tokenizer"}, errors.InvalidRequest),
        (424, {"error": "inference failed", "error_type": "Backend"}, errors.UpstreamFailed),
        (429, {"error": "Model is overloaded", "error_type": "Overloaded"}, errors.Overloaded),
        (502, b"<html>Bad Gateway</html>", errors.UpstreamFailed),
        (400, [1, 2], errors.InvalidRequest),
    ],
)
def test_an_error_of_the_service_is_mapped(status: int, body: object, kind: type[errors.GatewayError]) -> None:
    """A client's mistake is returned as such; any other error is UpstreamFailed."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)

    assert type(answer_checks.error(status, raw)) is kind


def test_an_error_keeps_message_param_and_code() -> None:
    """Message, param and code of the service's error reach the client unchanged."""
    error = answer_checks.error(400, orjson.dumps(OURS))

    assert (error.message, error.param, error.code) == ("input.2 is empty", "input.2", "c")


@pytest.mark.parametrize(
    ("param", "item", "offset"), [("input.2", 2, None), ("input.2.11", 2, 11), ("documents.70", 70, None)]
)
def test_an_error_about_an_input_has_its_index(param: str, item: int, offset: int | None) -> None:
    """The service's name of an input becomes an index, because the client's field may have another name."""
    sent = {"message": f"{param} has 300 tokens", "param": param, "code": "context_length_exceeded"}

    error = answer_checks.error(400, orjson.dumps({"error": sent}))

    assert isinstance(error, errors.InvalidInput)
    assert (error.item, error.offset, error.fault, error.code) == (item, offset, "has 300 tokens", sent["code"])


@pytest.mark.parametrize("param", ["query", "truncate", "input", "input.x", "documents.1.text", None])
def test_an_error_about_something_else_has_no_index(param: str | None) -> None:
    """Message and param are passed on unchanged if they do not name an input."""
    for message, name in ((f"{param} is wrong", param), ("send texts", "input.3")):
        error = answer_checks.error(400, orjson.dumps({"error": {"message": message, "param": name, "code": "c"}}))

        assert type(error) is errors.InvalidRequest
        assert (error.message, error.param) == (message, name)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_passed_on(status: int) -> None:
    """Retry-After of the service reaches the client."""
    assert answer_checks.error(status, orjson.dumps(OURS), 17).headers() == {"Retry-After": "17"}


def vectors(rows: int, dimensions: int = 4, counts: tuple[int, ...] = (2, 3)) -> Embeddings:
    """Return vectors of ones, by default for two texts with five tokens together."""
    return Embeddings(np.ones((rows, dimensions), np.float32), list(counts))


def test_correct_vectors_are_accepted() -> None:
    """A vector per text or per token is accepted, and any dimension if it is not known."""
    answer_checks.check_vectors(vectors(2), 2, 4, rows_are_tokens=False)
    answer_checks.check_vectors(vectors(5), 2, 4, rows_are_tokens=True)
    answer_checks.check_vectors(vectors(2), 2, None, rows_are_tokens=False)


@pytest.mark.parametrize(
    ("answer", "rows_are_tokens"),
    [
        (vectors(1), False),
        (vectors(5), False),
        (vectors(2), True),
        (vectors(2, dimensions=3), False),
        (vectors(2, counts=(2, 3, 1)), False),
        (Embeddings(np.array([[1, 1, 1, 1], [1, 1, NAN, 1]], np.float32), [1, 1]), False),
        (Embeddings(np.array([[1, 1, 1, 1], [np.inf, 1, 1, 1]], np.float32), [1, 1]), True),
    ],
)
def test_wrong_vectors_are_refused(answer: Embeddings, rows_are_tokens: bool) -> None:
    """A wrong number of vectors, a wrong dimension, NaN and infinity raise UpstreamFailed."""
    with pytest.raises(errors.UpstreamFailed):
        answer_checks.check_vectors(answer, 2, 4, rows_are_tokens=rows_are_tokens)


@pytest.mark.parametrize(("indices", "values", "n"), [([3, 10], [1, 1], 1), ([3], [NAN], 1), ([3], [1], 2)])
def test_wrong_sparse_vectors_are_refused(indices: list[int], values: list[float], n: int) -> None:
    """An index over the vocabulary, NaN, and a wrong number of vectors raise UpstreamFailed."""
    right = SparseVector(np.array([0, 9], np.uint32), np.ones(2, np.float32))
    wrong = SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))

    answer_checks.check_sparse(SparseEmbeddings([right], [2]), 1, 10)
    with pytest.raises(errors.UpstreamFailed):
        answer_checks.check_sparse(SparseEmbeddings([wrong], [2]), n, 10)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 1, 2], [0.5, NAN], [[0.5, 1]]])
def test_wrong_scores_are_refused(values: list[float]) -> None:
    """A wrong number of scores, a wrong shape and NaN raise UpstreamFailed."""
    answer_checks.check_scores(Scores(np.array([0.5, -1], np.float32), [3, 3]), 2)
    with pytest.raises(errors.UpstreamFailed):
        answer_checks.check_scores(Scores(np.array(values, np.float32), [3, 3]), 2)


@pytest.mark.parametrize("chunks", [[], [[(0, 5)], []], [[(0, 6)]], [[(-1, 3)]], [[(3, 3)]], [[(4, 2)]]])
def test_chunks_outside_of_their_text_are_refused(chunks: list[list[tuple[int, int]]]) -> None:
    """A missing list, an empty chunk, and a chunk outside of its text raise UpstreamFailed."""
    answer_checks.check_chunks([[(0, 2), (1, 5)]], ["fiver"])
    with pytest.raises(errors.UpstreamFailed):
        answer_checks.check_chunks(chunks, ["fiver"])


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_named(status: int) -> None:
    """The operator reads which setting is wrong, and the client gets no 401 for a key that is not its own."""
    error = answer_checks.error(status, orjson.dumps(OURS))

    assert type(error) is errors.UpstreamFailed
    assert "EMBEDDING_API_KEY" in error.message
