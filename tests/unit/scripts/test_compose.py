"""docker-compose.yml: which settings reach the processes, its secrets, and the versions of what it runs."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateways.core.process_settings import PROCESSES

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BUILT = sorted(name for name, service in SERVICES.items() if "build" in service)
FOREIGN = sorted(service["image"] for service in SERVICES.values() if "build" not in service)
# CVE-2026-3172 is fixed in 0.8.2, corruption of HNSW indexes by VACUUM in 0.8.3 and 0.8.4.
FIRST_SOUND = (0, 8, 6)
# Images whose digest could not be learned from several independent sources. Their tags name a full version.
BY_TAG = ("haproxy:", "qdrant/qdrant:")
# Settings that a user does not choose, each with its reason.
FIXED = {
    "host": "the image's",
    "port": "the image's; PORT is the port on this machine",
    "data_dir": "the image's, a volume",
    "models_dir": "the image's, a mount",
    "models_file": "the image's; MODELS_FILE names the file that is mounted there",
    "tls_certfile": "a proxy in front speaks TLS",
    "tls_keyfile": "a proxy in front speaks TLS",
    "store": "the profile scale chooses",
    "jobs": "the profile scale chooses",
    "database_url": "the profile scale has one",
    "qdrant_url": "the profile scale has one",
    "qdrant_api_key": "only the gateways reach that Qdrant",
    "qdrant_shards": "of the profile scale",
    "qdrant_replicas": "of the profile scale",
    "embedding_api_url": "the profile's own embed services",
    "embedding_api_dialect": "the profile's own embed services",
    "embed_runtime": "chosen when the image is built",
}
# Settings that mean nothing to a service, beside FIXED.
UNUSED = {
    "embed": {"api_keys_file", "cors_origins"},  # only the gateways call it
    "pseudo": {"embedding_api_key", "hedge_ms"},  # it has no embed service
}
EXPRESSION = re.compile(r"\$\{(\w+)(?::([-+])([^}]*))?\}")


def interpolate(text: str, environ: dict[str, str]) -> str:
    """Return a value as compose has it: `${A:-default}`, `${A:+replacement}` and `${A}`."""

    def value(match: re.Match[str]) -> str:
        given, operator, word = environ.get(match[1], ""), match[2], match[3] or ""
        if operator == "+":
            return word if given else ""
        return given or word

    return EXPRESSION.sub(value, text)


def process_of(name: str) -> str:
    """Return the module that the image of a service runs."""
    dockerfile = (ROOT / SERVICES[name]["build"]["dockerfile"]).read_text()
    return str(re.findall(r'^CMD \["python", "-m", "([a-z_.]+)"\]$', dockerfile, re.MULTILINE)[0])


@pytest.mark.parametrize("name", BUILT)
def test_a_service_hands_on_every_setting(name: str) -> None:
    """A variable of the user's environment reaches the process that reads it; what is fixed has a reason."""
    settings = (
        PROCESSES[process_of(name)].model_fields.keys() - FIXED.keys() - UNUSED.get(name.partition("-")[0], set())
    )
    environment = SERVICES[name]["environment"]
    sources = {"api_keys": "EMBEDDING_API_KEY"} if name.startswith("embed") else {}

    for setting in sorted(settings):
        variable = sources.get(setting, setting.upper())
        assert setting.upper() in environment, f"{name} has no {setting.upper()}"
        written = environment[setting.upper()]
        if setting == "drain_s" and name.startswith("gateway-"):
            continue  # the balancer needs its own
        given = interpolate(written, {variable: "/keys.yaml"})
        assert given == ("/etc/gateways/keys.yaml" if setting == "api_keys_file" else "/keys.yaml")
        assert interpolate(written, {}) == "", f"{setting} has a default of its own in compose"


@pytest.mark.parametrize("name", [name for name in BUILT if "API_KEYS_FILE" in SERVICES[name]["environment"]])
def test_a_file_of_keys_is_mounted(name: str) -> None:
    """Where the process reads it; a file that is missing is an error, and without one nothing is mounted."""
    [mount] = [
        volume for volume in SERVICES[name]["volumes"] if isinstance(volume, dict) and "keys" in volume["target"]
    ]

    assert mount["target"] == interpolate(SERVICES[name]["environment"]["API_KEYS_FILE"], {"API_KEYS_FILE": "x"})
    assert mount["read_only"]
    assert mount["bind"] == {"create_host_path": False}
    assert interpolate(mount["source"], {"API_KEYS_FILE": "./keys.yaml"}) == "./keys.yaml"
    assert interpolate(mount["source"], {}) == "/dev/null"


def test_no_secret_has_a_default() -> None:
    """Neither PostgreSQL nor Grafana starts with a password that is in this repository."""
    secrets = {
        f"{name}.{variable}": value
        for name, service in SERVICES.items()
        for variable, value in service.get("environment", {}).items()
        if re.search(r"PASSWORD|API_KEY|SECRET", variable) and variable != "API_KEYS_FILE"
    }

    assert {"postgres.POSTGRES_PASSWORD", "gateway-1.PGPASSWORD", "grafana.GF_SECURITY_ADMIN_PASSWORD"} <= set(
        secrets
    )
    assert not {name: value for name, value in secrets.items() if interpolate(value, {})}


def test_grafana_has_no_administrator_without_a_password() -> None:
    """Its own default is admin with the password admin; an empty variable of Grafana counts as not set."""
    written = SERVICES["grafana"]["environment"]["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"]
    ini = configparser.ConfigParser()
    ini.read(ROOT / "deploy/scale/grafana/grafana.ini")

    assert ini["security"]["disable_initial_admin_creation"] == "true"
    assert interpolate(written, {}) == ""
    assert interpolate(written, {"GRAFANA_PASSWORD": "secret"}) == "false"
    assert "./deploy/scale/grafana/grafana.ini:/etc/grafana/grafana.ini:ro" in SERVICES["grafana"]["volumes"]


@pytest.mark.parametrize("image", FOREIGN)
def test_an_image_never_changes(image: str) -> None:
    """A digest names its bytes, or at least a full version names its release."""
    name, _, digest = image.partition("@")

    assert re.search(r":v?\d+\.\d+\.\d+", name), f"{name} floats"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest) or name.startswith(BY_TAG)


def test_the_base_of_our_images_is_the_same_everywhere() -> None:
    """Compose and each Dockerfile name one digest."""
    bases = {
        re.findall(r"^ARG BASE=(.*)$", path.read_text(), re.MULTILINE)[0]
        for path in ROOT.glob("gateways/**/Dockerfile")
    }

    assert bases == {interpolate(COMPOSE["x-base"], {})}
    assert re.search(r":3\.11\.\d+.*@sha256:[0-9a-f]{64}$", bases.pop())


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_an_action_never_changes(workflow: Path) -> None:
    """A tag of an action can be moved to other code, which would run with the token of this repository."""
    uses = re.findall(r"uses: (\S+)(.*)", workflow.read_text())

    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: no version beside the commit"


def test_the_database_has_a_pgvector_without_known_corruption() -> None:
    """The tag names its version, and docs tell which version a database of one's own needs."""
    tag = re.match(r"pgvector/pgvector:(\d+)\.(\d+)\.(\d+)-pg18-trixie", SERVICES["postgres"]["image"])

    assert tag is not None
    assert tuple(int(part) for part in tag.groups()) >= FIRST_SOUND
    assert f"pgvector {'.'.join(map(str, FIRST_SOUND))} or later" in (ROOT / "docs" / "README.md").read_text()
