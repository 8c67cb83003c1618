"""The C++ library, installed by CMake, found by a project of a user's, and its README's lines."""

from __future__ import annotations

import os
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from packages.pages import STORY, Page, clean_copy, merged, packed, shell

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """
cmake_minimum_required(VERSION 3.19)
project(tiny LANGUAGES CXX)
add_executable(example main.cc)
target_compile_options(example PRIVATE -Wall -Wextra -Werror)
%s"""
# The README's pieces, each in a place where its names mean something.
PIECES = """%(includes)s
#include <fstream>
#include <iostream>
#include <sstream>

std::string File(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

int main(int, char** argv) {
  headgate::v1::ChatRequest request;
  auto* message = request.add_messages();
  message->set_role(headgate::v1::ROLE_USER);
  message->set_content("Tell me a story");
%(first)s
  std::cout << "\\n----\\n";
  {
%(deadline)s
    for (const std::string& piece : answer.text()) std::cout << piece;
  }
  const std::string folder = argv[1];
  const std::string ca_pem = File(folder + "/ca.crt");
  const std::string key_pem = File(folder + "/tls.key");
  const std::string certificate_pem = File(folder + "/tls.crt");
%(connect)s
  return channel == nullptr;
}
"""
# Says whether Debian knows the packages that the README installs, and installs none.
APT_GET = """#!/bin/sh
[ "$1" = install ] || exit 1
shift
command -v dpkg-query >/dev/null || exit 0
dpkg-query --show --showformat '${Status}\\n' "$@" >/dev/null
"""


@pytest.mark.usefixtures("sandbox")
def test_the_readme(environment: dict[str, str], tmp_path: Path) -> None:
    """Its shell lines, in a clean copy of the checkout; `make install` goes to a folder."""
    page = Page("clients/cpp")
    checkout = clean_copy("cpp", tmp_path / "inside").parents[1]
    building = merged(
        environment,
        DESTDIR=tmp_path / "root",
        CMAKE_PREFIX_PATH=tmp_path / "root" / "usr" / "local",
        PATH=f"{apt_get(tmp_path)}{os.pathsep}{environment['PATH']}",
    )
    shell(page.lines(), checkout, building)
    shutil.rmtree(checkout / "build")
    assert STORY.search(shell(page.lines(), checkout, building))


@pytest.mark.usefixtures("sandbox")
def test_the_source_package(environment: dict[str, str], tmp_path: Path, papers: Path) -> None:
    """What `cpack` packed builds by itself and installs what the README's programs need."""
    with tarfile.open(packed("cpp", "*.tar.gz")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert (source / "LICENSE").is_file()
    prefix = tmp_path / "prefix"
    options = "-DHEADGATE_TESTS=OFF -DHEADGATE_CONFORMANCE=OFF"
    shell(
        f"cmake -S '{source}' -B build '-DCMAKE_INSTALL_PREFIX={prefix}' {options}\n"
        "cmake --build build -j2\ncmake --install build",
        tmp_path,
        environment,
    )
    shutil.rmtree(tmp_path / "build")
    shutil.rmtree(source)

    page = Page("clients/cpp")
    for _ in range(2):
        page.lines()  # the other test runs them
    project = tmp_path / "project"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(PROJECT % page.program("cmake"))
    first, deadline, connect = (page.program("cpp") for _ in range(3))
    includes = [line for line in first.splitlines() if line.startswith("#include")]
    rest = [line for line in first.splitlines() if line not in includes]
    pieces = {"includes": "\n".join(includes), "first": "\n".join(rest)}
    (project / "main.cc").write_text(PIECES % (pieces | {"deadline": deadline, "connect": connect}))
    said = shell(
        f"cmake -S . -B build '-DCMAKE_PREFIX_PATH={prefix}'\ncmake --build build\n"
        f"build/example '{papers}'",
        project,
        environment,
    )
    first_story, second_story = said.split("\n----\n")
    assert STORY.search(first_story)
    assert STORY.fullmatch(second_story)
    assert page.left() == []


def apt_get(folder: Path) -> Path:
    """A folder with an `apt-get` that installs nothing."""
    commands = folder / "commands"
    commands.mkdir()
    (commands / "apt-get").write_text(APT_GET)
    (commands / "apt-get").chmod(0o755)
    return commands
