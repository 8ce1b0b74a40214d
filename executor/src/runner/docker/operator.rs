//! A task of the `DockerOperator`.

use std::path::PathBuf;

use updraft_core::{operator::DockerArgs, spec::Failure};

use super::{Plan, registry, run};
use crate::{
    render::Rendered,
    runner::{End, Job},
};

/// Runs it. `folder`: an empty folder of the attempt, when `mount_tmp_dir` asks for one.
pub(crate) async fn run_operator(
    job: &Job,
    args: DockerArgs,
    rendered: &Rendered,
    folder: Option<PathBuf>,
) -> Result<End, Failure> {
    let connection = args.docker_conn_id.clone();
    let mut plan = Plan::operator(&job.subject(), args, rendered, folder.as_deref())?;
    if let Some(connection) = connection {
        plan.image.login = registry::login(job, &connection, &plan.image.name).await?;
    }
    run(job, plan).await
}
