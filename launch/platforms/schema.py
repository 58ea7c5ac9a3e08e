"""Documents checked offline against the platforms' own schemas.

`jobset_schema.json.gz` is the schema of version v1alpha2 in JobSet's custom
resource definition (kubernetes-sigs/jobset at 08dfbdfd, Apache-2.0), without
its descriptions and its CEL rules, which only a cluster can evaluate.

Google's discovery documents come with the package google-api-python-client
(requirements-launch.txt). Without it `check_google` says so and checks nothing.
"""

import functools
import gzip
import importlib.util
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema_rs

_JOBSET = pathlib.Path(__file__).with_name("jobset_schema.json.gz")
_METADATA = {
  name: {"type": "object", "additionalProperties": {"type": "string"}}
  for name in ("labels", "annotations")
} | {"name": {"type": "string"}, "namespace": {"type": "string"}}


class InvalidDocumentError(Exception):
  """A document that its platform would refuse: a fault of this program."""


def check_jobset(document: Mapping[str, Any]) -> str:
  """Checks a JobSet; returns what it was checked against.

  Raises:
    InvalidDocumentError: names the fields that are wrong.
  """
  _check(_jobset_validator(), document, "JobSet")
  return "the JobSet resource definition (v1alpha2)"


def check_google(api: str, schema: str, document: Mapping[str, Any]) -> str:
  """Checks the body of a request to a Google API, as `check_jobset` does.

  Args:
    api: as "batch.v1".
    schema: name of the body's schema there.
    document: the body.
  """
  if discovery_folder() is None:
    return ""
  _check(_google_validator(api, schema), document, schema)
  return f"the API's discovery document ({api}, {schema})"


def discovery_folder() -> pathlib.Path | None:
  """Where google-api-python-client keeps its documents; None without it."""
  found = importlib.util.find_spec("googleapiclient")
  if found is None or not found.submodule_search_locations:
    return None
  return (
    pathlib.Path(found.submodule_search_locations[0])
    / "discovery_cache"
    / "documents"
  )


def discovery_document(api: str) -> dict[str, Any]:
  """An API's description. Raises KeyError where the package is not there."""
  folder = discovery_folder()
  if folder is None:
    raise KeyError("google-api-python-client is not installed")
  loaded: dict[str, Any] = json.loads((folder / f"{api}.json").read_text())
  return loaded


@functools.cache
def _jobset_validator() -> Any:
  schema = json.loads(gzip.decompress(_JOBSET.read_bytes()))
  schema["properties"]["metadata"] = {
    "type": "object",
    "properties": _METADATA,
    "required": ["name"],
  }
  schema["properties"]["apiVersion"] = {"const": "jobset.x-k8s.io/v1alpha2"}
  schema["properties"]["kind"] = {"const": "JobSet"}
  schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
  return jsonschema_rs.validator_for(_walk(schema, _of_kubernetes))


@functools.cache
def _google_validator(api: str, schema: str) -> Any:
  document = discovery_document(api)
  definitions = _walk(document["schemas"], _of_google)
  return jsonschema_rs.validator_for(
    {"$ref": f"#/definitions/{schema}", "definitions": definitions}
  )


def _check(validator: Any, document: Mapping[str, Any], what: str) -> None:
  wrong = [
    f"{'.'.join(map(str, error.instance_path)) or what}: {error.message}"
    for error in validator.iter_errors(document)
  ]
  if wrong:
    raise InvalidDocumentError(f"{what}: " + "; ".join(wrong[:5]))


def _walk(node: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
  """A copy of a schema in which each object was changed."""
  if isinstance(node, list):
    return [_walk(item, change) for item in node]
  if not isinstance(node, dict):
    return node
  return change({key: _walk(value, change) for key, value in node.items()})


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
  """A field that is not named is wrong. (`properties` may hold any name.)"""
  if isinstance(schema.get("properties"), dict) and isinstance(
    schema.get("type", "object"), str
  ):
    return {"additionalProperties": False, **schema}
  return schema


def _of_kubernetes(schema: dict[str, Any]) -> dict[str, Any]:
  if schema.get("x-kubernetes-int-or-string") is True:
    return {"type": ["integer", "string"], **_without(schema, "anyOf")}
  return _closed(_without(schema, "format", "default"))


def _of_google(schema: dict[str, Any]) -> dict[str, Any]:
  reference = schema.get("$ref")
  if isinstance(reference, str):
    return {"$ref": f"#/definitions/{reference}"}
  if schema.get("type") == "any":
    return {}
  return _closed(_without(schema, "format", "description", "id", "default"))


def _without(schema: dict[str, Any], *keywords: str) -> dict[str, Any]:
  """Without keywords, where they are ones: a property may bear such a name."""
  return {
    key: value
    for key, value in schema.items()
    if key not in keywords
    or (isinstance(value, dict) and {"type", "$ref"} & set(value))
  }
