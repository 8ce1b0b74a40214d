//! Where a request came from, through the proxies that are trusted to say it.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;

use crate::App;

/// Each proxy adds who it was asked by, at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Addresses of a proxy: one, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// A text that is no [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| text.parse()).map(Self).map_err(|_| NoNetwork(text.to_owned()))
    }
}

/// Who asked: the peer, or whom a trusted proxy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        // Without a socket (a router that is called directly) all are one.
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
        Ok(Self(client(peer, &parts.headers, &app.config.trusted_proxies)))
    }
}

/// The last address of the chain that no trusted proxy vouches for: what is before it, anybody can have written.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let mut client = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().rev().map(|line| line.to_str().unwrap_or_default());
    for hop in lines.flat_map(|line| line.rsplit(',')) {
        if !trusted.iter().any(|network| network.0.contains(&client)) {
            break;
        }
        let hop = hop.trim();
        // Some proxies add the port.
        let Ok(named) = hop.parse::<IpAddr>().or_else(|_| hop.parse().map(|hop: SocketAddr| hop.ip())) else { break };
        client = named.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted: Vec<Network> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_who_asked() {
        assert_eq!(asked_by("192.0.2.9", &["198.51.100.1"], &[]), "192.0.2.9");
        assert_eq!(asked_by("192.0.2.9", &["198.51.100.1"], &["127.0.0.1"]), "192.0.2.9");
        assert_eq!(asked_by("127.0.0.1", &["198.51.100.1"], &["127.0.0.1"]), "198.51.100.1");
        assert_eq!(asked_by("::ffff:127.0.0.1", &["[2001:db8::1]:4711"], &["127.0.0.0/8"]), "2001:db8::1");
    }

    #[test]
    fn what_a_client_writes_itself_is_not_believed() {
        let two = ["127.0.0.1", "10.0.0.0/8"];
        assert_eq!(asked_by("127.0.0.1", &["1.1.1.1, 198.51.100.1, 10.2.3.4"], &two), "198.51.100.1");
        assert_eq!(asked_by("127.0.0.1", &["1.1.1.1", "198.51.100.1"], &two), "198.51.100.1");
        assert_eq!(asked_by("127.0.0.1", &["1.1.1.1, nonsense"], &two), "127.0.0.1");
    }

    #[test]
    fn a_network_is_an_address_or_a_range() {
        assert_eq!("10.0.0.0/33".parse::<Network>(), Err(NoNetwork("10.0.0.0/33".to_owned())));
        assert!("::1".parse::<Network>().is_ok());
    }
}
