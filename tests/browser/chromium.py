"""A headless Chromium, driven by chromedriver over the W3C WebDriver protocol: what these few tests need of it, no more."""
import base64
import shutil
import socket
import subprocess
import time

import requests

from deeplab_nb.processes import Watcher

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's key of an element's id
ARGUMENTS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
             "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,1700").split()


class Chromium:
    """One window; use it in a `with` block. folder: for the browser's own files."""

    def __init__(self, folder):
        self._port = free_port()
        self._driver = subprocess.Popen([shutil.which("chromedriver"), "--port={}".format(self._port)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self._watcher = Watcher()  # no browser outlives the tests, however they end
        self._watcher.add(self._driver.pid)
        self._url = "http://127.0.0.1:{}".format(self._port)
        try:
            wait(lambda: answers(self._url + "/status"), "chromedriver")
            binary = shutil.which("chromium") or shutil.which("google-chrome")
            options = {"binary": binary, "args": ARGUMENTS + ["--user-data-dir=" + str(folder)]}
            session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
            self._url += "/session/" + session["sessionId"]
        except BaseException:
            self._watcher.close()
            raise

    def open(self, address):
        self._ask("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        """What a script in the page returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def count(self, selector):
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def click(self, xpath):
        self._ask("POST", "/element/{}/click".format(self._find("xpath", xpath)), {})

    def type(self, selector, text):
        """Keys into the first element of a CSS selector; into a file field, the path of a file."""
        self._ask("POST", "/element/{}/value".format(self._find("css selector", selector)), {"text": text})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._ask("GET", "/screenshot")))

    def _find(self, using, value):
        return self._ask("POST", "/element", {"using": using, "value": value})[ELEMENT]

    def _ask(self, method, path, values=None):
        answer = requests.request(method, self._url + path, json=values, timeout=300).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._ask("DELETE", "")
        finally:
            self._watcher.close()
            self._driver.wait()


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
