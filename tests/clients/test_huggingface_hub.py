"""Hugging Face's client, configured as its guide says for a Text Embeddings Inference server."""

from __future__ import annotations

import asyncio

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.clients.answers import Golden, assert_same


@pytest.fixture(params=["/embed", "/", ""])
def client(request: pytest.FixtureRequest, url: str) -> InferenceClient:
    """Return a client of each path at which TEI embeds."""
    return InferenceClient(model=f"{url}{request.param}")


def test_a_list_of_texts(client: InferenceClient, golden: Golden) -> None:
    """A list of texts gives one row per text, in order."""
    vectors = client.feature_extraction(golden.texts)

    assert_same(vectors.tolist(), golden.vectors)


def test_one_text(client: InferenceClient, golden: Golden) -> None:
    """One text gives a list of one vector."""
    vectors = client.feature_extraction(golden.texts[0])

    assert_same(vectors.tolist(), golden.vectors[:1])


def test_options(client: InferenceClient, golden: Golden) -> None:
    """TEI's options `normalize`, `truncate` and `truncation_direction` work."""
    filler = "one word and another " * 200

    raw_vector = client.feature_extraction(golden.texts[0], normalize=False)
    left_vector, right_vector = (
        client.feature_extraction(f"aardvark {filler} zebra", truncate=True, truncation_direction=side).tolist()
        for side in ("left", "right")
    )

    assert_same(raw_vector.tolist(), golden.vectors[:1])
    assert float((raw_vector**2).sum()) != pytest.approx(1, abs=1e-3)
    assert left_vector != right_vector


def test_a_text_too_long_to_truncate(client: InferenceClient) -> None:
    """With `truncate=False` a long text is refused with TEI's 413. The message names the limit."""
    with pytest.raises(HfHubHTTPError) as error:
        client.feature_extraction("one word and another " * 200, truncate=False)

    assert error.value.response.status_code == 413
    assert error.value.response.json()["error_type"] == "Validation"
    assert "254" in error.value.response.json()["error"]


def test_the_asynchronous_client(url: str, golden: Golden) -> None:
    """`AsyncInferenceClient` gets the same vectors."""
    vectors = asyncio.run(AsyncInferenceClient(model=f"{url}/embed").feature_extraction(golden.texts))

    assert_same(vectors.tolist(), golden.vectors)
