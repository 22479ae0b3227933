"""The timeline page in a real browser: what is drawn, what is read, what is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from browser import Browser, chromium, skip_without_chromium
from forecast_helpers import calendar, daily, horizon, project, window

from planner.forecast.preview import preview
from planner.model import Holidays, Horizon, NamespaceCalendar, Window
from planner.render.preview_html import preview_html

skip_without_chromium()

pytestmark = pytest.mark.integration

SPAN = horizon("2027-03-01", "2027-04-05")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of the page."""
    with chromium(tmp_path_factory.mktemp("browser")) as found:
        yield found


def many(count: int) -> list[NamespaceCalendar]:
    """Return *count* windows in a few namespaces, of every length and density."""
    kinds = [("2027-03-01 02:15", 35, 1), ("2027-03-01 09:00", 35, 8), ("2027-03-05 18:00", 1, 12)]
    spread: dict[str, list[Window]] = {}
    for number in range(count):
        start, times, hours = kinds[number % 3]
        name = f"service-{number % 5}-prod.a1b2c"
        long = "-with-a-name-that-is-rather-long-for-its-column" if number % 7 == 3 else ""
        each = daily(
            f"window-{number}{long}",
            start,
            times,
            hours,
            namespace=name,
            timezone="America/New_York",
            roll="previous" if number % 4 == 0 else "none",
            holidays=Holidays(regions=("US",)),
            combine="add" if number % 6 == 5 else "max",
            description='<b>not bold</b> & "quoted"',
        )
        spread.setdefault(name, []).append(each)
    return [
        calendar(*windows, namespace=name, timezone="America/New_York")
        for name, windows in spread.items()
    ]


def page(tmp_path: Path, *calendars: NamespaceCalendar, span: Horizon = SPAN) -> Path:
    """Write the page of *calendars*, and return where it is."""
    shown = preview(project(*calendars), span, span)
    target = tmp_path / "page.html"
    target.write_text(preview_html(shown, span.start), encoding="utf-8")
    return target


OVERLAPS = """
const boxes = (row) => [...row.querySelectorAll('button')].map((b) => b.getBoundingClientRect());
let found = 0;
for (const row of document.querySelectorAll('[data-row]')) {
  const line = boxes(row).sort((a, b) => a.left - b.left);
  for (let i = 1; i < line.length; i++) if (line[i].left < line[i - 1].right - 0.6) found++;
}
for (const axis of document.querySelectorAll('.axis')) {
  const line = [...axis.querySelectorAll('span')].map((s) => s.getBoundingClientRect());
  for (let i = 1; i < line.length; i++) if (line[i].left < line[i - 1].right) found++;
}
return found;
"""

CUT = """
let cut = [];
for (const row of document.querySelectorAll('[data-row]')) {
  const own = row.getBoundingClientRect();
  for (const b of row.querySelectorAll('button')) {
    const r = b.getBoundingClientRect();
    if (r.left < own.left - 1 || r.right > own.right + 1 || r.width < 2) cut.push(b.outerHTML);
  }
}
for (const label of document.querySelectorAll('.label, .corner, h1, h2, td, th, li, p')) {
  if (label.scrollWidth > label.clientWidth + 1) cut.push(label.outerHTML);
}
for (const table of document.querySelectorAll('.fit')) {
  if (table.closest('details')) continue;
  if (table.scrollWidth > table.clientWidth + 1) cut.push('cut: ' + table.innerText);
}
const doc = document.documentElement;
if (doc.scrollWidth > doc.clientWidth + 1) cut.push('the page itself scrolls sideways');
return cut.slice(0, 3);
"""


LEGIBLE = """
const faint = [];
const rgb = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
const light = (c) => rgb(c).map((v) => { v /= 255;
  return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; })
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (e) => { for (; e; e = e.parentElement) {
  const c = getComputedStyle(e).backgroundColor;
  if (!c.endsWith(', 0)') && c !== 'transparent') return c; } };
const seen = 'h1, h2, h3, p, li, th, td, summary, .label b, .label span, .corner, .axis span,'
  + '.mark';
for (const e of document.querySelectorAll(seen)) {
  const [x, y] = [light(getComputedStyle(e).color), light(ground(e))].sort((p, q) => q - p);
  if ((x + 0.05) / (y + 0.05) < 4.5) faint.push(e.outerHTML);
  if (parseFloat(getComputedStyle(e).fontSize) < 12) faint.push('small: ' + e.outerHTML);
}
return faint.slice(0, 3);
"""


@pytest.mark.parametrize("count", [1, 12, 200])
@pytest.mark.parametrize("width", [1600, 390], ids=["wide", "narrow"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overlaps_is_cut_or_faint(
    browser: Browser, tmp_path: Path, count: int, width: int, dark: bool
) -> None:
    """Bars, labels and axes keep clear of each other and stay inside; all text stands out."""
    browser.resize(width, 900)
    browser.dark(dark)
    browser.open(page(tmp_path, *many(count)))
    assert browser.run("return innerWidth") == width
    assert browser.run("return document.querySelectorAll('.bar').length") > 0
    assert browser.run(OVERLAPS) == 0
    assert browser.run(CUT) == []
    assert browser.run(LEGIBLE) == []


def test_bars_are_alike_however_long_a_name_is(browser: Browser, tmp_path: Path) -> None:
    """A row grows with a name of several lines; its bars don't, for height isn't capacity."""
    browser.resize(390, 900)
    browser.open(page(tmp_path, *many(12)))
    heights = "return [...document.querySelectorAll('{}')].map((e) => Math.round(e.offsetHeight))"
    assert len(set(browser.run(heights.format(".bar")))) == 1
    assert len(set(browser.run(heights.format(".track:not(.level)")))) > 1


def test_the_overview_leads_to_each_namespace(browser: Browser, tmp_path: Path) -> None:
    """With several namespaces a table on top names each with its bill, and leads to its chart."""
    browser.resize(1200, 900)
    browser.open(page(tmp_path, *many(12)))
    links = "return [...document.querySelectorAll('.overview a')].map((a) => [a.textContent, "
    links += "document.querySelector(a.getAttribute('href')).textContent])"
    found = browser.run(links)
    assert len(found) == 5
    assert all(name == heading for name, heading in found)
    browser.open(page(tmp_path, *many(1)))
    assert browser.run("return document.querySelectorAll('.overview').length") == 0


def test_now_and_weekends_are_where_they_are(browser: Browser, tmp_path: Path) -> None:
    """The line of now is at the horizon's start; a Saturday and Sunday are shaded as two days."""
    browser.resize(1600, 900)
    browser.open(page(tmp_path, *many(1)))
    places = "const u = document.querySelector('.under').getBoundingClientRect();"
    places += "return [...document.querySelectorAll(arguments[0])].map((e) => { "
    places += "const r = e.getBoundingClientRect(); return [(r.left - u.left) / u.width, "
    places += "r.width / u.width]; })"
    ((now, _),) = browser.run(places, ".under i.now")
    assert now == pytest.approx(0, abs=0.002)
    # The horizon begins at midnight UTC: five hours of New York's Sunday are before Monday.
    sunday, *shaded = browser.run(places, ".under i.weekend")
    assert sunday == pytest.approx([0, 5 / 24 / 35], abs=0.002)
    saturday = (5 + 5 / 24) / 35
    assert shaded[0] == pytest.approx([saturday, 1 / 35], abs=0.002)
    assert shaded[1] == pytest.approx([saturday + 1 / 35, 1 / 35], abs=0.002)


@pytest.mark.parametrize("count", [3, 60])
def test_a_long_chart_has_its_days_at_the_foot_too(
    browser: Browser, tmp_path: Path, count: int
) -> None:
    """Who reads the last of many rows needn't scroll back for the dates."""
    rows = [daily(f"w{n}", "2027-03-02 09:00", 5, 2) for n in range(count)]
    browser.open(page(tmp_path, calendar(*rows)))
    feet = browser.run("return document.querySelectorAll('.corner.foot').length")
    assert feet == (1 if count == 60 else 0)


@pytest.mark.parametrize("days", [1, 3, 14, 90, 366])
def test_axes_of_any_length_keep_their_labels_apart(
    browser: Browser, tmp_path: Path, days: int
) -> None:
    """A day, a fortnight or a year: the labels never run into each other."""
    span = Horizon(SPAN.start, SPAN.start + timedelta(days=days))
    browser.open(page(tmp_path, *many(6), span=span))
    browser.resize(1200, 900)
    assert browser.run("return document.querySelectorAll('.axis span').length") > 0
    assert browser.run(OVERLAPS) == 0
    assert browser.run(CUT) == []


def shown_tip(browser: Browser) -> str:
    """Return what the tooltip says; empty while it is hidden."""
    text: str = browser.run(
        "const t = document.getElementById('tip'); return t.hidden ? '' : t.textContent"
    )
    return text


def test_hovering_reads_the_reason(browser: Browser, tmp_path: Path) -> None:
    """Over a bar, and over the step line, stands why it is there; it stays in the window."""
    payroll = window(
        "payroll",
        ("2027-03-15 05:00", "2027-03-15 09:00"),
        tru=8,
        timezone="America/New_York",
        lead=timedelta(minutes=10),
        description="<b>Pay</b> everybody",
    )
    browser.open(page(tmp_path, calendar(payroll, timezone="America/New_York")))
    browser.resize(1200, 900)
    browser.hover(".bar")
    assert shown_tip(browser).split("\n") == [
        "payroll: 8 TRU",
        "Mon 15 Mar 2027, 05:00–09:00 EDT",
        "requested 10m ahead: Mon 15 Mar 2027 04:50 EDT (08:50Z)",
        "<b>Pay</b> everybody",
    ]
    browser.hover(".step")
    assert "payroll needs 8 TRU" in shown_tip(browser)
    inside = "const r = document.getElementById('tip').getBoundingClientRect();"
    inside += "return r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight"
    assert browser.run(inside) is True
    browser.hover("h1")
    assert shown_tip(browser) == ""


DRAWN = """
const chart = document.querySelector('.chart').getBoundingClientRect();
const track = document.querySelector('.track').getBoundingClientRect();
const line = document.querySelector(arguments[0]).getBoundingClientRect();
return line.left >= track.left && line.right <= track.right ? line.height / chart.height : 0;
"""


def test_a_holiday_and_a_clock_change_are_marked(browser: Browser, tmp_path: Path) -> None:
    """Signs above the rows name the day, what happens on it, and by whose holidays."""
    rolled = daily(
        "rolled",
        "2027-02-15 05:00",
        1,
        2,
        timezone="America/New_York",
        roll="next",
        holidays=Holidays(regions=("US",)),
    )
    span = horizon("2027-02-10", "2027-03-17")
    browser.open(page(tmp_path, calendar(rolled, timezone="America/New_York"), span=span))
    for sign in ("clock", "holiday"):
        assert browser.run(DRAWN, f".under i.{sign}") > 0.8
    browser.hover(".mark.holiday")
    assert "Mon 15 Feb 2027: Washington's Birthday (US)" in shown_tip(browser)
    assert browser.run("return document.querySelector('.sources').textContent;") == "US"
    browser.hover(".mark.clock")
    assert "the clock goes forward 02:00 → 03:00 in America/New_York" in shown_tip(browser)


STOPS = """
return [...document.querySelectorAll('[data-row]')]
  .map((row) => row.querySelectorAll('button[tabindex="0"]').length);
"""


def test_the_keyboard_reaches_everything(browser: Browser, tmp_path: Path) -> None:
    """A row is one tab stop; arrows move along and between rows; Escape hides the reason."""
    browser.open(
        page(
            tmp_path,
            calendar(daily("a", "2027-03-02 09:00", 5, 2), daily("b", "2027-03-02 12:00", 5, 2)),
        )
    )
    focused = "return document.activeElement.getAttribute('aria-label')"
    browser.run("document.querySelectorAll('.bar')[0].focus()")
    assert "Tue 02 Mar 2027, 09:00" in browser.run(focused)
    browser.press("right")
    assert "Wed 03 Mar 2027, 09:00" in browser.run(focused)
    assert shown_tip(browser) == browser.run(focused)
    browser.press("down")
    assert "Wed 03 Mar 2027, 12:00" in browser.run(focused)
    browser.press("end")
    assert "Sat 06 Mar 2027, 12:00" in browser.run(focused)
    browser.press("escape")
    assert shown_tip(browser) == ""
    assert set(browser.run(STOPS)) == {1}


def test_every_bar_has_a_name_for_a_screen_reader(browser: Browser, tmp_path: Path) -> None:
    """What can be focused has words; tables have heads; the document has one first heading."""
    browser.open(page(tmp_path, *many(12)))
    assert browser.run("return document.querySelectorAll('button:not([aria-label])').length") == 0
    assert browser.run("return document.querySelectorAll('h1').length") == 1
    assert browser.run("return document.documentElement.lang") == "en"
    assert browser.run(
        "return [...document.querySelectorAll('table')].every((t) => t.querySelector('th'))"
    )


CONTRAST = """
const rgb = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
const light = (c) => rgb(c).map((v) => { v /= 255;
  return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; })
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05); };
const paper = getComputedStyle(document.body).backgroundColor;
return [ratio(getComputedStyle(document.body).color, paper),
  ratio(getComputedStyle(document.querySelector('.soft')).color, paper),
  ratio(getComputedStyle(document.querySelector('.bar')).backgroundColor, paper)];
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_suffices_in_light_and_dark(browser: Browser, tmp_path: Path, dark: bool) -> None:
    """Text stands out by 4.5 to 1 at least and bars by 3 to 1, as WCAG asks."""
    browser.dark(dark)
    browser.open(page(tmp_path, *many(3)))
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(21, 23, 27)" if dark else "rgb(251, 251, 249)")
    text, soft, bar = browser.run(CONTRAST)
    assert min(text, soft) >= 4.5
    assert bar >= 3


def test_no_request_and_no_error(browser: Browser, tmp_path: Path) -> None:
    """The page asks the network for nothing, and its console stays empty."""
    browser.log("performance")
    browser.log("browser")
    browser.open(page(tmp_path, *many(12)))
    browser.hover(".bar")
    messages = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    sent = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in sent if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in sent if url.startswith("file:")]) == 1
    assert browser.log("browser") == []


def test_an_empty_calendar_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    """Without any window there is a page that says so."""
    browser.open(page(tmp_path, calendar()))
    assert "Nothing runs in these days." in browser.run("return document.body.innerText")
    assert browser.run(CUT) == []
