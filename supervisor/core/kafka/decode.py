"""The bytes of a record's value to what the handler gets, and back to what a handler produces.

What cannot be decoded never can: it goes to the dead-letter topic at once, without a retry.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Decoder = Callable[[bytes | None], Any]


class Undecodable(Exception):
    """Where in the value, what was expected, what was found. The value itself is not quoted."""


def decoder(format: str, model: Any = None) -> Decoder:
    """Return the function for one consumer; `model` is a class with pydantic's `model_validate`."""
    return validated({"json": _json, "text": _text, "bytes": _bytes}[format], model)


def validated(plain: Decoder, model: Any = None) -> Decoder:
    """Return `plain`, followed by the model's validation when there is one."""
    if not hasattr(model, "model_validate"):
        return plain
    validate = model.model_validate

    def decode(raw: bytes | None) -> Any:
        value = plain(raw)
        try:
            return validate(value)
        except Exception as e:
            raise Undecodable(f"value: expected the shape of {model.__name__}: {_problems(e)}") from e

    return decode


def encode(value: Any) -> bytes | None:
    """Return what is produced for a value: bytes and None (a tombstone) as they are, text as UTF-8, else JSON."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if hasattr(value, "model_dump_json"):
        return str(value.model_dump_json()).encode()
    return json.dumps(value, ensure_ascii=False).encode()


# what json.loads calls in the end: half its time goes by before
_scan: Callable[[str, int], tuple[Any, int]] = getattr(json.JSONDecoder(), "scan_once")  # noqa: B009  not in typeshed


def _bytes(raw: bytes | None) -> bytes | None:
    return raw


def _text(raw: bytes | None) -> str | None:
    """A tombstone (null) stays None: compacted topics delete with it."""
    if raw is None:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as e:
        raise Undecodable(f"value: expected UTF-8, found byte 0x{raw[e.start]:02x} at {e.start}") from e


def _json(raw: bytes | None) -> Any:
    if raw is None:
        return None
    if not raw:
        raise Undecodable("value: expected JSON, found 0 bytes")
    text = _text(raw) or ""
    try:
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, ValueError, RecursionError):
        pass  # said below, in better words; or there is space around it
    try:
        return json.loads(text)
    except json.JSONDecodeError as e:
        raise Undecodable(f"value: expected JSON: {e.msg} at line {e.lineno} column {e.colno}") from e
    except (ValueError, RecursionError) as e:  # an integer of 5,000 digits; ten thousand brackets
        raise Undecodable(f"value: expected JSON: {type(e).__name__}") from e


def _problems(error: Exception) -> str:
    """pydantic's own text quotes the input, so its parts are taken one by one."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return f"{type(error).__name__}"
    found = listed()
    texts = [f"{'.'.join(str(part) for part in each['loc']) or 'value'}: {each['msg']}" for each in found[:5]]
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return "; ".join(texts) + more
