"""Kill a run anywhere: the same command finishes it, as if it had not been killed.

A sample of what benchmarks/kill_anywhere.py does a hundred times.
"""

from pathlib import Path

import pytest

from benchmarks.kill_anywhere import kill_anywhere, prefect_server

pytestmark = pytest.mark.slow


def test_a_killed_run_is_finished_by_the_same_command_to_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with prefect_server(tmp_path / "home") as environment:
        trials, kills = kill_anywhere(tmp_path, environment, at_writes=7, at_random=2)
    assert len(trials.moments) > 500
    assert {"runs", "scores", "selection_rows", "losses", "trajectories"} <= trials.expected.keys()
    assert any(name.endswith("adapter_model.safetensors") for name in trials.expected)
    assert [kill for kill in kills if kill.differs] == []
