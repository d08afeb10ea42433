"""Hugging Face's own client, as its guide points it at a Text Embeddings Inference server."""

from __future__ import annotations

import asyncio

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.clients.answers import Golden, assert_same


@pytest.fixture(params=["/embed", "/", ""])
def client(request: pytest.FixtureRequest, url: str) -> InferenceClient:
    """Return a client of each address that TEI embeds at."""
    return InferenceClient(model=f"{url}{request.param}")


def test_a_list_of_texts(client: InferenceClient, golden: Golden) -> None:
    """A row for each text, in order."""
    found = client.feature_extraction(golden.texts)

    assert_same(found.tolist(), golden.vectors)


def test_one_text(client: InferenceClient, golden: Golden) -> None:
    """One text comes back as a list of one."""
    found = client.feature_extraction(golden.texts[0])

    assert_same(found.tolist(), golden.vectors[:1])


def test_options(client: InferenceClient, golden: Golden) -> None:
    """`normalize`, `truncate` and `truncation_direction` are TEI's; all may be given."""
    long = "one word and another " * 200

    raw = client.feature_extraction(golden.texts[0], normalize=False)
    left, right = (
        client.feature_extraction(f"aardvark {long} zebra", truncate=True, truncation_direction=side).tolist()
        for side in ("left", "right")
    )

    assert_same(raw.tolist(), golden.vectors[:1])
    assert float((raw**2).sum()) != pytest.approx(1, abs=1e-3)
    assert left != right


def test_a_text_too_long_to_truncate(client: InferenceClient) -> None:
    """`truncate=False` refuses it with TEI's 413, and the message says how long it is and may be."""
    with pytest.raises(HfHubHTTPError) as error:
        client.feature_extraction("one word and another " * 200, truncate=False)

    assert error.value.response.status_code == 413
    assert error.value.response.json()["error_type"] == "Validation"
    assert "254" in error.value.response.json()["error"]


def test_the_asynchronous_client(url: str, golden: Golden) -> None:
    """The same over `AsyncInferenceClient`."""
    found = asyncio.run(AsyncInferenceClient(model=f"{url}/embed").feature_extraction(golden.texts))

    assert_same(found.tolist(), golden.vectors)
