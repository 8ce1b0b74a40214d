"""Runs one Python task of an Updraft node: `python -c 'import updraft_shim; updraft_shim.main()' JOB.json RESULT.json`, imported so
that its compiled form is kept.

CPython 3.9 or newer, standard library only, and of that little before it is needed: most tasks are short. The job names a callable (import path, file and name, or code) and its arguments;
the result file says how it ended. What the task asks for while it runs (XComs, variables, connections) goes through a socket
of the node, which alone can ask the server. Everything else is the task's own output.
"""

import importlib
import importlib.machinery
import json
import os
import sys
import time
import types
from datetime import date, datetime, timedelta, timezone

_MISSING = object()
_job = {}
_pushed = {}
_context = {}
_offered = set()


# --- What the node is asked for ---------------------------------------------------------------------------------------------


def _ask(refs):
    """The values of references, in order; None where there is nothing. The node may be restarting: it is waited for."""
    if not _job.get("socket"):
        raise RuntimeError("this task has no connection to its node; pass the value in as a template instead")
    question = json.dumps({"refs": refs}).encode() + b"\n"
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = _exchange(question)
            break
        except (ConnectionError, FileNotFoundError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["values"]


def _exchange(question):
    import socket

    folder, name = os.path.split(_job["socket"])
    handle = os.open(folder, os.O_RDONLY)  # a path of any length fits into a socket's address this way
    try:
        with socket.socket(socket.AF_UNIX) as node:
            node.connect(f"/proc/self/fd/{handle}/{name}")
            node.sendall(question)
            with node.makefile("rb") as answer:
                line = answer.readline()
    finally:
        os.close(handle)
    if not line:
        raise ConnectionResetError("the node closed the connection")
    return json.loads(line)


class Variable:
    """`airflow.models.Variable` and `airflow.sdk.Variable`, for reading."""

    @classmethod
    def get(cls, key, default=_MISSING, deserialize_json=False, default_var=_MISSING):
        default = default_var if default is _MISSING else default
        value = _ask([{"kind": "variable", "key": key}])[0]
        if value is None:
            if default is _MISSING:
                raise KeyError(f"Variable {key} does not exist")
            return default
        text = value if isinstance(value, str) else json.dumps(value)
        return json.loads(text) if deserialize_json else text

    @classmethod
    def set(cls, *_args, **_kwargs):
        raise NotImplementedError("a task cannot write variables on an Updraft node; use the REST API")

    update = delete = set


class Connection:
    """`airflow.models.Connection`, `airflow.sdk.Connection`: what the server knows under a conn_id."""

    def __init__(self, conn_id, conn_type=None, description=None, host=None, login=None, password=None, schema=None,
                 port=None, extra=None):
        self.conn_id, self.conn_type, self.description = conn_id, conn_type, description
        self.host, self.login, self.password, self.schema, self.port = host, login, password, schema, port
        self.extra = extra if extra is None or isinstance(extra, str) else json.dumps(extra)

    @classmethod
    def get(cls, conn_id):
        known = _ask([{"kind": "connection", "conn_id": conn_id}])[0]
        if known is None:
            raise _exceptions["AirflowNotFoundException"](f"The conn_id `{conn_id}` isn't defined")
        names = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")
        return cls(conn_id, **{name: known.get(name) for name in names})

    @property
    def extra_dejson(self):
        try:
            extra = json.loads(self.extra or "{}")
        except ValueError:
            return {}
        return extra if isinstance(extra, dict) else {}

    def get_uri(self):
        import urllib.parse

        quote = lambda text: urllib.parse.quote(str(text), safe="")
        uri = f"{(self.conn_type or '').lower().replace('_', '-')}://"
        if self.login is not None or self.password is not None:
            uri += quote(self.login or "") + (f":{quote(self.password)}" if self.password is not None else "") + "@"
        uri += quote(self.host or "") + (f":{self.port}" if self.port else "")
        uri += f"/{quote(self.schema)}" if self.schema else ""
        if self.extra_dejson:
            uri += ("" if self.schema else "/") + "?" + urllib.parse.urlencode({"__extra__": self.extra})
        return uri

    def __repr__(self):
        return f"Connection(conn_id={self.conn_id!r}, conn_type={self.conn_type!r}, host={self.host!r})"


class BaseHook:
    """The part of `airflow.hooks.base.BaseHook` that needs no provider."""

    @classmethod
    def get_connection(cls, conn_id):
        return Connection.get(conn_id)


class PokeReturnValue:
    """`airflow.sensors.base.PokeReturnValue`."""

    def __init__(self, is_done, xcom_value=None):
        self.is_done, self.xcom_value = is_done, xcom_value

    def __bool__(self):
        return bool(self.is_done)


def get_current_context():
    return _context


# --- The context ------------------------------------------------------------------------------------------------------------


class _Names(types.SimpleNamespace):
    """What templates call `dag_run`, `dag`, `task`: attributes by name, as far as a node knows them."""

    def __getattr__(self, name):
        raise AttributeError(f"{name!r} is not available to tasks on an Updraft node")


class _TaskInstance(_Names):
    def xcom_push(self, key, value):
        if _job["callback"]:
            raise RuntimeError("a callback cannot push XComs: what it tells of is over")
        _pushed[key] = json.loads(_dumps(value, f"the XCom {key!r}"))

    def xcom_pull(self, task_ids=None, dag_id=None, key="return_value", include_prior_dates=False, session=None, *,
                  map_indexes=_MISSING, default=None, run_id=None):
        dag_id = None if dag_id == self.dag_id else dag_id
        run_id = None if dag_id is None and run_id == self.run_id else run_id
        elsewhere = {"kind": "xcom_of", "dag_id": dag_id, "run_id": run_id, "include_prior_dates": bool(include_prior_dates)}
        elsewhere = elsewhere if dag_id or run_id or include_prior_dates else None
        single = task_ids is None or isinstance(task_ids, str)
        tasks = [self.task_id if task_ids is None else task_ids] if single else list(task_ids)
        if map_indexes is _MISSING or map_indexes is None:
            # What all instances of all tasks pushed, one after the other; one value by itself only when one task was named.
            values = []
            for found in self._pull([(task, None) for task in tasks], key, elsewhere):
                values.extend(found or [default])
            return values[0] if single and len(values) == 1 else values
        single = single and isinstance(map_indexes, int)
        indexes = [map_indexes] if isinstance(map_indexes, int) else list(map_indexes)
        pulled = self._pull([(task, index) for task in tasks for index in indexes], key, elsewhere)
        values = [default if not found or found[0] is None else found[0] for found in pulled]
        return values[0] if single else values

    def _pull(self, wanted, key, elsewhere):
        """A list of values for each that is wanted, or nothing."""
        def own(task, index):
            return not elsewhere and task == self.task_id and index in (None, self.map_index) and key in _pushed

        def ref(task, index):
            if elsewhere:
                return {**elsewhere, "task_id": task, "key": key, "map_index": index}
            part = {"part": "all"} if index is None else {}
            return {"kind": "xcom", "task_id": task, "key": key, "map_index": index, **part}

        refs = [ref(task, index) for task, index in wanted if not own(task, index)]
        asked = iter(_ask(refs) if refs else [])
        pulled = []
        for task, index in wanted:
            value = [_pushed[key]] if own(task, index) else next(asked)
            is_one = index is not None and not elsewhere and not own(task, index)
            pulled.append([value] if is_one and value is not None else value)
        return pulled


class _Lookup:
    """`var.value`, `var.json`, `conn`: attributes that are asked for when they are used."""

    def __init__(self, find):
        self._find = find

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._find(name)

    def get(self, name, default_var=None):
        try:
            return self._find(name)
        except (KeyError, _exceptions["AirflowNotFoundException"]):
            return default_var


class _OutletEvents(dict):
    """`outlet_events[asset]`: extra data and aliases' assets for the events of this task."""

    def __missing__(self, asset):
        self[asset] = event = types.SimpleNamespace(extra={}, asset_events=[])
        event.add = lambda asset, extra=None: event.asset_events.append((asset, extra))
        return event

    def report(self):
        events = []
        for key, event in self.items():
            if event.extra:
                events.append({**_asset(key), "extra": event.extra})
            for asset, extra in event.asset_events:
                events.append({"alias": _asset(key).get("name"), **_asset(asset), "extra": extra or {}})
        return json.loads(_dumps(events, "outlet_events")) if events else None


def _asset(key):
    """A name or URI, or an asset by its attributes."""
    if isinstance(key, str):
        return {"uri": key} if "://" in key else {"name": key}
    known = {name: getattr(key, name, None) for name in ("name", "uri")}
    return {name: value for name, value in known.items() if value is not None}


def _plain(value):
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
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
    return None if text is None else datetime.fromisoformat(_micros(text.replace("Z", "+00:00"))).astimezone(timezone.utc)


def _micros(text):
    """Python before 3.11 reads fractions of exactly three or six digits."""
    head, dot, tail = text.partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return head + dot + (tail[:digits] + "000000")[:6] + tail[digits:] if dot else text


def _ds_add(ds, days):
    return (datetime.strptime(str(ds), "%Y-%m-%d") + timedelta(days=days)).strftime("%Y-%m-%d")


def _ds_format(ds, input_format, output_format):
    return datetime.strptime(str(ds), input_format).strftime(output_format)


class _Macros:
    """`macros` of the context."""

    datetime, timedelta, time, json = datetime, timedelta, time, json
    ds_add, ds_format = staticmethod(_ds_add), staticmethod(_ds_format)

    @property
    def uuid(self):
        return importlib.import_module("uuid")

    @property
    def random(self):
        return importlib.import_module("random").random


def _make_context(job):
    run = dict(job["run"])
    for name in ("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date", "queued_at"):
        run[name] = _time(run.get(name))
    dag = _Names(dag_id=run["dag_id"], dag_display_name=run.get("dag_display_name") or run["dag_id"],
                 owner=run["dag_owner"], tags=run["dag_tags"], description=run["dag_description"])
    task = _Names(task_id=job["task_id"], owner=job["owner"], dag=dag)
    own = ("dag_owner", "dag_tags", "dag_description", "user_defined_macros", "template_searchpath", "previous_success",
           "now", "dag_display_name")
    dag_run = _Names(**{name: run[name] for name in run if name not in own})
    instance = _TaskInstance(
        task_id=job["task_id"], dag_id=run["dag_id"], run_id=run["run_id"], try_number=job["try_number"],
        max_tries=job["max_tries"], map_index=job["map_index"], task=task, dag_run=dag_run,
    )
    var = _Names(value=_Lookup(Variable.get), json=_Lookup(lambda key: Variable.get(key, deserialize_json=True)))
    context = dict(
        dag=dag, task=task, ti=instance, task_instance=instance, run_id=run["run_id"], params=run["params"],
        dag_run=dag_run, templates_dict=job["templates_dict"], map_index=job["map_index"], var=var,
        conn=_Lookup(Connection.get), macros=_Macros(), outlet_events=_OutletEvents(),
        triggering_asset_events=run.get("triggering_asset_events") or {}, **job["names"],
    )
    if job["callback"]:
        _tell(context, job["callback"])
    moment = run["logical_date"]
    if moment is not None:  # Airflow 3: absent, not None, without a logical date
        context.update(
            logical_date=moment, data_interval_start=run["data_interval_start"], data_interval_end=run["data_interval_end"],
            ds=moment.strftime("%Y-%m-%d"), ds_nodash=moment.strftime("%Y%m%d"), ts=moment.isoformat(),
            ts_nodash=moment.strftime("%Y%m%dT%H%M%S"), ts_nodash_with_tz=moment.strftime("%Y%m%dT%H%M%S%z"),
        )
    return context


def _tell(context, told):
    """What a callback tells of, as it was at the change. A run in which no instance ended has none in its context."""
    dag_run, instance = vars(context["dag_run"]), told.get("ti")
    dag_run.update(state=told["run"]["state"])
    dag_run.update({name: _time(told["run"][name]) for name in ("start_date", "end_date")})
    if instance is None:
        for name in ("ti", "task_instance", "task"):
            del context[name]
    else:
        start, end = _time(instance["start_date"]), _time(instance["end_date"])
        vars(context["ti"]).update(
            id=instance["attempt_id"], state=instance["state"], start_date=start, end_date=end,
            duration=(end - start).total_seconds() if start and end else None, hostname=instance["hostname"],
            exit_code=instance["exit_code"], log_url=told.get("log_url"),
        )
    context.update(event=told["cause"], reason=told["reason"], notification_key=told["key"])
    if told["reason"] is not None:
        context["exception"] = AirflowException(told["reason"])
    if told.get("deadline"):
        context["deadline"] = _time(told["deadline"])


# --- Names of Airflow, where Airflow is not installed ---------------------------------------------------------------------------


class AirflowException(Exception):
    pass


class AirflowRescheduleException(AirflowException):
    def __init__(self, reschedule_date):
        super().__init__(f"again at {reschedule_date}")
        self.reschedule_date = reschedule_date


_exceptions = {"AirflowException": AirflowException, "AirflowRescheduleException": AirflowRescheduleException}
for _name in ("AirflowSkipException", "AirflowFailException", "AirflowSensorTimeout", "AirflowTaskTimeout",
              "AirflowNotFoundException"):
    _exceptions[_name] = type(_name, (AirflowException,), {})


class _Airflow:
    """Functions written for Airflow import these; where no Airflow is found they get ours, which mean the same here."""

    def __init__(self):
        sdk = {"Variable": Variable, "Connection": Connection, "BaseHook": BaseHook, "Context": dict,
               "get_current_context": get_current_context, "PokeReturnValue": PokeReturnValue}
        bare = ("airflow", "airflow.sdk.bases", "airflow.hooks", "airflow.sensors", "airflow.operators")
        ours = ("airflow.sdk", "airflow.sdk.bases.hook", "airflow.sdk.bases.sensor", "airflow.models", "airflow.models.variable",
                "airflow.models.connection", "airflow.hooks.base", "airflow.sensors.base", "airflow.operators.python")
        self._modules = {**{path: {} for path in bare}, **{path: sdk for path in ours},
                         "airflow.exceptions": _exceptions, "airflow.sdk.exceptions": _exceptions}

    def find_spec(self, path, _folders=None, _target=None):
        if path in self._modules:
            return importlib.machinery.ModuleSpec(path, self, is_package=True)
        return None

    def create_module(self, _spec):
        return None

    def exec_module(self, module):
        vars(module).update(self._modules[module.__name__])


# --- The call -------------------------------------------------------------------------------------------------------------------


def _what():
    return "callback" if _job["kind"] == "callback" else "python_callable"


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
                raise ImportError(f"{_what()} {path!r}: {name!r} has no {part!r}")
            found = getattr(found, part)
        return found
    if len(parts) == 1:
        raise ImportError(f"{_what()} {path!r} is not an import path such as package.module.function")
    raise ImportError(f"{_what()} {path!r}: no module {parts[0]!r} (looked in {', '.join(p for p in sys.path if p)})")


def _by_file(path, name, folders):
    import importlib.util

    places = [path] if os.path.isabs(path) else [os.path.join(folder, path) for folder in folders]
    for place in places:
        if os.path.isfile(place):
            spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(place))[0], place)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            if not hasattr(module, name):
                raise ImportError(f"{_what()}_file {place!r} has no {name!r}")
            return getattr(module, name)
    raise FileNotFoundError(f"{_what()}_file {path!r} does not exist (looked at {', '.join(places)})")


def _signature(function):
    """What a function takes: the names of its positional parameters, how many of them have no name to callers, the names of the
    others, and whether any name will do."""
    if type(function) is types.FunctionType and not {"__wrapped__", "__signature__"} & vars(function).keys():
        code = function.__code__
        count = code.co_argcount
        others = code.co_varnames[count : count + code.co_kwonlyargcount]
        return code.co_varnames[:count], code.co_posonlyargcount, others, bool(code.co_flags & 0x08)
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built-in functions may have no signature
        parameters = []
    kinds = inspect.Parameter
    names = {kind: [] for kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD, kinds.VAR_POSITIONAL,
                                   kinds.KEYWORD_ONLY, kinds.VAR_KEYWORD)}
    for parameter in parameters:
        names[parameter.kind].append(parameter.name)
    only = names[kinds.POSITIONAL_ONLY]
    return only + names[kinds.POSITIONAL_OR_KEYWORD], len(only), names[kinds.KEYWORD_ONLY], bool(names[kinds.VAR_KEYWORD])


def _call(function, args, kwargs, context):
    """Gives a function the context names its signature asks for, as Airflow does; op_kwargs win."""
    positional, only, others, takes_any = _signature(function)
    wanted = context if takes_any else (*positional[max(only, len(args)) :], *others)
    known = {name: context[name] for name in wanted if name in context and name not in positional[: len(args)]}
    return _awaited(function(*args, **{**known, **kwargs}))


def _awaited(value):
    if isinstance(value, types.CoroutineType):
        import asyncio

        return asyncio.run(value)
    return value


def _call_back(function, kwargs, context):
    """As Airflow and dag-factory do: a function gets the context and its arguments, a notifier is made of them first."""
    if isinstance(function, type):
        function, kwargs = function(**kwargs), {}
    _awaited(function(context, **kwargs))


def _code(text, kwargs, context):
    import linecache

    name = "<python_callable>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    names = {"__name__": "__main__", "__builtins__": __builtins__, **context, **kwargs}
    exec(compile(text, name, "exec"), names)
    return names.get("result")


def _run():
    bundle = _job["bundle"]
    folders = []
    if bundle:
        sys.path.insert(0, bundle)
        folders = [os.path.join(bundle, os.path.dirname(_job["relative_fileloc"])), bundle]
    sys.meta_path.append(_Airflow())  # the last to be asked
    _context.update(_make_context(_job))
    _offered.update(_context)
    args, kwargs = _job["op_args"], _job["op_kwargs"]
    if _job["python_callable_file"]:
        function = _by_file(_job["python_callable_file"], _job["python_callable_name"], folders)
    elif "\n" in _job["python_callable"]:
        return _code(_job["python_callable"], kwargs, _context)
    else:
        function = _by_path(_job["python_callable"])
    if _job["kind"] == "callback":
        return _call_back(function, kwargs, _context)
    return _call(function, args, kwargs, _context)


def _success(value):
    result = {"state": "success", "truthy": bool(value)}
    if _job["kind"] == "sensor":  # only what it says about being done matters, and what it hands on
        value = getattr(value, "xcom_value", None)
    result["value"] = json.loads(_dumps(value, "the return value"))
    return result


def _failure(error):
    import traceback

    names = {kind.__name__ for kind in type(error).__mro__}
    reason = "".join(traceback.format_exception_only(type(error), error)).strip()
    if _job["kind"] == "callback":
        print(_describe(error), end="", file=sys.stderr)
        return {"state": "failed", "reason": reason.splitlines()[-1]}
    if "AirflowSkipException" in names:
        print(f"Skipped: {error}", flush=True)
        return {"state": "skipped", "reason": reason}
    if "AirflowRescheduleException" in names:
        print(f"To be tried again: {error}", flush=True)
        return {"state": "rescheduled", "reason": reason}
    print(_describe(error), end="", file=sys.stderr)
    final, delay = bool(names & {"AirflowFailException", "AirflowSensorTimeout"}), _seconds(error)
    policy = _job.get("retry_policy")
    if policy and not final:
        rule = next((rule for rule in policy["rules"] if _fits(error, rule)), {"action": policy["default"]})
        if rule["action"] != "default":
            why = f": {rule['reason']}" if rule.get("reason") else ""
            print(f"The retry policy says: {rule['action']}{why}", file=sys.stderr)
        final = rule["action"] == "fail"
        if rule["action"] == "retry" and rule.get("retry_delay") is not None:
            delay = rule["retry_delay"]
    return {"state": "failed", "reason": reason, "no_retry": final, "retry_delay": delay}


def _fits(error, rule):
    """Whether a rule of the retry policy is about this exception."""
    kinds = type(error).__mro__ if rule["match_subclasses"] else [type(error)]
    for path in rule["exceptions"]:
        module, _, name = path.rpartition(".")
        try:
            named = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            named = None  # a class in a class, or one that is not here: its own name decides
        if any(kind is named or f"{kind.__module__}.{kind.__qualname__}" == path for kind in kinds):
            return True
    return False


def _seconds(error):
    """An exception may say how long to wait before the next try: `error.retry_delay`, a timedelta or seconds."""
    delay = getattr(error, "retry_delay", None)
    delay = delay.total_seconds() if isinstance(delay, timedelta) else delay
    return float(delay) if isinstance(delay, (int, float)) and not isinstance(delay, bool) and delay >= 0 else None


def _describe(error):
    """The traceback without the frames that are not the task's."""
    import traceback

    own = os.path.abspath(__file__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if os.path.abspath(frame.filename) != own
              and not frame.filename.startswith("<frozen importlib")]
    lines = ["Traceback (most recent call last):\n"] if frames else []
    return "".join(lines + traceback.format_list(frames) + traceback.format_exception_only(type(error), error))


def _added():
    """Plain values that the task added to its context: `map_index_template` may name them."""
    return {name: value for name, value in _context.items()
            if name not in _offered and isinstance(value, (str, int, float, bool))}


def main():
    job_path, result_path = sys.argv[1:3]
    with open(job_path, encoding="utf-8") as file:
        _job.update(json.load(file))
    sys.argv = [_job["task_id"]]
    sys.path[:] = [path for path in sys.path if path not in ("", os.path.dirname(os.path.abspath(__file__)))]
    try:
        result = _success(_run())
    except BaseException as error:  # SystemExit and KeyboardInterrupt end the task too, and must be told
        result = _failure(error)
    result["xcoms"], result["added"] = _pushed, _added()
    try:
        events = _context.get("outlet_events")
        result["outlet_events"] = events.report() if isinstance(events, _OutletEvents) else None
    except TypeError as error:
        result = _failure(error)
    with open(result_path + ".part", "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(result_path + ".part", result_path)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads the task left behind must not keep it running.
    os._exit(1 if result["state"] == "failed" else 0)
