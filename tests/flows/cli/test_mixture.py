"""`sluice mixture` as a user meets it: what it prints, and when it refuses; it writes nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from flows.cli.main import app


def write_runs(path: Path, law: float) -> Path:
    """20 mixtures of two sources at two checkpoints; the score follows the first source by law."""
    rng = np.random.default_rng(5)
    lines = ["mixture,checkpoint,p.code,p.chat,s.humaneval,s.mtbench"]
    for n in range(20):
        share = (0.1, 0.9, round(float(rng.uniform(0.1, 0.9)), 3))[min(n, 2)]
        luck = rng.standard_normal(2)
        for t in range(2):
            scores = 20 + law * share * (t + 1) / 2 + luck
            lines.append(f"m{n},{t},{share},{1 - share:.3f},{scores[0]:.3f},{scores[1]:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def ask(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["mixture", *words])
    assert done.exit_code == code, done.output
    return done


def test_mixtures_are_ranked_and_the_noise_is_told(tmp_path: Path) -> None:
    done = ask(str(write_runs(tmp_path / "runs.csv", law=30)), "--batch", "10", "--top", "3")
    assert "90.0%" in done.stdout  # the most of it that was tried
    assert "R^2 on mixtures that were not fitted: 0.9" in done.stdout
    assert "a predicted mean score is off by" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]


def test_nothing_is_recommended_where_a_mean_predicts_as_well(tmp_path: Path) -> None:
    done = ask(str(write_runs(tmp_path / "runs.csv", law=0)), code=1)
    assert "no mixture is recommended" in done.stdout and "┃" not in done.stdout
    facts = json.loads(ask(str(tmp_path / "runs.csv"), "--json", code=1).stdout)
    assert facts["recommended"] is False and facts["ranked"] == [] and facts["r2_mean"] <= 0


def test_too_few_mixtures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("mixture,checkpoint,p.code,s.mtbench\nm0,0,1,20\n", encoding="utf-8")
    assert "1 mixtures tell nothing" in ask(str(path), code=2).output


def test_json_has_the_proportions_by_name(tmp_path: Path) -> None:
    path = write_runs(tmp_path / "runs.csv", law=30)
    facts = json.loads(ask(str(path), "--batch", "10", "--json").stdout)
    assert facts["mixtures"] == 20 and facts["rows"] == 40 and facts["recommended"]
    assert facts["ranked"][0]["proportions"] == pytest.approx({"code": 0.9, "chat": 0.1})
    assert facts["replicate_noise"] is None
