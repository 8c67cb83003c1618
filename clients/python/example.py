"""Asks a headgate in four ways: python example.py [ADDRESS]."""
# ruff: noqa: T201 - an example prints

from __future__ import annotations

import asyncio
import sys

from headgate_client import AsyncClient, Client, Conversation, HeadgateError, RateLimited, text


def blocking(target: str) -> None:
    with Client(target, timeout=60) as client:
        print(text(client.chat("Hello!", temperature=0.2, max_tokens=40)))

        with client.stream_chat("Tell me a story", queue_updates=True) as answer:
            for piece in answer.text():
                print(piece, end="", flush=True)
        print(f"\n{answer.usage}")

        chat = Conversation(client, system="Be brief.")
        print(chat.send("What is a headgate?"), chat.send("And who opens it?"), sep="\n")


async def together(target: str) -> None:
    async with AsyncClient(target, timeout=60) as client:
        questions = ("What is a canal?", "What is a weir?")
        for response in await asyncio.gather(*(client.chat(each) for each in questions)):
            print(text(response))


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    try:
        blocking(address)
        asyncio.run(together(address))
    except RateLimited as error:
        sys.exit(f"{error}; try again in {error.retry_after} s")
    except HeadgateError as error:
        sys.exit(str(error))
