"""Holds manifests against the schemas of Kubernetes and of custom resources, strictly.

Runs in the environment of tools.py, which has jsonschema and the schemas of Kubernetes:
`validate.py VERSION CRDS < manifests`. Prints one line for each fault, and ends with 1.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

# By name, because the environment of the other tests does not have them.
jsonschema = import_module("jsonschema")
kubernetes_validate = import_module("kubernetes_validate")
yaml = import_module("yaml")


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the freedom to have fields that it does not name."""
    closed = dict(schema)
    if properties := schema.get("properties"):
        closed["properties"] = {name: strict(inner) for name, inner in properties.items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
    for name in ("items", "additionalProperties"):
        if isinstance(inner := schema.get(name), dict):
            closed[name] = strict(inner)
    return closed


def custom(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The schemas of custom resources, by apiVersion and kind."""
    schemas = {}
    for file in sorted(folder.iterdir()):
        # JSON is YAML; the parser in C, because these are long.
        for definition in yaml.load_all(file.read_text(encoding="utf-8"), yaml.CSafeLoader):
            if not definition:
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                schemas[key] = schema
    return schemas


def faults(document: dict[str, Any], version: str, schemas: dict[Any, Any]) -> list[str]:
    """What is wrong with one resource."""
    schema = schemas.get((document["apiVersion"], document["kind"]))
    if schema is not None:
        found = jsonschema.Draft202012Validator(schema).iter_errors(document)
        return [f"{error.json_path}: {error.message}" for error in found]
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{error.json_path}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return []


def main() -> int:
    version, folder = sys.argv[1:]
    schemas = custom(Path(folder))
    wrong = 0
    for document in yaml.safe_load_all(sys.stdin):
        for fault in faults(document, version, schemas):
            sys.stdout.write(f"{document['kind']} {document['metadata']['name']}: {fault}\n")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
