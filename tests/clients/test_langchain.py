"""LangChain's `OpenAIEmbeddings` with a `base_url`, and its `HuggingFaceEndpointEmbeddings` with the TEI routes."""

from __future__ import annotations

import asyncio

import openai
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings

from tests.clients.answers import Golden, assert_same


def make_embeddings(url: str, model: str, key: str = "none", **options: bool) -> OpenAIEmbeddings:
    """Return embeddings that are made as the documentation says for a server that is not OpenAI's."""
    return OpenAIEmbeddings(base_url=f"{url}/v1", api_key=key, model=model, max_retries=0, **options)


def test_documents_and_query(url: str, golden: Golden) -> None:
    """With `check_embedding_ctx_length=False` LangChain sends text, and gets the vectors of sentence-transformers."""
    embeddings = make_embeddings(url, golden.model, check_embedding_ctx_length=False)

    assert_same(embeddings.embed_documents(golden.texts), golden.vectors)
    assert_same([embeddings.embed_query(golden.texts[4])], [golden.vectors[4]])


def test_asynchronous_documents_and_query(url: str, golden: Golden) -> None:
    """`aembed_documents` and `aembed_query` get the same vectors."""
    embeddings = make_embeddings(url, golden.model, check_embedding_ctx_length=False)

    async def embed_both() -> tuple[list[list[float]], list[float]]:
        return await embeddings.aembed_documents(golden.texts), await embeddings.aembed_query(golden.texts[4])

    documents, query = asyncio.run(embed_both())

    assert_same([*documents, query], [*golden.vectors, golden.vectors[4]])


@pytest.mark.keyed
@pytest.mark.usefixtures("tiktoken_vocabulary")
@pytest.mark.parametrize("text", ["Quarterly reimbursement paperwork, notarised", None])
def test_the_trap_of_the_default(url: str, key: str, golden: Golden, text: str | None) -> None:
    """
    By default LangChain sends the ids of OpenAI's tokenizer. The error names the setting that sends text.

    Ids that the model has too would be embedded as other words: all ids of the golden text are among them.
    """
    embeddings = make_embeddings(url, golden.model, key)

    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as error:
        embeddings.embed_query(text or golden.texts[0])

    assert error.value.code == "token_ids_refused"


@pytest.mark.parametrize("path", ["/embed", "/", ""])
def test_hugging_face_endpoint_embeddings(url: str, golden: Golden, path: str) -> None:
    """The endpoint embeddings work with the path `/embed` and with TEI's `POST /`."""
    embeddings = HuggingFaceEndpointEmbeddings()
    embeddings.client = InferenceClient(model=f"{url}{path}")
    embeddings.async_client = AsyncInferenceClient(model=f"{url}{path}")

    assert_same(embeddings.embed_documents(golden.texts), golden.vectors)
    assert_same([asyncio.run(embeddings.aembed_query(golden.texts[4]))], [golden.vectors[4]])
