"""The project's own files agree with each other: version, types, citation, checks, links."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from typing import Any

import pytest
import yaml

from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
PACKAGES = [
    name.removesuffix("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def read_yaml(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").read_bytes() == b""
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["*"]


def test_the_changelog_begins_with_this_version_and_its_date_or_what_comes_after_it() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    latest = headings[1] if headings[0] == "Unreleased" else headings[0]
    heading = re.fullmatch(r"(\S+) \((.*)\)", latest)
    assert heading
    assert heading[1] == VERSION
    assert date.fromisoformat(heading[2]).isoformat() == heading[2]


def test_the_citation_has_what_its_format_requires_and_names_this_version_and_the_paper() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= {"message", "title", "authors", "version", "license", "type"}
    assert citation["version"] == VERSION
    assert citation["license"] == PROJECT["project"]["license"]
    assert f"## {VERSION} ({citation['date-released']})" in (ROOT / "CHANGELOG.md").read_text()
    (paper,) = citation["references"]
    assert paper.keys() >= {"type", "title", "authors", "year", "url"}
    assert [author["family-names"] for author in paper["authors"]] == [
        "Cha", "Chan", "Veciana", "Vikalo",
    ]  # fmt: skip
    assert paper["url"].endswith("2508.13380")
    assert paper["title"] in " ".join((ROOT / "README.md").read_text().split())


def test_pre_commit_runs_exactly_what_a_person_runs() -> None:
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    (hook,) = repository["hooks"]
    assert repository["repo"] == "local"
    assert (hook["entry"], hook["language"]) == ("make check", "system")
    assert (hook["always_run"], hook["pass_filenames"]) == (True, False)


def test_the_hosted_workflow_checks_every_python_that_is_supported() -> None:
    (job,) = read_yaml(".github/workflows/check.yml")["jobs"].values()
    first, end = map(int, re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"]))
    pythons = job["strategy"]["matrix"]["python"]
    assert pythons == [f"3.{minor}" for minor in range(first, end)]
    steps = {step["run"]: step.get("if") for step in job["steps"] if "run" in step}
    made = {"sudo make system", "make check", "make test-fast", "make test-cluster"}
    assert steps.keys() == made
    assert steps["make check"] is steps["make test-fast"] is None
    assert [python for python in pythons if f"'{python}'" in steps["make test-cluster"]]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "README.md"])
def test_targets_and_files_that_a_page_names_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M))
    assert named <= TARGETS
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert named or links
