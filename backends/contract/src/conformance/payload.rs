//! A payload comes back byte for byte, whatever it says (laws 9 and 24).

use super::Harness;
use super::sample::{creation, extended, idle, key, payload_of, with};
use super::store::Store;
use crate::batch::Batch;
use crate::clock::Timestamp;
use crate::key::MessageId;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::message::Message;
use crate::record::{Kind, Payload, Record, Seq};

/// JSON texts that a store tends to break when it parses, sorts, escapes or splits what it should only keep.
fn hostile_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        r#"null"#,
        r#""""#,
        r#"{}"#,
        r#"[]"#,
        r#"  { "spaced" :  [ 1 , 2 ]  }  "#,
        r#"{"z":1,"a":2,"m":3}"#,
        r#"{"twice":1,"twice":2}"#,
        r#"{"":{"":""}}"#,
        r#"123456789012345678901234567890.000000000000000000001"#,
        r#"[1.0,1,1e0,1E+2,-0,-0.0,0.10,18446744073709551616,9007199254740993]"#,
        r#""Zoë — 日本語 — 🦀 — e\u0301""#,
        r#""\u00e9\u2028\u2029\ud83e\udd80 \/ \b\f\n\r\t \" \\ \u0000""#,
        r#""'; DROP TABLE runs; -- $1 :1 ?1 %s {} ${x}""#,
        r#""*3\r\n$3\r\nSET\r\n""#,
        r#""<script>&amp;</script>""#,
        r#"{"version":"1-0","head":null,"lease":{"expires_at":0},"seq":1,"crc":0}"#,
        r#"{"$serde_json::private::Number":"1","$serde_json::private::RawValue":"2"}"#,
        "\"\u{7f}\u{80}\u{feff}\u{fffd}\u{202e}\u{2028}\u{10ffff}\"",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    texts.push(format!("{}1{}", "[".repeat(100), "]".repeat(100)));
    texts
}

fn parsed(text: &str) -> Payload {
    Payload::from_text(text).expect("the text is JSON")
}

/// What a record says comes back as it was written, with its checksum, also after a reopening (laws 9 and 24).
pub async fn records_come_back_byte_for_byte(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    let mut batch = extended(&store.head(&key("a")).await, hostile_texts().len());
    for (record, text) in batch.append.iter_mut().zip(hostile_texts()) {
        record.payload = parsed(&text);
        record.crc = record.payload.checksum();
    }
    store.accept(&batch).await;
    for _ in 0..2 {
        for (found, written) in store.journal(&key("a")).await.iter().zip(&batch.append) {
            assert_eq!(found.payload.text(), written.payload.text());
            assert_eq!(found, written);
            assert!(found.verify().is_ok(), "{:?}", found.verify());
        }
        assert_eq!(store.journal(&key("a")).await.len(), batch.append.len());
        store.reopen().await;
    }
}

/// What a message says comes back as it was written, also after a reopening (law 24).
pub async fn messages_come_back_byte_for_byte(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    let messages: Vec<Message> = hostile_texts()
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let id = MessageId::new(format!("m{i}")).expect("a valid id");
            Message::new(id, Kind::of("k"), Timestamp(i as i64), parsed(text))
        })
        .collect();
    for message in &messages {
        store.accept(&Batch::post(key("a"), message.clone())).await;
    }
    for _ in 0..2 {
        assert_eq!(store.inbox(&key("a")).await, messages);
        store.reopen().await;
    }
}

/// What a summary says comes back as it was written, from `head` and from `scan`, also after a reopening (law 24).
pub async fn summaries_come_back_byte_for_byte(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let texts = hostile_texts();
    for (i, text) in texts.iter().enumerate() {
        let head = idle(key(&format!("r{i:02}")), store.start.plus_ms(i as u64));
        store.create(with(head, |head| head.summary = parsed(text))).await;
    }
    for _ in 0..2 {
        let query = crate::query::Query { order: crate::query::Order::Oldest, ..Default::default() };
        for (head, text) in store.scan(&query).await.iter().zip(&texts) {
            assert_eq!(head.summary.text(), parsed(text).text());
            assert_eq!(store.head(&head.key).await.summary.text(), parsed(text).text());
        }
        store.reopen().await;
    }
}

/// A payload of the greatest length comes back whole (laws 8 and 24).
pub async fn a_payload_of_the_greatest_length_is_kept(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let mut batch = creation(idle(key("a"), store.start), 2);
    batch.append[1].payload = payload_of(PAYLOAD_BYTES_MAX);
    batch.append[1].crc = batch.append[1].payload.checksum();
    let id = MessageId::new("m").expect("a valid id");
    batch.post = vec![Message::new(id, Kind::of("large"), Timestamp(0), payload_of(PAYLOAD_BYTES_MAX))];
    store.accept(&batch).await;
    for _ in 0..2 {
        assert!(store.journal(&key("a")).await == batch.append, "the journal differs from what was written");
        assert!(store.inbox(&key("a")).await == batch.post, "the inbox differs from what was written");
        store.reopen().await;
    }
}

/// Kind, time, format and checksum of a record are kept, at the ends of their ranges too (law 9).
pub async fn every_field_of_a_record_is_kept(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let mut batch = creation(idle(key("a"), store.start), 3);
    let odd = |seq, kind: &str, at, format| {
        Record::new(Seq(seq), Kind(kind.to_owned().into()), Timestamp(at), format, Payload::null())
    };
    batch.append = vec![
        odd(1, "x", i64::MIN, 0),
        odd(2, "Ünï \"c\" \\ {}", i64::MAX, u16::MAX),
        odd(3, "step_failed", -1, 1),
    ];
    store.accept(&batch).await;
    for _ in 0..2 {
        assert_eq!(store.journal(&key("a")).await, batch.append);
        store.reopen().await;
    }
}
