"""What docker-compose.yml and the Dockerfile repeat of the project is what the project says."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.targets import _BESIDE

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "infra/docker/Dockerfile").read_text()
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
FUNCTIONS = sorted(ROOT.glob("scenarios/*/aws/*-lambda.create_function.json"))
PUBLIC = ("golang:1.26-bookworm", "python:3.13-slim-bookworm", "localstack/localstack:4.14.0")


def locked(package: str) -> str:
    (found,) = [each["version"] for each in LOCK["package"] if each["name"] == package]
    return found


def test_versions_are_those_of_the_lock() -> None:
    assert set(re.findall(r"BEAM_VERSION=(\S+)", DOCKERFILE)) == {locked("apache-beam")}
    assert re.findall(r"debugpy==(\S+)", DOCKERFILE) == [locked("debugpy")]
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"uv==(\S+)", DOCKERFILE) == re.findall(r"UV_VERSION = (\S+)", makefile)


def test_base_images_are_public_and_pinned() -> None:
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", DOCKERFILE, re.MULTILINE)
    names = {name for _, name in stages}
    assert {image for image, _ in stages if image not in names} == set(PUBLIC[:2])
    images = {service["image"] for service in SERVICES.values()}
    assert images == {"hydrant", "hydrant-debug", "public.ecr.aws/lambda/python:3.13", PUBLIC[2]}


def test_everything_that_is_waited_for_has_a_health_check_and_nothing_sleeps() -> None:
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            assert wanted == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[name]
    assert "sleep" not in (ROOT / "docker-compose.yml").read_text()


def test_ports_are_published_on_loopback_and_only_when_they_are_asked_for() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {name for name, service in SERVICES.items() if "profiles" in service}
    assert all(str(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_target_looks_where_the_ports_are() -> None:
    ports = " ".join(SERVICES["keep"]["ports"])
    for endpoint, _ in _BESIDE.values():
        assert f"-{endpoint.rpartition(':')[2]}}}:" in ports
    assert "-4566}:4566" in ports
    forwards = dict(pair.split("=") for pair in SERVICES["keep"]["entrypoint"][3:])
    assert set(forwards) == {port.rpartition(":")[2] for port in SERVICES["keep"]["ports"]}


@pytest.mark.parametrize("declared", FUNCTIONS, ids=lambda path: path.parent.parent.name)
def test_each_function_runs_in_a_container_as_it_is_declared(declared: Path) -> None:
    function, scenario = json.loads(declared.read_text()), declared.parent.parent.name
    service = SERVICES[function["FunctionName"]]
    assert service["image"] == f"public.ecr.aws/lambda/python:{function['Runtime'].removeprefix('python')}"
    assert service["command"] == [function["Handler"]]
    assert service["environment"] == {
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function["Timeout"]),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["MemorySize"]),
        **function.get("Environment", {}).get("Variables", {}),
    }
    assert f"./scenarios/{scenario}/handler.py:/var/task/handler.py:ro" in service["volumes"]
    name = function["FunctionName"]
    assert f"{name}=http://{name}:8080" in SERVICES["lambda"]["entrypoint"]
    assert name in SERVICES["lambda"]["depends_on"]


def test_every_file_that_the_image_needs_is_in_its_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in line.split():
            assert f"!{source}" in ignored
            assert (ROOT / source).exists()
