"""The ten-line drop-in of the readme, run as a user would: accumulation, bf16, and two processes."""

from __future__ import annotations

import json
import pydoc_data.topics
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "trainer_dropin.py"


def test_it_trains_on_two_processes_with_accumulation_and_bf16(
    tiny_model, tiny_tokenizer, two_processes, environment, tmp_path
):
    """A readme whose example fails costs more trust than no example."""
    tiny_model.save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    text = tmp_path / "text.txt"
    words = (word for topic in sorted(pydoc_data.topics.topics)[:8] for word in pydoc_data.topics.topics[topic].split())
    letters = [word for word in words if word.isalpha()]
    text.write_text("\n".join(" ".join(letters[i : i + 8]) for i in range(0, 2400, 8)), encoding="utf-8")
    arguments = [str(tmp_path / "model"), str(text), str(tmp_path / "out"), "3", "--cpu"]
    command = [*two_processes(), str(SCRIPT), *arguments]
    own_cache = environment | {"HF_HOME": str(tmp_path / "cache")}
    result = subprocess.run(command, capture_output=True, text=True, env=own_cache, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("'loss'") == 3
    state = json.loads((tmp_path / "out" / "checkpoint-3" / "trainer_state.json").read_text())
    assert all(float(line["loss"]) < 10 for line in state["log_history"] if "loss" in line)
    assert (tmp_path / "out" / "model.safetensors").exists()
