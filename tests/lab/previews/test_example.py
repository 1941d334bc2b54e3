import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO, TextIOWrapper

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from maskwise.errors import InputError
from maskwise.lab.previews.example import STRATEGIES, Piece, Preview, Window, pieces_of, preview, read_text
from maskwise.lab.previews.page import page, write_page
from maskwise.lab.previews.terminal import terminal_view
from maskwise.masking.budgets import token_budget
from maskwise.masking.entropy import logit_statistics
from maskwise.masking.masker import Masker
from maskwise.masking.pick import pick
from maskwise.masking.score import uniform
from maskwise.masking.units import token_units
from maskwise.scores.model import Entropy

TEXT = "The girl, playing by the old sea, was unfriendly & <b>quick</b>.\n\nNo zebra walked."
RATES = (0.01, 0.05, 0.15, 0.25, 0.333, 0.5, 0.8, 0.95)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def checkpoint(tmp_path, tiny_model, tiny_tokenizer):
    """A folder with the tiny model, its weights enlarged so that entropies differ, and its tokenizer."""
    with torch.no_grad():
        tiny_model.get_input_embeddings().weight.mul_(20)
    folder = tmp_path / "model"
    tiny_model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return str(folder)


def as_batch(window, tokenizer):
    ids = [piece.token_id for piece in window.pieces]
    return {"input_ids": torch.tensor([[tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]])}


def picked(mask_N):
    return mask_N.nonzero().flatten().tolist()


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_the_picks_are_those_that_the_masker_makes(checkpoint, tiny_model, tiny_tokenizer, rate):
    (window,) = preview(TEXT, checkpoint, rate=rate).windows
    batch = as_batch(window, tiny_tokenizer)
    for strategy in STRATEGIES:
        score = uniform if strategy == "random" else Entropy(tiny_model, compiled=False)
        pick = "sample" if strategy == "random" else strategy
        masked_1T = Masker(score, tiny_tokenizer, pick=pick, rate=rate)(batch)["input_ids"] == 4
        assert masked_1T.any()
        assert torch.equal(window.picks[strategy], masked_1T[0, 1:-1]), strategy
    assert len({tuple(picked(mask_N)) for mask_N in window.picks.values()}) == len(STRATEGIES)


def test_entropy_and_surprisal_are_those_of_the_dense_logits(checkpoint, tiny_model, tiny_tokenizer):
    (window,) = preview(TEXT, checkpoint).windows
    batch = as_batch(window, tiny_tokenizer)
    with torch.no_grad():
        logits_RV = tiny_model.eval()(**batch).logits[0, 1:-1]
    dense = logit_statistics(logits_RV, batch["input_ids"][0, 1:-1])
    torch.testing.assert_close(window.entropy_N, dense.entropy_R, atol=1e-5, rtol=0)
    torch.testing.assert_close(window.surprisal_N, dense.surprisal_R, atol=1e-4, rtol=0)
    assert window.entropy_N.std() > 0.01


def test_folds_score_tokens_that_the_model_does_not_see(checkpoint):
    whole, folded = preview(TEXT, checkpoint), preview(TEXT, checkpoint, folds=3)
    assert not torch.allclose(whole.windows[0].entropy_N, folded.windows[0].entropy_N, atol=1e-3)
    assert "in 3 folds" in page(folded)


def test_a_long_text_is_cut_into_windows_and_nothing_is_lost(checkpoint, tiny_tokenizer):
    """A model's positions end at its window: what lies behind it would fail, or be dropped without a word."""
    text = "  " + "The girl  walked\tunfriendly. " * 20 + " \n"
    long = preview(text, checkpoint)
    sizes = [len(window.pieces) for window in long.windows]
    assert len(sizes) > 2
    assert max(sizes) == tiny_tokenizer.model_max_length - 2
    assert "".join(piece.before + piece.text for window in long.windows for piece in window.pieces) + long.after == text
    for window in long.windows:
        assert int(window.picks["high"].sum()) == max(1, int(0.15 * len(window.pieces) + 0.5))
    assert shown_text(page(long)) == text
    assert page(long).count("<section") == len(sizes)


def test_a_window_may_be_shorter_than_the_models(checkpoint):
    assert [len(window.pieces) for window in preview("the sea " * 5, checkpoint, window=6).windows] == [4, 4, 2]


@pytest.mark.parametrize(
    "text", ["Über-naïve   CAFÉ\t“the”\u3000日本\u200b sea…  ", "[MASK] the [SEP]", "\x1b[31mred\x07"]
)
def test_the_pieces_put_together_are_the_source_text(tiny_tokenizer, text):
    pieces, after = pieces_of(text, tiny_tokenizer)
    assert "".join(piece.before + piece.text for piece in pieces) + after == text
    assert 4 not in [piece.token_id for piece in pieces]


def test_byte_level_tokens_carry_no_space_and_know_their_words():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", "<mask>", *alphabet, "he", "Ġs", "Ġse"])}
    backend = Tokenizer(models.BPE(vocabulary, [("h", "e"), ("Ġ", "s"), ("Ġs", "e")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", mask_token="<mask>"
    )
    pieces, after = pieces_of("the sea é\n", tokenizer)
    shown = [(piece.before, piece.text, piece.continues) for piece in pieces]
    assert shown[:4] == [("", "t", False), ("", "he", True), (" ", "se", False), ("", "a", True)]
    assert "".join(before + text for before, text, _ in shown) + after == "the sea é\n"


class Shown(HTMLParser):
    """What a browser would show: the text of the paragraphs, their tokens, and every tag on the page."""

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.addresses, self._inside = [], "", [], False

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        self._inside = self._inside or (tag == "p" and ("class", "text") in attributes)

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "p"

    def handle_data(self, data):
        self.text += data if self._inside else ""


def parsed(html):
    shown = Shown()
    shown.feed(html)
    return shown


def shown_text(html):
    return parsed(html).text


def page_data(html):
    return re.search(r'id="data">(.*?)</script>', html)[1]


def test_the_page_escapes_the_text_wherever_it_stands(checkpoint):
    text = "the </script><script>alert(1)</script> <b onclick='x'> \" & &lt; $data"
    html = page(preview(text, checkpoint))
    shown = parsed(html)
    assert shown.text == text
    assert "b" not in shown.tags
    assert shown.tags.count("script") == 2
    data = json.loads(page_data(html))
    assert "[UNK]" in data["windows"][0]["name"]
    assert "<" not in page_data(html)


def test_the_page_needs_nothing_from_elsewhere(checkpoint):
    html = page(preview(TEXT, checkpoint))
    assert parsed(html).addresses == ["data:,"]
    assert "http" not in html.replace(checkpoint, "")
    assert "url(" not in html
    assert "@import" not in html


def test_the_numbers_on_the_page_give_the_same_float32_back(checkpoint):
    shown = preview(TEXT, checkpoint)
    (scores,) = json.loads(page_data(page(shown)))["windows"]
    assert torch.equal(torch.tensor(scores["entropy"]), shown.windows[0].entropy_N)
    assert torch.equal(torch.tensor(scores["noise"]) / 2**24, shown.windows[0].noise_N)


RECORDER = """<pre id="record"></pre><script>
(async () => {
  const record = [];
  for (const hash of %s) {
    const changed = new Promise((done) => addEventListener("hashchange", done, { once: true }));
    location.hash = hash;
    await changed;
    const masked = [...document.querySelectorAll(".window")].map((section) =>
      [...section.querySelectorAll(".token")].flatMap((span, i) => span.classList.contains("masked") ? [i] : []));
    const bars = document.querySelectorAll(".curve .masked").length;
    record.push([hash, masked, document.querySelector("input:checked").value, bars]);
  }
  document.getElementById("record").textContent = JSON.stringify(record);
})();
</script>"""


def in_browser(html, tmp_path, hash_=""):
    """Returns the DOM after the page's scripts have run; whatever reaches the console is a failure."""
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --enable-logging=stderr --virtual-time-budget=10000 --dump-dom"
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", f"{path.as_uri()}{hash_}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not console
    return done.stdout


def tied_preview():
    """Two windows of made-up scores: many ties, one of them with equal noise, tokens never masked, an odd count."""
    generator = torch.Generator().manual_seed(5)
    return Preview("ties", 0.15, None, tuple(_tied_window(size, generator) for size in (41, 3)), "")


def _tied_window(size, generator):
    pieces = tuple(Piece(9, " ", f"w{i}", False, f"w{i}") for i in range(size))
    may_mask_N = torch.rand(size, generator=generator) > (0.2 if size > 3 else 0)
    entropy_N = torch.randint(0, 5, (size,), generator=generator) / 3
    noise_N = torch.randint(0, 12, (size,), generator=generator) / 16
    return Window(pieces, may_mask_N, entropy_N, torch.ones(size), noise_N, {})


def reference_picks(window, strategy, rate):
    """The library's own pick over the window's scores and noise."""
    units = token_units(window.may_mask_N[None])
    scores_1T = torch.ones_like(window.entropy_N) if strategy == "random" else window.entropy_N
    budget_1 = token_budget(window.may_mask_N.sum()[None], rate)
    name = "sample" if strategy == "random" else strategy
    return picked(pick(scores_1T[None], units, budget_1, window.noise_N[None], name)[0])


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to run the page in")
@pytest.mark.parametrize("make", ["real", "ties"])
def test_the_pages_script_picks_what_the_library_picks(make, checkpoint, tmp_path):
    shown = preview(TEXT + " the sea" * 40, checkpoint) if make == "real" else tied_preview()
    hashes = [f"#strategy={strategy}&rate={rate}" for strategy in STRATEGIES for rate in RATES]
    html = page(shown).replace("</body>", RECORDER % json.dumps(hashes) + "</body>")
    found = json.loads(re.search(r'<pre id="record">(.*?)</pre>', in_browser(html, tmp_path))[1].replace("&amp;", "&"))
    assert [hash_ for hash_, *_ in found] == hashes
    assert len({json.dumps(masked) for _, masked, *_ in found}) > len(RATES)
    for hash_, masked, checked, num_bars in found:
        strategy, rate = re.fullmatch(r"#strategy=(\w+)&rate=([\d.]+)", hash_).groups()
        assert masked == [reference_picks(window, strategy, float(rate)) for window in shown.windows], hash_
        assert checked == strategy
        assert num_bars == sum(map(len, masked))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to run the page in")
def test_the_page_opens_on_the_rate_it_was_made_for_and_ignores_a_bad_address(checkpoint, tmp_path):
    shown = preview(TEXT, checkpoint, rate=0.325)
    dom = in_browser(page(shown), tmp_path, "#strategy=best&rate=7")
    assert len(re.findall(r'class="token[^"]* masked"', dom)) == len(picked(shown.windows[0].picks["high"]))
    assert ">32.5%<" in dom


def printed(text, width=80):
    console = Console(file=TextIOWrapper(BytesIO()), width=width, highlight=False)
    with console.capture() as capture:
        console.print(text)
    return capture.get()


def systems(plain):
    """The groups of lines that belong together, without the heading: tokens, nats, one line a strategy."""
    groups = [group.splitlines() for group in re.split(r"\n\n+", plain.strip("\n"))[1:]]
    return [group for group in groups if len(group) == 2 + len(STRATEGIES)]


def test_plain_output_has_no_escapes_and_says_all(checkpoint):
    shown = preview(TEXT, checkpoint)
    plain = printed(terminal_view(shown, 80, coloured=False))
    assert "\x1b" not in plain
    (window,) = shown.windows
    rows = [re.split(r"\s+", line.strip()) for group in systems(plain) for line in group[1:2]]
    values = [float(value) for row in rows for value in row[1:]]
    assert values == [round(value, 1) for value in window.entropy_N.tolist()]
    assert all("high" in group[2] for group in systems(plain))


def test_the_marks_stand_under_the_tokens_that_are_masked(checkpoint):
    shown = preview("the girl was playing by the old sea in the garden", checkpoint, rate=0.3)
    groups = systems(printed(terminal_view(shown, 60, coloured=False), 60))
    (window,) = shown.windows
    for i, strategy in enumerate(STRATEGIES):
        marked = []
        for group in groups:
            starts = [match.start() for match in re.finditer(r"\S+", group[0])]
            line = group[2 + i].ljust(60)
            assert line.startswith(strategy)
            marked += [line[start] == "#" for start in starts]
        assert marked == window.picks[strategy].tolist(), strategy
        assert any(marked)


@pytest.mark.parametrize("width", [30, 47, 80, 120])
def test_the_view_wraps_at_the_terminals_width(checkpoint, width):
    plain = printed(
        terminal_view(preview(TEXT + " 日本語日本語 " + "q" * 200, checkpoint), width, coloured=False), width
    )
    assert max(map(cell_len, plain.splitlines())) <= width
    assert len(systems(plain)) >= 2


def test_a_terminal_gets_colour_and_never_the_texts_own_escapes(checkpoint):
    shown = preview("the \x1b[31m girl \x9b31m sea", checkpoint)
    plain = printed(terminal_view(shown, 80, coloured=False))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", plain)
    console = Console(file=TextIOWrapper(BytesIO()), force_terminal=True, color_system="truecolor", width=80)
    with console.capture() as capture:
        console.print(terminal_view(shown, 80, coloured=True))
    assert "\x1b[38;2;20;28;36;48;2;" in capture.get()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_no_text_breaks_the_pieces(tiny_tokenizer, text):
    pieces, after = pieces_of(text, tiny_tokenizer)
    assert "".join(piece.before + piece.text for piece in pieces) + after == text


def test_stdin_is_read_as_utf8(monkeypatch):
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO("the sea é".encode())))
    assert read_text("-") == "the sea é"
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"the \xff")))
    with pytest.raises(InputError, match="byte 4 is 0xff"):
        read_text("-")
    assert read_text("a - b") == "a - b"
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO("\ufeffthe sea".encode("utf-16-le"))))
    with pytest.raises(InputError, match="The text on stdin is not UTF-8 but UTF-16"):
        read_text("-")


def test_a_command_line_that_is_not_utf8_is_refused_like_stdin():
    """Python makes half surrogates of its bytes, which a tokenizer does not take."""
    with pytest.raises(InputError, match="The text on the command line is not UTF-8: byte 3 is 0xe9"):
        read_text(os.fsdecode(b"caf\xe9 and the river"))


def test_half_a_surrogate_pair_is_left_out_of_a_preview(checkpoint):
    shown = preview("the girl \ud83d walked", checkpoint)
    assert "".join(piece.text for window in shown.windows for piece in window.pieces) == "thegirlwalked"


def test_the_command_shows_a_text_and_writes_a_page(run_maskwise, checkpoint, tmp_path):
    shown = run_maskwise(["preview", "the old sea", "--model", checkpoint])
    assert "random" in shown.stdout and "\x1b" not in shown.stdout
    html = tmp_path / "page.html"
    run_maskwise(["preview", "the old sea", "--model", checkpoint, "--html", str(html), "--rate", "0.4"])
    assert shown_text(html.read_text(encoding="utf-8")) == "the old sea"
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["  \n"], "no text"),
        (["\u200b"], "no token that may be masked"),
        (["the sea", "--rate", "1.5"], "between 0 and 1"),
        (["the sea", "--folds", "1"], "at least 2"),
        (["the sea", "--window", "65"], "3 to 64 tokens"),
        (["the sea", "--html", "no-such-folder/page.html"], "no-such-folder"),
    ],
)
def test_a_mistake_is_answered_in_a_few_lines(refused, checkpoint, arguments, says):
    text = refused(["preview", *arguments, "--model", checkpoint])
    assert says in text


def test_a_checkpoint_that_cannot_be_previewed_is_refused(refused, checkpoint, tiny_model, tiny_tokenizer, tmp_path):
    bare = tmp_path / "bare"
    tiny_model.save_pretrained(bare)
    assert "tokenizer" in refused(["preview", "the sea", "--model", str(bare)])
    tiny_tokenizer.save_pretrained(bare)
    settings_file = bare / "tokenizer_config.json"
    kept = {key: value for key, value in json.loads(settings_file.read_text()).items() if key != "mask_token"}
    settings_file.write_text(json.dumps(kept))
    assert "no mask token" in refused(["preview", "the sea", "--model", str(bare)])
    assert "'nowhere'" in refused(["preview", "the sea", "--model", "nowhere"])


def test_a_page_is_written_whole_or_not_at_all(checkpoint, tmp_path):
    shown = preview("the sea", checkpoint)
    with pytest.raises(InputError, match="cannot be written"):
        write_page(shown, tmp_path / "none" / "page.html")
    assert not (tmp_path / "none").exists()
