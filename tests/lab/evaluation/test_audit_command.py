"""`maskwise check`: a collator by its name, rows of a text, and what is written."""

import json
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from maskwise.errors import InputError
from maskwise.evaluation.audit import check
from maskwise.evaluation.auditing.lines import AuditLine
from maskwise.evaluation.auditing.measures import AuditVerdict, Measure
from maskwise.lab.evaluation.audit_page import audit_page, measure_bars, write_audit_page
from maskwise.lab.evaluation.audit_rows import audit_rows
from maskwise.lab.evaluation.named_collator import load_collator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MODULE = """
import torch
from transformers import DataCollatorForLanguageModeling

from maskwise.masking.collator import MaskingCollator
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform


def ours(tokenizer):
    return MaskingCollator(Masker(uniform, tokenizer))


def whole_words(tokenizer):
    return MaskingCollator(Masker(uniform, tokenizer, unit="word"))


class Stock(DataCollatorForLanguageModeling):
    pass


def labels_everything(rows):
    ids = [row["input_ids"] for row in rows]
    width = max(map(len, ids))
    batch = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    attention = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    return {"input_ids": batch, "attention_mask": attention, "labels": batch.clone()}


def broken(tokenizer):
    raise RuntimeError("no such thing")


NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path, request):
    """A file of collators, under a name that no other test imports."""
    path = tmp_path / f"collators_{abs(hash(request.node.name)) % 10**8}.py"
    path.write_text(MODULE, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path, tiny_tokenizer):
    tiny_tokenizer.save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    sentence = "the girl was playing by the old sea and no zebra walked in the green garden of the city"
    path.write_text("\n\n".join(f"{sentence} {'on one day ' * (i % 7)}" for i in range(60)), encoding="utf-8")
    return path


@pytest.fixture
def command(mine, folder, text):
    """Makes the arguments for one of the collators."""

    def make(name, *more):
        fixed = ["check", "--tokenizer", folder, "--data", text, "--seconds", 0, "--workers", 0, "--rows", 40]
        return [*fixed, "--collator", f"{mine}:{name}", *more]

    return make


def test_a_collator_without_a_fault_exits_with_0(command, maskwise):
    printed = maskwise(command("ours", "--columns", "example_id"))
    assert printed.startswith("Audit of MaskingCollator: 0 faults")
    assert "accepted is" in printed


def test_a_fault_exits_with_1_and_is_written_as_json_and_as_a_page(command, exit_code, tmp_path, capsys):
    written = "--json", tmp_path / "audit.json", "--html", tmp_path / "audit.html"
    assert exit_code(command("labels_everything", "--rate", 0.15, *written)) == 1
    assert "fault            Special tokens are left alone" in capsys.readouterr().out
    data = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert {"special_tokens", "padding", "rate"} <= set(data["faults"])
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "labels_everything" in page
    assert all(f'id="{line["name"]}"' in page for line in data["lines"])


def test_a_class_is_made_with_the_tokenizer_and_columns_are_asked_for(command, exit_code, refused, maskwise):
    assert exit_code(command("Stock", "--rate", 0.15)) in (0, 1)
    assert "word_ids" in refused(command("whole_words"))
    assert "0 faults" in maskwise(command("whole_words", "--columns", "word_ids"))


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("nothing", (), "has no 'nothing'"),
        ("NUMBER", (), "is a int, and a collator is called with a list of rows"),
        ("broken", (), "raised RuntimeError: no such thing"),
        ("ours", ("--rate", "15"), "Write 15% as 0.15"),
        ("ours", ("--corruption", "0.8"), "three shares"),
        ("ours", ("--columns", "words"), "No column 'words'"),
        ("ours", ("--html", "no/such/folder/page.html"), "no folder"),
    ],
)
def test_mistakes_are_a_message_and_exit_code_2(command, refused, name, more, message):
    assert message in refused(command(name, *more))


def test_a_function_of_rows_is_the_collator_itself(mine, tiny_tokenizer):
    assert load_collator(f"{mine}:labels_everything", tiny_tokenizer).__name__ == "labels_everything"
    assert type(load_collator(f"{mine}:ours", tiny_tokenizer)).__name__ == "MaskingCollator"


def test_rows_are_windows_with_the_columns_asked_for(text, tiny_tokenizer):
    rows = audit_rows(str(text), tiny_tokenizer, num_rows=30, length=16, columns=("word_ids", "example_id"))
    assert len(rows) == 30
    assert max(len(row["input_ids"]) for row in rows) == 16
    assert [row["example_id"] for row in rows] == list(range(30))
    for row in rows:
        assert row["input_ids"][0] == tiny_tokenizer.cls_token_id
        assert row["word_ids"][0] == row["word_ids"][-1] == -1
        assert len(row["word_ids"]) == len(row["input_ids"]) == len(row["special_tokens_mask"])
    ids = [token for row in rows[:2] for token in row["input_ids"][1:-1]]
    whole = tiny_tokenizer(text.read_text(encoding="utf-8").splitlines()[0])["input_ids"][1:-1]
    assert ids[: len(whole)] == whole[: len(ids)]


def test_a_data_folder_gives_its_blocks_and_asks_for_its_own_tokenizer(tiny_data, tiny_tokenizer):
    from maskwise.lab.tokens.blocks import open_data

    own = open_data(tiny_data).tokenizer
    rows = audit_rows(str(tiny_data), own, num_rows=5, columns=("word_ids",))
    assert [row["input_ids"] for row in rows] == [list(row["input_ids"]) for row in open_data(tiny_data).train][:5]
    assert set(rows[0]) == {"input_ids", "word_ids"}
    with pytest.raises(InputError, match="another tokenizer"):
        audit_rows(str(tiny_data), tiny_tokenizer)
    with pytest.raises(InputError, match="no offset_mapping"):
        audit_rows(str(tiny_data), own, columns=("offset_mapping",))


class Tags(HTMLParser):
    """What is open at the end, and every text."""

    EMPTY = frozenset({"meta", "link", "br", "input"})

    def __init__(self):
        super().__init__()
        self.stack, self.errors, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.EMPTY:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def audit(mine, text, tiny_tokenizer):
    collator = load_collator(f"{mine}:labels_everything", tiny_tokenizer)
    rows = audit_rows(str(text), tiny_tokenizer, num_rows=40)
    return check(collator, rows, tiny_tokenizer, rate=0.15, seconds=0, workers=0)


def test_the_page_is_well_formed_and_escapes_what_it_shows(audit, tmp_path):
    page = audit_page(audit, {"Data": "<b>&amp"})
    parsed = Tags()
    parsed.feed(page)
    assert not parsed.errors and not parsed.stack
    assert "Data: <b>&amp" in "".join(parsed.texts)
    assert "<b>&amp" not in page.replace("&lt;b&gt;&amp;amp", "")
    assert all(line.finding in "".join(parsed.texts) for line in audit.lines)
    with pytest.raises(InputError, match="cannot be written"):
        write_audit_page(audit, tmp_path / "none" / "page.html")


def test_bars_share_a_scale_that_holds_intervals_and_bands():
    band = (0.145, 0.155)
    measures = Measure("a", 0.15, 0.147, 0.153, band), Measure("b", 0.3, 0.2, 0.4, band), Measure("c", 0.1, 0.0, 0.2)
    drawn = measure_bars(AuditLine("rate", "", AuditVerdict.FAULT, "", measures=measures))
    assert [bar.kind for bar in drawn] == ["in", "out", "in"]
    assert all(0 < bar.interval[0] <= bar.dot <= bar.interval[1] < 100 for bar in drawn)
    assert drawn[0].band == drawn[1].band
    scale = (drawn[1].dot - drawn[0].dot) / 0.15
    assert drawn[0].dot - drawn[2].dot == pytest.approx(0.05 * scale, abs=0.02)
    unbounded = measure_bars(
        AuditLine("rate", "", AuditVerdict.NOT_DECIDED, "", measures=(Measure("a", 0.1, -float("inf"), float("inf")),))
    )
    assert 0 <= unbounded[0].interval[0] < unbounded[0].interval[1] <= 100


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_on_the_page_is_wider_than_the_window(audit, tmp_path, width):
    probe = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    path = tmp_path / "page.html"
    path.write_text(audit_page(audit).replace("</body>", f"{probe}</body>"), encoding="utf-8")
    frame = tmp_path / "frame.html"  # a window of headless Chromium is at least 500 wide, a frame is not
    read = "document.title = document.querySelector('iframe').contentDocument.title"
    frame.write_text(
        f'<iframe src="page.html" width="{width}" height="800" onload="{read}"></iframe>', encoding="utf-8"
    )
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=3000",
    ]
    command = [CHROMIUM, *flags, "--window-size=1400,900", "--dump-dom", frame.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found, _, window = dom.partition("<title>")[2].partition("</title>")[0].partition(" of ")
    assert int(window) == width
    assert int(found) <= width
