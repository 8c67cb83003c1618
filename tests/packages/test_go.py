"""The Go module, fetched through a proxy as users get it, and the lines of its README."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from packages.pages import DIST, ROOT, STORY, Page, clean_copy, merged, shell

if TYPE_CHECKING:
    from pathlib import Path

# The README's pieces, each in a place where its names mean something.
PIECES = """package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"

	"headgate.dev/go/headgate"
	"headgate.dev/go/headgatev1"
)

func ask(ctx context.Context, client *headgate.Client) error {
%s	return nil
}

func tell(err error) {
%s}

func connect(authorities *x509.CertPool, own tls.Certificate, token string) error {
%s	defer client.Close()
	return err
}

func main() {
	client, err := headgate.NewClient("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	if err := ask(context.Background(), client); err != nil {
		log.Fatal(err)
	}
	_, err = client.Chat(context.Background(), &headgatev1.ChatRequest{})
	tell(err)
	if err := connect(x509.NewCertPool(), tls.Certificate{}, "river"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("\\n" + err.Error())
}
"""
ONLY_IMPORT = """package main

import "headgate.dev/go/headgate"

func main() { _ = headgate.Ask("Hello!") }
"""


@pytest.mark.usefixtures("sandbox")
def test_the_readme(environment: dict[str, str], tmp_path: Path) -> None:
    """Every line and every program of it: outside of the checkout, then in a clean copy of it."""
    page = Page("clients/go")
    outside = tmp_path / "outside"
    outside.mkdir()
    shell("go mod init example.test/tiny", outside, environment)
    fetching = from_our_proxy(environment, tmp_path)
    shell(page.lines(), outside, fetching)
    (outside / "main.go").write_text(page.program("go"))
    assert STORY.fullmatch(shell("go run .", outside, fetching))

    (outside / "main.go").write_text(PIECES % tuple(page.program("go") for _ in range(3)))
    said = shell("go vet . && go run .", outside, fetching)
    assert STORY.search(said)
    assert re.search(r"(?m)^\d+ tokens$|INVALID_REQUEST", said)
    assert "all modules verified" in shell("go mod verify", outside, fetching)

    inside = clean_copy("go", tmp_path / "inside")
    assert STORY.search(shell(page.lines(), inside, environment))
    assert page.left() == []


def test_from_a_checkout(plain: dict[str, str], tmp_path: Path) -> None:
    """The README's way to the module where nobody has published it."""
    line = re.search(r"From a checkout: `(.+)`, then `(.+)`\.", Page("clients/go").text)
    assert line is not None
    (tmp_path / "main.go").write_text(ONLY_IMPORT)
    lines = " && ".join(("go mod init example.test/tiny", *line.groups(), "go build ."))
    shell(lines.replace("CHECKOUT", shlex.quote(str(ROOT))), tmp_path, plain)


def from_our_proxy(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """The environment in which go asks dist/go first, and keeps nothing of it for later."""
    proxy, cache = shell("go env GOPROXY GOMODCACHE", folder, environment).split()
    places = [(DIST / "go").as_uri(), f"file://{cache}/cache/download", proxy]
    return merged(
        environment,
        GOPROXY=",".join(places),
        GOMODCACHE=folder / "modules",
        GONOSUMDB="headgate.dev",
        GOFLAGS=f"{environment.get('GOFLAGS', '')} -modcacherw -trimpath".strip(),
    )
