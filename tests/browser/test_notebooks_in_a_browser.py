"""JupyterLab as a reader has it: notebooks opened, run and explored in Chromium.

Screenshots stay in build/screenshots.
"""

import inspect
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import nbformat
import numpy as np
import pytest
import requests
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from deeplab_nb import files
from deeplab_nb.processes import Watcher
from deeplab_nb.progress import HEADLESS
from draw import draw_set
from lessons.exercises import RIGHT, UNANSWERED, exercise_of
from tests.support.tiny_checkpoint import SETTINGS, amplified, make_tiny_checkpoint
from tests.support.tiny_training import TINY

pytestmark = pytest.mark.browser

TOKEN = "of-this-test"
SCREENSHOTS = os.path.join(files.ROOT, "build", "screenshots")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,1700"
).split()

# the widget's file field is in no document until it is clicked, and a click would open the
# system's own window
CATCH_FILE_FIELD = """HTMLInputElement.prototype.click = function () {
    this.id = "caught"; this.style.display = "block"; document.body.appendChild(this); }"""
PICTURE = ".widget-html-content img[alt]"
STATE = ".widget-html-content [role=status]"


# a function that each notebook asks for
ASKED = {
    "00_start_here": "classes_in",
    "01_data_preparation": "frame_of",
    "02_model_construction": "receptive_field",
    "03_mixed_precision_training": "poly",
    "04_eight_card_launch": "all_gather",
    "05_multiscale_evaluation": "count",
    "06_visual_overlay": "wrong_map",
    "07_export_and_deploy": "normalised",
    "08_paper_versus_here": "mark",
    "09_your_own_data": "pixels_of",
}
# finds the cell that asks for a function, puts its answer in, and its check at the end
ANSWER = r"""const [name, answer, check] = arguments;
    const cells = Array.from(document.querySelectorAll(".jp-Notebook .jp-CodeCell"));
    for (const cell of cells) {
        const old = cell.querySelector(".CodeMirror"), now = cell.querySelector(".cm-content");
        const view = now && now.cmView.view;
        const text = old ? old.CodeMirror.getValue() : view.state.doc.toString();
        const asked = new RegExp("^def " + name + "\\(.*\\):\\n( +\"{3}.*\\n)? +\\.\\.\\.$", "m");
        if (!asked.test(text)) continue;
        const whole = text.replace(asked, () => answer) + "\n" + check;
        if (old) old.CodeMirror.setValue(whole);
        else view.dispatch({changes: {from: 0, to: text.length, insert: whole}});
        cell.scrollIntoView({block: "center"});
        (old ? old.CodeMirror : view).focus();
        return cell;
    }"""


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory):
    """A folder with all ten, on a few drawn pictures: the answers need not be good here."""
    folder = tmp_path_factory.mktemp("lab")
    weights = amplified(make_tiny_checkpoint(folder), folder)
    data = {"data_root": draw_set(str(folder / "VOC2012"), train=6, val=6)}
    labels = dict(
        SETTINGS, train_steps=0, initial_checkpoint=weights, eval_output_stride=16, **data
    )
    for name in ASKED:
        path, number = os.path.join(files.NOTEBOOKS, name + ".ipynb"), name[:2]
        overrides = dict(TINY, **data) if number == "03" else labels
        notebook = nbformat.read(path, as_version=4)
        (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        cell.source += "\nrun_folder = {!r}\noverrides = {}".format(
            str(folder / ("run-" + number)), overrides
        )
        nbformat.write(notebook, str(folder / os.path.basename(path)))
    return folder


@pytest.fixture(scope="session")
def lab(notebooks, tmp_path_factory):
    """Address of a JupyterLab that only this machine reaches, and only with the token."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    variables = dict(
        os.environ,
        HOME=str(home),
        JUPYTERLAB_SETTINGS_DIR=str(home / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(home / "workspaces"),
    )
    variables.pop(HEADLESS, None)
    with open(str(home / "lab.txt"), "w") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ip=127.0.0.1",
                f"--port={port}",
                "--ServerApp.port_retries=0",
                "--ServerApp.token=" + TOKEN,
                "--ServerApp.password=",
                f"--ServerApp.root_dir={notebooks}",
            ],
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    watcher = Watcher()
    watcher.add(process.pid)
    try:
        address = f"http://127.0.0.1:{port}"
        wait(
            lambda: answers(f"{address}/api/status?token={TOKEN}"),
            "JupyterLab, see {}".format(home / "lab.txt"),
        )
        yield address
    finally:
        process.terminate()  # the server ends its kernels
        process.wait()
        watcher.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    driver = shutil.which("chromedriver")
    if not driver:
        pytest.fail("chromedriver is missing: `make test-browser` installs it or says how")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for argument in ARGUMENTS + ["--user-data-dir={}".format(tmp_path_factory.mktemp("profile"))]:
        options.add_argument(argument)
    with webdriver.Chrome(options=options, service=Service(driver)) as opened:
        yield opened


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(address):
    try:
        return requests.get(address, timeout=30).ok
    except requests.RequestException:
        return False


def wait(condition, what, seconds=120):
    """Until the condition holds; a busy machine may take its time, so the limit is generous."""
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain for " + what
        time.sleep(0.2)


def count(browser, selector):
    return len(browser.find_elements(By.CSS_SELECTOR, selector))


def click(browser, xpath):
    browser.find_element(By.XPATH, xpath).click()


def type_into(browser, selector, keys):
    """Keys into the first element of a CSS selector; into a file field, the path of a file."""
    browser.find_element(By.CSS_SELECTOR, selector).send_keys(keys)


def run_all(browser, lab, name):
    """Opens a notebook, runs its cells from the menu, returns once all ended without an error."""
    browser.get(f"{lab}/lab/workspaces/{name[:2]}/tree/{name}?token={TOKEN}")
    wait(lambda: count(browser, ".jp-NotebookPanel .jp-Notebook .jp-Cell") > 10, "the notebook")
    wait(lambda: count(browser, ".jp-Notebook-ExecutionIndicator[data-status=idle]"), "the kernel")
    wait(lambda: has_begun(browser), "the first cell")
    wait(lambda: waiting_cells(browser) == 0, "the cells of " + name, seconds=1800)
    assert errors(browser) == []


def has_begun(browser):
    """Runs all cells from the menu; whether they run. A page that still loads may ignore it."""
    click(browser, "//*[contains(@class, 'lm-MenuBar-itemLabel') and text()='Run']")
    wait(lambda: count(browser, "[data-command='runmenu:run-all']"), "the menu")
    click(browser, "//*[@data-command='runmenu:run-all']")
    end = time.time() + 15
    while not prompts(browser, "[0-9*]") and time.time() < end:
        time.sleep(0.2)
    return prompts(browser, "[0-9*]") > 0


def prompts(browser, pattern):
    """Code cells whose prompt fits."""
    return browser.execute_script(
        """return Array.from(document.querySelectorAll(".jp-CodeCell .jp-InputPrompt"))
        .filter(prompt => new RegExp(arguments[0]).test(prompt.textContent)).length""",
        pattern,
    )


def waiting_cells(browser):
    """Code cells that have no number yet."""
    return prompts(browser, "^[^0-9]*$")


def errors(browser):
    """What cells show in the colours of an error."""
    return browser.execute_script("""return Array.from(document.querySelectorAll(
        '[data-mime-type="application/vnd.jupyter.error"], ' +
        '[data-mime-type="application/vnd.jupyter.stderr"]')).map(e => e.innerText)""")


def answer(browser, key):
    """Writes the answer of an exercise into its cell and runs that; returns what it prints."""
    function = exercise_of(key).answer
    source = inspect.getsource(function).strip()
    check = f'check("{key}", {function.__name__})'
    cell = browser.execute_script(ANSWER, function.__name__, source, check)
    webdriver.ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(
        Keys.SHIFT
    ).perform()
    wait(lambda: RIGHT + ": " in printed(cell), f"a right answer to {key}", seconds=300)
    return printed(cell)


def printed(cell):
    return "".join(one.text for one in cell.find_elements(By.CSS_SELECTOR, ".jp-OutputArea"))


def screenshot(browser, name):
    os.makedirs(SCREENSHOTS, exist_ok=True)
    path = os.path.join(SCREENSHOTS, name + ".png")
    browser.save_screenshot(path)
    with Image.open(path) as image:
        assert np.asarray(image.convert("L")).std() > 10  # a page without content is of one grey


@pytest.mark.parametrize("name", ASKED)
def test_it_runs_shows_pictures_and_takes_an_answer(name, browser, lab):
    run_all(browser, lab, name + ".ipynb")
    assert count(browser, ".jp-OutputArea-output img") >= 1
    said = browser.execute_script("return document.querySelector('.jp-Notebook').innerText")
    assert UNANSWERED + ": " in said and "right: " not in said
    if name.startswith("03"):
        assert "at step {}".format(TINY["train_steps"]) in said and "refused:" in said
    browser.execute_script(
        "document.querySelector('.jp-OutputArea-output img').scrollIntoView({block: 'center'})"
    )
    screenshot(browser, name)
    answer(browser, f"{name[:2]}/{ASKED[name]}")
    assert errors(browser) == []
    screenshot(browser, name + "_answered")


@pytest.fixture(scope="module")
def explorer(browser, lab):
    """Notebook 06 executed, its explorer in view."""
    run_all(browser, lab, "06_visual_overlay.ipynb")
    wait(lambda: shown(browser) is not None, "the explorer's picture")
    browser.execute_script(
        "document.querySelector('.widget-slider').scrollIntoView({block: 'start'})"
    )
    screenshot(browser, "06_explorer")
    return browser


def shown(browser):
    """The explorer's picture, as the browser has decoded it; None before there is one."""
    return browser.execute_script(
        """const picture = document.querySelector(arguments[0]);
        return picture && picture.naturalWidth > 400 ? picture.src : null""",
        PICTURE,
    )


def said(browser):
    return browser.execute_script("return document.querySelector(arguments[0]).innerText", STATE)


def test_the_slider_changes_the_picture(explorer):
    before, readout = (
        shown(explorer),
        "return document.querySelector('.widget-slider .widget-readout').innerText",
    )
    value = explorer.execute_script(readout)
    type_into(explorer, ".widget-slider .noUi-handle", Keys.ARROW_RIGHT * 3)
    wait(
        lambda: shown(explorer) not in (before, None) and said(explorer).startswith("ready"),
        "another picture",
    )
    assert float(explorer.execute_script(readout)) > float(value)
    assert errors(explorer) == []
    screenshot(explorer, "06_stronger")


def test_a_checkbox_predicts_anew_and_says_so(explorer):
    before = shown(explorer)
    click(explorer, "//label[contains(., 'flipped too')]//input")
    wait(
        lambda: "flipped too" in said(explorer) and shown(explorer) not in (before, None),
        "the prediction with its flip",
    )
    assert errors(explorer) == []
    screenshot(explorer, "06_flipped")


def upload(browser, path):
    browser.execute_script(CATCH_FILE_FIELD)
    click(
        browser, "//button[contains(@class, 'jupyter-widgets') and contains(., 'your photograph')]"
    )
    type_into(browser, "#caught", str(path))
    browser.execute_script("document.querySelector('#caught').remove()")


def test_an_uploaded_photograph_is_labelled(explorer, tmp_path):
    path = tmp_path / "holiday.jpg"
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (60, 90, 3), dtype=np.uint8)).resize(
        (900, 600)
    ).save(str(path))
    before = shown(explorer)
    upload(explorer, path)
    wait(
        lambda: "your holiday.jpg" in said(explorer) and shown(explorer) not in (before, None),
        "the uploaded photograph",
    )
    assert said(explorer).startswith("ready") and errors(explorer) == []
    screenshot(explorer, "06_own_photograph")


def test_a_file_that_is_no_picture_is_refused_in_words_and_the_picture_stays(explorer, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    before = shown(explorer)
    upload(explorer, path)
    wait(lambda: "notes.png cannot be read as a picture" in said(explorer), "a sentence")
    assert shown(explorer) == before and errors(explorer) == []
    screenshot(explorer, "06_refused")
