//! `poq-gateway health` and `poq-history health`: one program asks another on this machine whether it is well.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// A server that says nothing for so long is not well.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the server that listens at `listen`, which messages call `name`, and prints what it says.
///
/// # Errors
/// A text, if it does not answer or says that it is not well.
pub fn run(name: &str, listen: SocketAddr) -> Result<(), String> {
    let url = format!("http://{}/health", reachable(listen));
    let said = ask(&url).map_err(|error| format!("the {name} at {url} is not well: {error}"))?;
    writeln!(std::io::stdout(), "{said}").map_err(|error| format!("cannot write: {error}"))
}

fn ask(url: &str) -> Result<String, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        // The server is near; a proxy of the environment is for what is far.
        .proxy(None)
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("it says {status}: {body}"))
    }
}

/// Address at which a server that listens at `address` is reached: one that listens everywhere is reached at loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
