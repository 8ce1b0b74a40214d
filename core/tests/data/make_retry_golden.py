"""Writes retry_golden.tsv, which core/tests/retry_golden.rs reads.

    python3 core/tests/data/make_retry_golden.py

Airflow 3's own arithmetic (`TaskInstance.next_retry_datetime`), for its floats are Python's: `**` is C's pow, `math.ceil` of
what it gives decides about a whole second, and the jitter is a SHA-1 modulo that.

Fields, separated by tabs; delays are in microseconds, `-` is none:

    retry_delay  retry_exponential_backoff  max_retry_delay  logical_date  task_id  try_number  delay
"""

import datetime as dt
import hashlib
import math
import pathlib
import random

MAX_RETRY_DELAY = 24 * 60 * 60
RANDOM = random.Random(20261128)
UTC = dt.timezone.utc
DATES = [
    None,
    dt.datetime(2024, 1, 1, tzinfo=UTC),
    dt.datetime(2026, 11, 28, 14, 5, 59, tzinfo=UTC),
    dt.datetime(2025, 3, 30, 1, 30, 0, 123456, tzinfo=UTC),
    dt.datetime(2025, 3, 30, 1, 30, 0, 120000, tzinfo=UTC),
]
MULTIPLIERS = [0, 1, True, 2.0, 1.3, 1.1, 1.5, 1.7, 1.01, 1.001, 3.0, 0.5, 0.9, 10.0, 2.5, 1.05, 1.0000001]
DELAYS = [0, 0.1, 0.7, 1, 2.1, 30, 59.999999, 60, 100, 299.7, 300, 1000, 3600, 86399, 86400, 172800.5]


def airflow(delay, multiplier, longest, date, task_id, try_number):
    multiplier = 2.0 if multiplier is True else float(multiplier)
    if multiplier == 0 or multiplier == 1:
        return delay
    try:
        min_backoff = math.ceil(delay.total_seconds() * (multiplier ** (try_number - 1)))
    except OverflowError:
        min_backoff = MAX_RETRY_DELAY
    if min_backoff < 1:
        min_backoff = 1
    key = f"d#{task_id}#{date}#{try_number}"
    ti_hash = int(hashlib.sha1(key.encode("utf-8"), usedforsecurity=False).hexdigest(), 16)
    modded_hash = min_backoff + ti_hash % min_backoff
    delay = dt.timedelta(seconds=min(modded_hash, MAX_RETRY_DELAY))
    return min(longest, delay) if longest else delay


def microseconds(delay):
    return str(delay // dt.timedelta(microseconds=1))


def row(seconds, multiplier, longest, date, task_id, try_number):
    delay = dt.timedelta(seconds=seconds)
    longest = None if longest is None else dt.timedelta(seconds=longest)
    found = airflow(delay, multiplier, longest, date, task_id, try_number)
    return "\t".join([
        microseconds(delay),
        "true" if multiplier is True else repr(float(multiplier)),
        "-" if longest is None else microseconds(longest),
        "-" if date is None else date.isoformat(),
        task_id,
        str(try_number),
        microseconds(found),
    ])


def main():
    rows = [
        # Where repeated multiplication rounds otherwise.
        *(row(1000, 1.3, None, DATES[1], "a", n) for n in range(1, 12)),
        *(row(100, 1.1, None, DATES[1], "a", n) for n in range(1, 40)),
        # Airflow's own numbers: 300 s doubled.
        *(row(300, True, None, date, "a", n) for date in DATES for n in (1, 2, 3)),
        # Beyond a day, beyond what a float holds, and beyond what an int of the other side would.
        *(row(300, 10.0, None, DATES[1], "a", n) for n in (3, 4, 15, 20, 300, 305, 306, 307, 310, 400, 4000)),
        *(row(0, 10.0, None, DATES[1], "a", n) for n in (1, 308, 309, 310)),
        # The longest delay: it bounds what was computed, not what is constant; a zero bounds nothing.
        *(row(300, m, longest, DATES[1], "a", n) for m in (0, 1, 2.0) for longest in (0, 0.5, 400, 90000) for n in (1, 4)),
    ]
    for _ in range(400):
        rows.append(row(
            RANDOM.choice(DELAYS),
            RANDOM.choice(MULTIPLIERS),
            RANDOM.choice([None, None, None, 0, 45.5, 400, 3600]),
            RANDOM.choice(DATES),
            RANDOM.choice(["a", "g.extract", "ümläut"]),
            RANDOM.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 31, 64, 65]),
        ))
    seen = list(dict.fromkeys(rows))
    pathlib.Path(__file__).with_name("retry_golden.tsv").write_text("\n".join(seen) + "\n")
    print(len(seen), "lines")


if __name__ == "__main__":
    main()
