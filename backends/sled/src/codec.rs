//! The binary form of what is stored: lengths and numbers as varints, texts as they are.
//!
//! Every value begins with what it needs to be read alone; whoever stores it adds the checksum.

use std::collections::BTreeMap;
use std::sync::Arc;

use stepwell_contract::head::{Fence, Head, Lease, Status, Version};
use stepwell_contract::key::{Name, RunKey};
use stepwell_contract::record::{Kind, Payload, Record, Seq};
use stepwell_contract::tally::{Sort, Tallies};
use stepwell_contract::{Message, Timestamp};

/// What could not be read, for the message about the damage.
pub(crate) type Damage = String;

/// Appends to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn fixed32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(crate) fn time(&mut self, value: Timestamp) {
        self.signed(value.0);
    }

    fn signed(&mut self, value: i64) {
        // Zigzag: small numbers of either sign stay short.
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }

    /// What was counted of each sort, of either sign.
    pub(crate) fn tallies(&mut self, tallies: &Tallies) {
        self.number(tallies.iter().count() as u64);
        for (Sort { tenant, workflow, queue, status }, runs) in tallies.iter() {
            self.text(tenant.as_str());
            self.text(workflow.as_str());
            self.text(queue.as_str());
            self.text(status.as_str());
            self.signed(runs);
        }
    }

    fn maybe_time(&mut self, value: Option<Timestamp>) {
        self.byte(u8::from(value.is_some()));
        if let Some(at) = value {
            self.time(at);
        }
    }

    pub(crate) fn key(&mut self, key: &RunKey) {
        self.text(key.tenant.as_str());
        self.text(key.run.as_str());
    }

    pub(crate) fn head(&mut self, head: &Head) {
        // Every field by name: one that is added to `Head` cannot be forgotten here.
        let Head {
            key,
            version,
            workflow,
            workflow_version,
            queue,
            priority,
            status,
            wake_at,
            lease,
            fence,
            next_seq,
            created_at,
            updated_at,
            finished_at,
            tags,
            summary,
        } = head;
        self.key(key);
        self.number(version.counter);
        self.fixed64(version.nonce);
        self.text(workflow.as_str());
        self.number(u64::from(*workflow_version));
        self.text(queue.as_str());
        self.time(Timestamp(i64::from(*priority)));
        self.text(status.as_str());
        self.maybe_time(*wake_at);
        self.byte(u8::from(lease.is_some()));
        if let Some(Lease { worker, ttl_ms, expires_at }) = lease {
            self.text(worker.as_str());
            self.number(*ttl_ms);
            self.time(*expires_at);
        }
        self.number(fence.0);
        self.number(next_seq.0);
        self.time(*created_at);
        self.time(*updated_at);
        self.maybe_time(*finished_at);
        self.number(tags.len() as u64);
        for (name, value) in tags.iter() {
            self.text(name.as_str());
            self.text(value);
        }
        self.text(summary.text());
    }

    pub(crate) fn record(&mut self, record: &Record) {
        let Record { seq, kind, at, format, crc, payload } = record;
        self.number(seq.0);
        self.text(kind.as_str());
        self.time(*at);
        self.number(u64::from(*format));
        self.fixed32(*crc);
        self.text(payload.text());
    }

    pub(crate) fn message(&mut self, message: &Message) {
        let Message { id, kind, at, crc, payload } = message;
        self.text(id.as_str());
        self.text(kind.as_str());
        self.time(*at);
        self.fixed32(*crc);
        self.text(payload.text());
    }
}

/// Reads from a buffer; what it returns is checked as strictly as what comes from outside.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// How far it has read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(format!("it ends at byte {} where {len} more are needed", self.bytes.len()));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damage> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64, Damage> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has no end".to_owned())
    }

    /// A number that counts things in memory.
    pub(crate) fn count(&mut self) -> Result<usize, Damage> {
        usize::try_from(self.number()?).map_err(|_| "a length is over all bounds".to_owned())
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Damage> {
        T::try_from(self.number()?).map_err(|_| "a number is out of range".to_owned())
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, Damage> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64, Damage> {
        let (low, high) = (self.fixed32()?, self.fixed32()?);
        Ok(u64::from(low) | (u64::from(high) << 32))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damage> {
        let len = self.count()?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Damage> {
        std::str::from_utf8(self.bytes()?).map_err(|error| error.to_string())
    }

    pub(crate) fn parsed<T>(&mut self) -> Result<T, Damage>
    where
        T: std::str::FromStr,
        T::Err: ToString,
    {
        self.text()?.parse().map_err(|error: T::Err| error.to_string())
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, Damage> {
        Ok(Timestamp(self.signed()?))
    }

    fn signed(&mut self) -> Result<i64, Damage> {
        let zigzag = self.number()?;
        Ok(((zigzag >> 1) as i64) ^ -((zigzag & 1) as i64))
    }

    fn maybe_time(&mut self) -> Result<Option<Timestamp>, Damage> {
        Ok(if self.byte()? == 0 { None } else { Some(self.time()?) })
    }

    pub(crate) fn key(&mut self) -> Result<RunKey, Damage> {
        Ok(RunKey::new(self.parsed()?, self.parsed()?))
    }

    fn payload(&mut self) -> Result<Payload, Damage> {
        Payload::from_text(self.text()?).map_err(|error| error.to_string())
    }

    fn status(&mut self) -> Result<Status, Damage> {
        let word = self.text()?;
        let status = Status::ALL.into_iter().find(|status| status.as_str() == word);
        status.ok_or_else(|| format!("{word:?} is not a status"))
    }

    pub(crate) fn tallies(&mut self) -> Result<Tallies, Damage> {
        let mut tallies = Tallies::default();
        for _ in 0..self.count()? {
            let (tenant, workflow, queue) = (self.parsed()?, self.parsed()?, self.parsed()?);
            tallies.add(Sort { tenant, workflow, queue, status: self.status()? }, self.signed()?);
        }
        Ok(tallies)
    }

    pub(crate) fn head(&mut self) -> Result<Head, Damage> {
        let key = self.key()?;
        let version = Version { counter: self.number()?, nonce: self.fixed64()? };
        let workflow = self.parsed()?;
        let workflow_version = self.small()?;
        let queue = self.parsed()?;
        let priority = i16::try_from(self.time()?.0).map_err(|error| error.to_string())?;
        let status = self.status()?;
        let wake_at = self.maybe_time()?;
        let lease = if self.byte()? == 0 {
            None
        } else {
            Some(Lease { worker: self.parsed()?, ttl_ms: self.number()?, expires_at: self.time()? })
        };
        let fence = Fence(self.number()?);
        let next_seq = Seq(self.number()?);
        let created_at = self.time()?;
        let updated_at = self.time()?;
        let finished_at = self.maybe_time()?;
        let mut tags = BTreeMap::new();
        for _ in 0..self.count()? {
            tags.insert(self.parsed::<Name>()?, self.text()?.to_owned());
        }
        let tags = Arc::new(tags);
        let summary = self.payload()?;
        Ok(Head {
            key,
            version,
            workflow,
            workflow_version,
            queue,
            priority,
            status,
            wake_at,
            lease,
            fence,
            next_seq,
            created_at,
            updated_at,
            finished_at,
            tags,
            summary,
        })
    }

    pub(crate) fn record(&mut self) -> Result<Record, Damage> {
        let seq = Seq(self.number()?);
        let kind = Kind(self.text()?.to_owned().into());
        let (at, format, crc) = (self.time()?, self.small()?, self.fixed32()?);
        Ok(Record { seq, kind, at, format, crc, payload: self.payload()? })
    }

    pub(crate) fn message(&mut self) -> Result<Message, Damage> {
        let id = self.parsed()?;
        let kind = Kind(self.text()?.to_owned().into());
        let (at, crc) = (self.time()?, self.fixed32()?);
        Ok(Message { id, kind, at, crc, payload: self.payload()? })
    }
}
