"""The Maven artefact, fetched from a repository as users get it, and the lines of its README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from packages.pages import DIST, ROOT, STORY, Page, clean_copy, shell

# A project of a user's: it names our repository first, and the README's dependency.
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example.test</groupId>
  <artifactId>tiny</artifactId>
  <version>1</version>
  <repositories>
    <repository><id>ours</id><url>{ours}</url></repository>
    <repository><id>kept</id><url>{kept}</url></repository>
  </repositories>
  <pluginRepositories>
    <pluginRepository><id>kept</id><url>{kept}</url></pluginRepository>
  </pluginRepositories>
  <dependencies>
{dependency}
  </dependencies>
</project>
"""
# The README's pieces, each in a place where its names mean something.
PIECES = """
import dev.headgate.client.ChatStream;
import dev.headgate.client.HeadgateClient;
import dev.headgate.client.HeadgateException;
import dev.headgate.v1.ChatRequest;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.time.Duration;

final class Pieces {
  static void ask() {
%s  }

  static void tell(HeadgateClient client, ChatRequest request) {
%s  }

  static HeadgateClient connect(File ca, File cert, File key, String token) throws Exception {
%s    return client;
  }

  static void tryAgainIn(Duration delay) {}

  public static void main(String[] arguments) throws Exception {
    ask();
    try (HeadgateClient client = HeadgateClient.connect(HeadgateClient.DEFAULT_TARGET)) {
      tell(client, ChatRequest.getDefaultInstance());
    }
    File cert = new File(arguments[0], "tls.crt");
    File key = new File(arguments[0], "tls.key");
    connect(new File(arguments[0], "ca.crt"), cert, key, "river").close();
  }
}
"""
MAVEN = "mvn -q -B -Dmaven.repo.local=repository"


@pytest.mark.usefixtures("sandbox")
def test_the_readme(environment: dict[str, str], tmp_path: Path, papers: Path) -> None:
    """Every line and every program of it: outside of the checkout, then in a clean copy of it."""
    page = Page("clients/java")
    outside = tmp_path / "outside"
    outside.mkdir()
    dependency = page.program("xml")
    (outside / "pom.xml").write_text(
        POM.format(ours=(DIST / "java").as_uri(), kept=kept_artefacts(), dependency=dependency)
    )
    shell(f"{MAVEN} {copy_dependencies()}", outside, environment)
    assert (outside / "target" / "dependency" / "headgate-client-0.1.0.jar").is_file()

    (outside / "Pieces.java").write_text(PIECES % tuple(page.program("java") for _ in range(3)))
    classes = "target/dependency/*"
    shell(f"javac -Xlint:all,-serial -cp '{classes}' -d . Pieces.java", outside, environment)
    run = f"java -cp '{classes}:.' Pieces '{papers}'"
    said = shell(f"{run} 2>&1", outside, environment)
    assert STORY.search(said)
    assert said.endswith("messages\n")  # the violation that the second piece prints

    inside = clean_copy("java", tmp_path / "inside")
    assert STORY.search(shell(page.lines(), inside, environment))
    assert page.left() == []
    listed = shell("jar tf target/headgate-client-0.1.0.jar", inside, environment).split()
    assert {"headgate/v1/chat.proto", "META-INF/LICENSE"} <= set(listed)


def kept_artefacts() -> str:
    """What Maven has fetched on this machine already, as a repository of its own."""
    return (Path.home() / ".m2" / "repository").as_uri()


def copy_dependencies() -> str:
    """The goal that puts all jars into one folder, in the version that the client pins."""
    pom = (ROOT / "clients" / "java" / "pom.xml").read_text("utf-8")
    version = re.search(r"maven-dependency-plugin</artifactId>\s*<version>(.+)</version>", pom)
    assert version is not None
    return f"org.apache.maven.plugins:maven-dependency-plugin:{version[1]}:copy-dependencies"
