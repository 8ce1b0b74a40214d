//! `DockerOperator`.

use std::{collections::HashMap, path::Path};

use bollard::models::{DeviceRequest, HostConfigLogConfig, ResourcesUlimits};
use updraft_core::{
    mask::Mask,
    operator::{self, Command, DockerArgs, PullPolicy, RESULT_FILE},
    spec::Failure,
};

use super::{Plan, ResultFrom, Subject, env_file, invalid, mounts, ports, result_from, units::bytes};
use crate::{render::Rendered, runner::docker::words::words};

/// Where the node's temporary folder is mounted (Airflow: `tmp_dir`).
const TMP_DIR: &str = "/tmp/airflow";

impl Plan {
    /// `folder`: an empty folder of the attempt, there when `mount_tmp_dir` asks for one.
    pub(crate) fn operator(
        subject: &Subject<'_>,
        args: DockerArgs,
        rendered: &Rendered,
        folder: Option<&Path>,
    ) -> Result<Self, Failure> {
        if args.privileged && !subject.node.config.docker_privileged {
            return Err(invalid(
                "`privileged` gives a task the rights of the node's root; this node allows it only with \
                 `docker_privileged = true` in its configuration (executor).",
            ));
        }
        let mut plan = Self::new(subject, args.image, rendered);
        let policy = if args.force_pull { PullPolicy::Always } else { PullPolicy::Missing };
        plan.image.pull = args.pull.unwrap_or(policy);
        plan.body.cmd = args.command.map(|command| command_words("command", command)).transpose()?;
        plan.body.entrypoint = args.entrypoint.map(|entrypoint| command_words("entrypoint", entrypoint)).transpose()?;
        if let Some(text) = &args.env_file {
            let variables = env_file::read(text).map_err(|wrong| invalid(format!("`env_file`: {wrong}.")))?;
            plan.add_env(variables.iter());
        }
        plan.add_env(args.environment.iter().chain(&args.private_environment));
        plan.hide(&Mask::of_texts(args.private_environment.values().map(String::as_str)));
        plan.body.working_dir = args.working_dir;
        plan.body.user = args.user;
        plan.body.tty = args.tty.then_some(true);
        plan.body.hostname = args.hostname;
        plan.add_labels(args.labels);
        let (exposed, bindings) = ports::bindings(&args.port_bindings, args.network_mode.as_deref())?;
        plan.body.exposed_ports = exposed;

        let host = plan.body.host_config.get_or_insert_default();
        host.network_mode = args.network_mode;
        host.port_bindings = bindings;
        host.dns = filled(args.dns);
        host.dns_search = filled(args.dns_search);
        host.extra_hosts = filled(args.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect());
        // Airflow: a relative weight, so that more than the node has is not an error.
        host.cpu_shares = args.cpus.map(|cpus| (cpus * 1024.0).round() as i64);
        if let Some(limit) = &args.mem_limit {
            (host.memory, host.memory_swap) = (Some(bytes("mem_limit", limit)?), None);
        }
        host.shm_size = args.shm_size.as_ref().map(|size| bytes("shm_size", size)).transpose()?;
        host.ulimits = filled(args.ulimits.into_iter().map(ulimit).collect()).or_else(|| host.ulimits.take());
        host.device_requests = filled(args.device_requests.into_iter().map(device_request).collect());
        host.privileged = args.privileged.then_some(true);
        host.cap_add = filled(args.cap_add);
        host.ipc_mode = args.ipc_mode;
        host.log_config = log_config(args.log_opts_max_size, args.log_opts_max_file);
        host.mounts = Some(args.mounts.iter().map(mounts::mount).collect::<Result<_, _>>()?);
        host.binds = filled(args.volumes);
        host.tmpfs = args.tmpfs.map(mounts::tmpfs);
        if let Some(folder) = folder.filter(|_| args.mount_tmp_dir) {
            let target = args.tmp_dir.unwrap_or_else(|| TMP_DIR.to_owned());
            plan.bind(folder, &target, false);
            plan.add_env([(&"AIRFLOW_TMP_DIR".to_owned(), &target)].into_iter());
        }

        plan.watch.in_room = args.reuse.is_some();
        plan.set_auto_remove(args.auto_remove);
        plan.watch.skip = args.skip_on_exit_code;
        match result_from(subject.spec, ResultFrom::LastLine) {
            ResultFrom::LastLine if args.retrieve_output => {
                plan.take_result_file(args.retrieve_output_path.unwrap_or_else(|| RESULT_FILE.to_owned()));
            }
            ResultFrom::LastLine if args.xcom_all => plan.watch.result = ResultFrom::AllLines,
            result => plan.watch.result = result,
        }
        Ok(plan)
    }
}

fn command_words(field: &str, command: Command) -> Result<Vec<String>, Failure> {
    match command {
        Command::Words(words) => Ok(words),
        Command::Text(text) => words(&text).map_err(|error| invalid(format!("`{field}`: {error}."))),
    }
}

/// What is not said is left to the daemon.
fn filled<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// docker-py: a limit that is given once is the other, too.
fn ulimit(limit: operator::Ulimit) -> ResourcesUlimits {
    let operator::Ulimit { name, soft, hard } = limit;
    ResourcesUlimits { name: Some(name), soft: soft.or(hard), hard: hard.or(soft) }
}

fn device_request(request: operator::DeviceRequest) -> DeviceRequest {
    let operator::DeviceRequest { driver, count, device_ids, capabilities, options } = request;
    let options = options.map(|options| options.into_iter().collect());
    DeviceRequest { driver, count, device_ids, capabilities, options }
}

/// Limits are those of the driver that can be read back while it rotates.
fn log_config(max_size: Option<String>, max_file: Option<String>) -> Option<HostConfigLogConfig> {
    let options = [("max-size", max_size), ("max-file", max_file)];
    let config: HashMap<String, String> =
        options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    (!config.is_empty()).then(|| HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(config) })
}
