//! Records that are not what a replica has written about the token.

use std::{collections::HashMap, time::Duration};

use tracing::Level;

use super::{super::stub::*, fleet::*};
use crate::{AccessInfo, Secret, SharedTokens, StoreKey, log::Log};

type Records = HashMap<String, (Vec<u8>, Duration)>;

/// Validates `victim`, and returns the name of its record in an otherwise empty store.
async fn name_of(fleet: &Fleet, victim: &str) -> String {
    fleet.store.clear();
    validate_at(&[fleet.replica()], victim).await;
    let name = fleet.store.records().into_keys().next().unwrap();
    fleet.store.clear();
    fleet.stub.questions();
    name
}

/// Checks that a record under the name of `victim` is not used: Keystone is asked, and its answer replaces the record.
async fn assert_unused(fleet: &Fleet, name: &str, record: Vec<u8>, what: &str) {
    fleet.store.put(name, record.clone(), LIFETIME);
    let replica = fleet.replica();
    assert_eq!(validate_at(std::slice::from_ref(&replica), "victim").await, ["valid"], "{what}");
    assert_eq!((fleet.stub.questions(), store_hits(&replica)), (1, 0), "{what}");
    let text = super::super::stub::outcome(&replica, "victim", false).await;
    assert!(format!("{text:?}").contains("u1"), "{what}");
    if record.len() >= 48 {
        assert_ne!(fleet.store.records()[name].0, record, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_another_token_is_not_accepted() {
    let fleet = Fleet::knowing(&["victim", "other"]);
    let name = name_of(&fleet, "victim").await;
    validate_at(&[fleet.replica()], "other").await;
    let other = fleet.store.only_record().0;
    fleet.stub.questions();
    fleet.store.clear();
    assert_unused(&fleet, &name, other, "the record of another token").await;
    // Of a token that Keystone does not know.
    fleet.store.clear();
    validate_at(&[fleet.replica()], "bad").await;
    let bad = fleet.store.only_record().0;
    fleet.stub.questions();
    assert_unused(&fleet, &name, bad, "the unknown record of another token").await;
}

#[tokio::test(start_paused = true)]
async fn garbage_is_not_accepted() {
    let fleet = Fleet::knowing(&["victim"]);
    let name = name_of(&fleet, "victim").await;
    validate_at(&[fleet.replica()], "victim").await;
    let good = fleet.store.only_record().0;
    fleet.stub.questions();
    for length in [0, 1, 3, 47, 48, 63, 64, good.len() - 1] {
        assert_unused(&fleet, &name, good[..length].to_vec(), "a truncated record").await;
    }
    assert_unused(&fleet, &name, [&*good, b"x"].concat(), "a longer record").await;
    assert_unused(&fleet, &name, vec![0; 2_000_000], "zeros").await;
    for (index, step) in (0..good.len()).step_by(1 + good.len() / 100).zip(0_u32..) {
        let mut record = good.clone();
        record[index] ^= 1 << (step % 8);
        assert_unused(&fleet, &name, record, &format!("a flipped bit in byte {index}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_no_token_document_is_not_accepted() {
    let fleet = Fleet::knowing(&["victim"]);
    let name = name_of(&fleet, "victim").await;
    for text in ["", "{}", r#"{"token": {"expires_at": null}}"#, r#"{"access": {"token": {"id": "victim"}}}"#]
    {
        let text = text.to_owned();
        let liar = Fleet::new(Stub::new(move |_| Reply::Document(text.clone())));
        validate_at(&[liar.replica()], "victim").await;
        assert_eq!(liar.store.records().len(), 0, "it is not written");
    }
    assert_unused(&fleet, &name, b"{}".to_vec(), "no record").await;
}

/// Stores a token of the program itself with the key and the name of the validations.
async fn own_token(fleet: &Fleet, identity: &str) -> Records {
    fleet.store.clear();
    let entries = fleet.tokens().identity(&Secret::new(identity));
    let access_info = AccessInfo::new("victim", document("own", 3_600)).unwrap();
    entries.publish_token(None, &access_info, LIFETIME).await.unwrap().unwrap();
    let records = fleet.store.records();
    fleet.store.clear();
    records
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_program_itself_is_no_validation() {
    let fleet = Fleet::knowing(&["victim"]);
    let name = name_of(&fleet, "victim").await;
    for identity in ["victim", "other"] {
        let (own_name, (record, _)) = own_token(&fleet, identity).await.into_iter().next().unwrap();
        assert_ne!(own_name.split('.').next(), name.split('.').next());
        assert_unused(&fleet, &name, record, identity).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_validation_is_no_token_of_the_program_itself() {
    use crate::store::TokenEntry;

    let fleet = Fleet::knowing(&["victim"]);
    let (own_name, (own, left)) = own_token(&fleet, "victim").await.into_iter().next().unwrap();
    let entries = fleet.tokens().identity(&Secret::new("victim"));
    fleet.store.put(&own_name, own, left);
    assert!(matches!(entries.token().await, Ok(TokenEntry::Token(_))));
    fleet.store.clear();
    validate_at(&[fleet.replica()], "victim").await;
    let validation = fleet.store.only_record().0;
    fleet.store.put(&own_name, validation, left);
    assert!(matches!(entries.token().await, Ok(TokenEntry::NoToken(Some(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_record_of_another_key_is_not_accepted() {
    let fleet = Fleet::knowing(&["victim"]);
    let name = name_of(&fleet, "victim").await;
    let key = StoreKey::new([8; 32]);
    let tokens = SharedTokens::new(fleet.store.clone(), key).name("validations");
    validate_at(&[fleet.replica_with(|settings| settings.store = Some(tokens))], "victim").await;
    let record = fleet.store.only_record().0;
    fleet.stub.questions();
    fleet.store.clear();
    assert_unused(&fleet, &name, record, "sealed with another key").await;
}

#[tokio::test(start_paused = true)]
async fn an_old_record_that_is_put_back_counts_from_its_own_time() {
    let fleet = Fleet::knowing(&["victim"]);
    validate_at(&[fleet.replica()], "victim").await;
    let (name, (old, _)) = fleet.store.records().into_iter().next().unwrap();
    fleet.stub.set(knowing(&[])); // revoked
    for second in (0..130).step_by(13) {
        fleet.store.put(&name, old.clone(), 100 * LIFETIME);
        let expected = if second < 100 { "valid" } else { "unknown" };
        assert_eq!(validate_at(&[fleet.replica()], "victim").await, [expected], "after {second} s");
        pass(13).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_full_of_garbage_does_not_fill_the_log() {
    let tokens: Vec<_> = (0..300).map(|number| format!("token{number}")).collect();
    let texts: Vec<_> = tokens.iter().map(String::as_str).collect();
    let fleet = Fleet::knowing(&texts);
    let writer = fleet.replica();
    for token in &tokens {
        assert_eq!(validate_at(std::slice::from_ref(&writer), token).await, ["valid"]);
    }
    for name in fleet.store.records().into_keys() {
        fleet.store.put(&name, vec![7; 500], LIFETIME);
    }
    let (log, _guard) = Log::with_max_level(Level::WARN);
    let reader = fleet.replica();
    for token in &tokens {
        assert_eq!(validate_at(std::slice::from_ref(&reader), token).await, ["valid"]);
    }
    let text = log.take();
    assert_eq!(text.matches("is not used").count(), 1, "{text}");
}
