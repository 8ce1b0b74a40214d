"""Writes cron_golden.tsv, which core/tests/cron_golden.rs reads.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install croniter==7.* pendulum==3.*
    /tmp/venv/bin/python core/tests/data/make_cron_golden.py

Three kinds of lines, fields separated by tabs. Times are Unix seconds (of a naive time: as if it were UTC); a list holds
the distance of each tick from the one before it, the first from the line's own time.

    E  expression                                    croniter refuses it
    N  expression  time  nexts  prevs                naive: croniter itself
    Z  expression  zone  time  nexts  prevs          in a zone: croniter within Airflow 3's rules (timetables/_cron.py),
                                                     pendulum localising as Airflow's make_aware does
"""

import datetime as dt
import pathlib
import random

import pendulum
from croniter import croniter

UTC = dt.timezone.utc
EPOCH = dt.datetime(1970, 1, 1)
RANDOM = random.Random(20261122)

CURATED = """
* * * * *|*/5 * * * *|0 * * * *|30 * * * *|5/15 * * * *|59/15 * * * *|0 0 * * *|0 3 * * *|30 2 * * *|15 14 1 * *
0 22 * * 1-5|0 22 * * mon-fri|23 0-20/2 * * *|5 4 * * sun|0 0,12 1 */2 *|0 4 8-14 * *|0 0 1,15 * 3|0 0 */2 * 1
0 0 1-31 * 1|0 0 1-31 * *|0 0 * * 0-6|0 0 5 * 0-6|0 0 5 * 0-7|0 0 * * 7|0 0 * * 5-7|0 0 * * 1-7|0 0 * * fri-mon
0 0 * * 6-2/2|0 0 * nov-feb *|0 0 * 11-2/2 *|0 22-2 * * *|50-10/7 * * * *|0 0 25-5 * *|0 0 25-5/3 * *|0 0 L * *
0 0 l 2 *|0 0 L,15 * *|0 0 1,L * 1|0 0 28-L * *|0 0 15W * *|0 0 W15 * *|0 0 1W * *|0 0 31W * *|0 0 15W * 1
0 0 15W * mon#3|0 0 * * mon#1|0 0 * * 5#5|0 0 * * L5|0 0 * * L0|0 0 * * L7|0 0 * * 1#1,3#2|0 0 * * mon-wed#2
0 0 * * 1#1,L5|0 0 1 * mon#1|0 0 29 2 *|0 0 29 2 1|0 0 31 * *|0 0 30,31 * *|0 0 31 4,6 1|0 0 ? * 1|0 0 1 * ?
0 0 * * * 30|0 0 * * * */10|* * * * * *|15 3 * * * 5/20|0 0 1 1 * 0 2024-2030/2|0 0 * * * 0 2030|0 0 29 2 * 0 *
59 23 31 12 *|0 0 1 jan *|0 0 * jan,jul mon|0 12 * * mon,wed,fri|*/7 */5 */3 */2 *|0 0 */5 * */2|1-1 * * * *|mon * * * *
0 0 * jan-jan *|0 0 * * sun-sun|0 0 * * 6/2|0 0 * * 0/2|0 0 * * 7/2|* 0-23 * * *|* */1 * * *|*,5 * * * *|0 *,5 * * *
0 0 1-31/1 * *|0 0 */1 * 1|0 0 */1 * */2|0 0 * */3 *|0 6 30 3 *|10-50/15 9-17 * * 1-5|0 9 1-7 * 1|0 0 13 * 5
@hourly|@daily|@midnight|@weekly|@monthly|@yearly|@annually
60 * * * *|* 24 * * *|* * 0 * *|* * 32 * *|* * * 0 *|* * * 13 *|* * * * 8|* * * * * 60|* * * * * 0 1969|* * * * * 0 2100
* * * *|* * * * * * * *|*/0 * * * *|5-61 * * * *|-5 * * * *|1,,2 * * * *|a * * * *|* * * foo *|* * * * bar|* * jan * *
1-2-3 * * * *|1/2/3 * * * *|*/a * * * *|? * * * *|* * 1,? * *|* * * * mon#0|* * * * mon#6|* * * * mon,fri#1|* * * * 2-4#1
* * * * L|* * * * 5L|* * * * L8|* * LW * *|* * 15W,16 * *|* * 0W * *|* * 32W * *|* * L/2 * *|* * L-5 * *|*/-1 * * * *
@never|@|** * * * *|1.5 * * * *|+1 * * * *|* * * jan#1 *|* * * * *#2|h * * * *|0-5 0-5 0-5 * *|* * 1-32 * *|* * * * 1-8
"""

ZONES = """
America/New_York America/Los_Angeles America/St_Johns America/Havana America/Santiago America/Scoresbysund
Europe/Zurich Europe/London Europe/Dublin Europe/Chisinau Asia/Beirut Asia/Jerusalem Africa/Cairo Africa/Casablanca
Australia/Sydney Australia/Lord_Howe Pacific/Auckland Pacific/Chatham Atlantic/Azores Antarctica/Troll
""".split()
ZONED = ["0 * * * *", "*/30 * * * *", "15 */2 * * *", "0 0 * * *", "30 2 * * *", "*/20 1-3 * * *", "0 0 * * 0", "59 23 * * *"]


def random_expression():
    ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7), (0, 59)]

    def token(low, high):
        a, b, step = RANDOM.randint(low, high), RANDOM.randint(low, high), RANDOM.randint(1, max(2, (high - low) // 3))
        return RANDOM.choice([str(a), str(a), f"{min(a, b)}-{max(a, b)}", f"{a}-{b}", f"*/{step}", f"{a}/{step}"])

    def field(index):
        low, high = ranges[index]
        kind = RANDOM.random()
        if kind < (0.15 if index < 2 else 0.55):
            return "*"
        return ",".join(token(low, high) for _ in range(RANDOM.choice([1, 1, 1, 2, 3])))

    return " ".join(field(index) for index in range(RANDOM.choice([5, 5, 5, 5, 6])))


def naive_seconds(value):
    return int((value - EPOCH).total_seconds())


def deltas(first, values):
    distances, at = [], first
    for value in values:
        distances.append(str(value - at))
        at = value
    return " ".join(distances)


def naive_line(expression, start, count):
    lists = []
    for name in ("get_next", "get_prev"):
        values, cron = [], croniter(expression, start)
        try:
            for _ in range(count):
                values.append(naive_seconds(getattr(cron, name)(dt.datetime)))
        except Exception:  # no further match
            pass
        lists.append(deltas(naive_seconds(start), values))
    return "\t".join(["N", expression, str(naive_seconds(start)), *lists])


def step(expression, zone, current, name):
    """Airflow's CronMixin._get_next and _get_prev."""
    naive = current.in_timezone(zone).naive()
    naive = dt.datetime(*naive.timetuple()[:6])
    cron = croniter(expression, naive)
    scheduled = getattr(cron, name)(dt.datetime)
    if cron.expanded[1] == ["*"]:
        return (current.in_timezone(zone) + (scheduled - naive)).in_timezone("UTC")
    return pendulum.instance(zone.convert(scheduled.replace(fold=1))).in_timezone("UTC")


def transitions(zone):
    at, end = dt.datetime(2020, 1, 1, tzinfo=UTC), dt.datetime(2036, 1, 1, tzinfo=UTC)
    hour = dt.timedelta(hours=1)
    offset = at.astimezone(zone).utcoffset()
    while at < end:
        at += hour
        if (now := at.astimezone(zone).utcoffset()) != offset:
            offset = now
            yield at


def zoned_lines(name):
    zone = pendulum.timezone(name)
    for transition in transitions(zone):
        for expression in ZONED:
            start = pendulum.instance(transition - dt.timedelta(hours=RANDOM.choice([3, 5, 26]), minutes=RANDOM.choice([0, 7])))
            lists = []
            for direction, begin in (("get_next", start), ("get_prev", start.add(hours=30))):
                values, at = [], begin
                for _ in range(8):
                    at = step(expression, zone, at, direction)
                    values.append(int(at.timestamp()))
                lists.append(deltas(int(start.timestamp()), values))
            yield "\t".join(["Z", expression, name, str(int(start.timestamp())), *lists])


def main():
    lines, seen = [], set()
    curated = [expression for row in CURATED.split("\n") for expression in row.split("|") if expression]
    for expression in curated + [random_expression() for _ in range(1400)]:
        if expression in seen:
            continue
        seen.add(expression)
        try:
            croniter(expression)
        except Exception:
            lines.append(f"E\t{expression}")
            continue
        for _ in range(24 if expression in curated else 11):
            start = EPOCH + dt.timedelta(seconds=RANDOM.randint(1577836800, 2082758400))
            if RANDOM.random() < 0.5:
                start = start.replace(second=0)
            if RANDOM.random() < 0.2:
                start = start.replace(hour=0, minute=0)
            lines.append(naive_line(expression, start, 2))
    for zone in ZONES:
        lines += zoned_lines(zone)
    pathlib.Path(__file__).with_name("cron_golden.tsv").write_text("\n".join(lines) + "\n")
    print(len(lines), "lines")


if __name__ == "__main__":
    main()
