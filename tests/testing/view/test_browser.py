"""The page in a real browser: no errors, and what failed is on the screen."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from hydra_sync.testing.plan.scenario import Failure, Outcome
from hydra_sync.testing.view import write_html
from tests.testing.view.runs import HOSTILE, failing_run, long_run, outcome_of, rows_of

FAILURE_RED = (0xC4, 0x0D, 0x2E)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
    *("--virtual-time-budget=2000", "--window-size=1200,800"),
)


class Browser:
    """Opens a picture, looks at the page that came of it, and takes a screenshot."""

    def __init__(self, program: str, directory: Path) -> None:
        self.program = program
        self.directory = directory

    def run(
        self, outcome: Outcome, *options: str, place: str = "", script: str = ""
    ) -> subprocess.CompletedProcess[str]:
        page = self.directory / "run.html"
        write_html(outcome, page)
        if script:
            page.write_text(page.read_text("utf-8").replace("</body>", f"<script>{script}</script></body>"), "utf-8")
        profile = f"--user-data-dir={self.directory / 'profile'}"
        # No proxy that answers: whatever it tries to load fails, and shows in its log.
        command = [self.program, *QUIET, profile, "--proxy-server=127.0.0.1:9", *options, f"{page.as_uri()}{place}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "CONSOLE" not in done.stderr, done.stderr
        return done

    def page(self, outcome: Outcome, place: str = "", script: str = "") -> str:
        return self.run(outcome, "--dump-dom", place=place, script=script).stdout

    def picture(self, outcome: Outcome, place: str = "") -> Picture:
        file = self.directory / "run.png"
        self.run(outcome, f"--screenshot={file}", place=place)
        return Picture(file.read_bytes())


class Picture:
    """A PNG as chromium writes it: 8 bits a channel, not interlaced."""

    def __init__(self, data: bytes) -> None:
        at, packed = 8, b""
        while at < len(data):
            (size,) = struct.unpack_from(">I", data, at)
            kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
            if kind == b"IHDR":
                self.width, self.height, depth, color = struct.unpack_from(">IIBB", body)
                assert depth == 8
                self.channels = {2: 3, 6: 4}[color]
            packed += body if kind == b"IDAT" else b""
            at += size + 12
        self.lines = self._unfilter(zlib.decompress(packed))

    def _unfilter(self, raw: bytes) -> list[bytes]:
        step, stride, lines = self.channels, self.width * self.channels, []
        above = bytes(stride)
        for y in range(self.height):
            kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
            if kind == 2:
                line = bytearray((here + up) & 255 for here, up in zip(line, above, strict=True))
            elif kind:
                corners = bytes(step) + above
                for x in range(stride):
                    left, up = line[x - step] if x >= step else 0, above[x]
                    guess = (0, left, up, (left + up) // 2)[kind] if kind < 4 else _nearest(left, up, corners[x])
                    line[x] = (line[x] + guess) & 255
            above = bytes(line)
            lines.append(above)
        return lines

    def count(self, color: tuple[int, int, int], lines: slice) -> int:
        """The pixels of exactly this colour."""
        wanted, step = bytes(color), self.channels
        return sum(line[x : x + 3] == wanted for line in self.lines[lines] for x in range(0, len(line), step))


def _nearest(left: int, up: int, corner: int) -> int:
    """Paeth's guess."""
    of_left, of_up, of_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if of_left <= of_up and of_left <= of_corner:
        return left
    return up if of_up <= of_corner else corner


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium here to look at the picture with: apt-get install chromium")
    return Browser(program, tmp_path)


def status(page: str) -> str:
    found = re.search(r'<output id="status">(.*?)</output>', page)
    assert found
    return found[1]


def test_it_opens_without_an_error_and_shows_the_failure(browser: Browser) -> None:
    """The panel tells of the row that failed, and the state of all hosts and logs then."""
    page = browser.page(failing_run())
    assert re.fullmatch(r"\d+ of \d+ rows drawn", status(page))
    panel = page[page.index("<aside>") : page.index("</aside>")]
    assert "where it failed" in panel
    assert "S1: bob acknowledged alice's events up to seq 22" in panel
    for host in ("scenario", "alice", "bob", "carol", "dave"):
        assert f">{host} <small>" in panel


def test_the_failure_is_marked_in_the_picture(browser: Browser) -> None:
    """In its colour, below the header: a line across all lanes, and its words on a bar."""
    picture = browser.picture(failing_run())
    assert (picture.width, picture.height) == (1200, 800)
    assert picture.count(FAILURE_RED, slice(220, 800)) > 1500


def test_a_selected_row_is_shown_with_its_past_and_future(browser: Browser) -> None:
    """The place of a row is part of the address, to be passed on."""
    page = browser.page(failing_run(), "#row=300")
    assert "selected row" in page
    counts = re.search(r"(\d+) before</span>.*?(\d+) after</span>, (\d+) unrelated", page)
    assert counts
    assert sum(map(int, counts.groups())) == len(failing_run().rows) - 1


PLAY = """
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const point = (kind, clientX, clientY) => $("diagram").dispatchEvent(new MouseEvent(kind, { clientX, clientY }));
for (const key of [..."fjkJKceftt+-0wwwwWWWWddan", "Escape", "j"]) press(key);
find("sync");
press("n"); press("N");
const box = $("diagram").getBoundingClientRect();
for (let y = 30; y < 500; y += 9) {
  point("mousemove", box.x + 130, box.y + y);
  point("click", box.x + 130, box.y + y);
}
document.querySelectorAll(".chips button").forEach((_, at) => document.querySelectorAll(".chips button")[at].click());
showAll("kinds", run.kinds);
$("hosts").querySelectorAll("button")[2].click();
look({ offsetX: 300 });
select(rows[100]);
"""


def test_every_key_and_button_works(browser: Browser) -> None:
    """None of them makes an error, and filters filter."""
    page = browser.page(failing_run(), script=PLAY)
    assert "selected row" in page
    assert page.count('aria-pressed="false"') > 1
    assert status(page).startswith("128 found")


def test_twenty_thousand_rows_open_in_no_time(browser: Browser) -> None:
    """A window of them is drawn, and twenty lanes fit by scrolling."""
    assert status(browser.page(long_run(20_000))) == "401 of 20,000 rows drawn"


def test_hostile_rows_are_text(browser: Browser) -> None:
    """In the panel and on the buttons as well."""
    rows = rows_of((0, HOSTILE, HOSTILE, -1, (HOSTILE, 1)), (1, "a", "cut", -1, (HOSTILE,)))
    page = browser.page(outcome_of(rows, Failure(HOSTILE, HOSTILE, 1, HOSTILE), scenario=HOSTILE))
    assert "<img" not in page
    assert status(page) == "2 of 2 rows drawn"


def test_an_unrecorded_run_says_so(browser: Browser) -> None:
    """Instead of an empty diagram."""
    assert "not recorded" in status(browser.page(outcome_of([])))


def test_what_a_crash_took_from_a_disk_is_said(browser: Browser) -> None:
    """Writes, and names of files and directories."""
    rows = rows_of((1, "n0", "disk", -1, ("lost", 1, 0, 2, 3, 0, "f1")))
    page = browser.page(outcome_of(rows), script="document.title = labelOf(rows[0]);")
    assert "<title>disk: 1 lost, 2 torn, 3 names lost</title>" in page
