//! Two nodes with one author's keys make two blocks for a slot. The others prove it, and the author is removed.

use poq_client::{keypair, types::chain::storage, Client};
use testnet::{
    asking::{wait, wait_until_finalized},
    members::{self, Member},
    network::{Network, Options, Place},
};

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_two_blocks_for_a_slot_authors_no_more() {
    let folder = tempfile::Builder::new().prefix("poq-equivocation-").tempdir().unwrap();
    let mut authors: Vec<Member> = members::all().into_iter().filter(Member::is_author).collect();
    let twin = Member { name: "bob-again".into(), ..authors[1].clone() };
    authors.push(twin);
    let options = Options::new(folder.path(), Place::free_ports().unwrap());
    let network = Network::launch(options, authors).await.expect("the network comes up");

    let bob = keypair("//Bob").unwrap().public_key().to_account_id();
    let client = Client::connect(&network.nodes()[0].url()).await.unwrap();
    let found = wait("the proof", || async {
        let at = client.finalized().await?;
        let authors = at.value(storage().block_authors().authors()).await?;
        Ok((!authors.contains(&bob)).then_some((at, authors)))
    });
    let (at, authors) = found.await.unwrap();
    assert_eq!(authors.len(), 3, "the others stay");
    // At once, not from the next session on.
    let disabled = at.value(storage().session().disabled_validators()).await.unwrap();
    assert_eq!(disabled.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1]);
    wait_until_finalized(&client, at.number() + 10).await.expect("the other three finalize");
}
