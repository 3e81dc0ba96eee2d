"""What every page must hold for those who use a keyboard, a screen reader or a phone."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe


PHONE = {"width": 360, "height": 740}


def broken_rules(page: Any) -> list[tuple[str, list[str]]]:
    """The rules of axe-core that are broken, and by what; what is wider than a phone, too."""
    broken = Axe().run(page).response["violations"]
    found = [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in broken]
    size = page.viewport_size
    page.set_viewport_size(PHONE)
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(size)
    return [*found, *([("fits a phone", [f"{width} pixels wide"])] if width > PHONE["width"] else [])]
