"""mosec: a Rust HTTP server that joins the requests in flight into batches for one worker process."""

from __future__ import annotations

from typing import Any

from encoder import encode, load
from mosec import Runtime, Server, ValidationError, Worker

MAX_BATCH, MAX_WAIT_MS = 32, 1


class Embedding(Worker):  # type: ignore[misc]
    """Embeds a batch of OpenAI requests."""

    def __init__(self) -> None:
        self.model = load()

    def forward(self, data: list[Any]) -> list[dict[str, Any]]:
        """Return one answer per request, in order; the texts of all requests are one call of the model."""
        requests = [_read_texts(body) for body in data]
        vectors = iter(encode(self.model, [text for texts in requests for text in texts]).tolist())
        return [
            {
                "object": "list",
                "model": "all-MiniLM-L6-v2",
                "data": [{"object": "embedding", "index": i, "embedding": next(vectors)} for i in range(len(texts))],
            }
            for texts in requests
        ]


def _read_texts(body: Any) -> list[str]:
    if not isinstance(body, dict) or "input" not in body:
        raise ValidationError("no input")
    texts = body["input"]
    return [texts] if isinstance(texts, str) else texts


if __name__ == "__main__":
    server = Server()
    worker = Runtime(Embedding, num=1, max_batch_size=MAX_BATCH, max_wait_time=MAX_WAIT_MS)
    server.register_runtime({"/v1/embeddings": [worker]})
    server.run()
