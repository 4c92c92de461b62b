"""Makes the README's pictures of the page: a sidecar between two services of `world.py`, looked at when it has learned something.

Usage: pictures.py PROGRAM INTO_DIRECTORY
"""

import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import expect, sync_playwright

PROGRAM, INTO = sys.argv[1], sys.argv[2]
VIEWS = [("light-1280", 1280, 900, "light"), ("dark-390", 390, 844, "dark")]
WARM_UP_S = 75


def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def main():
    jobs, admin = free(), free()
    with tempfile.TemporaryDirectory() as directory:
        config = f"{directory}/adumbra.toml"
        script = pathlib.Path(__file__).with_name("world.py")
        world = subprocess.Popen([sys.executable, script, config, jobs, admin, "14", "600"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert world.stdout.readline() == "ready\n"
        sidecar = subprocess.Popen([PROGRAM, "serve", "--config", config], stdout=subprocess.PIPE, text=True)
        try:
            while not sidecar.stdout.readline().startswith("listening admin"):
                assert sidecar.poll() is None, "the sidecar does not start"
            world.stdin.write("go\n")
            world.stdin.flush()
            time.sleep(WARM_UP_S)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
                for name, width, height, scheme in VIEWS:
                    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                    page = context.new_page()
                    page.goto(f"http://{admin}/")
                    expect(page.locator("#rows tr").first).to_be_visible()
                    page.wait_for_timeout(2500)
                    page.screenshot(path=f"{INTO}/page-{name}.png")
                    page.locator("#rows [data-job]", has_text="encode").first.click()
                    expect(page.locator(".tree .leaf.way")).to_be_visible()
                    page.screenshot(path=f"{INTO}/page-job-{name}.png")
                browser.close()
        finally:
            for child in (sidecar, world):
                child.terminate()
                child.wait()


main()
