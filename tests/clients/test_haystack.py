"""Haystack's OpenAI embedders, configured with an `api_base_url`."""

from __future__ import annotations

from haystack import Document, Pipeline
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret

from tests.clients.answers import DOCUMENTS, QUERY, Golden, assert_same

KEY = Secret.from_token("none")


def test_documents(url: str, golden: Golden) -> None:
    """Every document gets its vector. `meta` has the model and the token count."""
    embedder = OpenAIDocumentEmbedder(
        api_base_url=f"{url}/v1", api_key=KEY, model=golden.model, batch_size=8, progress_bar=False
    )

    output = embedder.run([Document(content=text) for text in golden.texts])

    assert_same([document.embedding for document in output["documents"]], golden.vectors)
    assert output["meta"]["model"] == golden.model
    assert output["meta"]["usage"]["total_tokens"] == sum(golden.tokens)


def test_text(url: str, golden: Golden) -> None:
    """The text embedder gives a query the vector of sentence-transformers."""
    embedder = OpenAITextEmbedder(api_base_url=f"{url}/v1", api_key=KEY, model=golden.model)

    assert_same([embedder.run(text)["embedding"] for text in golden.texts[:5]], golden.vectors[:5])


def test_a_pipeline_retrieves(url: str, golden: Golden) -> None:
    """A pipeline that embeds the question retrieves the right document first."""
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

    [document] = pipeline.run({"embedder": {"text": QUERY}})["retriever"]["documents"]

    assert document.content == DOCUMENTS[1]
