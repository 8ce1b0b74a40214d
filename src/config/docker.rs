//! Where the Docker daemon is: our configuration, else what the docker command goes by.

use std::path::{Path, PathBuf};

use super::{Environment, types::Executor};

/// The socket of a daemon of the whole machine.
const SOCKET: &str = "/var/run/docker.sock";

/// A daemon's address, and the folder of certificates when it is spoken to by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DockerDaemon {
    pub(crate) host: Option<String>,
    pub(crate) certificates: Option<PathBuf>,
}

/// `docker_host` and `docker_cert_path` of the configuration; `DOCKER_HOST`, and `DOCKER_CERT_PATH` (`~/.docker` without it)
/// where `DOCKER_TLS_VERIFY` is set; the socket of this user's own (rootless) daemon where the machine has none.
pub(crate) fn docker_daemon(given: &Executor, environment: &Environment) -> DockerDaemon {
    choose(given, environment, Path::exists)
}

fn choose(given: &Executor, environment: &Environment, exists: impl Fn(&Path) -> bool) -> DockerDaemon {
    let certificates = given.docker_cert_path.clone();
    if let Some(host) = &given.docker_host {
        return DockerDaemon { host: Some(host.clone()), certificates };
    }
    let variable = |name: &str| environment.other(name).filter(|value| !value.is_empty());
    if let Some(host) = variable("DOCKER_HOST") {
        let folder = || {
            let named = variable("DOCKER_CERT_PATH").map(PathBuf::from);
            named.or_else(|| Some(environment.home.as_ref()?.join(".docker")))
        };
        let verified = variable("DOCKER_TLS_VERIFY").and_then(|_| folder());
        let is_tcp = !host.starts_with("unix://");
        return DockerDaemon {
            host: Some(host.to_owned()),
            certificates: certificates.or_else(|| verified.filter(|_| is_tcp)),
        };
    }
    let rootless = variable("XDG_RUNTIME_DIR").map(|folder| Path::new(folder).join("docker.sock"));
    let host = rootless.filter(|socket| !exists(Path::new(SOCKET)) && exists(socket));
    DockerDaemon { host: host.map(|socket| format!("unix://{}", socket.display())), certificates }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, load};

    fn daemon(configured: &[(&str, &str)], others: &[(&str, &str)], sockets: &[&str]) -> DockerDaemon {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
        };
        let environment = Environment {
            home: Some("/home/u".into()),
            updraft: pairs(configured),
            others: pairs(others),
            ..Environment::default()
        };
        let config = load(&environment, None, Flags::default()).unwrap().config;
        choose(&config.executor, &environment, |socket| sockets.iter().any(|known| Path::new(known) == socket))
    }

    fn expected(host: &str, certificates: Option<&str>) -> DockerDaemon {
        DockerDaemon { host: Some(host.to_owned()), certificates: certificates.map(PathBuf::from) }
    }

    #[test]
    fn a_daemon_is_found_as_the_docker_command_finds_it() {
        assert_eq!(daemon(&[], &[], &["/var/run/docker.sock"]), DockerDaemon::default());
        let tcp = ("DOCKER_HOST", "tcp://build:2376");
        assert_eq!(daemon(&[], &[tcp], &[]), expected("tcp://build:2376", None));
        let tls = ("DOCKER_TLS_VERIFY", "1");
        assert_eq!(daemon(&[], &[tcp, tls], &[]), expected("tcp://build:2376", Some("/home/u/.docker")));
        let folder = ("DOCKER_CERT_PATH", "/certs");
        assert_eq!(daemon(&[], &[tcp, tls, folder], &[]), expected("tcp://build:2376", Some("/certs")));
        let socket = ("DOCKER_HOST", "unix:///x.sock");
        assert_eq!(daemon(&[], &[socket, tls, folder], &[]), expected("unix:///x.sock", None));
    }

    #[test]
    fn the_configuration_wins_over_the_environment() {
        let own =
            [("UPDRAFT__EXECUTOR__DOCKER_HOST", "tcp://own:2376"), ("UPDRAFT__EXECUTOR__DOCKER_CERT_PATH", "/own")];
        let others = [("DOCKER_HOST", "tcp://build:2376")];
        assert_eq!(daemon(&own, &others, &[]), expected("tcp://own:2376", Some("/own")));
    }

    #[test]
    fn a_rootless_daemon_serves_where_the_machine_has_none() {
        let runtime = [("XDG_RUNTIME_DIR", "/run/user/1000")];
        let rootless = "/run/user/1000/docker.sock";
        assert_eq!(daemon(&[], &runtime, &[rootless]), expected("unix:///run/user/1000/docker.sock", None));
        assert_eq!(daemon(&[], &runtime, &[rootless, "/var/run/docker.sock"]), DockerDaemon::default());
    }
}
