"""Behaviours that end well: every kind of answer, with or without a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from behaviours import WORDS, behaviour, some, spoken
from support.raw_upstream import delta, finish

if TYPE_CHECKING:
    from talk import Talk

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
TICK = "tick "


def _usage(**usage: Any) -> dict[str, Any]:
    return delta() | {"choices": [], "usage": usage}


@behaviour
async def words(talk: Talk, count: str = "5") -> None:
    """So many words, the reason, usage, [DONE]."""
    await talk.answer([*spoken(*some(count)), finish(), _usage(**USAGE)])


@behaviour
async def ticks(talk: Talk, count: str) -> None:
    """So many deltas, as fast as they can be written."""
    await talk.answer([*spoken(*[TICK] * int(count)), finish()])


@behaviour
async def huge_delta(talk: Talk, size: str) -> None:
    """One delta of so many bytes, in characters of two."""
    await talk.answer([delta("\u00e9" * (int(size) // 2)), finish()])


@behaviour
async def no_finish(talk: Talk) -> None:
    """[DONE], but no choice has a finish reason."""
    await talk.answer(spoken(*WORDS))


@behaviour
async def json_answer(talk: Talk) -> None:
    """A JSON body, whether a stream was asked for or not."""
    talk.body["stream"] = False
    await words(talk)


@behaviour
async def finish_word(talk: Talk, reason: str) -> None:
    """An answer that ends for this reason."""
    await talk.answer([*spoken(*WORDS), finish(reason)])


@behaviour
async def no_usage(talk: Talk) -> None:
    """An answer that says nothing of tokens."""
    await talk.answer([*spoken(*WORDS), finish()])


@behaviour
async def zero_usage(talk: Talk) -> None:
    """Usage with zeros, and with counts that are missing."""
    await talk.answer([*spoken(*WORDS), finish(), _usage(prompt_tokens=3, completion_tokens=0)])


@behaviour
async def full_usage(talk: Talk) -> None:
    """Usage with all its details."""
    details = {
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    await talk.answer([*spoken(*WORDS), finish(), _usage(**USAGE, **details)])


@behaviour
async def choices(talk: Talk, count: str) -> None:
    """So many choices, word by word in turns, the last one ending first."""
    indexes = range(int(count))
    said = [delta(f"{word}{i}", choice=i) for word in ("a", "b", "c") for i in indexes]
    ends = [finish("stop" if i else "length", choice=i) for i in reversed(indexes)]
    await talk.answer([*said, *ends])


@behaviour
async def reasoning(talk: Talk, name: str = "reasoning_content") -> None:
    """Thoughts, under either of the names in use, then words."""
    thoughts = [_said(name, thought) for thought in ("Let me", " think.")]
    await talk.answer([*thoughts, *(delta(word) for word in WORDS), finish()])


def _said(name: str, text: str) -> dict[str, Any]:
    value = delta()
    value["choices"][0]["delta"] = {name: text}
    return value


@behaviour
async def refusal(talk: Talk) -> None:
    """The model declines."""
    await talk.answer([delta(refusal="I cannot"), delta(refusal=" do that."), finish()])


@behaviour
async def logprobs(talk: Talk) -> None:
    """Two tokens with their probabilities, the second one with bytes and a rival."""
    rival = {"token": "ho", "logprob": -2.5, "bytes": [104, 111]}
    tokens: list[dict[str, Any]] = [
        {"token": "hé", "logprob": -0.25, "bytes": [104, 195, 169], "top_logprobs": []},
        {"token": "ha", "logprob": -0.5, "bytes": None, "top_logprobs": [rival]},
    ]
    said = [delta(token["token"]) for token in tokens]
    for value, token in zip(said, tokens, strict=True):
        value["choices"][0]["logprobs"] = {"content": [token]}
    await talk.answer([*said, finish()])


def _call(index: int | None, arguments: str, **head: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": head.pop("name")} if "name" in head else {})
    fragment = {"function": function} | head | ({} if index is None else {"index": index})
    return delta(tool_calls=[fragment])


@behaviour
async def tools(talk: Talk) -> None:
    """Two calls of functions in fragments that alternate, one cut inside of an escape."""
    fragments = [
        _call(0, "", id="call-a", type="function", name="weather"),
        _call(0, '{"city": "K\\u00f'),
        _call(1, '{"zone"', id="call-b", type="function", name="clock"),
        _call(0, '6ln"}'),
        _call(1, ': "CET"}'),
    ]
    await talk.answer([*fragments, finish("tool_calls")])


@behaviour
async def bare_tools(talk: Talk) -> None:
    """Calls of functions whose fragments have no index."""
    fragments = [
        _call(None, '{"city":', id="call-a", name="weather"),
        _call(None, '"Rome"}'),
        _call(None, "{}", id="call-b", name="clock"),
    ]
    await talk.answer([*fragments, finish("tool_calls")])


@behaviour
async def extras(talk: Talk) -> None:
    """Fields that the contract does not have."""
    fields = {"system_fingerprint": "fp-7", "citations": ["a", "b"], "timings": {"ms": 12.5}}
    await talk.answer([*spoken(*WORDS), finish() | fields])


@behaviour
async def echo(talk: Talk) -> None:
    """The last message's length in characters, its first ten of them, and how many messages."""
    messages = talk.body["messages"]
    content = messages[-1]["content"]
    await talk.answer([delta(f"{len(content)} {content[:10]} {len(messages)}"), finish()])
