"""The soak in its short form."""

import subprocess
import sys
from pathlib import Path


def test_sixty_answers_in_mixed_states_are_right_and_nothing_grows() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--answers", "60"]
    folder = Path(__file__).parents[1]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "60 answers" in ran.stdout
    assert "BROKEN" not in ran.stdout
