"""Which files a folder or a glob stands for, on trees with links, loops, hidden files and what cannot be read."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from maskwise.errors import InputError
from maskwise.lab.text.find_files import Search
from maskwise.lab.text.sources import find_sources


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the text of {name}", encoding="utf-8")


def link(root, name, target):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(target)


def found(root, *names):
    """The names below `root` of the files behind sources, by default those of the folder itself."""
    sources = find_sources([str(root / name) for name in names] or [str(root)])
    return [str(Path(source.name).relative_to(root)) for source in sources]


def test_links_to_folders_and_files_are_followed(tmp_path):
    make(tmp_path, "elsewhere/b.txt", "texts/a.txt", "one.txt")
    link(tmp_path, "texts/linked", tmp_path / "elsewhere")
    link(tmp_path, "texts/single.txt", tmp_path / "one.txt")
    texts = tmp_path / "texts"
    assert found(texts) == found(texts, "**/*.txt") == ["a.txt", "linked/b.txt", "single.txt"]
    assert found(texts, "*/*.txt") == ["linked/b.txt"]


@pytest.mark.parametrize("name", [".", "**/*.txt", "**", "*"])
def test_what_several_links_lead_to_is_taken_once_and_by_its_own_path(name, tmp_path):
    make(tmp_path, "real/a.txt", "real/deep/b.txt")
    link(tmp_path, "aaa", tmp_path / "real")
    link(tmp_path, "real/deep/up", tmp_path)
    link(tmp_path, "real/0.txt", tmp_path / "real" / "a.txt")
    search = Search(lambda path: path.suffix == ".txt")
    files = search.in_folder(tmp_path) if name == "." else search.by_glob(str(tmp_path / name))
    assert [str(path.relative_to(tmp_path)) for path in files] == ["real/a.txt", "real/deep/b.txt"]
    assert "aaa" in {path.name for path in search.passed_over.repeated}


def test_two_links_to_their_own_folder_do_not_double_the_search_at_every_level(tmp_path):
    """A plain recursive glob visits 2^40 folders here."""
    make(tmp_path, "a.txt")
    for name in ("self", "again"):
        link(tmp_path, name, tmp_path)
    assert found(tmp_path) == found(tmp_path, "**/*.txt") == ["a.txt"]


def test_links_that_lead_to_each_other_across_folders_end(tmp_path):
    make(tmp_path, "x/a.txt", "y/b.txt")
    link(tmp_path, "x/to-y", tmp_path / "y")
    link(tmp_path, "y/to-x", tmp_path / "x")
    assert found(tmp_path) == ["x/a.txt", "y/b.txt"]
    assert found(tmp_path, "x") == ["x/a.txt", "x/to-y/b.txt"]


def test_hidden_files_and_folders_are_passed_over_and_counted(tmp_path):
    make(
        tmp_path,
        "book.txt",
        "._book.txt",
        ".ipynb_checkpoints/book-checkpoint.txt",
        "part/.cache/old.txt",
        "part/two.txt",
    )
    sources = find_sources([str(tmp_path)])
    assert found(tmp_path) == found(tmp_path, "**/*.txt") == ["book.txt", "part/two.txt"]
    assert sources.passed_over.counts() == {"hidden": 3, "other_kinds": 0, "repeated": 0}
    assert str(sources.passed_over) == "3 hidden files or folders"


@pytest.mark.parametrize("name", [".named.txt", ".named*", ".kept", ".kept/*.txt", ".k*/*.txt"])
def test_what_is_hidden_and_named_is_read(name, tmp_path):
    make(tmp_path, ".named.txt", ".kept/a.txt", "b.txt")
    assert len(found(tmp_path, name)) == 1


def test_files_of_other_kinds_are_counted_in_a_folder_and_refused_where_they_are_named(tmp_path):
    make(tmp_path, "a.TXT", "b.jsonl", "README.md", "sub/table.csv", "sub/LICENSE")
    sources = find_sources([str(tmp_path)])
    assert [Path(source.name).name for source in sources] == ["a.TXT", "b.jsonl"]
    assert str(sources.passed_over) == "3 files of other kinds (.csv, .md, LICENSE)"
    for name in ("*", "README.md", "**/*.csv"):
        with pytest.raises(InputError, match="unknown extension"):
            found(tmp_path, name)


def test_a_glob_that_matches_a_folder_reads_all_of_it(tmp_path):
    make(tmp_path, "tree/a.txt", "tree/sub/b.txt", "tree/sub/deep/c.txt")
    assert found(tmp_path / "tree", "*") == ["a.txt", "sub/b.txt", "sub/deep/c.txt"]
    assert found(tmp_path / "tree", "s*") == ["sub/b.txt", "sub/deep/c.txt"]
    assert found(tmp_path, "tr[e]e/**/[bc].txt") == ["tree/sub/b.txt", "tree/sub/deep/c.txt"]
    assert found(tmp_path, "tree/*/../a.txt") == ["tree/sub/../a.txt"]


@pytest.mark.parametrize("name", ["gone.txt", "*.txt", "."])
def test_a_link_to_nothing_is_refused_by_its_name(name, tmp_path):
    make(tmp_path, "a.txt")
    link(tmp_path, "gone.txt", tmp_path / "nowhere.txt")
    with pytest.raises(InputError, match=r"gone\.txt is a link to .*nowhere\.txt, which cannot be reached"):
        find_sources([str(tmp_path / "a.txt"), str(tmp_path / name)])


@pytest.mark.parametrize("name", ["round.txt", "*.txt", "."])
def test_links_that_lead_to_each_other_are_links_to_nothing(name, tmp_path):
    make(tmp_path, "a.txt")
    link(tmp_path, "round.txt", "back.txt")
    link(tmp_path, "back.txt", "round.txt")
    with pytest.raises(InputError, match=r"is a link to (back|round)\.txt, which cannot be reached"):
        find_sources([str(tmp_path / name)])


def test_a_broken_link_of_another_kind_is_passed_over(tmp_path):
    make(tmp_path, "a.txt")
    link(tmp_path, "latest", tmp_path / "nowhere")
    assert found(tmp_path) == ["a.txt"]


def test_a_pipe_is_no_text_file(tmp_path):
    make(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "b.txt")
    with pytest.raises(InputError, match=r"b\.txt is neither a file nor a folder"):
        found(tmp_path)


@contextmanager
def unreadable(monkeypatch, refused):
    """A folder that may not be read; root may read all, so the refusal is put in place of the system's."""
    scandir = os.scandir

    def guarded(path):
        if Path(path) == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", guarded)
        yield


@pytest.mark.parametrize("name", [".", "**/*.txt", "*", "*/*.txt"])
def test_a_folder_that_may_not_be_read_is_refused_by_its_name(name, tmp_path, monkeypatch):
    make(tmp_path, "a.txt", "shut/b.txt")
    with unreadable(monkeypatch, tmp_path / "shut"), pytest.raises(InputError, match=r"cannot read the folder .*shut"):
        find_sources([str(tmp_path / name)])


@pytest.mark.parametrize("name", ["x" * 300 + ".txt", "a\0b.txt"])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(InputError, match=r"cannot read|no such source"):
        find_sources([name])


def test_what_was_passed_over_is_said_where_nothing_is_left(tmp_path):
    make(tmp_path, ".a.txt", "b.csv")
    with pytest.raises(InputError, match="Passed over: 1 hidden files or folders, 1 files of other kinds"):
        found(tmp_path)
    with pytest.raises(InputError, match=r"no such source.*\nPassed over: 1 hidden"):
        found(tmp_path, "*.txt")
