"""The ten-line drop-in of the readme, run as a user would: accumulation, bf16, and two processes."""

from __future__ import annotations

import json
import os
import pydoc_data.topics
import socket
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "trainer_dropin.py"


def test_it_trains_on_two_processes_with_accumulation_and_bf16(tiny_model, tiny_tokenizer, tmp_path):
    """A readme whose example fails costs more trust than no example."""
    tiny_model.save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    text = tmp_path / "text.txt"
    words = (word for topic in sorted(pydoc_data.topics.topics)[:8] for word in pydoc_data.topics.topics[topic].split())
    letters = [word for word in words if word.isalpha()]
    text.write_text("\n".join(" ".join(letters[i : i + 8]) for i in range(0, 2400, 8)), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = [str(tmp_path / "model"), str(text), str(tmp_path / "out"), "3", "--cpu"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    result = subprocess.run(
        [*launcher, str(SCRIPT), *arguments], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("'loss'") == 3
    state = json.loads((tmp_path / "out" / "checkpoint-3" / "trainer_state.json").read_text())
    assert all(float(line["loss"]) < 10 for line in state["log_history"] if "loss" in line)
    assert (tmp_path / "out" / "model.safetensors").exists()
