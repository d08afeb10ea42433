"""LlamaIndex's OpenAI-like embeddings, TEI embeddings, and TEI rerank postprocessor."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference as TeiRerank

from tests.clients.answers import BEST_FIRST, DOCUMENTS, QUERY, Golden, assert_ranking, assert_same

Embedding = OpenAILikeEmbedding | TextEmbeddingsInference


@pytest.fixture(params=["openai-like", "tei"])
def embedding(request: pytest.FixtureRequest, url: str, golden: Golden) -> Embedding:
    """Return each of the two embeddings, made as in their documentation."""
    if request.param == "openai-like":
        return OpenAILikeEmbedding(model_name=golden.model, api_base=f"{url}/v1", api_key="none", max_retries=0)
    return TextEmbeddingsInference(model_name=golden.model, base_url=url)


def test_vectors_are_those_of_sentence_transformers(embedding: Embedding, golden: Golden) -> None:
    """A batch, one text and a query get the vectors of sentence-transformers."""
    assert_same(embedding.get_text_embedding_batch(golden.texts), golden.vectors)
    assert_same(
        [embedding.get_text_embedding(golden.texts[4]), embedding.get_query_embedding(golden.texts[4])],
        [golden.vectors[4]] * 2,
    )


def test_asynchronous_batches(embedding: Embedding, golden: Golden) -> None:
    """`aget_text_embedding_batch` gets the same vectors."""
    assert_same(asyncio.run(embedding.aget_text_embedding_batch(golden.texts)), golden.vectors)


def test_tei_rerank(url: str) -> None:
    """The best `top_n` nodes come back, best first, with the reranker's scores."""
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(place))) for place, text in enumerate(DOCUMENTS)]

    for top in (3, 2):
        ranking = TeiRerank(base_url=url, top_n=top).postprocess_nodes(nodes, QueryBundle(QUERY))

        assert [node.node_id for node in ranking] == [str(place) for place in BEST_FIRST[:top]]
        assert_ranking([int(node.node_id) for node in ranking], [node.score or 0 for node in ranking], top=top)
