#!/usr/bin/env python3
"""Turns Kubernetes' OpenAPI document and resource definitions into strict JSON schemas for kubeconform.

usage: schemas.py OUT SWAGGER.json DEFINITION.yaml...
"""
import json
import os
import sys

import yaml

# A plain `=` is a text in these definitions; YAML 1.1 has a type for it.
yaml.SafeLoader.yaml_implicit_resolvers.pop("=", None)
KINDS = {"ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget",
         "Secret", "Service", "ServiceAccount", "StatefulSet", "Pod"}


def strict(schema):
    """Refuses fields that nobody declared."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema and \
            not schema.get("x-kubernetes-preserve-unknown-fields"):
        out["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        out = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    return out


def resolve(schema, definitions, depth=0):
    if isinstance(schema, list):
        return [resolve(item, definitions, depth) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        if depth > 30 or name.endswith("JSONSchemaProps"):
            return {}
        return resolve(definitions[name], definitions, depth + 1)
    return {key: resolve(value, definitions, depth) for key, value in schema.items()}


def write(folder, kind, group, version, schema):
    suffix = "-" + (group.split(".")[0] + "-" if group else "") + version
    with open(os.path.join(folder, (kind + suffix).lower() + ".json"), "w", encoding="utf-8") as out:
        json.dump(schema, out)


def main():
    folder, swagger, definitions = sys.argv[1], sys.argv[2], sys.argv[3:]
    os.makedirs(folder, exist_ok=True)
    with open(swagger, encoding="utf-8") as text:
        core = json.load(text)["definitions"]
    for schema in core.values():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            if kind["kind"] in KINDS:
                write(folder, kind["kind"], kind["group"], kind["version"],
                      strict(resolve(schema, core)))
    meta = strict(resolve(core["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"], core))
    for path in definitions:
        with open(path, encoding="utf-8") as text:
            for definition in yaml.safe_load_all(text):
                spec = definition["spec"]
                for version in spec["versions"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    schema["properties"]["metadata"] = meta
                    write(folder, spec["names"]["kind"], spec["group"], version["name"], schema)


if __name__ == "__main__":
    main()
