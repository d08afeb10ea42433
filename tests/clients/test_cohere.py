"""Cohere's client: `ClientV2` with a `base_url`."""

from __future__ import annotations

import asyncio
import base64
import struct

import cohere
import pytest
from cohere.core.api_error import ApiError

from tests.clients.answers import DOCUMENTS, QUERY, Golden, assert_ranking, assert_same


@pytest.fixture
def client(url: str) -> cohere.ClientV2:
    """Return a client that is made as in its documentation."""
    return cohere.ClientV2(api_key="none", base_url=url, max_retries=0)


@pytest.mark.parametrize("input_type", ["search_document", "search_query", "classification", "clustering"])
def test_vectors_are_those_of_sentence_transformers(client: cohere.ClientV2, golden: Golden, input_type: str) -> None:
    """The input type changes nothing, because this model has no prompts."""
    answer = client.embed(model=golden.model, texts=golden.texts, input_type=input_type, embedding_types=["float"])

    assert_same(answer.embeddings.float_, golden.vectors)
    assert answer.meta.billed_units.input_tokens == sum(golden.tokens)


def test_vectors_without_naming_a_type(client: cohere.ClientV2, golden: Golden) -> None:
    """Without `embedding_types` the answer has floats."""
    answer = client.embed(model=golden.model, texts=golden.texts[:3], input_type="search_query")

    assert_same(answer.embeddings.float_, golden.vectors[:3])


def test_smaller_types(client: cohere.ClientV2, golden: Golden) -> None:
    """base64 is the vector itself. int8 has nearly its direction, ubinary has its signs."""
    answer = client.embed(
        model=golden.model,
        texts=golden.texts[:2],
        input_type="search_document",
        embedding_types=["base64", "int8", "ubinary"],
    )
    raw = [base64.b64decode(text) for text in answer.embeddings.base64]
    signs = [[byte >> 7 - bit & 1 for byte in row for bit in range(8)] for row in answer.embeddings.ubinary]

    assert_same([struct.unpack(f"<{len(row) // 4}f", row) for row in raw], golden.vectors[:2])
    assert_same(answer.embeddings.int8, golden.vectors[:2], at_least=0.9995)
    assert signs == [[int(number > 0) for number in vector] for vector in golden.vectors[:2]]


def test_fewer_dimensions(client: cohere.ClientV2, golden: Golden) -> None:
    """`output_dimension` keeps the leading dimensions."""
    answer = client.embed(
        model=golden.model,
        texts=golden.texts[:1],
        input_type="search_query",
        output_dimension=64,
        embedding_types=["float"],
    )

    assert_same(answer.embeddings.float_, [golden.vectors[0][:64]])


def test_rerank(client: cohere.ClientV2) -> None:
    """Results are ordered by score, each with its place in the request."""
    answer = client.rerank(model="late-interaction", query=QUERY, documents=DOCUMENTS)

    assert_ranking([result.index for result in answer.results], [result.relevance_score for result in answer.results])


def test_rerank_keeps_the_best(client: cohere.ClientV2) -> None:
    """`top_n` limits the number of results."""
    answer = client.rerank(model="late-interaction", query=QUERY, documents=DOCUMENTS, top_n=2)

    assert_ranking(
        [result.index for result in answer.results], [result.relevance_score for result in answer.results], top=2
    )


def test_the_asynchronous_client(url: str, golden: Golden) -> None:
    """The asynchronous client embeds and reranks at the same time."""

    async def embed_and_rerank() -> tuple[list[list[float]], list[int]]:
        async with cohere.AsyncClientV2(api_key="none", base_url=url, max_retries=0) as client:
            embed_answer, rerank_answer = await asyncio.gather(
                client.embed(model=golden.model, texts=golden.texts, input_type="search_document"),
                client.rerank(model="late-interaction", query=QUERY, documents=DOCUMENTS, top_n=1),
            )
        return embed_answer.embeddings.float_, [result.index for result in rerank_answer.results]

    vectors, places = asyncio.run(embed_and_rerank())

    assert_same(vectors, golden.vectors)
    assert places == [1]


def test_the_older_client(url: str, golden: Golden) -> None:
    """The class `Client` works too. It sends `/v1/embed` and `/v1/rerank`."""
    client = cohere.Client(api_key="none", base_url=url, max_retries=0)

    embed_answer = client.embed(model=golden.model, texts=golden.texts[:3], input_type="search_query")
    rerank_answer = client.rerank(model="late-interaction", query=QUERY, documents=DOCUMENTS)

    assert_same(embed_answer.embeddings, golden.vectors[:3])
    assert_ranking(
        [result.index for result in rerank_answer.results],
        [result.relevance_score for result in rerank_answer.results],
    )


def test_errors_are_the_clients_own(client: cohere.ClientV2) -> None:
    """
    The client raises its own errors, with the name of a model that would be right.

    An unknown model is a NotFoundError, reranking with a dense model a BadRequestError.
    """
    with pytest.raises(cohere.NotFoundError, match="all-MiniLM-L6-v2"):
        client.embed(model="embed-english-v3.0", texts=["hello"], input_type="search_query")
    with pytest.raises(cohere.BadRequestError, match="late-interaction"):
        client.rerank(model="all-MiniLM-L6-v2", query=QUERY, documents=DOCUMENTS)


def test_too_many_texts_are_refused_with_the_limit(client: cohere.ClientV2, golden: Golden) -> None:
    """3,000 texts are more than the limit of 2,048. The message names the limit."""
    with pytest.raises(ApiError, match="2048") as error:
        client.embed(model=golden.model, texts=["text"] * 3000, input_type="search_query")

    assert error.value.status_code == 413
