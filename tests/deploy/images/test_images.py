"""Every image is built from its Dockerfile, and serves the whole contract the way docker-compose.yml runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest

from tests.deploy.images.engine import Container, build, network, running
from tests.selection import SHAPES
from tests.support.gateways import ROOT

THIN = "gateways/split/gateway/Dockerfile"
DOCKERFILES = {
    "onnx_py": "gateways/onnx_py/Dockerfile",
    "python": "gateways/python/Dockerfile",
    "embed": "gateways/split/embed_service/Dockerfile",
    "split": THIN,
    "pseudo": THIN,
}
MODELS = f"--volume={ROOT / 'models'}:/models:ro"


@dataclass(frozen=True)
class Served:
    """A shape in containers: the one that clients speak to, and the one that runs the model."""

    front: Container
    model: Container


@pytest.fixture(scope="module", params=SHAPES)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Yield each shape; every container of it must end with 0 when it is asked to stop."""
    with ExitStack() as stack:
        served = split(stack) if request.param == "split" else alone(stack, request.param)
        yield served
        codes = {container.name: container.stop() for container in {served.front, served.model}}
        assert not any(codes.values()), codes


def alone(stack: ExitStack, shape: str) -> Served:
    """Run a shape of one container, with the weights mounted where it reads any."""
    models = [] if shape == "pseudo" else [MODELS]
    container = stack.enter_context(running(build(shape, DOCKERFILES[shape]), f"test-{shape}", *models))
    return Served(container, container)


def split(stack: ExitStack) -> Served:
    """Run the embed service, and the thin gateway that finds it by its name."""
    on = f"--network={stack.enter_context(network('test-gateways'))}"
    service, thin = build("embed", DOCKERFILES["embed"]), build("split", DOCKERFILES["split"])
    embed = stack.enter_context(running(service, "test-embed", on, "--network-alias=embed", MODELS))
    url_option = "--env=EMBEDDING_API_URL=http://embed:8000"
    return Served(stack.enter_context(running(thin, "test-split", on, url_option)), embed)


def test_it_answers_the_whole_contract(served: Served) -> None:
    """Nothing in it needs to write outside of its data, or any power over the machine."""
    environ = {"GATEWAY_URL": served.front.url, "GATEWAY_METRICS_URL": f"{served.model.url}/metrics"}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract"]
    ran = subprocess.run(tests, cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, check=False)  # noqa: S603
    assert ran.returncode == 0, ran.stdout[-4000:]


def test_it_is_nobody_in_particular(served: Served) -> None:
    """The user of the process is the one that the image names."""
    assert served.front.run("id", "--user") == "10001"


def test_its_healthcheck_tells(served: Served) -> None:
    """The command that an engine runs every ten seconds ends with 0 in a container that serves."""
    served.front.run(*served.front.healthcheck())
    served.model.run(*served.model.healthcheck())


def test_with_the_model_in_it_nothing_is_mounted() -> None:
    """deploy/baked.Dockerfile puts one model into an image of ours."""
    base = build("onnx_py", DOCKERFILES["onnx_py"])
    image = build("onnx_py-baked", "deploy/baked.Dockerfile", f"--build-arg=IMAGE={base}", context="models")
    with running(image, "test-onnx_py-baked") as container:
        answer = httpx.post(f"{container.url}/v1/embeddings", json={"input": "a harbour"}, trust_env=False)
        assert len(answer.json()["data"][0]["embedding"]) == 384
