import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from pipeline.report.page import shown
from pipeline.report.write import write_report
from store_schema.store import Store
from train.run_folder import RunFolder

LOADING_ATTRIBUTES = {"src", "srcset", "href", "data", "poster", "background", "action"}


class Page(HTMLParser):
    """Everything that a page would load, every tag, the numbers of its table, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: set[str] = set()
        self.numbers: list[float] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.loaded += [value for name, value in attributes if name in LOADING_ATTRIBUTES]
        if tag == "data":
            self.numbers.append(float(dict(attributes)["value"]))

    def handle_data(self, data):
        self.text += f" {data}"


@pytest.fixture(scope="module")
def html(written):
    return written.html.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def text(page):
    return " ".join(page.text.split())


def test_everything_it_loads_lies_in_the_page_itself(page, html):
    assert len(page.loaded) > 50
    within = tuple(f"data:image/{kind};base64," for kind in ("png", "svg+xml", "webp"))
    assert [address for address in page.loaded if not address.startswith(within)] == []
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base"}
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_what_a_source_wrote_is_shown_as_text(html, text):
    assert "<script>alert" not in html
    assert "<script>alert('$x_1$')</script> & \"grasp\" 積み木 https://example.org/x.js" in text


def test_the_table_holds_the_numbers_of_evaluation_json(page, trained):
    measured = json.loads(RunFolder(trained.run).evaluation.read_bytes())
    expected = list(measured["l1"])
    for name in ("copy_last_frame", "zero_action", "shuffled_action"):
        errors = measured["baselines"][name]
        expected += errors
        expected += [own / error for own, error in zip(measured["l1"], errors, strict=True)]
    assert page.numbers == expected


def test_says_what_was_stored_and_what_was_rejected(text, trained):
    store = Store.open(trained.store)
    assert "episodes 4" in text
    assert f"bytes per frame {store.frame_bytes}" in text
    assert "rejects too_short: 3" in text
    assert f"fingerprint {store.attributes.fingerprint.sha256()}" in text
    assert "clock physical" in text
    assert "encoder drawn" in text


def test_holds_both_recipes_and_the_attribution(text):
    assert "rollout steps 2" in text
    assert "warmup steps 1" in text
    assert "validation share 0.2" in text
    assert "Drawn for the tests." in text


def test_shows_each_window_with_its_frames_and_errors(text, strip):
    for window in strip.windows:
        assert f"frames {window.offset}–{window.offset + 8}" in text
        assert all(f"{error:.3f}" in text for error in window.error.mean(axis=(1, 2)))


def test_the_picture_is_a_sheet_with_colours(written):
    with Image.open(written.picture) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 1200
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500


def test_each_picture_is_a_png_file_under_its_name(written):
    assert list(written.pictures) == ["report.png", "energy.png", "plan.png"]
    assert written.picture == written.pictures["report.png"]
    for name, path in written.pictures.items():
        assert path == written.html.parent / name
        with Image.open(path) as picture:
            assert (picture.format, min(picture.size) > 600) == ("PNG", True)


def test_the_same_run_gives_the_same_bytes(written, own_run):
    again = write_report(own_run.run, own_run.store, device="cpu")
    assert again.html.read_bytes() == written.html.read_bytes()
    for name, path in again.pictures.items():
        assert path.read_bytes() == written.pictures[name].read_bytes()


def test_says_how_far_minima_and_plans_are_off(text, look):
    for landscape in look.landscapes:
        for plane in landscape.planes:
            assert f"lowest {100 * plane.minimum_off_metres:.1f} cm from the recorded action" in text
            assert f"{100 * plane.share_below:.0f} % of the plane lower" in text
    for plan in look.plans:
        assert f"The plan ends {100 * plan.path.off_metres:.1f} cm from where" in text
        assert f"doing nothing, {100 * plan.path.moved_metres:.1f} cm" in text
        assert f"after doing nothing {plan.path.idle_energy:.3f}" in text


def test_counts_whose_nearest_frame_is_the_one_that_came(text, look):
    counts = look.neighbours.count()
    assert f"Of {counts['all']} predictions {counts['came']} are nearest to the very frame that came" in text
    for window in look.neighbours.windows:
        for row in window.rows.values():
            assert all(f"L1 {n.distance:.3f}" in text for n in row if n.distance is not None)


def test_names_no_local_path(html, trained):
    assert str(trained.run.parent) not in html


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "none"),
        (True, "yes"),
        (94_500, "94,500"),
        (0.000425, "0.000425"),
        (0.0, "0"),
        ({}, "none"),
        ({"too_short": 3}, "too_short: 3"),
        (["left", "wrist"], "left, wrist"),
        ("physical", "physical"),
    ],
)
def test_values_are_written_for_people(value, expected):
    assert shown(value) == expected
