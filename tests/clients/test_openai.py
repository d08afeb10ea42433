"""OpenAI's client, configured with a `base_url` and nothing else."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest

from tests.clients.answers import Golden, assert_same

BASES = ["/v1", "/api/v1"]


@pytest.fixture(params=BASES)
def base_url(request: pytest.FixtureRequest, url: str) -> str:
    """Return each base URL at which the gateway serves OpenAI's dialect."""
    return f"{url}{request.param}"


@pytest.fixture
def client(base_url: str) -> openai.OpenAI:
    """Return a client that is made as in its documentation."""
    return openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)


def test_vectors_are_those_of_sentence_transformers(client: openai.OpenAI, golden: Golden) -> None:
    """All texts in one request come back in order. `usage` counts the tokens of the model."""
    answer = client.embeddings.create(model=golden.model, input=golden.texts)

    assert_same([item.embedding for item in answer.data], golden.vectors)
    assert [item.index for item in answer.data] == list(range(len(golden.texts)))
    assert answer.model == golden.model
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(golden.tokens)


def test_one_text_at_a_time(client: openai.OpenAI, golden: Golden) -> None:
    """A text alone gets the same vector as in a list."""
    vectors = [
        client.embeddings.create(model=golden.model, input=text).data[0].embedding for text in golden.texts[:5]
    ]

    assert_same(vectors, golden.vectors[:5])


def test_the_client_asks_for_base64_and_gets_it(client: openai.OpenAI, golden: Golden) -> None:
    """By default the client requests base64. The answer carries text, which the client decodes."""
    response = client.embeddings.with_raw_response.create(model=golden.model, input=golden.texts[0])

    assert json.loads(response.http_request.content)["encoding_format"] == "base64"
    assert isinstance(json.loads(response.text)["data"][0]["embedding"], str)
    assert_same([response.parse().data[0].embedding], golden.vectors[:1])


def test_floats_on_request(client: openai.OpenAI, golden: Golden) -> None:
    """`encoding_format="float"` gives the same vectors."""
    answer = client.embeddings.create(model=golden.model, input=golden.texts[:3], encoding_format="float")

    assert_same([item.embedding for item in answer.data], golden.vectors[:3])


def test_the_asynchronous_client(base_url: str, golden: Golden) -> None:
    """Each of many concurrent requests gets its own answer."""

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
    """Token ids get the vector of their text."""
    answer = client.embeddings.create(model=golden.model, input=[ids for ids, _ in golden.ids])

    assert_same([item.embedding for item in answer.data], [vector for _, vector in golden.ids])


def test_ids_of_another_vocabulary_are_refused(client: openai.OpenAI, golden: Golden) -> None:
    """Ids outside the model's vocabulary are an error. The message names the setting that sends text."""
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as error:
        client.embeddings.create(model=golden.model, input=[15339, 100_256])

    assert "100256" in error.value.message


def test_models_are_listed_and_described(client: openai.OpenAI, golden: Golden) -> None:
    """`models.list` has the model of the golden vectors."""
    models = {model.id: model for model in client.models.list()}

    assert models[golden.model].object == "model"


def test_models_retrieve(url: str, golden: Golden) -> None:
    """`models.retrieve` finds a model by id and by alias. An unknown model is a NotFoundError."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    assert client.models.retrieve(golden.model).id == golden.model
    assert client.models.retrieve(f"sentence-transformers/{golden.model}").id == golden.model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    """The client raises its NotFoundError. The message names the models that exist."""
    with pytest.raises(openai.NotFoundError, match="all-MiniLM-L6-v2") as error:
        client.embeddings.create(model="text-embedding-ada-002", input="hello")

    assert "text-embedding-ada-002" in error.value.message


def test_error_fields_reach_the_caller(url: str) -> None:
    """The exception has `code` and `param`."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model="all-MiniLM-L6-v2", input=["fine", " "])

    assert error.value.code == "empty_input"
    assert error.value.param == "input.1"


def test_too_many_texts_are_refused_with_the_limit(client: openai.OpenAI) -> None:
    """3,000 texts are more than the limit of 2,048. The message names the limit."""
    with pytest.raises(openai.APIStatusError, match="2048") as error:
        client.embeddings.create(model="all-MiniLM-L6-v2", input=["text"] * 3000)

    assert error.value.status_code == 413
