"""The page in a browser: headless Chromium from a file, by mouse, keyboard and on a narrow screen."""

import json
import os
import re
import shutil
import subprocess
import time

import pytest

from amsbench.benchmark import registry
from amsbench.benchmark.interface.method_card import MethodCard
from amsbench.benchmark.training.checkpoint_choice import load_checkpoint_for
from amsbench.leaderboards.page.build import write_page

from .conftest import HOSTILE, HOSTILE_REASON, HOSTILE_SAMPLER

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
AXE = "axe-core@4.14.1"
"""The checker of accessibility that npm fetches for these tests."""

pytest.importorskip("plotly", reason="plotly is not installed: pip install 'amsbench[page]'")
pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="chromium and chromedriver are not installed: apt-get install chromium chromium-driver",
)

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL without a graphics card
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--window-size=1280,900",
)
PATIENCE = 60.0
"""Longest wait for something to appear, seconds: drawing without a graphics card is slow on a busy machine."""


class HostileMethod:
    """A plug-in whose texts are markup."""

    title = HOSTILE_REASON
    card = MethodCard(reference=HOSTILE, kept=(HOSTILE_REASON,))
    samplers = ()
    trained_as = None
    name = HOSTILE


@pytest.fixture(scope="module")
def index(silica_results, hostile, published, tmp_path_factory):
    """The page of some published results and of a hostile copy of one."""
    model = next(r for r in silica_results if ".npz" in r.files and r.key.steps == 5)
    with pytest.MonkeyPatch.context() as patch:
        plugins = {**registry._LOCAL, "methods": {}}
        patch.setattr(registry, "_LOCAL", plugins)
        registry.register("methods", HOSTILE, HostileMethod, "here")
        # its code is not looked up: what it is called is the point here
        patch.setattr("amsbench.leaderboards.page.provenance.outdated_parts", lambda result: {HOSTILE: ()})
        folder = tmp_path_factory.mktemp("browser") / "page"
        return write_page([*silica_results, hostile(model)], folder, published)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


def show(driver, colours="light", width=1280):
    """Give the opened page the system's colours and a width."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": colours}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)


def in_colours(opened, colours):
    """Give the opened page the system's colours, and wait until it is drawn in them."""
    show(opened, colours)
    wait(lambda: opened.execute_script("return document.documentElement.dataset.theme") == colours)


@pytest.fixture(scope="module")
def opened(driver, index):
    """The page, opened once for all tests: without a graphics card it takes seconds to draw."""
    show(driver)
    driver.get(f"{index.as_uri()}#asio2/shear_modulus")
    wait(lambda: driver.execute_script("return document.documentElement.dataset.ready"))
    return driver


def wait(condition):
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, "nothing appeared in time"
        time.sleep(0.1)
    return value


def all_of(driver, selector):
    return driver.find_elements("css selector", selector)


def texts(driver, selector):
    return [node.text for node in all_of(driver, selector)]


def reset(driver):
    driver.find_element("css selector", "#filters button[type=reset]").click()


def entries(driver):
    return texts(driver, "table.board tbody tr[data-id] th .fold span:last-child")


def choose(driver, selector, text):
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element("css selector", selector)).select_by_visible_text(text)


def test_the_page_appears_without_errors_and_loads_nothing_from_a_network(opened):
    assert not [line for line in opened.get_log("browser") if line["level"] == "SEVERE"]
    assert opened.find_element("id", "problem").is_displayed() is False
    sources = opened.execute_script("return performance.getEntries().map((entry) => entry.name)")
    assert not [name for name in sources if name.startswith(("http:", "https:", "ws:"))]
    assert len(entries(opened)) > 5
    assert texts(opened, "#error-legend span[aria-hidden] ~ *") == []
    assert all_of(opened, "#error-chart svg")
    assert all_of(opened, "#curve-chart svg")
    assert all_of(opened, "#target-chart svg")


def test_columns_sort_by_click_and_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    def heads():
        return all_of(opened, "table.board thead th")

    names = [head.text.split("\n")[0] for head in heads()]
    error = next(k for k, name in enumerate(names) if name.startswith("Error, shear_modulus"))

    def values():
        cells = all_of(opened, f"table.board tbody tr[data-id] td:nth-child({error + 1})")
        return [float(cell.text.replace("●", "").split()[0]) for cell in cells]

    heads()[error].find_element("css selector", "button").click()
    assert heads()[error].get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values())
    assert len(set(values())) > 3
    opened.switch_to.active_element.send_keys(Keys.ENTER)  # the focus stays on the head
    assert heads()[error].get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)
    assert [head.get_attribute("aria-sort") for head in heads()].count(None) == len(names) - 1
    reset(opened)


def test_filters_leave_the_rows_that_pass(opened):
    every = len(entries(opened))
    choose(opened, "#filter-steps", "5")
    steps = texts(opened, "table.board tbody tr[data-id] td:nth-child(3)")
    assert set(steps) == {"5"}
    assert 0 < len(steps) < every
    choose(opened, "#filter-method", "material-sde")
    assert entries(opened)
    assert all(name.startswith("material-sde") for name in entries(opened))
    opened.find_element("id", "filter-text").send_keys("guided 5")
    assert entries(opened) == ["material-sde guided (All)"]
    reset(opened)
    assert len(entries(opened)) == every


def test_a_reader_gets_the_best_at_five_steps_its_cost_and_a_glass(opened):
    choose(opened, "#filter-steps", "5")
    lead = opened.find_element("id", "lead").text
    assert "Best trained model at 5 steps: amshortcut shortcut-restart" in lead
    reason = r"None of the \d+ results whose hits were measured has one, so that there is no time per hit\."
    assert re.search(reason, lead)
    assert "Not distinguishable from it at 5 steps: amshortcut shortcut-guided" in lead
    button = next(node for node in all_of(opened, "#lead button") if "3D" in node.text)
    button.click()
    wait(lambda: opened.switch_to.active_element.get_attribute("id") == "structures")
    assert "shortcut-guided (All), 5 steps" in opened.find_element("id", "structure-caption").text
    reset(opened)


def test_a_row_unfolds_to_its_provenance_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    button = next(n for n in all_of(opened, ".fold") if "shortcut-guided" in n.text)
    assert button.get_attribute("aria-expanded") == "false"
    button.send_keys(Keys.ENTER)
    button = opened.switch_to.active_element
    assert button.get_attribute("aria-expanded") == "true"
    detail = opened.find_element("id", button.get_attribute("aria-controls"))
    assert "amsbench run --method amshortcut --dataset asio2 --protocol standard" in detail.text
    checkpoint = load_checkpoint_for("amshortcut", "asio2").content_hash[:16]
    for name in ("Checkpoint", "Code", "Machine", "Training record", "within tolerance", checkpoint):
        assert name in detail.text
    button.send_keys(Keys.ENTER)
    assert not all_of(opened, "tr.detail")


def test_a_structure_is_drawn_and_turns_by_keys(opened):
    from selenium.webdriver.common.keys import Keys

    scene = opened.find_element("id", "structure-chart")
    wait(lambda: scene.get_attribute("data-drawn"))
    before = pixels(scene)
    assert len(set(before)) > 200  # shaded spheres have many colours, an empty view has one
    scene.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    wait(lambda: differing(before, pixels(scene)) > 0.02)


def pixels(node):
    """Colours of every fourth pixel of an element."""
    from io import BytesIO

    from matplotlib.image import imread

    image = imread(BytesIO(node.screenshot_as_png), format="png")[::4, ::4, :3]
    return list(map(tuple, image.reshape(-1, 3).round(3).tolist()))


def differing(before, after):
    return sum(a != b for a, b in zip(before, after, strict=True)) / len(before)


def test_hostile_names_are_text(opened):
    opened.find_element("id", "filter-text").send_keys("<script>")
    assert [name.split(" ")[0] for name in entries(opened)] == ["<script>alert(1)</script>"]
    assert texts(opened, "table.board tbody tr[data-id] td:nth-child(2)") == [HOSTILE_SAMPLER]
    opened.find_element("css selector", ".fold").click()
    detail = opened.find_element("css selector", "tr.detail").text
    assert "3 not measured (shear_modulus): </script><script>alert(3)</script> & <b>bold</b>" in detail
    assert "--method '<script>alert(1)</script>'" in detail
    assert any(HOSTILE in text for text in texts(opened, "#methods summary"))
    assert any(HOSTILE in text for text in texts(opened, "#error-legend span"))
    assert not all_of(opened, "img")
    assert not all_of(opened, "main script, footer script, header script")
    assert not opened.execute_script("return [...document.querySelectorAll('b')].length")
    reset(opened)
    assert not [line for line in opened.get_log("browser") if line["level"] == "SEVERE"]


def test_nothing_is_wider_than_a_telephone(opened):
    show(opened, width=375)
    wait(lambda: opened.execute_script("return document.documentElement.scrollWidth") == 375)
    assert opened.find_element("css selector", ".fold").is_displayed()
    show(opened)


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The script of axe-core; skips where npm cannot fetch it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, which fetches axe-core")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "pack", AXE, "--silent", "--ignore-scripts"]
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, timeout=30, env={**os.environ, "CI": "1"}
        )
    except (subprocess.SubprocessError, OSError):
        pytest.skip(f"npm cannot fetch {AXE} here")
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder, filter="data")
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


RUN_AXE = """
const done = arguments[arguments.length - 1];
const described = (item) => [item.impact, item.id, item.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))];
axe.run(document, { resultTypes: ["violations"] }).then((result) => done(result.violations.map(described)));
"""


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_page_is_accessible(opened, axe, colours):
    in_colours(opened, colours)
    for selector in (".fold[aria-expanded=false]", "#methods details:not([open]) summary"):
        opened.find_element("css selector", selector).click()
    opened.execute_script(axe)
    opened.set_script_timeout(PATIENCE)
    violations = opened.execute_async_script(RUN_AXE)
    assert not violations, json.dumps(violations, indent=1)


def test_colours_are_those_of_the_system_until_the_reader_chooses(opened):
    def ground():
        return opened.execute_script("return getComputedStyle(document.body).backgroundColor")

    in_colours(opened, "dark")
    dark = ground()
    opened.find_element("id", "theme").click()
    light = ground()
    assert (dark, light) == ("rgb(18, 22, 27)", "rgb(255, 255, 255)")
    opened.refresh()
    assert ground() == light
    opened.find_element("id", "theme").click()
    assert ground() == dark


def test_curves_that_a_result_does_not_hold_are_named_and_the_others_drawn(
    driver, published_results, published, tmp_path
):
    """S(q) is computed from structures; RDF and ADF are stored with every new result."""
    chosen = [
        result
        for result in published_results
        if result.structural and result.structural.means and result.key.sampler == "shortcut"
    ]
    assert {".npz" in result.files for result in chosen} == {True, False}
    show(driver)
    driver.get_log("browser")  # of the tests before
    driver.get(f"{write_page(chosen, tmp_path / 'page', published).as_uri()}#asi/structure")
    wait(lambda: driver.execute_script("return document.documentElement.dataset.ready"))
    wait(lambda: all_of(driver, "#curve-chart svg"))
    for box in all_of(driver, "#curve-body fieldset input:not(:checked)"):
        box.click()
    head = next(text for text in texts(driver, "#curve-name option") if text.startswith("S(q)"))
    choose(driver, "#curve-name", head)
    wait(lambda: "Not stored for" in driver.find_element("id", "curve-caption").text)
    assert all_of(driver, "#curve-chart .scatterlayer .trace")
    assert not [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]
