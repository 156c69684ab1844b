from __future__ import annotations

from typing import Any, Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.decode import Undecodable, decoder, encode


class Event(pydantic.BaseModel):
    id: int
    name: str


def test_each_format_gives_its_value() -> None:
    assert decoder("json")(b'{"a": [1, "\xc3\xa4"]}') == {"a": [1, "ä"]}
    assert decoder("json")(b" \n[1] ") == [1], "with space around it"
    assert decoder("text")("ä".encode()) == "ä"
    assert decoder("bytes")(b"\xff") == b"\xff"


@pytest.mark.parametrize("format", ["json", "text", "bytes"])
def test_a_tombstone_is_none(format: Literal["json", "text", "bytes"]) -> None:
    assert decoder(format)(None) is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "value: expected JSON, found 0 bytes"),
        (b'"\xff"', "value: expected UTF-8, found byte 0xff at 1"),
        (b"{\n x", "value: expected JSON: Expecting property name enclosed in double quotes at line 2 column 2"),
        (b"[1] 2", "value: expected JSON: Extra data at line 1 column 5"),
        (b"[" * 100_000, "value: expected JSON: RecursionError"),
        (b"9" * 5000, "value: expected JSON: ValueError"),
    ],
)
def test_what_is_no_json_is_said_without_quoting_it(raw: bytes, said: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decoder("json")(raw)
    assert str(caught.value) == said


def test_text_that_is_not_utf8_is_said() -> None:
    with pytest.raises(Undecodable, match="0xe4 at 0"):
        decoder("text")(b"\xe4")


def test_a_model_gets_the_value_and_gives_its_object() -> None:
    assert decoder("json", Event)(b'{"id": 1, "name": "x"}') == Event(id=1, name="x")


def test_a_wrong_shape_names_the_fields_and_not_the_input() -> None:
    with pytest.raises(Undecodable) as caught:
        decoder("json", Event)(b'{"id": "secret"}')
    said = str(caught.value)
    assert "the shape of Event: id: " in said
    assert "name: Field required" in said
    assert "secret" not in said


def test_of_many_problems_five_are_shown() -> None:
    fields: dict[str, Any] = {f"f{n}": (int, ...) for n in range(9)}
    many = pydantic.create_model("Many", **fields)
    with pytest.raises(Undecodable, match="f4: Field required and 4 more"):
        decoder("json", many)(b"{}")


def test_a_value_that_is_no_object_is_said_as_a_whole() -> None:
    with pytest.raises(Undecodable, match="value: Input should be a valid dictionary"):
        decoder("json", Event)(b"3")


def test_another_library_with_model_validate_is_named_by_its_error() -> None:
    class Other:
        @staticmethod
        def model_validate(value: Any) -> Any:
            raise LookupError("x")

    with pytest.raises(Undecodable, match="the shape of Other: LookupError"):
        decoder("json", Other)(b"3")


@given(st.binary())
def test_whatever_the_bytes_the_answer_is_a_value_or_undecodable(raw: bytes) -> None:
    for format in ("json", "text"):
        try:
            decoder(format)(raw)
        except Undecodable:
            pass


class Model:
    def model_dump_json(self) -> str:
        return '{"id": 1}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (b"\xff", b"\xff"),
        ("zażółć", "zażółć".encode()),
        ({"a": ["ż", 1, None]}, '{"a": ["ż", 1, null]}'.encode()),
        (Model(), b'{"id": 1}'),
    ],
)
def test_what_is_produced_is_written_as_it_is_read(value: Any, expected: bytes | None) -> None:
    assert encode(value) == expected
