"""litellm's `embedding` and `rerank`. The provider's name in the model's name selects the dialect."""

from __future__ import annotations

import asyncio

import litellm
import pytest

from tests.clients.answers import BEST_FIRST, DOCUMENTS, QUERY, Golden, assert_ranking, assert_same

# litellm asks the hub for a price if the provider is huggingface, and goes on without one. It asks in a thread after
# the answer, so the request may come during any test of this file.
pytestmark = pytest.mark.reaches_for("huggingface.co")
# The path of the base URL, by provider.
RERANKERS = {"cohere": "", "jina_ai": "/v1", "hosted_vllm": ""}


def test_openai_embeddings(url: str, golden: Golden) -> None:
    """`openai/<model>` sends `/v1/embeddings`."""
    answer = litellm.embedding(
        model=f"openai/{golden.model}", input=golden.texts, api_base=f"{url}/v1", api_key="none"
    )

    assert_same([item["embedding"] for item in answer.data], golden.vectors)
    assert answer.usage.prompt_tokens == sum(golden.tokens)


def test_asynchronous_openai_embeddings(url: str, golden: Golden) -> None:
    """`aembedding` gets the same vectors."""
    answer = asyncio.run(
        litellm.aembedding(model=f"openai/{golden.model}", input=golden.texts, api_base=f"{url}/v1", api_key="none")
    )

    assert_same([item["embedding"] for item in answer.data], golden.vectors)


def test_cohere_embeddings(url: str, golden: Golden) -> None:
    """`cohere/<model>` sends Cohere's `/v2/embed`."""
    answer = litellm.embedding(
        model=f"cohere/{golden.model}",
        input=golden.texts,
        api_base=f"{url}/v2/embed",
        api_key="none",
        input_type="search_document",
    )

    assert_same([item["embedding"] for item in answer.data], golden.vectors)


def test_tei_embeddings(url: str, golden: Golden) -> None:
    """`huggingface/<model>` sends TEI's `/embed`."""
    answer = litellm.embedding(
        model=f"huggingface/{golden.model}",
        input=golden.texts,
        api_base=f"{url}/embed",
        input_type="feature-extraction",
    )

    assert_same([item["embedding"] for item in answer.data], golden.vectors)


@pytest.mark.parametrize("provider", RERANKERS)
def test_rerank(url: str, provider: str) -> None:
    """Each provider's dialect gives the same ranking, with the texts."""
    answer = litellm.rerank(
        model=f"{provider}/late-interaction",
        query=QUERY,
        documents=DOCUMENTS,
        top_n=2,
        return_documents=True,
        api_base=f"{url}{RERANKERS[provider]}",
        api_key="none",
    )

    assert_ranking(
        [result["index"] for result in answer.results],
        [result["relevance_score"] for result in answer.results],
        top=2,
    )
    assert [result["document"]["text"] for result in answer.results] == [DOCUMENTS[place] for place in BEST_FIRST[:2]]


def test_tei_rerank(url: str) -> None:
    """`huggingface/<model>` sends TEI's `/rerank`. It ranks all texts, because TEI has no `top_n`."""
    answer = litellm.rerank(
        model="huggingface/late-interaction", query=QUERY, documents=DOCUMENTS, top_n=2, api_base=url, api_key="none"
    )

    assert_ranking(
        [result["index"] for result in answer.results], [result["relevance_score"] for result in answer.results]
    )


def test_infinity_rerank_without_documents(url: str) -> None:
    """
    `infinity/<model>` works with `return_documents=False`.

    With documents litellm expects a string where Jina's shape has an object.
    """
    answer = litellm.rerank(
        model="infinity/late-interaction",
        query=QUERY,
        documents=DOCUMENTS,
        return_documents=False,
        api_base=url,
        api_key="none",
    )

    assert_ranking(
        [result["index"] for result in answer.results], [result["relevance_score"] for result in answer.results]
    )


def test_asynchronous_rerank(url: str) -> None:
    """`arerank` gets the same ranking."""
    answer = asyncio.run(
        litellm.arerank(
            model="cohere/late-interaction", query=QUERY, documents=DOCUMENTS, api_base=url, api_key="none"
        )
    )

    assert_ranking(
        [result["index"] for result in answer.results], [result["relevance_score"] for result in answer.results]
    )


def test_errors_are_its_own(url: str) -> None:
    """An unknown model is litellm's NotFoundError."""
    with pytest.raises(litellm.NotFoundError, match="all-MiniLM-L6-v2"):
        litellm.embedding(
            model="openai/text-embedding-ada-002",
            input=["hello"],
            api_base=f"{url}/v1",
            api_key="none",
            max_retries=0,
        )
