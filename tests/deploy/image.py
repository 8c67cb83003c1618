"""Builds what deploy/docker/Dockerfile describes without a container engine, as root on Debian.

Each FROM is a small Debian made by mmdebstrap, each RUN a command in it. It knows the instructions
of that one file and no others.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from deploy.tools import ROOT

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
CONTEXT = DOCKERFILE.with_name("Dockerfile.dockerignore")
# What Debian's own slim images leave out, and the caches that apt does not write in them.
SLIM = ["doc", "groff", "info", "lintian", "linda", "locale", "man"]
CACHES = ["pkgcache", "srcpkgcache"]
_MOUNTS = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev"'
# The package index is reached as from this machine, whose authorities may be others.
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_TRUST = f'test ! -e "$0{_CERTIFICATES}" || mount --bind {_CERTIFICATES} "$0{_CERTIFICATES}"'


@dataclass
class Image:
    """A tree of files, and how it is started."""

    root: Path
    user: str = "0:0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def size(self) -> int:
        """Bytes of all files, hard links counted once."""
        found = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                told = (Path(folder) / name).lstat()
                found[told.st_ino] = told.st_size
        return sum(found.values())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run the entry point as the image's user, with nothing in the tree to be written."""
        script = f'{_MOUNTS} && mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && '
        script += f'exec chroot --userspec={self.user} "$0" "$@"'
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, self.root, *self.entrypoint, *arguments],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


def missing() -> str | None:
    """Why nothing can be built here; None: it can."""
    if os.geteuid() != 0:
        return "the image is built without an engine by root only"
    if lacking := [name for name in ("mmdebstrap", "unshare") if shutil.which(name) is None]:
        return f"{' and '.join(lacking)} not on the PATH; on Debian: apt-get install mmdebstrap"
    return None


def instructions(text: str) -> list[tuple[str, str]]:
    """Names and arguments, continued lines as one."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def build(folder: Path) -> Image:
    """The image of the last stage.

    Raises:
        subprocess.CalledProcessError: a step failed.
        ValueError: an instruction is not known here.
    """
    stages: dict[str, Image] = {}
    image = Image(folder)
    for name, rest in instructions(DOCKERFILE.read_text(encoding="utf-8")):
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            image = Image(folder / f"stage-{len(stages)}")
            stages[alias or "last"] = image
            _copy(_debian(base, folder), image.root)
        else:
            _step(image, name, rest, stages)
    return image


def _step(image: Image, name: str, rest: str, stages: dict[str, Image]) -> None:
    match name:
        case "WORKDIR":
            image.folder = rest
            (image.root / rest.lstrip("/")).mkdir(parents=True)
        case "RUN":
            _run(image, rest)
        case "COPY" if rest == ". .":
            _copy_context(image.root / image.folder.lstrip("/"))
        case "COPY":
            stage, source, target = rest.removeprefix("--from=").split()
            _copy(stages[stage].root / source.lstrip("/"), image.root / target.lstrip("/"))
        case "USER":
            image.user = rest
        case "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        case "CMD":
            image.command = json.loads(rest)
        case "EXPOSE":
            pass
        case _:
            raise ValueError(f"{name} is not known here")


def _debian(base: str, folder: Path) -> Path:
    """The files of debian:SUITE-slim, made once."""
    found = re.fullmatch(r"debian:(\w+)-slim", base)
    if found is None:
        raise ValueError(f"FROM {base} is not known here")
    root = folder / found[1]
    if not root.exists():
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in SLIM]
        caches = [f'--aptopt=Dir::Cache::{name} ""' for name in CACHES]
        options = ["--quiet", "--variant=minbase", "--aptopt=Acquire::Languages none", *caches]
        subprocess.run(["mmdebstrap", *options, *excluded, found[1], root], check=True)
        shutil.rmtree(root / "var" / "lib" / "apt" / "lists")
    return root


def _run(image: Image, command: str) -> None:
    script = f'{_MOUNTS} && {{ {_TRUST}; }} && exec chroot "$0" sh -c "$1"'
    shutil.copyfile("/etc/resolv.conf", image.root / "etc" / "resolv.conf")
    inside = f"cd {shlex.quote(image.folder)} && {command}"
    subprocess.run(["unshare", "--mount", "sh", "-c", script, image.root, inside], check=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--archive", source, target], check=True)


def _copy_context(target: Path) -> None:
    """What the ignore file lets through: an allow-list."""
    for line in CONTEXT.read_text(encoding="utf-8").splitlines():
        if line.startswith("!"):
            _copy(ROOT / line[1:], target / line[1:])
