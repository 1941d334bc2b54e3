"""Training gives the losses it gave: what was done for speed changed no result."""

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "same_losses.py"


@pytest.fixture(scope="module")
def script(monkeypatch_module) -> dict:
    monkeypatch_module.syspath_prepend(SCRIPT.parent)
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("way", ["random", "self"])
def test_a_hundred_steps_have_the_recorded_losses(way, script):
    """Faster code that rounds a little otherwise is one thing; code that masks or learns something else is another."""
    recorded = json.loads(script["RECORDED"].read_text(encoding="utf-8"))
    if recorded["environment"] != script["environment"]():
        pytest.skip(f"recorded on {recorded['environment']}, and rounding depends on that")
    before = recorded["losses"][way]
    assert len(before) == script["STEPS"] and before[-1] < before[0] - 0.5
    assert script["largest_difference"](script["losses"](script["maskers"]()[way]), before) < 1e-6
