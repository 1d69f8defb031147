//! `poq cancel`: taking a question back that nobody works on yet.

use crate::{
    account,
    args::Shared,
    failure::{Failure, Outcome},
    names::Names,
    render,
    request::Report,
};
use poq_client::{
    types::{chain::tx, Phase},
    Client,
};

/// `poq cancel N`. What the chain would refuse is refused before it costs a fee.
pub async fn run(client: &Client, id: u64, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let at = client.best().await?;
    let request = at.request(id).await?.ok_or_else(|| at.refuse("UnknownRequest", &format!("{id}.")))?;
    if request.requester != signer.account {
        return Err(at.refuse("NotRequester", &format!("{} asked request {id}.", request.requester)).into());
    }
    if !matches!(request.phase, Phase::Requested) {
        return Err(at.refuse("NotWaiting", &format!("{id} is {}.", request.phase.name())).into());
    }
    signer.submit(client, shared, tx().proof_of_quality().cancel_request(id)).await?;
    let at = client.best().await?;
    let request = at.request(id).await?.ok_or_else(|| at.refuse("UnknownRequest", &format!("{id}.")))?;
    let names = Names::load(client, &at).await?;
    let report = Report::of(client, &request, &names, None).await?;
    if shared.json {
        render::json(&report.to_json())?;
    } else {
        report.show()?;
    }
    Ok(Outcome::Done)
}
