"""Metadata, container, hooks and make targets agree with the code."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import token_trails

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "https://example.org/token-trails"
"""Where the repository is published. To publish it, replace this here and wherever a test fails."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(read("pyproject.toml"))
    return found


def test_all_project_urls_are_below_the_published_one() -> None:
    urls = project()["project"]["urls"]
    assert urls["Repository"] == PLACEHOLDER
    assert all(url.startswith(PLACEHOLDER) for url in urls.values())
    assert yaml.safe_load(read("CITATION.cff"))["repository-code"] == PLACEHOLDER
    known = "git clone <this repository> token-trails"
    assert (known in read("README.md")) == PLACEHOLDER.startswith("https://example.org/")


def test_the_citation_is_complete_and_of_this_version() -> None:
    citation, about = yaml.safe_load(read("CITATION.cff")), project()["project"]
    required = {"cff-version", "message", "title", "authors"}  # of the format, version 1.2.0
    assert required <= set(citation)
    assert (citation["version"], citation["license"]) == (about["version"], about["license"])


def test_python_is_the_same_everywhere() -> None:
    found = tomllib.loads(read("pyproject.toml"))
    assert found["project"]["requires-python"] == ">=3.11"
    assert found["tool"]["ruff"]["target-version"] == "py311"
    assert "FROM python:3.11-" in read("Dockerfile")
    assert "Python 3.11 or newer" in read("README.md")


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile; comments are dropped and lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line]


def faults(dockerfile: str) -> list[str]:
    """What is wrong with a Dockerfile of the app."""
    lines = instructions(dockerfile)
    copied = [path for name, rest in lines if name == "COPY" for path in rest.split()[:-1]]
    locks = [path for path in copied if path.endswith(".lock")]
    found = [f"{path} does not exist" for path in copied if not (ROOT / path).exists()]
    needed = {*packaged(), "pyproject.toml", "README.md", "LICENSE"}
    found += [f"{path} is not copied" for path in sorted(needed - set(copied))]
    found += [f"{lock} installs torch" for lock in locks if "\ntorch==" in read(lock)]
    if ("EXPOSE", "8501") not in lines:
        found.append("the port is not exposed")
    if not any(name == "USER" for name, _ in lines):
        found.append("the app runs as root")
    return found


def packaged() -> set[str]:
    """Packages, modules and data files of the wheel."""
    tools = project()["tool"]["setuptools"]
    packages = {name.rstrip("*") for name in tools["packages"]["find"]["include"]}
    return packages | {f"{name}.py" for name in tools["py-modules"]} | {".streamlit"}


def test_the_dockerfile_copies_what_the_app_needs() -> None:
    assert faults(read("Dockerfile")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("COPY views views", "COPY view views", "view does not exist"),
        ("COPY views views", "", "views is not copied"),
        ("requirements-app.lock ./", "requirements.lock ./", "requirements.lock installs torch"),
        ("USER reader", "", "the app runs as root"),
        ("EXPOSE 8501", "", "the port is not exposed"),
    ],
)
def test_the_check_of_the_dockerfile_can_fail(old: str, new: str, fault: str) -> None:
    assert old in read("Dockerfile")
    assert fault in faults(read("Dockerfile").replace(old, new))


def test_the_container_starts_the_app_for_other_machines() -> None:
    command = dict(instructions(read("Dockerfile")))
    words = yaml.safe_load(command["ENTRYPOINT"])
    assert words[:2] == ["token-trails", "app"]
    assert words[words.index("--address") + 1] == "0.0.0.0"
    result = CliRunner().invoke(token_trails.cli, [*words[1:], "/no-store"])
    assert "/no-store does not exist" in result.output  # so the options before it are valid


def test_the_hooks_are_local_and_those_of_make_lint() -> None:
    repositories = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", read("Makefile"), flags=re.MULTILINE)
    assert lint is not None
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in lint[1].splitlines()]
    entries = [hook["entry"].replace(" --force-exclude", "") for hook in hooks]
    assert entries == [command.removesuffix(" .") for command in commands]


def targets() -> list[str]:
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), flags=re.MULTILINE)
    assert phony is not None
    return phony[1].split()


@pytest.mark.parametrize("target", targets())
def test_every_make_target_is_explained_and_run_by_ci(target: str) -> None:
    assert re.search(rf"^{target}:.*  ## \w", read("Makefile"), flags=re.MULTILINE)
    if target == "sweep":  # it takes an hour, and the suite has a small version
        return
    part_of = {"demo": "demo-store", "lint": "test"}  # the demo without its app; test needs lint
    assert re.search(rf"make {part_of.get(target, target)}\b", read(".ci/run"))
