//! Which stores are opened, which are refused, and that no text holds the password.

use stepwell_contract::{Backend, BackendError, Durability, FaultKind, StoreId};
use stepwell_redis::test_server::{TestServer, shared_url};
use stepwell_redis::{RedisBackend, RedisOptions};

fn start(settings: &[(&str, &str)]) -> TestServer {
    TestServer::start(settings).unwrap_or_else(|error| panic!("{error}"))
}

fn shared(prefix: &str) -> String {
    let prefix = format!("{prefix}-{}", uuid::Uuid::new_v4().simple());
    shared_url(&prefix).unwrap_or_else(|error| panic!("{error}"))
}

async fn open(url: &str) -> Result<RedisBackend, BackendError> {
    RedisBackend::open(url, RedisOptions::default()).await
}

async fn refusal(url: &str) -> BackendError {
    open(url).await.map(drop).expect_err("refused")
}

#[tokio::test]
async fn a_server_that_may_evict_is_refused_unless_allowed() {
    let server = start(&[("maxmemory-policy", "allkeys-lru")]);
    let error = refusal(&server.url("evict")).await;
    assert_eq!(error.kind(), FaultKind::Refused);
    assert!(error.to_string().contains("set `maxmemory-policy noeviction`"), "{error}");
    let backend = open(&format!("{}&allow_eviction=yes", server.url("evict"))).await.expect("allowed");
    assert_eq!(backend.info().await.expect("told").durability, Durability::D0);
}

#[tokio::test]
async fn a_server_without_append_only_file_is_refused_unless_allowed() {
    let server = start(&[("appendonly", "no")]);
    let error = refusal(&server.url("volatile")).await;
    assert_eq!(error.kind(), FaultKind::Refused);
    assert!(error.to_string().contains("set `appendonly yes`"), "{error}");
    let backend = open(&format!("{}&allow_no_aof=yes", server.url("volatile"))).await.expect("allowed");
    assert_eq!(backend.info().await.expect("told").durability, Durability::D0);
}

#[tokio::test]
async fn the_level_shown_is_what_the_server_does() {
    let always = open(&shared("always")).await.expect("opens");
    assert_eq!(always.info().await.expect("told").durability, Durability::D2);
    let server = start(&[("appendfsync", "everysec")]);
    let everysec = open(&server.url("everysec")).await.expect("opens");
    assert_eq!(everysec.info().await.expect("told").durability, Durability::D1);
}

#[tokio::test]
async fn a_login_that_may_not_ask_is_believed_no_more_than_it_can_see() {
    let server = start(&[]);
    let client = redis::Client::open(format!("redis+unix://{}", server.socket().display())).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server runs");
    for (user, barred) in [("half", "-config"), ("blind", "-info")] {
        let mut cmd = redis::cmd("ACL");
        cmd.arg(&["SETUSER", user, "on", ">canary-pw", "~*", "&*", "+@all", "-config", barred]);
        cmd.query_async::<redis::Value>(&mut connection).await.expect("the server obeys");
    }
    let url = |user: &str, more: &str| format!("{}&user={user}&password=canary-pw{more}", server.url("acl"));
    let half = open(&url("half", "")).await.expect("INFO tells enough");
    assert_eq!(half.info().await.expect("told").durability, Durability::D1, "when it syncs is not known");
    let error = refusal(&url("blind", "")).await;
    assert!(error.to_string().contains("allow_unknown=yes"), "{error}");
    open(&url("blind", "&allow_unknown=yes")).await.expect("allowed");
    // Errors, info and Debug are where a password would leak.
    let wrong = refusal(&format!("{}&user=half&password=canary-pw-wrong", server.url("acl"))).await;
    assert_eq!(wrong.kind(), FaultKind::Refused, "{wrong}");
    let source = std::error::Error::source(wrong.fault()).map(ToString::to_string);
    let texts = format!("{half:?} {:?} {error:?} {error} {wrong:?} {wrong} {source:?}", half.info().await);
    assert!(!texts.contains("canary"), "{texts}");
}

#[tokio::test]
async fn a_store_keeps_its_identity_and_its_number_of_shards() {
    let url = shared("keeps");
    let first = open(&format!("{url}&shards=3")).await.expect("made");
    let id = first.info().await.expect("told").id;
    let again = open(&url).await.expect("opens without the number");
    assert_eq!(again.info().await.expect("told").id, id);
    assert_eq!(again.info().await.expect("told").facts["shards"], "3");
    let error = refusal(&format!("{url}&shards=4")).await;
    assert!(error.to_string().contains("made with 3 shards"), "{error}");
}

#[tokio::test]
async fn an_expected_store_is_opened_and_no_other() {
    let url = shared("expected");
    let other = StoreId(uuid::Uuid::new_v4());
    let error = refusal(&format!("{url}&id={other}")).await;
    assert_eq!(error.kind(), FaultKind::IdentityLost, "an empty place is not the expected store");
    let id = open(&url).await.expect("made").info().await.expect("told").id;
    open(&format!("{url}&id={id}")).await.expect("it is the expected one");
    assert_eq!(refusal(&format!("{url}&id={other}")).await.kind(), FaultKind::IdentityLost);
}

#[tokio::test]
async fn a_witness_refuses_the_place_that_came_back_empty() {
    let server = start(&[]);
    let witness = server.dir().join("witness");
    let url = format!("{}&witness={}", server.url("witness"), witness.display());
    drop(open(&url).await.expect("made"));
    drop(open(&url).await.expect("known"));
    let client = redis::Client::open(format!("redis+unix://{}", server.socket().display())).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server runs");
    redis::cmd("FLUSHALL").query_async::<redis::Value>(&mut connection).await.expect("emptied");
    let error = refusal(&url).await;
    assert_eq!(error.kind(), FaultKind::IdentityLost);
    assert!(error.to_string().contains("delete the witness file"), "{error}");
    std::fs::remove_file(&witness).expect("deleted on purpose");
    open(&url).await.expect("begins anew");
}

#[tokio::test]
async fn a_store_that_lost_one_shard_is_refused() {
    let server = start(&[]);
    drop(open(&server.url("torn")).await.expect("made"));
    let client = redis::Client::open(format!("redis+unix://{}", server.socket().display())).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server runs");
    redis::cmd("DEL").arg("{torn:2}:store").query_async::<i64>(&mut connection).await.expect("deleted");
    let error = refusal(&server.url("torn")).await;
    assert_eq!(error.kind(), FaultKind::IdentityLost);
    assert!(error.to_string().contains("shard 2"), "{error}");
}
