"""Runs one Python task of an Updraft node: `python shim.py JOB.json RESULT.json`.

CPython 3.9 or newer, standard library only. The job names a callable (import path, file and name, or code) and its arguments;
the result file says how it ended. Everything else is the task's own output.
"""

import importlib
import importlib.util
import inspect
import json
import linecache
import os
import sys
import traceback
import types
from datetime import date, datetime, timezone


class _Names(types.SimpleNamespace):
    """What templates call `dag_run`, `dag`, `task`: attributes by name, as far as a node knows them."""

    def __getattr__(self, name):
        raise AttributeError(f"{name!r} is not available to tasks on an Updraft node")


class _TaskInstance(_Names):
    def xcom_push(self, key, value):
        _pushed[key] = json.loads(_dumps(value, f"the XCom {key!r}"))

    def xcom_pull(self, *args, **kwargs):
        raise NotImplementedError(
            "xcom_pull cannot be called from the function; pass the value in instead: "
            "op_kwargs: {value: \"{{ ti.xcom_pull(task_ids='upstream') }}\"}"
        )


_pushed = {}


def _plain(value):
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, bytes):
        return value.decode()
    for name in ("tolist", "item", "_asdict"):  # numpy, named tuples
        if callable(getattr(value, name, None)):
            return getattr(value, name)()
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    raise TypeError(f"a value of type {type(value).__name__} cannot be an XCom: return JSON (text, numbers, lists, mappings)")


def _dumps(value, what):
    try:
        return json.dumps(value, default=_plain, allow_nan=False)
    except ValueError as error:
        raise TypeError(f"{what} cannot be an XCom: {error}") from None


def _time(text):
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _context(job):
    context = {}
    run = dict(job["run"])
    for name in ("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date"):
        run[name] = _time(run.get(name))
    dag = _Names(dag_id=run["dag_id"], owner=run["dag_owner"], tags=run["dag_tags"], description=run["dag_description"])
    task = _Names(task_id=job["task_id"], owner=job["owner"], dag=dag)
    instance = _TaskInstance(
        task_id=job["task_id"], dag_id=run["dag_id"], run_id=run["run_id"], try_number=job["try_number"],
        max_tries=job["max_tries"], map_index=job["map_index"], task=task,
    )
    context.update(
        dag=dag, task=task, ti=instance, task_instance=instance, run_id=run["run_id"], params=run["params"],
        dag_run=_Names(**{name: run[name] for name in run if not name.startswith("dag_") or name == "dag_id"}),
        templates_dict=job["templates_dict"], map_index=job["map_index"],
    )
    context["dag_run"].logical_date = run["logical_date"]
    moment = run["logical_date"]
    if moment is not None:  # Airflow 3: absent, not None, without a logical date
        context.update(
            logical_date=moment, data_interval_start=run["data_interval_start"], data_interval_end=run["data_interval_end"],
            ds=moment.strftime("%Y-%m-%d"), ds_nodash=moment.strftime("%Y%m%d"), ts=moment.isoformat(),
            ts_nodash=moment.strftime("%Y%m%dT%H%M%S"), ts_nodash_with_tz=moment.strftime("%Y%m%dT%H%M%S%z"),
        )
    return context


def _offer_exceptions():
    """Functions written for Airflow import its exceptions; without Airflow they get these, which mean the same here."""
    if importlib.util.find_spec("airflow") is not None:
        return
    base = type("AirflowException", (Exception,), {})
    names = {"AirflowException": base}
    for name in ("AirflowSkipException", "AirflowFailException"):
        names[name] = type(name, (base,), {})
    for path in ("airflow", "airflow.sdk", "airflow.sdk.exceptions", "airflow.exceptions"):
        module = sys.modules[path] = types.ModuleType(path)
        module.__path__ = []
        if path.endswith("exceptions"):
            vars(module).update(names)


def _by_path(path):
    """The longest importable prefix is the module; the rest are attributes."""
    parts = path.replace(":", ".").split(".")
    for end in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:end])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
                raise
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                raise ImportError(f"python_callable {path!r}: {name!r} has no {part!r}")
            found = getattr(found, part)
        return found
    if len(parts) == 1:
        raise ImportError(f"python_callable {path!r} is not an import path such as package.module.function")
    raise ImportError(f"python_callable {path!r}: no module {parts[0]!r} (looked in {', '.join(p for p in sys.path if p)})")


def _by_file(path, name, folders):
    places = [path] if os.path.isabs(path) else [os.path.join(folder, path) for folder in folders]
    for place in places:
        if os.path.isfile(place):
            spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(place))[0], place)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            if not hasattr(module, name):
                raise ImportError(f"python_callable_file {place!r} has no {name!r}")
            return getattr(module, name)
    raise FileNotFoundError(f"python_callable_file {path!r} does not exist (looked at {', '.join(places)})")


def _call(function, args, kwargs, context):
    """Gives a function the context names its signature asks for, as Airflow does; op_kwargs win."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # built-in functions may have no signature
        parameters = []
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        known = dict(context)
    else:
        named = parameters[len(args):]
        known = {p.name: context[p.name] for p in named if p.kind is not p.POSITIONAL_ONLY and p.name in context}
    taken = {parameter.name for parameter in parameters[: len(args)]}
    known = {name: value for name, value in known.items() if name not in taken}
    value = function(*args, **{**known, **kwargs})
    if inspect.iscoroutine(value):
        import asyncio

        value = asyncio.run(value)
    return value


def _code(text, kwargs, context):
    name = "<python_callable>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    names = {"__name__": "__main__", "__builtins__": __builtins__, **context, **kwargs}
    exec(compile(text, name, "exec"), names)
    return names.get("result")


def _run(job):
    bundle = job["bundle"]
    folders = []
    if bundle:
        sys.path.insert(0, bundle)
        folders = [os.path.join(bundle, os.path.dirname(job["relative_fileloc"])), bundle]
    _offer_exceptions()
    context = _context(job)
    args, kwargs = job["op_args"], job["op_kwargs"]
    if job["python_callable_file"]:
        function = _by_file(job["python_callable_file"], job["python_callable_name"], folders)
    elif "\n" in job["python_callable"]:
        return _code(job["python_callable"], kwargs, context)
    else:
        function = _by_path(job["python_callable"])
    return _call(function, args, kwargs, context)


def _describe(error):
    """The traceback without this file's own frames."""
    own = os.path.abspath(__file__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if os.path.abspath(frame.filename) != own
              and not frame.filename.startswith("<frozen importlib")]
    lines = ["Traceback (most recent call last):\n"] if frames else []
    return "".join(lines + traceback.format_list(frames) + traceback.format_exception_only(type(error), error))


def main():
    job_path, result_path = sys.argv[1:3]
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    sys.argv = [job["task_id"]]
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    result = {"state": "success"}
    try:
        result["value"] = json.loads(_dumps(_run(job), "the return value"))
    except BaseException as error:  # SystemExit and KeyboardInterrupt end the task too, and must be told
        names = {kind.__name__ for kind in type(error).__mro__}
        reason = "".join(traceback.format_exception_only(type(error), error)).strip()
        if "AirflowSkipException" in names:
            print(f"Skipped: {error}", flush=True)
            result = {"state": "skipped", "reason": reason}
        else:
            print(_describe(error), end="", file=sys.stderr)
            result = {"state": "failed", "reason": reason, "no_retry": "AirflowFailException" in names}
    result["xcoms"] = _pushed
    with open(result_path + ".part", "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(result_path + ".part", result_path)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads the task left behind must not keep it running.
    os._exit(0 if result["state"] != "failed" else 1)


if __name__ == "__main__":
    main()
