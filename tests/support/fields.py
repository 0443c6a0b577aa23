"""What the declaration of a notification's fields says in other languages: the OpenAPI document and the script's types.

``python -m tests.support.fields`` writes both files anew. A test holds them to the declaration.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import django
from django.utils import translation

from tests.support import ROOT

STATIC = ROOT / "sse_notify/static/sse_notify"
DOCUMENT, TYPES = STATIC / "openapi.json", STATIC / "sse-notify.d.ts"

_TEXT = {"type": "string"}
_OBJECT = {"oneOf": [{"$ref": "#/components/schemas/SseNotifyInstance"}, {"type": "null"}]}
_BUTTONS = {"type": "array", "items": {"$ref": "#/components/schemas/SseNotifyAction"}}
_TIME = {"type": ["string", "null"], "format": "date-time"}
#: By the name of a kind: the JSON schema and the type of its fields.
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "TEXT": (_TEXT, "string"),
    "KEY": (_TEXT, "string"),
    "ADDRESS": (_TEXT, "string"),
    "JSON": ({}, "unknown"),
    "BUTTONS": (_BUTTONS, "{ label: string; url: string; method?: string }[]"),
    "MOMENT": (_TIME, "string | null"),
    "FLAG": ({"type": "boolean"}, "boolean"),
    "INSTANCE": (_OBJECT, "Instance | null"),
}
#: What a help text, which is for senders, says otherwise to clients.
SAYS = {
    "actions": "Its buttons.",
    "actor": "Who did it; `null` if the sender named nobody, or the model is gone.",
    "actor_name": "The name, which outlives the object; empty if there is none.",
    "target": "What it was done to, likewise.",
    "target_name": "",
    "data": "What the project sent along: any JSON. Never rendered.",
}
_DECLARED = re.compile(r"(?<=support.fields` writes:\n).*?(?=  // end)", re.DOTALL)


def declared() -> dict[str, tuple[dict[str, Any], str, str]]:
    """Return the schema, the type and the description of each declared field that clients get, by name."""
    from sse_notify.models import Notification
    from sse_notify.models.content import FIELDS, Kind

    found = {}
    with translation.override(None):
        for name, field in FIELDS.items():
            if field.is_sent:
                if field.kind is Kind.CHOICE:
                    column: Any = Notification._meta.get_field(name)
                    kind = {"enum": [value for value, _ in column.choices]}, name.capitalize()
                else:
                    kind = KINDS[field.kind.name]
                found[name] = (*kind, SAYS.get(name, str(field.help)))
                if field.kind is Kind.INSTANCE:
                    also = f"{name}_name"
                    found[also] = (*KINDS["TEXT"], SAYS.get(also, ""))
    return found


def document() -> str:
    """Return the OpenAPI document with the declared fields."""
    text: dict[str, Any] = json.loads(DOCUMENT.read_text())
    schema = text["components"]["schemas"]["SseNotifyNotification"]
    properties = schema["properties"]
    first, last = list(properties)[:5], ["muted", "unread", "unseen"]
    new = {
        name: kind | ({"description": says} if says else {})
        for name, (kind, _, says) in declared().items()
    }
    schema["properties"] = (
        {name: properties[name] for name in first} | new | {name: properties[name] for name in last}
    )
    schema["required"] = [name for name in schema["properties"] if name != "muted"]
    return json.dumps(text, indent=2, ensure_ascii=False) + "\n"


def types() -> str:
    """Return the script's types with the declared fields."""
    lines = [
        (f"  /** {says} */\n" if says else "") + f"  {name}: {kind};\n"
        for name, (_, kind, says) in declared().items()
    ]
    return _DECLARED.sub(lambda _: "".join(lines), TYPES.read_text())


def generated() -> dict[Path, str]:
    """Return the text that each file should have."""
    return {DOCUMENT: document(), TYPES: types()}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    for path, text in generated().items():
        path.write_text(text)
