//! Why an attempt failed: the one table of classes, and a sentence beside each failure.

use serde::{Deserialize, Serialize};

/// Who is to blame for a class of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The work itself, its arguments or what it waits for.
    Task,
    /// The node or its connection: elsewhere or later the same may go well.
    Node,
    /// Nobody: a person or a rule of the DAG ended it.
    Nobody,
}

/// The table: a variant, its stored spelling, who is to blame.
macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $blame:ident;)+) => {
        /// Why an attempt failed, as a stable word; the reason beside it is for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum FailureClass {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $name,)+
        }

        impl FailureClass {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stored spelling.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// Who is to blame.
            pub const fn blame(self) -> Blame {
                match self {
                    $(Self::$name => Blame::$blame,)+
                }
            }
        }
    };
}

classes! {
    /// The command ended with a non-zero exit code.
    ExitCode = "exit_code", Task;
    /// The command was ended by a signal.
    Signal = "signal", Task;
    /// The program or the interpreter does not exist on the node or in the image.
    CommandNotFound = "command_not_found", Task;
    /// `execution_timeout` passed.
    ExecutionTimeout = "execution_timeout", Task;
    /// The kernel killed it, or a part of it, for the memory it used.
    OomKilled = "oom_killed", Task;
    /// The image is not on the node and cannot be pulled.
    ImageMissing = "image_missing", Node;
    /// The Docker daemon does not answer.
    DockerUnavailable = "docker_unavailable", Node;
    /// The container could not be created or started, or vanished.
    ContainerError = "container_error", Task;
    /// A template names something that does not exist, or does not render.
    TemplateError = "template_error", Task;
    /// The rendered arguments do not fit the operator.
    InvalidArguments = "invalid_arguments", Task;
    /// What the task left as its result is not what it has to be: a list to map over, the ids of tasks, JSON.
    InvalidResult = "invalid_result", Task;
    /// The task's code bundle could not be fetched.
    BundleUnavailable = "bundle_unavailable", Node;
    /// The virtual environment of the task could not be made.
    EnvironmentError = "environment_error", Task;
    /// The operator class cannot run here.
    UnsupportedOperator = "unsupported_operator", Task;
    /// The node died, left or was cut off while it may have been running the attempt.
    NodeLost = "node_lost", Node;
    /// The node took the attempt and did not start it in time.
    LaunchTimeout = "launch_timeout", Node;
    /// The node could not do its own part (disk full, no processes left, …).
    NodeError = "node_error", Node;
    /// A person, a timeout of the run or `fail_fast` ended it before its own end.
    Cancelled = "cancelled", Nobody;
    /// A sensor's `timeout` passed.
    SensorTimeout = "sensor_timeout", Task;
    /// What a sensor or a trigger waits for failed, or does not exist.
    DependencyFailed = "dependency_failed", Task;
    /// The run of another DAG could not be made.
    TriggerFailed = "trigger_failed", Task;
    /// Nobody answered in time.
    ResponseTimeout = "response_timeout", Task;
    /// A person said no.
    Rejected = "rejected", Task;
}

impl FailureClass {
    /// Whether the node, not the work, is to blame: elsewhere or later the same may go well.
    pub fn is_of_the_node(self) -> bool {
        self.blame() == Blame::Node
    }
}

/// A failed attempt's class and a sentence that reads alone: what happened and, where known, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub class: FailureClass,
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_travels_under_its_stored_spelling() {
        for class in FailureClass::ALL {
            let word = serde_json::to_value(class).unwrap();
            assert_eq!(word, class.as_str());
            assert_eq!(serde_json::from_value::<FailureClass>(word).unwrap(), *class);
        }
    }
}
