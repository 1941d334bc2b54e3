"""What the command line makes of errors that nobody foresaw."""

from pathlib import Path

from maskwise.lab.study import integrity


def test_an_unexpected_error_is_two_lines_and_a_file_with_the_traceback(exit_code, capsys, monkeypatch, tmp_path):
    def fail(folders):
        raise ZeroDivisionError("a fault\nof two lines")

    monkeypatch.setattr(integrity, "verify", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert exit_code(["verify", tmp_path]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "Error: ZeroDivisionError: a fault"
    (file,) = tmp_path.glob("maskwise-*.txt")
    assert str(file) in second
    assert "Traceback" in Path(file).read_text(encoding="utf-8")
