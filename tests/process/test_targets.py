"""What config.toml names is imported and tried: one module that waits for ever keeps no other from being looked at."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.helper import read_config, targets
from support.alone import alone
from support.project import Project

CONFIG = '[tasks.slow]\nrun = "slow:tick"\nevery = "1h"\n[tasks.wrong]\nrun = "mine:tack"\nevery = "1h"\n'


def test_a_module_that_waits_for_ever_is_left_and_the_next_one_tried(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code="def tick():\n    pass\n")
    made.write("slow.py", "import time\ntry:\n    time.sleep(600)\nexcept Exception:\n    time.sleep(600)\n")

    def check() -> dict[str, list[str]]:
        targets.TRY_WITHIN = 0.3
        found = read_config.read(str(made.config), {})
        return {key: [each["text"] for each in found[key]] for key in ("problems", "warnings")}

    found = alone(check)
    assert ["tack" in text for text in found["problems"]] == [True], found
    made.configure(CONFIG.replace("tack", "tick"))
    found = alone(check)
    assert found["problems"] == []
    assert any("importing it takes longer than 0.3 s" in text for text in found["warnings"]), found


def test_a_hook_that_cannot_be_loaded_is_named_by_its_own_key(project: Callable[..., Project]) -> None:
    task = '[tasks.mail]\nrun = "mine:tick"\nevery = "1h"\non_start = "mine:tick"\non_finish = "mine:tock"\n'
    made = project(config=task, code="def tick():\n    pass\n")
    said = made.run("check")
    assert said.returncode == 2
    (found,) = [line for line in said.stderr.splitlines() if line.startswith("config.toml:")]
    assert found.startswith("config.toml:5: tasks.mail.on_finish: ")
    assert "tock" in found
