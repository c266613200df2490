//! The reference passes the laws.

mod stores;

stepwell_contract::conformance!(stores::Memory::new());
