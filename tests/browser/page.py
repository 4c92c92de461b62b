"""Drives a real Chromium over the admin page. Its test starts it, plays the sidecar, and talks to it over its pipes: this program says
what it has seen, a line each, and waits for a line where the sidecar has to do something first.

Usage: page.py ADMIN_URL HOSTILE_CLASS TOKEN
"""

import sys

from playwright.sync_api import expect, sync_playwright

URL, HOSTILE, TOKEN = sys.argv[1], sys.argv[2], sys.argv[3]
BOUND_MS = 60_000
VIEWS = [("light-1280", 1280, 860, "light"), ("dark-390", 390, 844, "dark")]


def say(fact):
    print(fact, flush=True)


def wait_for(word):
    line = sys.stdin.readline().strip()
    assert line == word, f"{line!r}, not {word!r}"


def luminance(page):
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in colour[4:-1].split(",")[:3])


def check_view(page, name, width, scheme):
    expect(page.locator("#state")).to_have_text("serving")
    expect(page.locator("#network-cards article")).to_have_count(2)
    expect(page.locator("#rows tr").first).to_be_visible()
    # Wide things scroll in themselves: the page does not.
    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is too wide"
    assert (luminance(page) < 200) == (scheme == "dark"), f"{name} is not {scheme}"
    assert "[object" not in page.locator("body").inner_text() and "NaN" not in page.locator("body").inner_text()


def check_keyboard(page):
    """From the top of the page to a job, into it and back, without a mouse."""
    page.reload()
    expect(page.locator("#rows tr").first).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("'job' in document.activeElement.dataset"):
            break
    else:
        raise AssertionError("no job can be reached by Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "where one is cannot be seen"
    job = page.evaluate("document.activeElement.dataset.job")
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open]")).to_be_visible()
    expect(page.locator("#detail-body")).to_contain_text(job)
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert page.evaluate("document.activeElement.dataset.job") == job, "one is back where one was"


def check_tree(page):
    """The way of one job: from the root to one answer, each step in the one before it."""
    page.locator("#rows [data-job]", has_text="render").first.click()
    detail = page.locator("#detail-body")
    expect(detail.locator(".tree .leaf.way")).to_have_count(1)
    expect(detail.locator(".tree > .way")).to_have_count(1)
    assert detail.locator("details.way").count() >= 1, "the model of the test asks at least one question"
    shut = detail.locator("details:not([open]) > summary")
    if shut.count():
        before = detail.locator(".tree .leaf").count()
        shut.first.click()
        assert detail.locator(".tree .leaf, .tree details").count() > before, "a question opens"
    page.locator("#close").click()


def check_hostile(page):
    """What a client called its job is shown letter for letter, and is nothing but that."""
    shown = page.locator("#rows [data-job]", has_text=HOSTILE[:20]).first
    expect(shown).to_have_text(f"every / {HOSTILE}")
    shown.click()
    expect(page.locator("#detail-title")).to_contain_text(HOSTILE)
    page.locator("#close").click()
    assert page.evaluate("window.wasRun === undefined"), "what a client sent was run"
    assert page.locator("#rows img, #rows script, #rows b").count() == 0


def check_roll_back(page, said):
    """Model 7 is in force; the operator goes back to 1, and only with the token."""
    facts = page.locator("#model-facts")
    expect(facts).to_contain_text("7, in force for")
    page.locator("#version-wanted").select_option("1")
    page.locator("#token").fill("a-token-that-is-not-known")
    page.locator("#back button").click()
    expect(page.locator("#back-said")).to_contain_text("known token")
    # That it was refused is the browser's to say, once.
    assert [line for line in said if "401" in line] == said and len(said) == 1, said
    said.clear()
    page.locator("#token").fill(TOKEN)
    page.locator("#token").press("Enter")
    expect(page.locator("#back-said")).to_have_text("Version 1 is in force.")
    expect(facts).to_contain_text("1, in force for")
    assert page.evaluate("localStorage.length") == 0 and page.context.cookies() == [], "it is kept for this tab alone"
    assert TOKEN not in page.content()


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        said, pages = [], []
        for name, width, height, scheme in VIEWS:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.set_default_timeout(BOUND_MS)
            expect.set_options(timeout=BOUND_MS)
            page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: said.append(f"asked {request.url}") if not request.url.startswith(URL) else None)
            page.goto(URL)
            check_view(page, name, width, scheme)
            pages.append(page)
        page = pages[0]
        page.locator("#more").click()
        check_hostile(page)
        check_tree(page)
        check_keyboard(page)
        expect(page.locator("#calibration svg")).to_have_count(2)
        expect(page.locator("#config-text")).to_contain_text("listen.admin")
        assert said == [], said
        say("looked")

        newest = page.locator("#rows [data-job]").first.get_attribute("data-job")
        wait_for("another job has ended")
        expect(page.locator("#rows [data-job]").first).not_to_have_attribute("data-job", newest)
        assert said == [], said
        say("updated")

        check_roll_back(page, said)
        assert said == [], said
        say("rolled back")

        wait_for("it is gone")
        for page in pages:
            expect(page.locator("#state")).to_contain_text("not answering")
        say("missed it")
        wait_for("it is back")
        for page in pages:
            expect(page.locator("#state")).to_have_text("serving")
            expect(page.locator("#no-jobs")).to_be_visible()
        # That nobody answered is the browser's to say; nothing else is.
        rest = [line for line in said if "ERR_CONNECTION" not in line and "ERR_EMPTY" not in line]
        assert rest == [], rest
        say("went on")
        browser.close()


main()
