"""Calls every operation of Airflow's Python client against a server: every_operation.py URL PASSWORD.

The client's API classes are walked by reflection, so that an operation without a call here, or without a place in the server's
document, is named.
"""

import importlib
import inspect
import json
import pkgutil
import sys
import urllib.request

import airflow_client.client as client
from airflow_client.client import api
from airflow_client.client.exceptions import ApiException

from waiting import until

URL, PASSWORD = sys.argv[1:3]
RUN, DAG = "by-client", "everything"


def token():
    body = json.dumps({"username": "admin", "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{URL}/auth/token", body, {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request))["access_token"]


def served():
    """Operation ids of the server's own document, below /api/v2."""
    paths = json.load(urllib.request.urlopen(f"{URL}/openapi.json"))["paths"]
    items = (item for path, item in paths.items() if path.startswith("/api/v2"))
    return {operation["operationId"] for item in items for operation in item.values()}


def operations(session):
    """Every operation of the client by its id."""
    found = {}
    for module in pkgutil.iter_modules(api.__path__):
        module = importlib.import_module(f"{api.__name__}.{module.name}")
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if not name.endswith("Api") or kind.__module__ != module.__name__:
                continue
            for method, _ in inspect.getmembers(kind, inspect.isfunction):
                if not method.startswith("_") and not method.endswith(("_with_http_info", "_without_preload_content")):
                    found[method] = getattr(kind(session), method)
    return found


session = client.ApiClient(client.Configuration(host=URL, access_token=token()))
ALL, SERVED, CALLED = operations(session), served(), set()


def call(operation, **arguments):
    """The answer."""
    CALLED.add(operation)
    try:
        return ALL[operation](**arguments)
    except Exception as error:
        raise SystemExit(f"{operation}({arguments}): {type(error).__name__}: {error}") from error


def raw(operation, **arguments):
    """The text of an answer that the client has no type for."""
    CALLED.add(operation)
    method = getattr(ALL[operation].__self__, f"{operation}_without_preload_content")
    answer = method(**arguments)
    assert answer.status == 200, f"{operation}: {answer.status}"
    return answer.read().decode()


def refused(status, operation, **arguments):
    """Calls what must be refused."""
    CALLED.add(operation)
    try:
        answer = ALL[operation](**arguments)
    except ApiException as error:
        assert error.status == status, f"{operation}: {error}"
        assert "detail" in json.loads(error.body), f"{operation}: {error.body}"
    else:
        raise SystemExit(f"{operation}({arguments}) was to be refused with {status}: {answer}")


def body(kind, **fields):
    return getattr(client, kind).from_dict(fields)


def of(**more):
    return {"dag_id": DAG, "dag_run_id": RUN, **more}


def monitor():
    assert call("get_version").version == "3.3.2"
    assert call("get_health").metadatabase.status == "healthy"
    assert call("get_jobs").total_entries > 0
    call("get_plugins")
    call("import_errors")
    call("get_providers")
    call("list_dag_warnings")
    refused(403, "get_config")
    refused(403, "get_config_value", section="core", option="parallelism")


def dags():
    assert {dag.dag_id for dag in call("get_dags").dags} == {"everything", "gone", "waits"}
    dag = call("get_dag", dag_id=DAG)
    assert call("get_dag_details", dag_id=DAG).catchup is False
    assert call("get_dag_tags").tags == ["clients"]
    assert call("get_tasks", dag_id=DAG).total_entries == 5
    assert call("get_task", dag_id=DAG, task_id="list").operator_name
    version = call("get_dag_versions", dag_id=DAG).dag_versions[0].version_number
    assert call("get_dag_version", dag_id=DAG, version_number=version).dag_id == DAG
    assert "tasks" in call("get_dag_source", dag_id=DAG).content
    assert call("get_dag_stats").total_entries == 3
    error = until("a file is broken", lambda: call("get_import_errors").import_errors)[0]
    assert call("get_import_error", import_error_id=error.import_error_id).filename.endswith("broken.yaml")
    call("reparse_dag_file", file_token=dag.file_token)
    assert call("patch_dag", dag_id=DAG, dag_patch_body=body("DAGPatchBody", is_paused=False)).is_paused is False
    call("patch_dags", dag_patch_body=body("DAGPatchBody", is_paused=False), dag_id_pattern="every")
    call("favorite_dag", dag_id=DAG)
    call("unfavorite_dag", dag_id=DAG)


def run():
    trigger = body("TriggerDAGRunPostBody", dag_run_id=RUN, logical_date=None, conf={"rows": 2}, note="a note")
    assert call("trigger_dag_run", dag_id=DAG, trigger_dag_run_post_body=trigger).dag_run_id == RUN
    asks = lambda: call("get_hitl_details", **of()).hitl_details  # noqa: E731
    assert until("a question is asked", asks)[0].subject == "Go on?"
    question = of(task_id="ask", map_index=-1)
    assert call("get_hitl_detail", **question).response_received is False
    answer = body("UpdateHITLDetailPayload", chosen_options=["Approve"])
    assert call("update_hitl_detail", **question, update_hitl_detail_payload=answer).chosen_options == ["Approve"]
    # It answers once the run has ended.
    assert '"success"' in raw("wait_dag_run_until_finished", **of(interval=1)).splitlines()[-1]
    assert call("get_dag_run", **of()).state == "success"
    assert call("get_hitl_detail_try_detail", **question, try_number=1).response_received is True
    assert call("get_dag_runs", dag_id="~").total_entries >= 1
    batch = body("DAGRunsBatchBody", dag_ids=[DAG])
    assert call("get_list_dag_runs_batch", dag_id="~", dag_runs_batch_body=batch).total_entries >= 1
    assert call("get_upstream_asset_events", **of()).total_entries == 0
    patch = body("DAGRunPatchBody", note="another")
    assert call("patch_dag_run", **of(), dag_run_patch_body=patch).note == "another"


def instances():
    assert call("get_task_instances", **of()).total_entries == 6
    batch = body("TaskInstancesBatchBody", dag_ids=[DAG])
    batch = call("get_task_instances_batch", dag_id="~", dag_run_id="~", task_instances_batch_body=batch)
    assert batch.total_entries >= 6
    task = of(task_id="list")
    assert call("get_task_instance", **task).state == "success"
    mapped = of(task_id="each", map_index=1)
    assert call("get_mapped_task_instances", **of(task_id="each")).total_entries == 2
    assert call("get_mapped_task_instance", **mapped).map_index == 1
    call("get_task_instance_dependencies", **task)
    call("get_task_instance_dependencies_by_map_index", **mapped)
    assert call("get_task_instance_tries", **task).total_entries == 1
    assert call("get_mapped_task_instance_tries", **mapped).total_entries == 1
    assert call("get_task_instance_try_details", **task, task_try_number=1).state == "success"
    assert call("get_mapped_task_instance_try_details", **mapped, task_try_number=1).map_index == 1
    assert call("get_log", **task, try_number=1, accept="application/json").content
    call("get_extra_links", **task)
    refused(400, "get_external_log_url", **task, try_number=1)
    note = body("PatchTaskInstanceBody", note="seen")
    assert call("patch_task_instance", **task, patch_task_instance_body=note).task_instances[0].note == "seen"
    call("patch_task_instance_by_map_index", **mapped, patch_task_instance_body=note)
    failed = body("PatchTaskInstanceBody", new_state="failed")
    assert call("patch_task_instance_dry_run", **task, patch_task_instance_body=failed).total_entries == 1
    call("patch_task_instance_dry_run_by_map_index", **mapped, patch_task_instance_body=failed)
    group = of(group_id="group")
    call("patch_task_group_instances_dry_run", **group, patch_task_instance_body=failed)
    call("patch_task_group_instances", **group, patch_task_instance_body=note)
    bulk = {"action": "update", "entities": [{"task_id": "list", "note": "many"}]}
    bulk = body("BulkBodyBulkTaskInstanceBody", actions=[bulk])
    call("bulk_task_instances", **of(), bulk_body_bulk_task_instance_body=bulk)
    clear = body("ClearTaskInstancesBody", dry_run=True, only_failed=False, dag_run_id=RUN, task_ids=["list"])
    cleared = call("post_clear_task_instances", dag_id=DAG, clear_task_instances_body=clear)
    assert cleared.total_entries == 1


def xcoms():
    task = of(task_id="list")
    assert call("get_xcom_entries", **task).total_entries >= 1
    made = call("create_xcom_entry", **task, x_com_create_body=body("XComCreateBody", key="k", value={"a": 1}))
    assert made.key == "k"
    assert call("get_xcom_entry", **task, xcom_key="k").actual_instance.value == {"a": 1}
    call("update_xcom_entry", **task, xcom_key="k", x_com_update_body=body("XComUpdateBody", value=2))
    call("delete_xcom_entry", **task, xcom_key="k")


def state_stores(asset_id):
    stored = body("AssetStateStoreBody", value={"at": 1})
    key = {"asset_id": asset_id, "key": "k"}
    call("set_asset_state_store", **key, asset_state_store_body=stored)
    call("get_asset_state_store", **key)
    call("list_asset_state_store", asset_id=asset_id)
    call("delete_asset_state_store", **key)
    call("clear_asset_state_store", asset_id=asset_id)
    task = of(task_id="list")
    call("set_task_state_store", **task, key="k", task_state_store_body=body("TaskStateStoreBody", value=1))
    call("patch_task_state_store", **task, key="k", task_state_store_patch_body=body("TaskStateStorePatchBody", value=2))
    call("get_task_state_store", **task, key="k")
    call("list_task_state_store", **task)
    call("delete_task_state_store", **task, key="k")
    call("clear_task_state_store", **task)


def assets():
    asset = next(asset for asset in call("get_assets").assets if asset.uri.startswith("file:///made"))
    assert call("get_asset", asset_id=asset.id).name == asset.name
    call("get_asset_aliases")
    refused(404, "get_asset_alias", asset_alias_id=99)
    event = body("CreateAssetEventsBody", asset_id=asset.id, extra={"rows": 1})
    assert call("create_asset_event", create_asset_events_body=event).asset_id == asset.id
    assert call("get_asset_events").total_entries >= 1
    one = {"dag_id": "waits", "asset_id": asset.id}
    until("the event is queued", lambda: call("get_asset_queued_events", asset_id=asset.id).queued_events)
    assert call("get_dag_asset_queued_events", dag_id="waits").total_entries == 1
    assert call("get_dag_asset_queued_event", **one).asset_id == asset.id
    call("delete_dag_asset_queued_event", **one)
    refused(404, "delete_dag_asset_queued_events", dag_id="waits")
    refused(404, "delete_asset_queued_events", asset_id=asset.id)
    assert call("materialize_asset", asset_id=asset.id).dag_id == DAG
    state_stores(asset.id)


def backfills():
    wanted = body("BackfillPostBody", dag_id=DAG, from_date="2024-01-01T00:00:00Z", to_date="2024-01-02T00:00:00Z")
    assert call("create_backfill_dry_run", backfill_post_body=wanted).total_entries == 2
    made = call("create_backfill", backfill_post_body=wanted).id
    assert call("list_backfills", dag_id=DAG).total_entries == 1
    assert call("get_backfill", backfill_id=made).dag_id == DAG
    assert call("pause_backfill", backfill_id=made).is_paused is True
    assert call("unpause_backfill", backfill_id=made).is_paused is False
    assert call("cancel_backfill", backfill_id=made).completed_at


def entities():
    variable = body("VariableBody", key="v", value={"a": 1})
    assert call("post_variable", variable_body=variable).key == "v"
    assert call("get_variables").total_entries == 1
    assert call("get_variable", variable_key="v").value
    assert call("patch_variable", variable_key="v", variable_body=body("VariableBody", key="v", value="2")).value == "2"
    bulk = {"action": "create", "entities": [{"key": "w", "value": 1}]}
    bulk = call("bulk_variables", bulk_body_variable_body=body("BulkBodyVariableBody", actions=[bulk]))
    assert bulk.create.success == ["w"]
    call("delete_variable", variable_key="v")

    connection = body("ConnectionBody", connection_id="c", conn_type="http", password="secret")
    assert call("post_connection", connection_body=connection).password == "***"
    assert call("get_connections").total_entries == 1
    assert call("get_connection", connection_id="c").conn_type == "http"
    connection = body("ConnectionBody", connection_id="c", conn_type="https")
    assert call("patch_connection", connection_id="c", connection_body=connection).conn_type == "https"
    bulk = {"action": "delete", "entities": ["none"], "action_on_non_existence": "skip"}
    call("bulk_connections", bulk_body_connection_body=body("BulkBodyConnectionBody", actions=[bulk]))
    refused(403, "test_connection", connection_body=connection)
    wanted = body("ConnectionTestRequestBody", connection_id="c", conn_type="http")
    refused(403, "enqueue_connection_test", connection_test_request_body=wanted)
    refused(403, "get_connection_test", airflow_connection_test_token="none")
    call("create_default_connections")
    call("delete_connection", connection_id="c")

    assert call("post_pool", pool_body=body("PoolBody", name="p", slots=3)).open_slots == 3
    assert call("get_pools").total_entries == 2
    assert call("get_pool", pool_name="p").slots == 3
    assert call("patch_pool", pool_name="p", pool_patch_body=body("PoolPatchBody", pool="p", slots=4)).slots == 4
    bulk = {"action": "update", "entities": [{"name": "p", "slots": 5}]}
    call("bulk_pools", bulk_body_pool_body=body("BulkBodyPoolBody", actions=[bulk]))
    call("delete_pool", pool_name="p")


def runs_again():
    clear = body("DAGRunClearBody", dry_run=False)
    call("clear_dag_run", **of(), dag_run_clear_body=clear)
    clear = body("BulkDAGRunClearBody", dry_run=True, dag_runs=[{"dag_run_id": RUN}])
    # The client takes an instance for a task that is not there yet, which has two of its fields, and cannot choose.
    raw("clear_dag_runs", dag_id=DAG, bulk_dag_run_clear_body=clear)
    partition = body("ClearPartitionsBody", dry_run=True, run_id=RUN)
    call("clear_dag_run_partitions", dag_id=DAG, clear_partitions_body=partition)
    bulk = {"action": "update", "entities": [{"dag_run_id": RUN, "state": "success"}]}
    call("bulk_dag_runs", dag_id=DAG, bulk_body_bulk_dag_run_body=body("BulkBodyBulkDAGRunBody", actions=[bulk]))
    call("patch_dag_run", **of(), dag_run_patch_body=body("DAGRunPatchBody", state="success"))
    call("delete_task_instance", **of(task_id="list"))
    call("delete_dag_run", **of())
    call("delete_dag", dag_id="gone")


def audit():
    event = call("get_event_logs", event="trigger_dag_run").event_logs[0]
    assert call("get_event_log", event_log_id=event.event_log_id).owner == "admin"


def browser():
    """Redirects to pages, which the client cannot read: only where they lead is looked at."""
    for operation in ("login", "logout"):
        CALLED.add(operation)
        assert operation in SERVED
    urllib.request.urlopen(f"{URL}/api/v2/auth/login")


for part in (monitor, dags, run, instances, xcoms, assets, backfills, entities, audit, runs_again, browser):
    part()

complaints = [
    *(f"this script does not call {name}" for name in sorted(set(ALL) - CALLED)),
    *(f"the client has no {name}" for name in sorted(SERVED - set(ALL))),
    *(f"the server does not have {name}" for name in sorted(set(ALL) - SERVED)),
]
if complaints:
    raise SystemExit("\n".join(complaints))
print(f"{len(ALL)} operations answer as the client expects")
