"""The crate, as Cargo packed it, and the lines of its README."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from packages.crate_registry import registry
from packages.pages import ROOT, STORY, Page, clean_copy, merged, packed, shell

if TYPE_CHECKING:
    from pathlib import Path

# What calls the README's functions.
ASK = """
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(ask(&Client::new("127.0.0.1:50051")?).await?)
}
"""
CONNECT = """
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let read = |name: &str| std::fs::read_to_string(std::env::args().nth(1).unwrap() + name);
    connect(&read("/ca.crt")?, &read("/tls.crt")?, &read("/tls.key")?, "river")?;
    Ok(())
}
"""


@pytest.mark.usefixtures("sandbox")
def test_the_readme(environment: dict[str, str], tmp_path: Path, papers: Path) -> None:
    """Every line and every program of it: outside of the checkout, then in a clean copy of it."""
    page = Page("clients/rust")
    # What the client's own tests have compiled is not compiled again.
    building = merged(environment, CARGO_TARGET_DIR=ROOT / "clients" / "rust" / "target")
    outside = tmp_path / "outside"
    shell("cargo init --quiet --vcs none --name tiny outside", tmp_path, building)
    crate = unpacked(tmp_path / "crate")
    with registry(packed("rust", "*.crate"), metadata(crate, building)) as address:
        shell(page.lines(), outside, merged(building, **asking(address, tmp_path)))
    take_ours(outside, crate)
    programs = outside / "src" / "bin"
    programs.mkdir()
    (outside / "src" / "main.rs").write_text(page.program("rust,no_run"))
    (programs / "ask.rs").write_text(page.program("rust,no_run") + ASK)
    (programs / "connect.rs").write_text(page.program("rust,no_run") + CONNECT)
    assert STORY.fullmatch(shell("cargo run --quiet --bin tiny", outside, building))
    assert STORY.fullmatch(shell("cargo run --quiet --bin ask 2>usage", outside, building))
    assert "completion_tokens" in (outside / "usage").read_text()
    shell(f"cargo run --quiet --bin connect '{papers}'", outside, building)

    inside = clean_copy("rust", tmp_path / "inside")
    assert STORY.search(shell(page.lines(), inside, building))
    assert page.left() == []


def test_the_crate_says_what_the_registry_wants(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Licence, contract and defaults are in it as files, and nothing of the tests is."""
    crate = unpacked(tmp_path)
    held = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    protos = {"headgate/v1/chat.proto", "service_config.json", "channel_defaults.json"}
    assert {"LICENSE", "README.md", *(f"proto/{name}" for name in protos)} <= held
    assert not {name for name in held if name.startswith(("tests/", "examples/conformance/"))}
    package = metadata(crate, environment)
    assert package["license"] == "Apache-2.0"
    assert package["description"]
    assert package["homepage"]


def metadata(crate: Path, environment: dict[str, str]) -> dict[str, Any]:
    said = shell("cargo metadata --no-deps --format-version=1", crate, environment)
    package: dict[str, Any] = json.loads(said)["packages"][0]
    return package


def asking(address: str, folder: Path) -> dict[str, Path]:
    """What lets Cargo ask our registry in place of crates.io, and keep nothing of it for later."""
    home = folder / "cargo"
    home.mkdir()
    lines = ["[source.crates-io]", 'replace-with = "ours"', "[source.ours]"]
    lines += [f'registry = "sparse+{address}/"', ""]
    (home / "config.toml").write_text("\n".join(lines))
    return {"CARGO_HOME": home}


def take_ours(project: Path, crate: Path) -> None:
    """Let Cargo build what was packed, with everything else from crates.io itself."""
    (project / "Cargo.lock").unlink(missing_ok=True)
    (project / ".cargo").mkdir()
    lines = ["[patch.crates-io]", f"headgate-client = {{ path = {json.dumps(str(crate))} }}", ""]
    (project / ".cargo" / "config.toml").write_text("\n".join(lines))


def unpacked(folder: Path) -> Path:
    with tarfile.open(packed("rust", "*.crate")) as crate:
        crate.extractall(folder, filter="data")
    (directory,) = folder.iterdir()
    return directory
