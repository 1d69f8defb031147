//! The off-chain worker's HTTP, clock and randomness, for real: what `sc-offchain` gives it in a node.

use sp_core::offchain::{
    Externalities, HttpError, HttpRequestId, HttpRequestStatus, OpaqueNetworkState, Timestamp,
};
use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
    sync::mpsc::{channel, Receiver},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use ureq::http::{request::Builder, Request};

/// Status and body, or that it did not come to one.
type Answer = Result<(u16, Vec<u8>), ()>;

/// A call on its way.
enum Call {
    /// Headers and body may still be added.
    Open { request: Box<Builder>, body: Vec<u8> },
    /// Sent.
    Sent(Receiver<Answer>),
    /// Answered; the rest of the body.
    Answered { status: u16, body: Cursor<Vec<u8>> },
}

/// All calls of a node.
#[derive(Default)]
pub struct RealHttp {
    calls: BTreeMap<u16, Call>,
    next: u16,
}

impl RealHttp {
    /// Takes a call out that may still be added to.
    fn open(&mut self, id: HttpRequestId) -> Option<(Box<Builder>, Vec<u8>)> {
        match self.calls.remove(&id.0)? {
            Call::Open { request, body } => Some((request, body)),
            other => {
                self.calls.insert(id.0, other);
                None
            }
        }
    }

    fn wait(&mut self, id: HttpRequestId, deadline: Option<Timestamp>) -> HttpRequestStatus {
        let Some(call) = self.calls.get_mut(&id.0) else { return HttpRequestStatus::Invalid };
        if let Call::Sent(answer) = call {
            match answer.recv_timeout(left_until(deadline)) {
                Ok(Ok((status, body))) => *call = Call::Answered { status, body: Cursor::new(body) },
                Ok(Err(())) => return HttpRequestStatus::IoError,
                Err(_) => return HttpRequestStatus::DeadlineReached,
            }
        }
        match call {
            Call::Answered { status, .. } => HttpRequestStatus::Finished(*status),
            _ => HttpRequestStatus::Invalid,
        }
    }
}

fn fetch(request: Builder, body: Vec<u8>) -> Answer {
    let request = request.body(body).map_err(drop)?;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.run(request).map_err(drop)?;
    let body = response.body_mut().read_to_vec().map_err(drop)?;
    Ok((response.status().as_u16(), body))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_unix_millis(since.as_millis() as u64)
}

fn left_until(deadline: Option<Timestamp>) -> Duration {
    deadline.map_or(Duration::from_secs(60), |deadline| Duration::from_millis(deadline.diff(&now()).millis()))
}

impl Externalities for RealHttp {
    fn is_validator(&self) -> bool {
        true
    }

    fn network_state(&self) -> Result<OpaqueNetworkState, ()> {
        Err(())
    }

    fn timestamp(&mut self) -> Timestamp {
        now()
    }

    fn sleep_until(&mut self, deadline: Timestamp) {
        thread::sleep(left_until(Some(deadline)));
    }

    fn random_seed(&mut self) -> [u8; 32] {
        use sp_core::{sr25519, Pair as _};
        sr25519::Pair::generate().0.public().0
    }

    fn http_request_start(&mut self, method: &str, uri: &str, _: &[u8]) -> Result<HttpRequestId, ()> {
        let request = Request::builder().method(method).uri(uri);
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.calls.insert(id, Call::Open { request: Box::new(request), body: Vec::new() });
        Ok(HttpRequestId(id))
    }

    fn http_request_add_header(&mut self, id: HttpRequestId, name: &str, value: &str) -> Result<(), ()> {
        let (request, body) = self.open(id).ok_or(())?;
        self.calls.insert(id.0, Call::Open { request: Box::new(request.header(name, value)), body });
        Ok(())
    }

    fn http_request_write_body(
        &mut self,
        id: HttpRequestId,
        chunk: &[u8],
        _: Option<Timestamp>,
    ) -> Result<(), HttpError> {
        let (request, mut body) = self.open(id).ok_or(HttpError::Invalid)?;
        // An empty chunk is the end.
        let call = if chunk.is_empty() {
            let (answered, answer) = channel();
            thread::spawn(move || answered.send(fetch(*request, body)));
            Call::Sent(answer)
        } else {
            body.extend_from_slice(chunk);
            Call::Open { request, body }
        };
        self.calls.insert(id.0, call);
        Ok(())
    }

    fn http_response_wait(
        &mut self,
        ids: &[HttpRequestId],
        deadline: Option<Timestamp>,
    ) -> Vec<HttpRequestStatus> {
        ids.iter().map(|id| self.wait(*id, deadline)).collect()
    }

    fn http_response_headers(&mut self, _: HttpRequestId) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }

    fn http_response_read_body(
        &mut self,
        id: HttpRequestId,
        buffer: &mut [u8],
        _: Option<Timestamp>,
    ) -> Result<usize, HttpError> {
        let Some(Call::Answered { body, .. }) = self.calls.get_mut(&id.0) else {
            return Err(HttpError::Invalid);
        };
        let read = body.read(buffer).map_err(|_| HttpError::IoError)?;
        if read == 0 {
            self.calls.remove(&id.0);
        }
        Ok(read)
    }

    fn set_authorized_nodes(&mut self, _: Vec<sp_core::OpaquePeerId>, _: bool) {}
}
