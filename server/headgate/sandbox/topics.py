"""What the sandbox can talk about: a pattern, and the script that answers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from headgate.sandbox import texts
from headgate.sandbox.conversation import TELLS_NAME, Conversation
from headgate.sandbox.tokenizer import count_tokens

COUNT_LIMIT = 5_000
_QUOTE = 160


class Reply(NamedTuple):
    """A script and the facts that it names."""

    script: str
    facts: Mapping[str, str] = {}


Speaker = Callable[[Conversation, re.Match[str]], Reply | None]


def reply_to(talk: Conversation, *, count_limit: int = COUNT_LIMIT) -> Reply:
    """What to say; the first pattern that fits decides."""
    if talk.tool_result is not None:
        return Reply(texts.TOOL_RESULT, {"result": quote(talk.tool_result) or "nothing"})
    if talk.images:
        return Reply(texts.IMAGES, {"pictures": plural(talk.images, "picture")})
    if found := _COUNT.search(talk.question):
        return _count(int(found[1]), count_limit)
    for pattern, answer in _TOPICS:
        found = pattern.search(talk.question)
        reply = answer(talk, found) if found else None
        if reply is not None:
            return reply
    return _about_the_question(talk)


def quote(text: str, longest: int = _QUOTE) -> str:
    """The text on one line, cut off where it is longer."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def plural(number: int, noun: str) -> str:
    """`1 word`, `2 words`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _plain(script: str) -> Speaker:
    return lambda _talk, _found: Reply(script)


def _code(_: Conversation, _found: re.Match[str]) -> Reply:
    return Reply(texts.CODE, {"code": texts.PYTHON})


def _say(_: Conversation, found: re.Match[str]) -> Reply | None:
    text = found[1].strip().strip('"“”').strip()
    return Reply("$text", {"text": text}) if text else None


def _told_name(talk: Conversation, found: re.Match[str]) -> Reply:
    if "我" in found[0]:
        return _chinese(talk, found)
    return Reply(texts.NICE_TO_MEET, {"name": talk.name})


def _asked_name(talk: Conversation, found: re.Match[str]) -> Reply:
    if not talk.name:
        return Reply(texts.NO_NAME)
    script = texts.CHINESE_NAME if "我" in found[0] else texts.YOUR_NAME
    return Reply(script, {"name": talk.name})


def _greeting(script: str) -> Speaker:
    """Only for a short message: a long one that begins with a greeting wants something else."""

    def greet(talk: Conversation, _: re.Match[str]) -> Reply | None:
        name = f", {talk.name}" if talk.name else ""
        return Reply(script, {"name": name}) if len(talk.question) <= 60 else None

    return greet


def _chinese(talk: Conversation, _: re.Match[str]) -> Reply:
    name = f" {talk.name}" if talk.name else ""
    return Reply(texts.CHINESE, {"name": name, "question": quote(talk.question, 60)})


def _system(talk: Conversation, _: re.Match[str]) -> Reply:
    if not talk.system:
        return Reply(texts.NO_SYSTEM_PROMPT)
    return Reply(texts.SYSTEM_PROMPT, {"prompt": quote(talk.system, 1_000)})


def _how_many(talk: Conversation, _: re.Match[str]) -> Reply:
    facts = {
        "messages": plural(talk.messages, "message"),
        "tokens": plural(talk.tokens, "token"),
        "system": "with a system prompt" if talk.system else "without a system prompt",
    }
    return Reply(texts.HOW_MANY, facts)


def _before(talk: Conversation, _: re.Match[str]) -> Reply:
    if not talk.before:
        return Reply(texts.NOTHING_BEFORE)
    return Reply(texts.BEFORE, {"before": quote(talk.before)})


def _reckon(_: Conversation, found: re.Match[str]) -> Reply:
    left, sign, right = int(found[1]), found[2], int(found[3])
    if sign in "/÷" and right == 0:
        return Reply(texts.NO_DIVISION)
    if sign in "/÷":
        result = f"{left / right:.15g}"
    else:
        result = str({"+": left + right, "-": left - right}.get(sign, left * right))
    return Reply(texts.RECKONED, {"sum": f"{left} {sign} {right}", "result": result})


def _add_up(talk: Conversation, _: re.Match[str]) -> Reply | None:
    numbers = [float(text) for text in _NUMBER.findall(talk.question)]
    if len(numbers) < 2:
        return None
    facts = {
        "count": str(len(numbers)),
        "sum": f"{sum(numbers):.15g}",
        "average": f"{sum(numbers) / len(numbers):g}",
    }
    return Reply(texts.ADDED_UP, facts)


def _count(number: int, limit: int) -> Reply:
    last = min(number, limit)
    numbers = ", ".join(map(str, range(1, last + 1)))
    if last < number:
        return Reply(texts.COUNTED_SO_FAR, {"numbers": numbers, "limit": str(limit)})
    return Reply("$numbers.", {"numbers": numbers or "0"})


def _about_the_question(talk: Conversation) -> Reply:
    words = re.findall(r"[^\W_]+", talk.question)
    if not words:
        return Reply(texts.NO_WORDS)
    facts = {
        "question": quote(talk.question),
        "words": plural(len(words), "word"),
        "tokens": plural(count_tokens(talk.question), "token"),
        "longest": max(words, key=len)[:60],
        "name": f", {talk.name}" if talk.name else "",
    }
    return Reply(texts.ANYTHING, facts)


_NUMBER = re.compile(r"-?\b\d{1,12}(?:\.\d{1,6})?\b")
_COUNT = re.compile(r"\bcount(?:ing)?\b.{0,20}?\b(?:to|till|until)\s+(\d{1,9})\b", re.IGNORECASE)
_TOPICS: list[tuple[re.Pattern[str], Speaker]] = [
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), answer)
    for pattern, answer in [
        (r"\bwhat did i (?:just |last )?(?:say|ask|write)\b|\brepeat (?:that|it)\b", _before),
        (r"\b(?:my )?(?:previous|last) (?:question|message)\b", _before),
        (r"^\W*(?:please\s+)?(?:say|repeat|echo)\b(?: after me| exactly)?\s*:?\s*(.+)", _say),
        (r"\bhow (?:many|long)\b.{0,30}\b(?:messages?|tokens?|conversation)\b", _how_many),
        (r"\bsystem (?:prompt|message)\b|\byour (?:instructions|prompt|rules)\b", _system),
        (r"\bwhat(?:.s| is) my name\b|\bwho am i\b|\bknow my name\b|我叫什么", _asked_name),
        (TELLS_NAME.pattern, _told_name),
        (r"\bwh(?:o|at) are you\b|\bwh(?:ich|at) model\b|\byour name\b", _plain(texts.WHO)),
        (r"\bare you (?:an? )?(?:real|ai|human|(?:ro)?bot|llm|\w*gpt|lang\w+)", _plain(texts.WHO)),
        (r"\bwhat can you do\b|^\W*help\b|\bhelp me\b", _plain(texts.HELP)),
        (r"\bhaiku\b", _plain(texts.HAIKU)),
        (r"\b(?:poem|poetry|verse|rhyme)\b", _plain(texts.POEM)),
        (r"\b(?:story|tale)\b", _plain(texts.STORY)),
        (r"\bjoke\b", _plain(texts.JOKE)),
        (r"\brate.?limits?\b|\b429\b|\btoo many\b|\b(?:a|per) second\b", _plain(texts.LIMITS)),
        (r"\btemperature\b.*\b(?:parameter|mean|do|work|is|set)\b", _plain(texts.TEMPERATURE)),
        (r"\btop_p\b", _plain(texts.TEMPERATURE)),
        (r"\bstream(?:ing|s|ed)?\b|\bserver-sent\b", _plain(texts.STREAMING)),
        (r"\bheadgate\b|\bgrpc\b", _plain(texts.HEADGATE)),
        (r"\b(?:code|snippet|python|program|script|function)\b", _code),
        (r"\b(?:ai|artificial intelligence|machine learning|llms?)\b", _plain(texts.AI)),
        (r"\b(?:average|mean|sum|total|add)\b", _add_up),
        (r"\b(\d{1,15})\s?([-+*×x/÷])\s?(\d{1,15})\b", _reckon),  # noqa: RUF001
        (r"\bweather\b", _plain(texts.WEATHER)),
        (r"\bhow are you\b|\bhow do you do\b", _plain(texts.HOW_ARE_YOU)),
        (r"\bthank(?:s| you)\b", _plain(texts.THANKS)),
        (r"\b(?:good)?bye\b|\bsee you\b", _plain(texts.GOODBYE)),
        (r"\b(?:bonjour|salut|bonsoir)\b", _greeting(texts.BONJOUR)),
        (r"\b(?:hallo|guten (?:tag|morgen|abend)|grüß)\b", _greeting(texts.HALLO)),
        (r"\b(?:hola|buenos días|buenas)\b", _greeting(texts.HOLA)),
        (r"[\u4e00-\u9fff]", _chinese),
        (r"\b(?:hello|hi|hey|good (?:day|morning|evening)|greetings)\b", _greeting(texts.HELLO)),
    ]
]
