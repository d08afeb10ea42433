"""What the thin gateway believes of an upstream's answer, and what it makes of an upstream's error."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from gateways.core import errors
from gateways.core.backend import Embeddings, Scores, SparseEmbeddings, SparseVector
from gateways.split.gateway import answers

OURS = {"error": {"message": "input.2 is empty", "type": "invalid_request_error", "param": "input.2", "code": "c"}}
NAN = float("nan")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, OURS, errors.InvalidRequest),
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
def test_an_error_means_the_same_to_our_client(status: int, body: object, kind: type[errors.GatewayError]) -> None:
    """Its own mistakes come back as such with their words; all else is the upstream's."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)

    assert type(answers.error(status, raw)) is kind


def test_an_error_keeps_its_place_and_its_words() -> None:
    """`param` and `code` are what programs read."""
    error = answers.error(400, orjson.dumps(OURS))

    assert (error.message, error.param, error.code) == ("input.2 is empty", "input.2", "c")


@pytest.mark.parametrize("status", [429, 503])
def test_the_time_to_wait_is_passed_on(status: int) -> None:
    """The service knows how long its queue is."""
    assert answers.error(status, orjson.dumps(OURS), 17).headers() == {"Retry-After": "17"}


def vectors(rows: int, dimensions: int = 4, counts: tuple[int, ...] = (2, 3)) -> Embeddings:
    """Vectors of ones, for two texts of five tokens unless said otherwise."""
    return Embeddings(np.ones((rows, dimensions), np.float32), list(counts))


def test_right_vectors_are_believed() -> None:
    """One for each text, one for each token, and of any length while none is known."""
    answers.check_vectors(vectors(2), 2, 4, rows_are_tokens=False)
    answers.check_vectors(vectors(5), 2, 4, rows_are_tokens=True)
    answers.check_vectors(vectors(2), 2, None, rows_are_tokens=False)


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
def test_wrong_vectors_go_no_further(answer: Embeddings, rows_are_tokens: bool) -> None:
    """Too few, too many, of another length, or no numbers."""
    with pytest.raises(errors.UpstreamFailed):
        answers.check_vectors(answer, 2, 4, rows_are_tokens=rows_are_tokens)


@pytest.mark.parametrize(("indices", "values", "n"), [([3, 10], [1, 1], 1), ([3], [NAN], 1), ([3], [1], 2)])
def test_wrong_sparse_vectors_go_no_further(indices: list[int], values: list[float], n: int) -> None:
    """Indices beyond the vocabulary, weights that are no numbers, fewer vectors than texts."""
    right = SparseVector(np.array([0, 9], np.uint32), np.ones(2, np.float32))
    wrong = SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))

    answers.check_sparse(SparseEmbeddings([right], [2]), 1, 10)
    with pytest.raises(errors.UpstreamFailed):
        answers.check_sparse(SparseEmbeddings([wrong], [2]), n, 10)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 1, 2], [0.5, NAN], [[0.5, 1]]])
def test_wrong_scores_go_no_further(values: list[float]) -> None:
    """Two documents have two scores."""
    answers.check_scores(Scores(np.array([0.5, -1], np.float32), [3, 3]), 2)
    with pytest.raises(errors.UpstreamFailed):
        answers.check_scores(Scores(np.array(values, np.float32), [3, 3]), 2)


@pytest.mark.parametrize("chunks", [[], [[(0, 5)], []], [[(0, 6)]], [[(-1, 3)]], [[(3, 3)]], [[(4, 2)]]])
def test_chunks_that_are_no_part_of_their_text_go_no_further(chunks: list[list[tuple[int, int]]]) -> None:
    """A citation is cut out of the text by them."""
    answers.check_chunks([[(0, 2), (1, 5)]], ["fiver"])
    with pytest.raises(errors.UpstreamFailed):
        answers.check_chunks(chunks, ["fiver"])
