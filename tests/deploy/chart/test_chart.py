"""What the chart renders, by helm itself, and two real processes with the variables of its pods."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.checks.deploy import CHART, HELM
from tests.support.gateways import ROOT, describe

pytestmark = pytest.mark.program("helm")
RELEASE = "release"
PROMETHEUS = "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring"


def run_helm(*settings: str) -> subprocess.CompletedProcess[str]:
    """Render the chart with settings of the form `name=value`."""
    values = [word for setting in settings for word in ("--set", setting)]
    command = [str(HELM), "template", RELEASE, str(CHART), *values]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 fetched by its sha256


def render(*settings: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the objects by kind and name."""
    done = run_helm(*settings)
    assert done.returncode == 0, done.stderr
    objects = [document for document in yaml.safe_load_all(done.stdout) if document]
    return {(document["kind"], document["metadata"]["name"]): document for document in objects}


def pod_of(objects: dict[tuple[str, str], dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return the pod's specification of a workload."""
    pod: dict[str, Any] = objects[kind, name]["spec"]["template"]["spec"]
    return pod


def environ_of(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of the pod's process: a value, or the Secret and the key of one."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in pod["containers"][0]["env"]}


def volumes_of(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the volumes by name."""
    return {volume["name"]: volume for volume in pod["volumes"]}


def test_only_the_gateways_reach_the_embed_services() -> None:
    """The policy selects the pods of the embed services and admits those of the gateways, by the labels they have."""
    objects = render("shape=split")
    policy = objects["NetworkPolicy", f"{RELEASE}-embed"]["spec"]
    labels = {
        kind: objects[kind, name]["spec"]["template"]["metadata"]["labels"]
        for kind, name in (("StatefulSet", f"{RELEASE}-embed"), ("Deployment", RELEASE))
    }

    assert policy["policyTypes"] == ["Ingress"]
    assert policy["podSelector"]["matchLabels"] == labels["StatefulSet"]
    [rule] = policy["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": labels["Deployment"]}}]


@pytest.mark.parametrize("reader", ["keda.enabled=true", "serviceMonitor.enabled=true"])
def test_prometheus_is_let_in_where_it_is_needed(reader: str) -> None:
    """A policy that shuts it out would leave the autoscaler blind, so the chart asks who it is."""
    refused = run_helm("shape=split", reader)

    assert refused.returncode
    assert "networkPolicy.metricsFrom" in refused.stderr
    rule = render("shape=split", reader, PROMETHEUS)["NetworkPolicy", f"{RELEASE}-embed"]["spec"]["ingress"][0]
    assert {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}} in rule["from"]


def test_both_sides_get_the_key_of_one_secret() -> None:
    """The chart makes it, unless one is named; the other shapes have none."""
    for settings, name in (((), f"{RELEASE}-embed-key"), (("embed.keySecretName=mine",), "mine")):
        objects = render("shape=split", *settings)
        source = {"secretKeyRef": {"name": name, "key": "key"}}

        assert environ_of(pod_of(objects, "StatefulSet", f"{RELEASE}-embed"))["API_KEYS"] == source
        assert environ_of(pod_of(objects, "Deployment", RELEASE))["EMBEDDING_API_KEY"] == source
        assert (("Secret", name) in objects) == (not settings)
    assert not [kind for kind, _ in render("shape=onnx_py") if kind in ("Secret", "NetworkPolicy")]


@pytest.mark.gateway("split")
def test_the_processes_work_with_the_variables_of_the_chart(tmp_path: Path) -> None:
    """The gateway's requests are served by an embed service that refuses everybody else."""
    objects = render("shape=split")
    key = base64.b64decode(objects["Secret", f"{RELEASE}-embed-key"]["data"]["key"]).decode()
    split = describe("split", tmp_path)
    embed, thin = split.processes.values()
    for process, kind, name in ((embed, "StatefulSet", f"{RELEASE}-embed"), (thin, "Deployment", RELEASE)):
        environ = environ_of(pod_of(objects, kind, name)) | {"DRAIN_S": "0"}
        environ.pop("EMBEDDING_API_URL", None)  # the name of a pod; here both have ports of 127.0.0.1
        process.environ |= {name: value if isinstance(value, str) else key for name, value in environ.items()}
    split.start()
    try:
        with split.client() as client, embed.client() as stranger:
            embedded = client.post("/v1/embeddings", json={"input": "text"})
            refused = stranger.post("/embed", json={"texts": ["text"]})
    finally:
        codes = split.stop()

    assert len(key) == 43
    assert embedded.status_code == 200, embedded.text
    assert refused.status_code == 401
    assert not any(codes.values()), codes


def test_a_file_of_keys_comes_from_a_secret() -> None:
    """It is mounted where API_KEYS_FILE says, read-only; no key is in the environment."""
    pod = pod_of(render("apiKeys.fileSecretName=keys"), "Deployment", RELEASE)
    [mount] = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "api-keys"]
    secret = volumes_of(pod)["api-keys"]["secret"]

    assert environ_of(pod)["API_KEYS_FILE"] == f"{mount['mountPath']}/{secret['items'][0]['path']}"
    assert secret["secretName"] == "keys"
    assert mount["readOnly"]
    assert "API_KEYS" not in environ_of(pod)


@pytest.mark.parametrize("shape", ["onnx_py", "python", "split", "pseudo"])
def test_no_pod_fills_the_disk_of_its_node(shape: str) -> None:
    """Each folder that goes with the pod has a limit, and no Service of the namespace sets a variable."""
    workloads = [document for (kind, _), document in render(f"shape={shape}").items() if kind != "Service"]
    pods = [document["spec"]["template"]["spec"] for document in workloads if "template" in document.get("spec", {})]

    assert len(pods) == (2 if shape == "split" else 1)
    for pod in pods:
        emptied = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
        assert emptied
        assert all(limit.get("sizeLimit") for limit in emptied)
        assert pod["enableServiceLinks"] is False


def test_documents_outlive_the_release() -> None:
    """`helm uninstall` keeps the claim; an existing claim is used in its place."""
    claim = render()["PersistentVolumeClaim", f"{RELEASE}-data"]
    existing = render("persistence.existingClaim=documents")

    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not [kind for kind, _ in existing if kind == "PersistentVolumeClaim"]
    volumes = volumes_of(pod_of(existing, "Deployment", RELEASE))
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "documents"


def test_nothing_is_published_unless_asked() -> None:
    """No Ingress and no monitor by default, and an Ingress has a host name."""
    assert not {kind for kind, _ in render()} & {"Ingress", "ServiceMonitor"}
    refused = run_helm("ingress.enabled=true")
    assert refused.returncode
    assert "ingress.host" in refused.stderr

    objects = render("ingress.enabled=true", "ingress.host=search.example.com", "serviceMonitor.enabled=true")
    [path] = objects["Ingress", RELEASE]["spec"]["rules"][0]["http"]["paths"]
    service = objects["Service", RELEASE]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    selected = objects["ServiceMonitor", RELEASE]["spec"]["selector"]["matchLabels"]
    assert selected.items() <= service["metadata"]["labels"].items()
    assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]


def test_the_page_sets_what_the_chart_has() -> None:
    """Each line of settings of docs/on-kubernetes.md renders, and changes what is rendered."""
    page = (ROOT / "docs" / "on-kubernetes.md").read_text()
    commands = [re.findall(r"--set (\S+)", line) for line in re.findall(r"`([^`]*--set[^`]*)`", page)]
    plain = run_helm().stdout

    assert len(commands) > 8
    for settings in commands:
        done = run_helm(*settings)
        assert done.returncode == 0, f"{settings}: {done.stderr}"
        assert done.stdout != plain, settings
