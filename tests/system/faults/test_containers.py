"""What the images promise about the machine they run on: no user of weight, and a root that nobody writes to."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support import gateways
from tests.support.ingest_client import client_of

DOCKERFILES = sorted(gateways.ROOT.glob("gateways/**/Dockerfile"))
COMPOSE = gateways.ROOT / "docker-compose.yml"
TEXTS = {"danube": "The Danube flows through ten countries."}
# Only the data stays writable. As in a container, of a mount namespace that ends with the process.
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.parent.name)
def test_an_image_runs_as_nobody_in_particular(dockerfile: Path) -> None:
    """A number, which Kubernetes can see is not root, and the last word on it."""
    users = re.findall(r"^USER (\S+)$", dockerfile.read_text(), re.MULTILINE)

    assert users
    assert int(users[-1]) > 0


def test_every_service_of_ours_has_a_root_that_is_read_only() -> None:
    """And no capability, nor a way to one."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]

    for name, service in services.items():
        if "build" not in service:
            continue  # an image of others
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name


@pytest.mark.parametrize("shape", ["onnx_py", "pseudo"])
def test_a_gateway_writes_to_its_data_only(shape: str, tmp_path: Path) -> None:
    """It starts, ingests, finds and stops where it can write to nothing else."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:  # noqa: S607
        pytest.skip("only root makes a mount namespace")
    gateway = gateways.describe(shape, tmp_path)
    data = Path(gateway.front.environ["DATA_DIR"])
    data.mkdir(parents=True, exist_ok=True)
    gateway.front.argv = ["unshare", "--mount", "sh", "-c", READ_ONLY, str(data), *gateway.front.argv]
    gateway.start()
    try:
        with client_of(gateway) as client:
            client.completed(client.submit(TEXTS))
            client.holds_exactly(TEXTS)
        assert set(gateway.stop().values()) == {0}
    finally:
        gateway.kill()
