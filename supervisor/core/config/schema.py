"""The JSON Schema of config.toml, for editors: completion, help and errors while typing.

The first line of a config.toml, `#:schema ./supervisor.schema.json`, is how an editor finds it.
"""

from __future__ import annotations

import json
from typing import Any

from supervisor.core.config.document import TRIGGERS, Document

DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest that editors' TOML plug-ins know


def schema() -> dict[str, Any]:
    found = _for_people(Document.model_json_schema())
    found["$defs"]["Task"]["oneOf"] = [{"required": [trigger]} for trigger in TRIGGERS]
    return {"$schema": DRAFT, "title": "config.toml", **found}


def text() -> str:
    """Return what stands in supervisor.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _for_people(value: Any) -> Any:
    """Leave out titles made from names, null (which TOML has not), and defaults of whole tables."""
    if isinstance(value, list):
        return [_for_people(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _for_people(inner) for key, inner in value.items() if not _is_noise(key, inner)}
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    given = [inner for inner in kept.pop("anyOf", []) if inner != {"type": "null"}]
    return {**given[0], **kept} if len(given) == 1 else {**kept, **({"anyOf": given} if given else {})}


def _is_noise(key: str, value: Any) -> bool:
    generated_title = key == "title" and isinstance(value, str)
    return generated_title or (key == "default" and (value is None or isinstance(value, dict)))
