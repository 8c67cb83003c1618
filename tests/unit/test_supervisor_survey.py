"""A survey asks every worker and waits for none for long."""

from __future__ import annotations

import asyncio

from headgate.workers.messages import Report, Reported
from headgate.workers.survey import Survey
from support.virtual_time import run_virtually


def told(number: int, name: str = "x") -> Reported:
    return Reported(number, [], {"name": name})


def test_all_answers_are_gathered() -> None:
    """Each worker's own, by its number."""

    async def main() -> None:
        sent: list[tuple[int, Report]] = []
        survey = Survey(lambda worker, report: sent.append((worker, report)), lambda: [0, 2])
        asking = asyncio.create_task(survey.ask())
        await asyncio.sleep(0)
        for worker, report in sent:
            survey.hear(worker, told(report.number, f"worker {worker}"))
        answers = await asking
        names = {worker: answer.state["name"] for worker, answer in answers.items()}
        assert names == {0: "worker 0", 2: "worker 2"}

    run_virtually(main())


def test_who_does_not_answer_in_time_is_left_out() -> None:
    """Its late answer, and one to a question of before, are no answer to the next."""

    async def main() -> None:
        sent: list[tuple[int, Report]] = []
        survey = Survey(
            lambda worker, report: sent.append((worker, report)), lambda: [0, 1], patience=2
        )
        asking = asyncio.create_task(survey.ask())
        await asyncio.sleep(1)
        survey.hear(0, told(sent[0][1].number))
        assert set(await asking) == {0}
        asking = asyncio.create_task(survey.ask())
        await asyncio.sleep(1)
        survey.hear(1, told(sent[0][1].number, "late"))
        assert await asking == {}

    run_virtually(main())


def test_without_workers_there_is_nothing_to_wait_for() -> None:
    """As while all of them start."""

    async def main() -> None:
        assert await Survey(lambda *_: None, list).ask() == {}

    run_virtually(main())
