//! The addresses at which the node answers RPC.
//!
//! They are bound before anything else starts, so that a taken port is an error at once, and opened when the methods are ready.

use super::{origins::Origins, LOG};
use sc_rpc_server::RpcEndpoint;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// A bound address that accepts no connections yet.
#[derive(Debug)]
pub struct Door {
    socket: Socket,
    address: SocketAddr,
    endpoint: RpcEndpoint,
    origins: Origins,
}

impl Door {
    /// Binds the addresses of all endpoints.
    ///
    /// With port 0 the first gets a free port, and an optional one after it (IPv6) the same port.
    /// Errors: an address is taken or cannot be bound; an allowed origin of an endpoint is no origin.
    pub fn take_all(endpoints: Vec<RpcEndpoint>) -> anyhow::Result<Vec<Self>> {
        let mut doors: Vec<Self> = Vec::new();
        for mut endpoint in endpoints {
            let free_port = endpoint.listen_addr.port() == 0;
            if let Some(before) = doors.last().filter(|_| free_port && endpoint.is_optional) {
                endpoint.listen_addr.set_port(before.address.port());
            }
            doors.extend(Self::take(endpoint, free_port)?);
        }
        anyhow::ensure!(!doors.is_empty(), "there is no address at which this node could answer RPC");
        Ok(doors)
    }

    /// `None` if an optional address cannot be bound, because this machine has no IPv6.
    fn take(endpoint: RpcEndpoint, free_port: bool) -> anyhow::Result<Option<Self>> {
        let origins = Origins::new(endpoint.cors.as_deref())?;
        let asked = endpoint.listen_addr;
        let socket = match bind(asked) {
            Err(error) if is_taken(&error) && endpoint.retry_random_port => {
                bind(SocketAddr::new(asked.ip(), 0))
            }
            other => other,
        };
        match socket.and_then(|socket| Ok((local(&socket)?, socket))) {
            Ok((address, socket)) => Ok(Some(Self { socket, address, endpoint, origins })),
            Err(error) if endpoint.is_optional && (free_port || !is_taken(&error)) => {
                log::debug!(target: LOG, "No RPC at {asked}: {error}");
                Ok(None)
            }
            Err(error) => Err(refusal(asked, error)),
        }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The rules for calls at this address.
    pub fn endpoint(&self) -> &RpcEndpoint {
        &self.endpoint
    }

    /// The origins of the pages that are let in.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Begins to accept connections.
    pub fn open(self) -> anyhow::Result<TcpListener> {
        self.socket.listen(BACKLOG).map_err(|error| refusal(self.address, error))?;
        Ok(self.socket.into())
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Otherwise [::] is 0.0.0.0 as well, and the two cannot have one port.
        socket.set_only_v6(true)?;
    }
    // A restart need not wait for connections of the last run. A free port must be nobody's.
    socket.set_reuse_address(address.port() != 0)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // Connections inherit it: a restart may be told to take the port that was found now.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an address of IP"))
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn refusal(address: SocketAddr, error: io::Error) -> anyhow::Error {
    if !is_taken(&error) {
        return anyhow::Error::from(error).context(format!("cannot answer RPC at {address}"));
    }
    anyhow::anyhow!(
        "the RPC port {address} is taken: end what listens there (another node?), or choose another with --rpc-port N (0: any free \
         one; of --experimental-rpc-endpoint it is in listen-addr)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use sc_cli::RunCmd;

    fn endpoints(options: &[&str]) -> Vec<RpcEndpoint> {
        let command = RunCmd::parse_from([&["poq-node"], options].concat());
        let endpoints = command.rpc_params.rpc_addr(false, false, 9_944).unwrap().unwrap();
        endpoints.into_iter().map(Into::into).collect()
    }

    fn without_retry(options: &[&str]) -> Vec<RpcEndpoint> {
        let mut endpoints = endpoints(options);
        endpoints.iter_mut().for_each(|endpoint| endpoint.retry_random_port = false);
        endpoints
    }

    #[test]
    fn a_free_port_is_one_for_both_families() {
        for options in [&["--rpc-port", "0"][..], &["--rpc-port", "0", "--unsafe-rpc-external"]] {
            let doors = Door::take_all(without_retry(options)).unwrap();
            let ports: Vec<_> = doors.iter().map(|door| door.address().port()).collect();
            assert!(ports.iter().all(|port| *port != 0 && Some(port) == ports.first()), "{ports:?}");
            for door in doors {
                door.open().unwrap();
            }
        }
    }

    #[test]
    fn a_taken_port_is_said_and_how_to_choose_another() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port().to_string();
        let error = Door::take_all(without_retry(&["--rpc-port", &port])).unwrap_err().to_string();
        assert!(
            error.contains(&format!("127.0.0.1:{port} is taken")) && error.contains("--rpc-port"),
            "{error}"
        );
        let said = format!("listen-addr=127.0.0.1:{port},retry-random-port=true");
        let doors = Door::take_all(endpoints(&["--experimental-rpc-endpoint", &said])).unwrap();
        assert_ne!(doors[0].address().port().to_string(), port, "who asks for any other port gets it");
    }
}
