"""Files that change under a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from headgate.config import ConfigError
from headgate.security.files import Change, FromFiles

if TYPE_CHECKING:
    from pathlib import Path


def test_a_change_counts_once_it_has_stopped() -> None:
    """While every look sees something else, somebody is still writing."""
    change = Change("a")
    assert [change.settled(seen) for seen in "aabcdde"] == [
        *(False, False, False, False, False),
        True,
        False,
    ]
    assert change.settled("e")
    assert not change.settled("e")


@given(st.lists(st.sampled_from("abc")))
def test_what_stays_is_taken_once(looks: list[str]) -> None:
    """Whatever was seen before, two more looks at the same settle it, and a third is quiet."""
    change = Change("a")
    taken = "a"
    for seen in looks:
        if change.settled(seen):
            assert seen != taken
            taken = seen
    ends = [change.settled("z") for _ in range(3)]
    assert ends == [False, True, False]


class Number(FromFiles[int]):
    def __init__(self, path: Path) -> None:
        super().__init__([str(path)], lambda: self._parse(path), "number")

    def _parse(self, path: Path) -> int:
        try:
            return int(path.read_text())
        except (OSError, ValueError):
            raise ConfigError([f"{path} holds no number"]) from None


def test_the_new_value_is_taken_at_the_second_look(tmp_path: Path) -> None:
    """And the log says so once."""
    file = tmp_path / "number"
    file.write_text("1")
    number = Number(file)
    file.write_text("22")
    with capture_logs() as logs:
        number.look()
        assert number.value == 1
        number.look()
        number.look()
    assert number.value == 22
    assert logs == [{"event": "read again", "what": "number", "log_level": "info"}]


@pytest.mark.parametrize("broken", ["nonsense", None])
def test_what_cannot_be_used_leaves_the_old_at_work(tmp_path: Path, broken: str | None) -> None:
    """With one line in the log, and the next good file is taken."""
    file = tmp_path / "number"
    file.write_text("1")
    number = Number(file)
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    with capture_logs() as logs:
        for _ in range(5):
            number.look()
    assert number.value == 1
    assert [log["event"] for log in logs] == ["the old ones stay at work"]
    file.write_text("333")
    number.look()
    number.look()
    assert number.value == 333


def test_a_file_that_cannot_be_used_at_the_start_is_an_error(tmp_path: Path) -> None:
    """There is no old one to stay with."""
    with pytest.raises(ConfigError, match="holds no number"):
        Number(tmp_path / "missing")
