"""The settings: documented for each process, read from its environment, refused where the process ignores them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from bench import paths, targets
from gateways.core.process_settings import (
    PROCESSES,
    PUBLIC,
    EmbedServiceSettings,
    ModelGatewaySettings,
    ProcessSettings,
    ThinGatewaySettings,
    environment,
    fields,
    refusals,
)
from gateways.core.settings import ModelSettings

ROOT = Path(__file__).resolve().parents[3]
KINDS = (ModelGatewaySettings, EmbedServiceSettings, ThinGatewaySettings)
# The processes of each table of README, by the first words of its heading.
READERS = {
    "Every process": set(KINDS),
    "Gateways": {ModelGatewaySettings, ThinGatewaySettings},
    "Processes with a model": {ModelGatewaySettings, EmbedServiceSettings},
    "The embed service": {EmbedServiceSettings},
    "The thin gateway": {ThinGatewaySettings},
}
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| (.*) \|$", re.MULTILINE)
IGNORED = [(kind, name) for kind in KINDS for name in fields() if name not in kind.model_fields]


def test_the_readme_describes_every_setting_of_a_process_in_the_table_of_its_readers() -> None:
    """One row per setting with its default and its description, and no other row."""
    section = (ROOT / "README.md").read_text().split("### Settings\n", 1)[1].split("\n## ", 1)[0]
    tables = dict(table.split("\n", 1) for table in section.split("#### ")[1:])

    rows = {
        name: (readers, default, meaning)
        for heading, readers in READERS.items()
        for title, table in tables.items()
        if title.startswith(heading)
        for name, default, meaning in ROW.findall(table)
    }

    assert len(ROW.findall(section)) == len(rows)
    assert rows == {
        name.upper(): (
            {kind for kind in KINDS if name in kind.model_fields},
            "empty" if field.default in ("", None) else f"`{field.default}`",
            field.description,
        )
        for name, field in fields().items()
    }


def test_a_variable_of_the_environment_is_read() -> None:
    """The variable is the field's name in capitals; an empty one counts as not set."""
    settings = ModelGatewaySettings.read({"PORT": "9001", "THREADS": "", "PRECISION": "INT8", "HOME": "/root"})

    assert (settings.port, settings.threads, settings.precision) == (9001, 0, "int8")


@pytest.mark.parametrize(("kind", "name"), IGNORED)
def test_a_process_refuses_a_variable_that_it_would_ignore(kind: type[ProcessSettings], name: str) -> None:
    """One line names the variable, the process, and each process that reads it. It does not show the value."""
    (line,) = refusals(kind, {name.upper(): "hush"})

    ignored, readers = line.split(" Set it only for: ")
    assert ignored == f"{name.upper()} is set, but the {kind.process} does not read it."
    assert {other.process for other in KINDS if other.process in readers} == {
        other.process for other in KINDS if name in other.model_fields
    }
    assert "hush" not in line


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_refuses_nothing_else(kind: type[ProcessSettings]) -> None:
    """Its own settings, an empty variable and a variable that is no setting of ours are accepted."""
    own = {name.upper(): "any" for name in kind.model_fields}
    empty = {name.upper(): "" for name in fields() if name not in kind.model_fields}

    assert refusals(kind, own | empty | {"HOME": "/root", "STORES": "edge"}) == []


@pytest.mark.parametrize(
    ("module", "ignored", "reader"),
    [
        ("gateways.onnx_py", "EMBEDDING_API_URL", "thin gateway"),
        ("gateways.split.embed_service", "STORE", "gateway with a model"),
        ("gateways.split.gateway", "PRECISION", "embed service"),
    ],
)
def test_a_process_with_an_ignored_variable_ends_with_2(module: str, ignored: str, reader: str) -> None:
    """One line per mistake on stderr, no traceback: the ignored variable and the wrong value are both named."""
    ended = start(module, {ignored: "edge", "PORT": "eight"})

    assert ended.returncode == 2
    refused, wrong = ended.stderr.splitlines()
    assert refused.startswith(f"{ignored} is set, but the ")
    assert reader in refused
    assert wrong.startswith("PORT='eight'")


def test_a_wrong_variable_ends_the_process_with_its_name() -> None:
    """One line per mistake, no traceback."""
    ended = start("gateways.split.embed_service", {"PORT": "eight", "DEVICE": "tpu"})

    assert ended.returncode == 2
    assert "PORT='eight'" in ended.stderr
    assert "DEVICE='tpu'" in ended.stderr
    assert "Traceback" not in ended.stderr


def start(module: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a process that ends by itself."""
    return subprocess.run(  # noqa: S603 our own module
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_both_processes_of_split_take_their_own_of_one_environment() -> None:
    """Each gets what it reads, and what is no setting of either. A variable that neither reads reaches both."""
    shared = {"PATH": "/bin", "PRECISION": "int8", "STORE": "edge", "PORT": "1"}
    split: list[type[ProcessSettings]] = [EmbedServiceSettings, ThinGatewaySettings]

    assert environment(EmbedServiceSettings, split, shared) == {"PATH": "/bin", "PRECISION": "int8", "PORT": "1"}
    assert environment(ThinGatewaySettings, split, shared) == {"PATH": "/bin", "STORE": "edge", "PORT": "1"}
    assert environment(ThinGatewaySettings, [ThinGatewaySettings], shared) == shared


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps", "CUDA:1"])
def test_a_device_may_be_numbered(device: str) -> None:
    """As torch names them, in any case."""
    assert ModelSettings.read({"DEVICE": device}).device == device.lower()


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda 1", "cpu:0"])
def test_a_device_of_no_such_name_is_refused(device: str) -> None:
    """And the message says what it may be."""
    with pytest.raises(ValidationError, match="cuda:0, cuda:1, … or mps"):
        ModelSettings.read({"DEVICE": device})


@pytest.mark.parametrize("kind", [ModelGatewaySettings, ThinGatewaySettings])
def test_a_client_sees_the_public_settings_only(
    kind: type[ModelGatewaySettings] | type[ThinGatewaySettings],
) -> None:
    """All of the allow-list, with the values of this process, and nothing else."""
    shown = kind(port=9001, api_keys="hush", database_url="postgresql://user:pw@inner").public()

    assert shown.keys() == PUBLIC
    assert shown["port"] == 9001
    assert "hush" not in str(shown)
    assert "inner" not in str(shown)


def test_a_new_setting_is_private_until_it_is_named() -> None:
    """No secret is shown because somebody forgot to hide it."""

    class Extended(ThinGatewaySettings):
        new_setting: str = "hush"

    assert "hush" not in str(Extended(embedding_api_key="hush too", embedding_api_url="http://hush").public())


@pytest.mark.parametrize("file", sorted(paths.TARGETS.glob("*.toml")), ids=lambda file: file.stem)
def test_a_target_sets_what_its_processes_read(file: Path) -> None:
    """Also with the variables of the scenario `cache`."""
    for role in targets.load(file, file.stem).roles:
        assert refusals(PROCESSES[role.argv[-1]], role.environ | role.caching) == []


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/docker-compose.gpu.yml"])
def test_a_compose_service_sets_what_its_process_reads(file: str) -> None:
    """Beside what its image sets."""
    built = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in yaml.safe_load((ROOT / file).read_text())["services"].items():
        if "build" in built[name]:
            dockerfile = (ROOT / built[name]["build"]["dockerfile"]).read_text()
            module = re.findall(r'^CMD \["python", "-m", "([a-z_.]+)"\]$', dockerfile, re.MULTILINE)[0]
            image = dict(re.findall(r"\b([A-Z_]+)=(\S+)", dockerfile.split("\nENV ")[1].split("\nUSER")[0]))
            assert refusals(PROCESSES[module], image | service["environment"]) == [], name


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("API_KEY", "API_KEYS"),
        ("APIKEYS", "API_KEYS"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("MODEL_DIR", "MODELS_DIR"),
        ("DATADIR", "DATA_DIR"),
        ("REQUEST_TIMEOUT", "REQUEST_TIMEOUT_S"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_variable_that_is_almost_a_setting_is_refused(
    kind: type[ProcessSettings], variable: str, meant: str
) -> None:
    """A gateway with API_KEY would start without a key. The value is not shown."""
    [line] = refusals(kind, {variable: "hush", "PATH": "/bin"})

    assert line.startswith(f"{variable} is set, and nothing reads it. Did you mean {meant}?")
    assert "hush" not in line


@pytest.mark.parametrize(
    "variable",
    [
        "OPENAI_API_KEY",
        "HOSTNAME",
        "QDRANT_SERVICE_HOST",
        "QDRANT_PORT",
        "OMP_NUM_THREADS",
        "REDIS_URL",
        "DEBUG",
        "JOB",
    ],
)
def test_variables_of_others_are_let_through(variable: str) -> None:
    """Kubernetes, CI, shells and libraries set variables of their own."""
    assert refusals(ThinGatewaySettings, {variable: "set"}) == []
