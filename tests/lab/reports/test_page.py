"""The page: nothing fetched, nothing broken by what is in it; a browser sorts its tables and shows its pictures."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from made_up_study import make_study
from maskwise.lab.reports.assemble import assemble as report_of
from maskwise.lab.reports.page import report_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "Is </script><script>alert(1)</script> <b onclick='x'> \"safe\" & {{ 7 * 7 }}?"
UNFINISHED = ("high/tiny/4/pretrain", "high/tiny/4/cola", "high/tiny/4/mrpc", "random/tiny/3/cola")


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "study"
    make_study(out)
    return report_page(report_of(out, against="random", published=True))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of an unfinished study with a hostile question and log."""
    out = tmp_path_factory.mktemp("hostile") / "study"
    make_study(out, {"question": HOSTILE}, without=UNFINISHED)
    (out / "runs" / "high" / "tiny" / "4" / "pretrain.log").write_text(f"step 1\n{HOSTILE}\n")
    return report_page(report_of(out, against="random"))


class Seen(HTMLParser):
    """Every tag of a page, every address in it, and its text."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.names, self.text, self.open = [], [], [], "", []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        self.names += [value for name, value in attributes if name == "id"]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def seen(html):
    parser = Seen()
    parser.feed(html)
    assert not parser.open
    return parser


def test_the_page_needs_nothing_from_elsewhere(html):
    addresses = seen(html).addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "http" not in html.replace('http-equiv="Content-Security-Policy"', "")
    assert "default-src 'none'" in html
    assert "url(" not in html.replace("url(#", "") and "@import" not in html


def test_the_names_on_a_page_are_its_own_and_all_there(html):
    """A mark named twice would be drawn with the colour of another picture."""
    parser = seen(html)
    assert len(set(parser.names)) == len(parser.names)
    used = set(re.findall(r"url\(#(\w+)\)", html)) | {name[1:] for name in parser.addresses if name.startswith("#")}
    assert len(used) > 10
    assert used <= set(parser.names)


def test_every_colour_of_a_picture_has_one_in_light_and_one_in_dark(html):
    light, dark = (set(re.findall(r"--(\w+):", rules)) for rules in re.findall(r":root {(.*?)}", html, re.DOTALL)[:2])
    assert light == dark
    pictures = " ".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    used = set(re.findall(r"var\(--(\w+)\)", pictures))
    assert {"a0", "a1", "a2", "q5", "ink"} <= used <= light
    assert not re.search(r"[:\s]#[0-9a-f]{3}", pictures)


def test_whatever_is_in_a_study_is_text(hostile):
    parser = seen(hostile)
    assert parser.tags.count("script") == 1
    assert parser.tags.count("h1") == 1
    assert parser.text.count(HOSTILE) >= 3  # the title, the heading, the log


def test_the_page_says_what_the_report_says(html):
    text = " ".join(seen(html).text.split())
    for words in (
        "high did better than random on cola, tiny", "An exact test cannot reach .05 at 5 seeds: its floor is 0.0625",
        "within which a difference would not matter", "constant classifier", "Beside the published tables",
        "masked in training", "maskwise study study.toml --out study", "settings_hash"[:8], "torch",
    ):  # fmt: skip
        assert words in text, words
    assert "Not finished" not in text


def test_an_unfinished_study_says_so_at_the_top(hostile):
    text = " ".join(seen(hostile).text.split())
    assert "41 of 45 jobs are done" in text
    assert text.index("Not finished") < text.index("What was found")


def test_every_seed_is_on_the_page_as_a_dot(html):
    dots = [title for title in re.findall(r"<title>([^<]*, seed \d: [^<]*)</title>", html)]
    assert len(dots) == 5 * (3 + 3 + 3) + 5 * (
        2 + 2
    )  # scores on two tasks and the evaluation, differences on two tasks


RECORDER = """<pre id="record"></pre><script>
(() => {
  const record = { tables: {}, broken: [] };
  dispatchEvent(new Event("beforeprint"));
  record.printed = [...document.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const table of document.querySelectorAll("table")) {
    record.tables[table.id] = [...table.tHead.rows[0].cells].map((heading, column) => {
      const clicked = () => {
        heading.querySelector("button").click();
        return [heading.ariaSort, [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.key)];
      };
      return [heading.textContent, heading.classList.contains("number"), clicked(), clicked()];
    });
  }
  record.charts = [...document.querySelectorAll("svg.chart")].map((svg) => {
    const box = svg.getBoundingClientRect();
    const shapes = svg.querySelectorAll("path, use").length;
    return [svg.getAttribute("aria-label"), box.width, box.height, shapes];
  });
  record.width = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.getElementById("record").textContent = JSON.stringify(record);
})();
</script>"""


def in_browser(html, tmp_path, width=390):
    """Returns what the page's scripts did; whatever reaches the console is a failure."""
    path = tmp_path / "page.html"
    path.write_text(html.replace("</body>", RECORDER + "</body>"), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --enable-logging=stderr --dump-dom"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *flags.split(), f"--window-size={width},900", profile, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(
        re.search(r'<pre id="record">(.*?)</pre>', done.stdout)[1].replace("&amp;", "&").replace("&lt;", "<")
    )


BROKEN = {
    "a script that throws": ("<script>throw new Error('it broke')</script>", "it broke"),
    "a broken promise": ("<script>Promise.reject(new Error('it broke later'))</script>", "it broke later"),
    "a logged error": ("<script>console.error('it was logged')</script>", "it was logged"),
    "a picture that the page may not fetch": (
        "<meta http-equiv='Content-Security-Policy' content=\"img-src 'none'\"><img src='elsewhere.png'>",
        "Content Security Policy",
    ),
}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to open the page in")
@pytest.mark.parametrize("name", BROKEN)
def test_an_error_on_a_page_reaches_the_console_that_the_tests_read(name, tmp_path):
    """A browser that kept its console to itself would let every page pass."""
    body, said = BROKEN[name]
    with pytest.raises(AssertionError, match=said):
        in_browser(f"<!doctype html><body><p>hello</p>{body}</body>", tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to open the page in")
def test_a_page_without_an_error_leaves_the_console_empty(tmp_path):
    record = in_browser("<!doctype html><body><p>hello</p><script>let fine = 1</script></body>", tmp_path)
    assert record["tables"] == {} and record["charts"] == []


def as_numbers(keys):
    return [float(key) for key in keys if key]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed to open the page in")
def test_in_a_browser_tables_sort_and_pictures_are_there(html, tmp_path):
    record = in_browser(html, tmp_path)
    assert set(record["tables"]) == {
        "verdicts",
        "scores",
        "published",
        "masks",
        "cost",
        "collapsed",
        "versions",
        "values",
    }
    assert record["printed"] == ["The study file", "Versions and machine"]
    moved = 0
    for name, columns in record["tables"].items():
        for heading, is_number, (up, rising), (down, falling) in columns:
            assert (up, down) == ("ascending", "descending")
            assert sorted(rising) == sorted(falling), (name, heading)
            blanks = rising.count("")
            assert rising[len(rising) - blanks :] == falling[len(falling) - blanks :] == [""] * blanks
            moved += rising != falling
            if is_number:
                assert as_numbers(rising) == sorted(as_numbers(rising)), (name, heading)
                assert as_numbers(falling) == sorted(as_numbers(falling), reverse=True), (name, heading)
    assert moved > 30
    assert len(record["charts"]) == 2 + 3 + 2 + 1
    assert all(width > 250 and height > 30 and shapes > 3 for _, width, height, shapes in record["charts"])
    assert record["width"] <= 0  # nothing but tables scrolls sideways on a phone
