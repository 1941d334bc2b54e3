"""Attempts: what a job leaves of itself while it runs, and after it was killed."""

import json
import time

import pytest

from maskwise.errors import InputError
from maskwise.lab.records.attempts import Attempt, read_attempts, total_cost
from maskwise.lab.records.recorder import Recorder, exit_code_of, message_of


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_attempt_has_a_start_renewals_and_its_end_last(tmp_path):
    attempt = Attempt(own_process=True, renew_seconds=0.02)
    attempt.begin(tmp_path / "attempts")
    give_up_at = time.monotonic() + 20
    path = tmp_path / "attempts/1.jsonl"
    while len(lines_of(path)) < 3 and time.monotonic() < give_up_at:
        time.sleep(0.02)
    attempt.end(2, "no such file")
    start, *alive, end = lines_of(path)
    assert start["event"] == "start" and start["host"] and start["pid"]
    assert alive and all(line["event"] == "alive" and line["peak_memory"] > 0 for line in alive)
    assert (end["event"], end["status"], end["exit_code"], end["message"]) == ("end", "failed", 2, "no such file")


def test_attempts_are_counted_and_their_cost_is_summed_and_maximised(tmp_path):
    for number, (seconds, peak) in enumerate(((3.0, 700), (4.5, 500)), 1):
        end = {"event": "end", "seconds": seconds, "peak_memory": peak, "status": "done", "exit_code": 0, "message": ""}
        (tmp_path / f"{number}.jsonl").write_text(json.dumps(end) + "\n")
    cost = total_cost(read_attempts(tmp_path))
    assert (cost.attempts, cost.seconds, cost.peak_memory) == (2, 7.5, 700)
    attempt = Attempt()
    attempt.begin(tmp_path)
    assert (tmp_path / "3.jsonl").exists()
    attempt.end(0)


def test_an_attempt_without_an_end_line_was_killed_and_a_cut_line_is_passed_over(tmp_path):
    (tmp_path / "1.jsonl").write_text('{"event": "start", "host": "n1"}\n{"event": "alive", "seconds": 30.0}\n{"eve')
    (one,) = read_attempts(tmp_path)
    assert (one.status, one.seconds, one.host) == (None, 30.0, "n1")


def test_the_peak_memory_of_a_process_that_runs_other_things_too_is_not_known(tmp_path):
    recorder = Recorder()
    with recorder.attempt_in(tmp_path / "attempts"):
        assert recorder.cost().peak_memory is None
    assert read_attempts(tmp_path / "attempts")[0].status == "done"


def test_an_error_ends_the_attempt_with_what_it_says(tmp_path):
    with pytest.raises(InputError), Recorder().attempt_in(tmp_path):
        raise InputError("no such file\nin any place")
    (one,) = read_attempts(tmp_path)
    assert (one.status, one.exit_code, one.message) == ("failed", 2, "no such file in any place")


def test_an_attempt_that_is_open_stays_that_of_the_whole_job(tmp_path):
    attempt = Attempt()
    attempt.begin(tmp_path)
    with Recorder(attempt=attempt).attempt_in(tmp_path / "elsewhere"):
        pass
    assert attempt.is_open and not (tmp_path / "elsewhere").exists()
    attempt.end(0)


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("x"), 2), (KeyboardInterrupt(), 130), (SystemExit(143), 143), (SystemExit(None), 0), (KeyError(1), 1)],
)
def test_exit_codes_are_those_of_the_command_line(error, code):
    assert exit_code_of(error) == code
    assert isinstance(message_of(error), str)
