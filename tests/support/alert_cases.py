"""For each alert of `deploy/prometheus/alerts.yaml` series that fire it, and series that must not.

In the notation of Prometheus' own rule tests, a value a minute: `0+3x40` rises by 3 forty times,
`1x40` stays.
"""

from __future__ import annotations

from typing import NamedTuple

Series = dict[str, str]
HERE = 'job="headgate",instance="a"'
# A label is put between these, and the value comes after.
RPCS = f"headgate_rpcs_total{{{HERE},%s}}"
REFUSALS = f"headgate_refusals_total{{{HERE},%s}}"
ATTEMPTS = f"headgate_attempts_total{{{HERE},%s}}"
ALWAYS = "1x40"


class Case(NamedTuple):
    """One alert; all series end after forty minutes, and are looked at then."""

    fires: list[Series]
    quiet: list[Series]


def bare(name: str) -> str:
    """A series without labels of its own."""
    return f"{name}{{{HERE}}}"


def buckets(name: str, **rises: int) -> Series:
    """A histogram by the upper ends of its buckets, which rise by so much a minute."""
    return {
        f'{name}_bucket{{{HERE},le="{_end(end)}"}}': f"0+{rise}x40" for end, rise in rises.items()
    }


def _end(word: str) -> str:
    """`_0_25` is 0.25, as Prometheus writes it."""
    return "+Inf" if word == "inf" else str(float(word[1:].replace("_", ".")))


def of_attempts(**rises: int) -> Series:
    return {ATTEMPTS % f'outcome="{outcome}"': f"0+{rise}x40" for outcome, rise in rises.items()}


UNUSED = {
    f'headgate_slots_total{{{HERE},event="started"}}': "0+12x40",
    f'headgate_queue_depth{{{HERE},priority="0"}}': "3x40",
    bare("headgate_slot_interval_seconds"): "0.5x40",
    bare("headgate_pause_seconds"): "0x40",
    bare("headgate_in_flight"): ALWAYS,
    bare("headgate_in_flight_limit"): "10x40",
}

CASES = {
    "HeadgateDown": Case([{bare("up"): "0x40"}], [{bare("up"): ALWAYS}]),
    "HeadgateInternalErrors": Case(
        [{RPCS % 'reason="INTERNAL"': "0+1x40"}],
        [{RPCS % 'reason="NONE"': "0+1x40"}, {RPCS % 'reason="INTERNAL"': ALWAYS}],
    ),
    "HeadgateRefusesCalls": Case(
        [
            {REFUSALS % f'reason="{reason}"': "0+1x40", RPCS % 'code="OK"': "0+10x40"}
            for reason in ("QUEUE_FULL", "WAIT_TOO_LONG")
        ],
        [
            {REFUSALS % 'reason="QUEUE_FULL"': "0+1x40", RPCS % 'code="OK"': "0+100x40"},
            {REFUSALS % 'reason="CALLER_LIMIT"': "0+1x40", RPCS % 'code="OK"': "0+1x40"},
        ],
    ),
    "HeadgateStreamsBreak": Case(
        [
            {
                RPCS % 'method="StreamChat",reason="STREAM_INTERRUPTED"': "0+1x40",
                RPCS % 'method="StreamChat",reason="NONE"': "0+9x40",
            }
        ],
        [
            {
                RPCS % 'method="StreamChat",reason="STREAM_INTERRUPTED"': "0+1x40",
                RPCS % 'method="StreamChat",reason="NONE"': "0+99x40",
            }
        ],
    ),
    "HeadgateQueueSlow": Case(
        [buckets("headgate_queue_wait_seconds", _30=5, _60=10, inf=10)],
        [buckets("headgate_queue_wait_seconds", _30=19, _60=20, inf=20)],
    ),
    "HeadgateSlotsUnused": Case(
        [UNUSED],
        [
            UNUSED | {f'headgate_queue_depth{{{HERE},priority="0"}}': "0x40"},
            UNUSED | {f'headgate_slots_total{{{HERE},event="started"}}': "0+120x40"},
            UNUSED | {bare("headgate_pause_seconds"): "5x40"},
            UNUSED | {bare("headgate_in_flight"): "10x40"},
            UNUSED | {bare("headgate_slot_interval_seconds"): "0x40"},
        ],
    ),
    "HeadgateUpstreamFails": Case(
        [of_attempts(OK=7, UPSTREAM_UNAVAILABLE=3), of_attempts(OK=7, UPSTREAM_TIMEOUT=3)],
        [
            of_attempts(OK=9, UPSTREAM_UNAVAILABLE=1),
            of_attempts(OK=1, UPSTREAM_REJECTED=9),
            of_attempts(OK=1, UPSTREAM_NOT_FOUND=9),
            of_attempts(OK=1, UPSTREAM_LIMIT=9),
            of_attempts(OK=1, CANCELLED=9),
        ],
    ),
    "HeadgateUpstreamRejects": Case(
        [of_attempts(OK=7, UPSTREAM_REJECTED=3), of_attempts(OK=7, UPSTREAM_NOT_FOUND=3)],
        [of_attempts(OK=9, UPSTREAM_REJECTED=1), of_attempts(OK=1, UPSTREAM_UNAVAILABLE=9)],
    ),
    "HeadgateUpstreamCredentials": Case(
        [of_attempts(UPSTREAM_CREDENTIALS=1)],
        [of_attempts(UPSTREAM_UNAVAILABLE=1), of_attempts(UPSTREAM_CREDENTIALS=0)],
    ),
    "HeadgateUpstreamLimits": Case(
        [{bare("headgate_pauses_total"): "0+1x40"}], [{bare("headgate_pauses_total"): "9x40"}]
    ),
    "HeadgateUpstreamSlow": Case(
        [buckets("headgate_upstream_first_content_seconds", _10=5, _20=10, inf=10)],
        [buckets("headgate_upstream_first_content_seconds", _10=19, _20=20, inf=20)],
    ),
    "HeadgateRetryBudgetEmpty": Case(
        [{bare("headgate_retries_denied_total"): "0+1x40"}],
        [{bare("headgate_retries_denied_total"): "9x40"}],
    ),
    "HeadgateStoreLost": Case(
        [{bare("headgate_store_up"): "0x40"}], [{bare("headgate_store_up"): ALWAYS}]
    ),
    "HeadgateStoreUnsteady": Case(
        [{bare("headgate_store_losses_total"): "0+1x40"}],
        [{bare("headgate_store_losses_total"): "9x40"}],
    ),
    "HeadgateEventLoopLate": Case(
        [buckets("headgate_event_loop_lag_seconds", _0_1=9, _0_25=10, inf=10)],
        [buckets("headgate_event_loop_lag_seconds", _0_1=1000, _0_25=1001, inf=1001)],
    ),
    "HeadgateFileDescriptors": Case(
        [{bare("process_open_fds"): "900x40", bare("process_max_fds"): "1000x40"}],
        [{bare("process_open_fds"): "700x40", bare("process_max_fds"): "1000x40"}],
    ),
    "HeadgateWorkersMissing": Case(
        [{bare("headgate_workers"): "1x40", bare("headgate_workers_wanted"): "2x40"}],
        [{bare("headgate_workers"): "2x40", bare("headgate_workers_wanted"): "2x40"}],
    ),
    "HeadgateWorkersSilent": Case(
        [{bare("headgate_workers_silent_total"): "0+1x40"}],
        [{bare("headgate_workers_silent_total"): "9x40"}],
    ),
    "HeadgateDrainLong": Case(
        [{bare("headgate_draining"): ALWAYS}],
        [{bare("headgate_draining"): "0x40"}, {bare("headgate_draining"): "0x30 1x9"}],
    ),
}
