"""Each corpus/NAME.toml is refused with exactly the words of corpus/NAME.txt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from supervisor.core.config.load import load
from supervisor.core.config.problems import ConfigError

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*.toml"))
ENV = {"CANARY": "canary", "BYTES": "\udcff", "HUGE": "x" * 700_000}
RANGES: Mapping[str, str] = {
    **dict.fromkeys(["client.rack", "group.protocol", "sasl.mechanism", "sasl.password", "security.protocol"], ""),
    **dict.fromkeys(["session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms"], "1 .. 3600000"),
    "check.crcs": "one of true, false",
}


class Library:
    """As helper.librdkafka, which asks the library itself."""

    names = RANGES.keys()

    def refusal(self, name: str, value: str) -> str | None:
        return RANGES[name] if value == "maybe" else None


def said(source: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(source, file="config.toml", env=ENV, project_dir="/project", librdkafka=Library())
    assert caught.value.exit == 2
    return f"{caught.value}\n"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_bad_configuration_is_refused_with_these_words(file: Path) -> None:
    text = said(file.read_bytes())
    assert text == file.with_suffix(".txt").read_text()
    assert "canary" not in text


def test_each_kind_of_mistake_is_in_the_corpus() -> None:
    assert len(FILES) >= 45
    assert {file.stem for file in CORPUS.glob("*.txt")} == {file.stem for file in FILES}
