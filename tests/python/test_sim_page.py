"""The page of a simulation's results: self-contained, whole, readable at any size."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim_sample
from trimtab._report import palette, scale, svg
from trimtab.sim._page import write
from trimtab.sim._results import Results

FIXED = settings(derandomize=True, deadline=None)
VOID = {"meta", "input", "br"}
SHAPES = {
    "usual": {},
    "one load": {"loads": (0.8,), "policies": 3, "servers": 12},
    "own rate": {"loads": (None,), "policies": 2, "servers": 3, "seeds": 1},
    "one policy": {"policies": 1, "loads": (0.5, 0.9), "events": 0},
    "all policies": {"policies": 17, "loads": (0.8, 0.9, 1.1), "servers": 200, "events": 20},
}


class Checker(HTMLParser):
    """Notes what is wrong with a page, and what it would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.fetched, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data") and value:
                self.fetched.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def drawings(page):
    return [ElementTree.fromstring(one) for one in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_is_whole_and_fetches_nothing(shape):
    document = sim_sample.results(**SHAPES[shape])
    page = write(document)
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.wrong == [] and checker.open == []
    assert all(one.startswith("data:image/png;base64,") for one in checker.fetched)
    assert checker.fetched, "heat maps"
    assert len(set(checker.ids)) == len(checker.ids)
    for fetching in ("<link", "@import", "url(", "http://", "https://", "fetch(", "<iframe"):
        assert fetching not in page
    charts = drawings(page)
    assert len(charts) >= 4 + 3 * len(document["policies"])
    for one in charts:
        assert one.get("aria-hidden") or one.get("aria-label"), "named for screen readers"
    for policy in document["policies"]:
        assert f">{policy}<" in page
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)


def test_nine_policies_on_a_hundred_servers_stay_under_a_megabyte():
    assert len(write(sim_sample.results()).encode()) < 1_000_000


def test_names_cannot_break_out_of_the_page():
    evil = "</script><script>alert(1)</script><b a='\"&"
    document = sim_sample.results(policies=2, loads=(0.5, 0.8), servers=3)
    document["scenario"] |= {"name": evil, "description": evil, "toml": evil}
    document["events"][0]["text"] = evil
    content = json.dumps(document).replace('"prequal"', json.dumps(evil))
    for one in json.loads(content)["endpoints"]:
        one["ids"] = [evil] * 3
        one["groups"] = [evil] * 3
    page = write(json.loads(content))
    assert "<script>alert" not in page
    assert "<b a=" not in page
    numbers = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert json.loads(numbers[0])["policies"][1]["name"] == evil


def test_a_run_in_which_nothing_was_answered_is_drawn():
    document = sim_sample.results(policies=2, loads=(0.5, 0.9), servers=3, seeds=1)
    for run in document["summary"]:
        for key, found in run["metrics"].items():
            if key.endswith("_ms"):
                found |= {"mean": None, "low": None, "high": None}
    for line in document["timelines"]:
        for key in ("p50_ms", "p99_ms"):
            line[key] = [None] * len(line["start_s"])
    for one in document["endpoints"]:
        one["in_flight"] = [[0.0] * len(row) for row in one["in_flight"]]
    page = write(document)
    assert len(drawings(page)) > 4
    text = str(Results(json.dumps(document)))
    assert " - " in text


def test_what_differs_is_said_and_marked_by_its_direction():
    document = sim_sample.results(policies=3, loads=(0.8,))
    better, unsure = document["summary"][1:]
    better["metrics"]["p99_ms"] = {"mean": 100.0, "low": 95.0, "high": 105.0}
    better["against"]["p99_ms"] = {"ratio": 0.6, "low": 0.55, "high": 0.65}
    better["against"]["goodput"] = {"ratio": 0.99, "low": 0.98, "high": 0.995}
    unsure["against"]["p99_ms"] = {"ratio": 1.01, "low": 0.99, "high": 1.03}
    page = write(document)
    assert "Load 0.8: lowest p99 100 ms with prequal, 0.60 times peak_ewma (95 % interval" in page
    rows = re.findall(r'<tr class="s\d">.*?</tr>', page)
    assert '0.6 times peak_ewma, 95 % interval 0.55 to 0.65">100' in rows[1]
    assert "better" in rows[1] and "worse" in rows[1]
    cells = [re.findall(r"<td.*?</td>", row) for row in rows]
    assert "better" in cells[1][4] and "better" not in cells[2][4], "p99"
    assert "worse" in cells[1][7], "a lower goodput is worse"
    text = str(Results(json.dumps(document))).splitlines()
    assert "100 ±5 ↓" in text[3]
    assert "↑" not in text[2], "the first is compared with nobody"


def test_the_oracle_is_a_bound_and_no_winner():
    document = sim_sample.results(policies=3, loads=(0.8,), servers=2)
    page = write(json.loads(json.dumps(document).replace('"peak_ewma"', '"oracle"')))
    assert re.search(r"lowest p99 [\d,]+ ms with prequal.* The all-knowing oracle: \d", page)


def test_first_bytes_and_caches_show_where_servers_are_language_models():
    document = sim_sample.results(policies=2, loads=(0.8,), servers=2)
    plain = write(document)
    assert "first byte p99" not in plain and "cache hits" not in plain
    assert "50%" in plain, "how busy, as a share"
    for run in document["runs"]:
        run["cache_hit"] = 0.4
    document["endpoints"][0]["utilization"] = [3.0, 18.0]
    llm = write(document)
    assert "first byte p99 ms" in llm and "cache hits %" in llm
    assert "99th percentile of time to first byte" in llm
    assert "requests it served at once" in llm and "50%" not in llm


def test_what_shows_is_chosen_without_a_script():
    page = write(sim_sample.results(policies=2, loads=(0.5, 0.8, 1.2), servers=3))
    style = page[page.index("<style>") : page.index("</style>")]
    assert "body:has(#policy-1:not(:checked)) .s1:not(label) { display: none }" in style
    assert "body:has(#load-2:checked) .load:not(.load-2) { display: none }" in style
    assert re.search(r'id="load-1" checked', page), "the highest that the fleet can carry"


@FIXED
@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20))
def test_a_logarithmic_scale_holds_its_values_between_ticks_in_order(values):
    axis = scale.logarithmic(values, 100, 0)
    assert axis.low < min(values) and max(values) < axis.high
    assert 1 <= len(axis.ticks) <= 8 and list(axis.ticks) == sorted(set(axis.ticks))
    assert all(0 <= axis(tick) <= 100 for tick in axis.ticks)
    ordered = sorted(values)
    assert [axis(v) for v in ordered] == sorted((axis(v) for v in values), reverse=True)


@FIXED
@given(st.lists(st.floats(0, 1e6), max_size=20), st.integers(1, 10))
def test_a_linear_scale_ends_at_round_numbers(values, ticks):
    axis = scale.linear(values, 0, 100, ticks=ticks)
    assert axis.low == 0 and axis.high >= max(values, default=0)
    assert len(axis.ticks) <= ticks + 2


@FIXED
@given(st.lists(st.floats(0, 300), min_size=1, max_size=15))
def test_labels_keep_apart_in_their_order(wanted):
    places = svg.spread(wanted, 13, 0, 300)
    ordered = sorted(places)
    assert all(b - a >= 13 - 1e-6 for a, b in pairwise(ordered))
    assert ordered[0] >= -1e-6 and ordered[-1] <= 300 + 1e-6
    by_wish = sorted(range(len(wanted)), key=wanted.__getitem__)
    assert [places[n] for n in by_wish] == ordered


def test_a_heat_map_is_the_image_of_its_numbers():
    image = pytest.importorskip("PIL.Image")
    import base64
    import io

    document = sim_sample.results(policies=1, loads=(0.5,), servers=3, windows=4, events=0)
    rows = [[0, 0, 0, 0], [0, 10, 0, 0], [0, 0, 0, 20]]
    document["endpoints"][0]["in_flight"] = rows
    page = write(document)
    uris = re.findall(r"base64,([^\"]+)", page)
    decoded = image.open(io.BytesIO(base64.b64decode(uris[-1]))).convert("RGB")
    assert decoded.size == (4, 3)
    assert decoded.getpixel((0, 0)) == palette.sequence(0)
    assert decoded.getpixel((3, 2)) == palette.sequence(1)
    assert decoded.getpixel((1, 1)) not in (palette.sequence(0), palette.sequence(1))
