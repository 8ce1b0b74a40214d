//! Ports of a container on the node, in the forms docker-py takes.

use bollard::models::{PortBinding, PortMap};
use indexmap::IndexMap;
use serde_json::Value;
use updraft_core::spec::Failure;

use super::invalid;

/// The ports to expose and where: container port (`80`, `53/udp`) → port of the node, an address, `[address, port]`, a list of
/// these, or null for any free port.
pub(super) fn bindings(
    given: &IndexMap<String, Value>,
    network: Option<&str>,
) -> Result<(Option<Vec<String>>, Option<PortMap>), Failure> {
    if given.is_empty() {
        return Ok((None, None));
    }
    if network == Some("host") {
        return Err(invalid(
            "`port_bindings` mean nothing in the host's network (`network_mode: host`): leave them out.",
        ));
    }
    let mut map = PortMap::new();
    for (port, value) in given {
        let port = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
        let bindings = match value {
            Value::Array(items) if !is_pair(items) => items.iter().map(binding).collect::<Option<Vec<_>>>(),
            one => binding(one).map(|binding| vec![binding]),
        };
        let bindings = bindings.ok_or_else(|| {
            invalid(format!("`port_bindings`: {value} for {port} is no port, no address and no pair of them."))
        })?;
        map.insert(port, Some(bindings));
    }
    let mut exposed: Vec<String> = map.keys().cloned().collect();
    exposed.sort_unstable();
    Ok((Some(exposed), Some(map)))
}

/// `[address, port]`: a tuple in Python, and a list of two ports is none.
fn is_pair(items: &[Value]) -> bool {
    matches!(items, [Value::String(address), Value::Number(_) | Value::Null] if address.contains(['.', ':']))
}

fn binding(value: &Value) -> Option<PortBinding> {
    let any = || Some(String::new());
    Some(match value {
        Value::Null => PortBinding { host_ip: None, host_port: any() },
        Value::Number(port) => PortBinding { host_ip: None, host_port: Some(port.to_string()) },
        Value::String(address) if address.contains(['.', ':']) => {
            PortBinding { host_ip: Some(address.clone()), host_port: any() }
        }
        Value::String(port) => PortBinding { host_ip: None, host_port: Some(port.clone()) },
        Value::Array(items) if is_pair(items) => {
            let port = items[1].as_u64().map_or_else(String::new, |port| port.to_string());
            PortBinding { host_ip: items[0].as_str().map(str::to_owned), host_port: Some(port) }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Result<Value, String> {
        let given = IndexMap::from([("80".to_owned(), value)]);
        let (exposed, map) = bindings(&given, None).map_err(|failure| failure.reason)?;
        assert_eq!(exposed.unwrap(), ["80/tcp"]);
        Ok(serde_json::to_value(&map.unwrap()["80/tcp"]).unwrap())
    }

    #[test]
    fn ports_have_the_forms_of_docker_py() {
        assert_eq!(of(json!(8080)).unwrap(), json!([{"HostPort": "8080"}]));
        assert_eq!(of(json!(null)).unwrap(), json!([{"HostPort": ""}]));
        assert_eq!(of(json!("127.0.0.1")).unwrap(), json!([{"HostIp": "127.0.0.1", "HostPort": ""}]));
        assert_eq!(of(json!(["127.0.0.1", 80])).unwrap(), json!([{"HostIp": "127.0.0.1", "HostPort": "80"}]));
        assert_eq!(of(json!([81, 82])).unwrap(), json!([{"HostPort": "81"}, {"HostPort": "82"}]));
        assert!(of(json!({"a": 1})).unwrap_err().contains("80/tcp"));
    }

    #[test]
    fn ports_are_refused_in_the_hosts_network() {
        let given = IndexMap::from([("80".to_owned(), json!(80))]);
        assert!(bindings(&given, Some("host")).unwrap_err().reason.contains("host"));
    }
}
