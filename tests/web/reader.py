"""A person before the page: what is done there, and what is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from playwright.async_api import expect

from web.stage import PAGE, ROOT

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

SHOTS = ROOT / "build" / "web"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# Everything that axe knows: WCAG 2.2 A and AA, and good practice.
_RUN_AXE = "axe.run().then(({violations}) => violations.map(v => [v.id, v.nodes[0].html, v.help]))"


class Reader:
    """One page of the browser.

    Attributes:
        complaints: what the console and uncaught errors said; no test leaves any.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self._heard("error", str(error)))

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    @property
    def question(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def answer(self) -> Locator:
        """The newest one, with everything around it."""
        return self.page.locator(".answer").last

    @property
    def text(self) -> Locator:
        """The newest answer's words."""
        return self.answer.locator(".text")

    @property
    def refusal(self) -> Locator:
        return self.answer.get_by_role("region", name="The call was refused")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def ask(self, question: str) -> None:
        await self.question.fill(question)
        await self.question.press("Enter")

    async def sees(self, phase: str) -> None:
        """Wait until the newest answer is in this phase."""
        await expect(self.answer).to_have_attribute("data-phase", phase)

    async def keep(self, name: str) -> None:
        """A picture for people to look at, in both colours."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        for scheme in SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)
            await self.page.screenshot(path=SHOTS / f"{name}-{scheme}.png", animations="disabled")

    async def violations(self) -> list[Any]:
        """What axe-core finds wrong, in light and dark."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(_axe())
        found = []
        for scheme in SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)
            found += [[scheme, *one] for one in await self.page.evaluate(_RUN_AXE)]
        return found

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        page = "document.documentElement"
        over: int = await self.page.evaluate(f"{page}.scrollWidth - {page}.clientWidth")
        return over


def _axe() -> str:
    """The program of axe-core, which the page's policy would not load."""
    return (PAGE / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
