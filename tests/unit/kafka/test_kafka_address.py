from __future__ import annotations

import pytest

from supervisor.core.kafka.address import Address, from_text, to_text


def test_an_address_comes_back_as_it_was_written() -> None:
    address = Address("127.0.0.1:4", "abc", 7)
    assert from_text(to_text(address)) == address


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"bootstrap_servers": "a", "incarnation": "b"}', "[" * 99_999])
def test_anything_else_is_no_address(text: str) -> None:
    assert from_text(text) is None
