"""Runs every command of airflowctl against a server: every_command.py URL PASSWORD.

In one process, because a start takes a second. The commands are walked by reflection, so that one without a call here is named.
"""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile

URL, PASSWORD = sys.argv[1:3]
FOLDER = pathlib.Path(tempfile.mkdtemp(dir=os.environ["HOME"]))
os.environ |= {"AIRFLOW_HOME": str(FOLDER), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}

from airflowctl.__main__ import main  # noqa: E402
from airflowctl.ctl import cli_parser  # noqa: E402
from waiting import until  # noqa: E402

RUN, DAG = "by-command", "everything"
CALLED, FAILED = set(), {}


def run(*arguments):
    """What a command prints; the exit code says whether it worked."""
    sys.argv = ["airflowctl", *map(str, arguments)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main()
    except SystemExit as end:
        return end.code or 0, said.getvalue()
    except Exception as error:
        return 1, f"{said.getvalue()}\n{type(error).__name__}: {error}"
    return 0, said.getvalue()


def command(group, name, *arguments):
    """Runs a command that must work."""
    CALLED.add(f"{group} {name}")
    code, said = run(group, name, *arguments)
    if code != 0:
        FAILED.setdefault(f"{group} {name}", f"{' '.join(map(str, arguments))}: {said.strip()}")
    return said


def refused(text, group, name, *arguments):
    """Runs a command that must end with these words: the server's refusal, or one of TRIPS."""
    CALLED.add(f"{group} {name}")
    _, said = run(group, name, *arguments)
    if text not in " ".join(said.split()):
        FAILED.setdefault(f"{group} {name}", f"was to end with {text!r}: {said.strip()}")


# airflowctl 0.1.5 stumbles over its own feet once the server has answered, whoever that is: it has no `--output` here, …
NO_OUTPUT = "'Namespace' object has no attribute 'output'"
# … reads a dry run's answer as a backfill, …
WRONG_MODEL = "validation errors for BackfillResponse id"
# … makes no table of texts, …
NO_TABLE = "To tabulate non-dictionary data you need to provide"
# … and one of an answer without a body.
NO_BODY = "'NoneType' object has no attribute 'values'"


def rows(group, name, *arguments):
    """The rows of a command that prints a list."""
    said = command(group, name, *arguments, "--output", "json")
    start = said.find("[")
    return json.loads(said[start:]) if start >= 0 else []


def file(name, content):
    path = FOLDER / name
    path.write_text(json.dumps(content))
    return path


def log_in():
    said = command("auth", "token", "--api-url", URL, "--username", "admin", "--password", PASSWORD)
    token = said.strip().splitlines()[-1].strip()
    assert token.count(".") == 2, said
    # Keeps the URL in a file, and the token nowhere: the null keyring forgets. The commands below take it from here.
    command("auth", "login", "--api-url", URL, "--username", "admin", "--password", PASSWORD)
    os.environ["AIRFLOW_CLI_TOKEN"] = token
    command("auth", "list-envs")


def server():
    CALLED.add("version")
    code, said = run("version", "--remote")
    if code or "3.3.2" not in said:
        FAILED["version"] = said
    command("jobs", "list")
    command("plugins", "list")
    command("plugins", "list-import-errors")
    command("providers", "list")
    # `[api] expose_config` is off, as it is by default.
    refused("chose not to expose", "config", "list")
    refused("chose not to expose", "config", "get", "core", "parallelism")
    refused("chose not to expose", "config", "lint")


def dags():
    ids = {row["dag_id"] for row in rows("dags", "list")}
    assert ids == {"everything", "gone", "waits"}, ids
    for name in ("get", "get-details", "get-stats", "list-version", "next-execution", "pause", "unpause"):
        command("dags", name, DAG)
    version = rows("dags", "list-version", DAG)[0]["version_number"]
    command("dags", "get-version", DAG, version)
    refused(NO_TABLE, "dags", "get-tags")
    command("dags", "list-warning")
    command("dags", "update", DAG, "--no-is-paused")
    error = until("a file is broken", lambda: rows("dags", "list-import-errors"))[0]["import_error_id"]
    command("dags", "get-import-error", error)
    command("dags", "trigger", DAG, "--dag-run-id", RUN, "--note", "by airflowctl")
    command("dagrun", "get", DAG, RUN)
    command("dagrun", "list", "--dag-id", DAG, "--limit", 5, "--state", "running")
    command("dags", "delete", "gone")


def xcoms():
    task = (DAG, RUN, "list")
    until("a task pushes an XCom", lambda: rows("xcom", "list", *task))
    command("xcom", "add", *task, "k", '{"a": 1}')
    command("xcom", "get", *task, "k")
    command("xcom", "edit", *task, "k", "2")
    command("xcom", "delete", *task, "k")


def assets():
    asset = next(row["id"] for row in rows("assets", "list") if row["uri"].startswith("file:///made"))
    command("assets", "get", asset)
    command("assets", "list-by-alias")
    refused("was not found", "assets", "get-by-alias", 99)
    queue = lambda: "dag_id" in command("assets", "get-queued-events", asset)  # noqa: E731
    queued = lambda: (command("assets", "create-event", "--asset-id", asset), until("an event is queued", queue))  # noqa: E731
    queued()
    command("assets", "get-dag-queued-events", "waits", "2100-01-01T00:00:00Z")
    command("assets", "get-dag-queued-event", "waits", asset)
    command("assets", "delete-queued-event", "waits", asset)
    queued()
    command("assets", "delete-dag-queued-events", "waits", "2100-01-01T00:00:00Z")
    queued()
    command("assets", "delete-queued-events", asset)
    refused(NO_OUTPUT, "assets", "materialize", asset)


def backfills():
    wanted = ("--dag-id", DAG, "--from-date", "2024-01-01T00:00:00Z", "--to-date", "2024-01-02T00:00:00Z")
    refused(WRONG_MODEL, "backfill", "create-dry-run", *wanted)
    command("backfill", "create", *wanted)
    made = rows("backfill", "list", DAG)[0]["id"]
    command("backfill", "get", made)
    for name in ("pause", "unpause", "cancel"):
        refused(NO_OUTPUT, "backfill", name, made)
    assert rows("backfill", "list", DAG)[0]["completed_at"]


def entities():
    command("connections", "create", "--connection-id", "c", "--conn-type", "http", "--password", "secret")
    command("connections", "get", "c")
    command("connections", "list")
    command("connections", "update", "--connection-id", "c", "--conn-type", "https")
    refused("is disabled", "connections", "test", "--connection-id", "c", "--conn-type", "http")
    command("connections", "import", file("connections.json", {"d": {"conn_type": "http", "host": "example.org"}}))
    refused(NO_BODY, "connections", "create-defaults")
    command("connections", "delete", "c")

    command("pools", "create", "--name", "p", "--slots", 3)
    command("pools", "get", "p")
    command("pools", "list")
    command("pools", "update", "--pool", "p", "--slots", 4, "--include-deferred", "--description", "four")
    pools = [{"name": "q", "slots": 1, "description": "", "include_deferred": False}]
    command("pools", "import", file("pools.json", pools))
    command("pools", "export", FOLDER / "exported.json")
    command("pools", "delete", "p")

    command("variables", "create", "--key", "v", "--value", "1")
    command("variables", "get", "v")
    command("variables", "list")
    command("variables", "update", "--key", "v", "--value", "2")
    command("variables", "import", file("variables.json", {"w": "3"}))
    command("variables", "delete", "v")


for part in (log_in, server, dags, xcoms, assets, backfills, entities):
    part()

groups = cli_parser.ALL_COMMANDS_DICT.values()
known = {f"{group.name} {sub.name}" for group in groups for sub in getattr(group, "subcommands", ())}
known |= {single.name for single in groups if not hasattr(single, "subcommands")}
complaints = [
    *(f"this script does not run {name}" for name in sorted(known - CALLED)),
    *(f"{name} {said}" for name, said in FAILED.items()),
]
if complaints:
    raise SystemExit("\n".join(complaints))
print(f"{len(known)} commands work")
