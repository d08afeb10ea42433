"""OpenAI's client: a `base_url` is all that changes."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest

from tests.clients.answers import Golden, assert_same

BASES = ["/v1", "/api/v1"]


@pytest.fixture(params=BASES)
def base_url(request: pytest.FixtureRequest, url: str) -> str:
    """Return each address at which the gateway speaks OpenAI's language."""
    return f"{url}{request.param}"


@pytest.fixture
def client(base_url: str) -> openai.OpenAI:
    """Return a client as its documentation makes one."""
    return openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)


def test_vectors_are_those_of_sentence_transformers(client: openai.OpenAI, golden: Golden) -> None:
    """All texts in one request, in order; usage counts the model's own tokens."""
    answer = client.embeddings.create(model=golden.model, input=golden.texts)

    assert_same([item.embedding for item in answer.data], golden.vectors)
    assert [item.index for item in answer.data] == list(range(len(golden.texts)))
    assert answer.model == golden.model
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(golden.tokens)


def test_one_text_at_a_time(client: openai.OpenAI, golden: Golden) -> None:
    """Each text alone has the vector it has among others."""
    alone = [client.embeddings.create(model=golden.model, input=text).data[0].embedding for text in golden.texts[:5]]

    assert_same(alone, golden.vectors[:5])


def test_the_client_asks_for_base64_and_gets_it(client: openai.OpenAI, golden: Golden) -> None:
    """Unasked, the client requests base64 and decodes it: the wire carries text, not numbers."""
    raw = client.embeddings.with_raw_response.create(model=golden.model, input=golden.texts[0])

    assert json.loads(raw.http_request.content)["encoding_format"] == "base64"
    assert isinstance(json.loads(raw.text)["data"][0]["embedding"], str)
    assert_same([raw.parse().data[0].embedding], golden.vectors[:1])


def test_floats_on_request(client: openai.OpenAI, golden: Golden) -> None:
    """`encoding_format="float"` gives the same vectors."""
    answer = client.embeddings.create(model=golden.model, input=golden.texts[:3], encoding_format="float")

    assert_same([item.embedding for item in answer.data], golden.vectors[:3])


def test_the_asynchronous_client(base_url: str, golden: Golden) -> None:
    """Requests at the same time each get their own answer."""

    async def embed_all() -> list[list[float]]:
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            answers = await asyncio.gather(
                *(client.embeddings.create(model=golden.model, input=text) for text in golden.texts)
            )
        return [answer.data[0].embedding for answer in answers]

    assert_same(asyncio.run(embed_all()), golden.vectors)


def test_fewer_dimensions(client: openai.OpenAI, golden: Golden) -> None:
    """`dimensions` shortens the vector and scales it to unit length again."""
    answer = client.embeddings.create(model=golden.model, input=golden.texts[0], dimensions=64, user="someone")

    [item] = answer.data
    assert_same([item.embedding], [golden.vectors[0][:64]])
    assert sum(number * number for number in item.embedding) == pytest.approx(1, abs=1e-5)


def test_the_models_own_token_ids(client: openai.OpenAI, golden: Golden) -> None:
    """Ids stand for their text."""
    answer = client.embeddings.create(model=golden.model, input=[ids for ids, _ in golden.ids])

    assert_same([item.embedding for item in answer.data], [vector for _, vector in golden.ids])


def test_ids_of_another_vocabulary_are_refused(client: openai.OpenAI, golden: Golden) -> None:
    """Ids the model does not have are an error that names the setting which sends text instead."""
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as error:
        client.embeddings.create(model=golden.model, input=[15339, 100_256])

    assert "100256" in error.value.message


def test_models_are_listed_and_described(client: openai.OpenAI, golden: Golden) -> None:
    """`models.list` names every model, the one of the golden vectors among them."""
    listed = {model.id: model for model in client.models.list()}

    assert listed[golden.model].object == "model"


def test_models_retrieve(url: str, golden: Golden) -> None:
    """`models.retrieve` describes one model, by id or by alias."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    assert client.models.retrieve(golden.model).id == golden.model
    assert client.models.retrieve(f"sentence-transformers/{golden.model}").id == golden.model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    """The client raises its NotFoundError, and the message says which models there are."""
    with pytest.raises(openai.NotFoundError, match="all-MiniLM-L6-v2") as error:
        client.embeddings.create(model="text-embedding-ada-002", input="hello")

    assert "text-embedding-ada-002" in error.value.message


def test_error_fields_reach_the_caller(url: str) -> None:
    """`code` and `param` are on the exception."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model="all-MiniLM-L6-v2", input=["fine", " "])

    assert error.value.code == "empty_input"
    assert error.value.param == "input.1"


def test_too_many_texts_are_refused_with_the_limit(client: openai.OpenAI) -> None:
    """3,000 texts are over the limit of 2,048; the message says so."""
    with pytest.raises(openai.APIStatusError, match="2048") as error:
        client.embeddings.create(model="all-MiniLM-L6-v2", input=["text"] * 3000)

    assert error.value.status_code == 413
