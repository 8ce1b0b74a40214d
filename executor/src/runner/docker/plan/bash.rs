//! `bash` with an image.

use updraft_core::operator::{BashArgs, Command};

use super::{Plan, ResultFrom, Subject, result_from};
use crate::render::Rendered;

/// Prefers bash and makes do with sh: many small images have nothing else.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash -c \"$0\"; else exec /bin/sh -c \"$0\"; fi";

impl Plan {
    /// A bash task in a container.
    pub(crate) fn bash(
        subject: &Subject<'_>,
        args: BashArgs,
        image: String,
        rendered: &Rendered,
        bundle: Option<&std::path::Path>,
    ) -> Self {
        let mut plan = Self::new(subject, image, rendered);
        plan.image.pull = args.pull.unwrap_or_default();
        plan.watch.in_room = args.reuse.is_some();
        match args.bash_command {
            Command::Text(text) => {
                plan.body.entrypoint = Some(["/bin/sh", "-c", SHELL].map(str::to_owned).to_vec());
                plan.body.cmd = Some(vec![text]);
            }
            Command::Words(words) => plan.body.entrypoint = Some(words),
        }
        if let Some(bundle) = bundle {
            plan.bind_bundle(bundle);
        }
        plan.add_env(args.env.iter().flatten());
        plan.body.working_dir = args.cwd;
        plan.watch.skip = args.skip_on_exit_code;
        plan.watch.result = result_from(subject.spec, ResultFrom::LastStdout);
        plan
    }
}
