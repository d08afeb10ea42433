"""Clients of a gateway with API keys. Each sends its key, and raises its own error for a wrong key."""

from __future__ import annotations

import cohere
import openai
import pytest
import requests
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from langchain_openai import OpenAIEmbeddings
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference as TeiRerank

from tests.clients.answers import BEST_FIRST, DOCUMENTS, QUERY, Golden, assert_same

pytestmark = pytest.mark.keyed


def test_openai(url: str, key: str, golden: Golden) -> None:
    """OpenAI's client embeds with the key. A wrong key is an AuthenticationError."""
    good, bad = (
        openai.OpenAI(base_url=f"{url}/v1", api_key=api_key, max_retries=0) for api_key in (key, "not-" + key)
    )

    answer = good.embeddings.create(model=golden.model, input=golden.texts[0])

    assert_same([answer.data[0].embedding], golden.vectors[:1])
    with pytest.raises(openai.AuthenticationError, match="Bearer"):
        bad.embeddings.create(model=golden.model, input=golden.texts[0])


def test_cohere(url: str, key: str, golden: Golden) -> None:
    """Cohere's client embeds with the key. A wrong key is an UnauthorizedError."""
    good, bad = (cohere.ClientV2(api_key=api_key, base_url=url, max_retries=0) for api_key in (key, "not-" + key))

    answer = good.embed(model=golden.model, texts=golden.texts[:1], input_type="search_query")

    assert_same(answer.embeddings.float_, golden.vectors[:1])
    with pytest.raises(cohere.UnauthorizedError):
        bad.rerank(model="late-interaction", query=QUERY, documents=DOCUMENTS)


def test_hugging_face(url: str, key: str, golden: Golden) -> None:
    """Hugging Face's client sends its token as a Bearer token. A wrong token is a 401."""
    good, bad = (InferenceClient(model=f"{url}/embed", token=token) for token in (key, "not-" + key))

    assert_same(good.feature_extraction(golden.texts[:1]).tolist(), golden.vectors[:1])
    with pytest.raises(HfHubHTTPError) as error:
        bad.feature_extraction(golden.texts[:1])
    assert error.value.response.status_code == 401


def test_langchain(url: str, key: str, golden: Golden) -> None:
    """LangChain passes its key to OpenAI's client."""
    embeddings = OpenAIEmbeddings(
        base_url=f"{url}/v1", api_key=key, model=golden.model, check_embedding_ctx_length=False
    )

    assert_same([embeddings.embed_query(golden.texts[0])], golden.vectors[:1])


def test_llama_index_embeds(url: str, key: str, golden: Golden) -> None:
    """LlamaIndex's TEI embeddings send the token after the word Bearer."""
    embedding = TextEmbeddingsInference(model_name=golden.model, base_url=url, auth_token=key)

    assert_same([embedding.get_text_embedding(golden.texts[0])], golden.vectors[:1])


def test_llama_index_reranks_without_the_word_bearer(url: str, key: str) -> None:
    """LlamaIndex's TEI rerank sends the token without the word Bearer. The gateway accepts it."""
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(place))) for place, text in enumerate(DOCUMENTS)]

    ranking = TeiRerank(base_url=url, top_n=3, auth_token=key).postprocess_nodes(nodes, QueryBundle(QUERY))

    assert [node.node_id for node in ranking] == [str(place) for place in BEST_FIRST]


@pytest.mark.parametrize("authorization", ["Bearer ", "", None])
def test_no_key_is_refused_where_one_is_wanted(url: str, authorization: str | None) -> None:
    """An empty Bearer token, as Open WebUI may send it, is a 401. The message names the header to send."""
    response = requests.post(
        f"{url}/v1/embeddings", json={"input": "hello"}, headers={"Authorization": authorization}, timeout=60
    )

    assert response.status_code == 401
    assert "Authorization: Bearer" in response.json()["error"]["message"]
