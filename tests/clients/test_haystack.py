"""Haystack: the OpenAI embedders with an `api_base_url`."""

from __future__ import annotations

from haystack import Document, Pipeline
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret

from tests.clients.answers import DOCUMENTS, QUERY, Golden, assert_same

KEY = Secret.from_token("none")


def test_documents(url: str, golden: Golden) -> None:
    """Every document gets its vector, and the meta tells the model and the tokens."""
    embedder = OpenAIDocumentEmbedder(
        api_base_url=f"{url}/v1", api_key=KEY, model=golden.model, batch_size=8, progress_bar=False
    )

    found = embedder.run([Document(content=text) for text in golden.texts])

    assert_same([document.embedding for document in found["documents"]], golden.vectors)
    assert found["meta"]["model"] == golden.model
    assert found["meta"]["usage"]["total_tokens"] == sum(golden.tokens)


def test_text(url: str, golden: Golden) -> None:
    """A query's vector is the same model's."""
    embedder = OpenAITextEmbedder(api_base_url=f"{url}/v1", api_key=KEY, model=golden.model)

    assert_same([embedder.run(text)["embedding"] for text in golden.texts[:5]], golden.vectors[:5])


def test_a_pipeline_retrieves(url: str, golden: Golden) -> None:
    """Embed documents into a store, embed the question, retrieve: the right document is first."""
    options = {"api_base_url": f"{url}/v1", "api_key": KEY, "model": golden.model}
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    documents = OpenAIDocumentEmbedder(progress_bar=False, **options).run(
        [Document(content=text) for text in DOCUMENTS]
    )
    store.write_documents(documents["documents"])
    pipeline = Pipeline()
    pipeline.add_component("embedder", OpenAITextEmbedder(**options))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")

    [best] = pipeline.run({"embedder": {"text": QUERY}})["retriever"]["documents"]

    assert best.content == DOCUMENTS[1]
