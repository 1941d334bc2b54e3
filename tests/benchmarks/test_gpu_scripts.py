"""What the benchmark does around a GPU that can be seen without one: other libraries' failures, lines that wait."""

import runpy
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Runs a script of the benchmark, and returns its names."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return lambda name: runpy.run_path(str(BENCHMARKS / name))


def test_a_library_that_fails_is_left_out_with_its_reason(script, capsys):
    """It would have ended the run before the first row."""

    def not_there():
        raise ImportError("No module named 'absent'")

    def changed():
        raise TypeError("forward() takes 5 arguments\nand more text")

    makers = {"absent": not_there, "broken": lambda: changed, "good": lambda: lambda: 1}
    assert list(script("libraries.py")["working"](makers)) == ["good"]
    assert capsys.readouterr().out.splitlines() == [
        "absent is left out: ImportError: No module named 'absent'",
        "broken is left out: TypeError: forward() takes 5 arguments",
    ]


@pytest.fixture
def modes(monkeypatch):
    """The modes that torch was set to."""
    found: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", found.append)
    return found


def sync_stalls():
    torch.nn.functional.linear(torch.zeros(1, 2), torch.zeros(1, 2))
    raise RuntimeError("called a synchronizing CUDA operation")


def test_the_first_line_that_waits_is_named(script, modes, capsys):
    calls = {"waits": 0, "goes on": 0}

    def step(name):
        calls[name] += 1
        if name == "waits" and modes[-1:] == ["error"]:
            sync_stalls()

    syncs = script("syncs.py")
    assert not syncs["report"]({name: lambda name=name: step(name) for name in calls})
    line, quiet = capsys.readouterr().out.splitlines()
    assert "test_gpu_scripts.py" in line and "in sync_stalls: raise RuntimeError" in line
    assert quiet.split(None, 2)[2] == "waits nowhere"
    assert modes == ["error", "default"] * 2
    assert calls == {"waits": syncs["WARM_UPS"] + 1, "goes on": syncs["WARM_UPS"] + syncs["STEPS"]}


def test_the_line_is_the_innermost_one_outside_torch(script):
    with pytest.raises(RuntimeError) as raised:
        torch.nn.Linear(2, 1)(torch.zeros(1, 3))  # raised by torch's own code
    assert "self" not in script("syncs.py")["last_line"](raised.value)
    assert "torch.nn.Linear(2, 1)" in script("syncs.py")["last_line"](raised.value)


def test_other_errors_of_a_step_are_not_taken_for_waiting(script, modes):
    def step():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        script("syncs.py")["first_wait"](step)
    assert modes == ["error", "default"]


@pytest.mark.gpu
def test_a_look_at_a_number_on_the_gpu_is_found(script):
    number = torch.ones(1, device="cuda")
    assert "number.item()" in script("syncs.py")["first_wait"](lambda: number.item())
