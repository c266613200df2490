//! Tokens: 256 random bits, of which the server knows only the hash.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use stepwell::contract::TenantId;
use subtle::ConstantTimeEq as _;

use crate::access::{Access, Role};

/// What a token begins with, so that people and scanners of secrets recognise one.
pub const PREFIX: &str = "swt_";

/// A hash that stands for a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// The hash that 64 hexadecimal digits give.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Draws a secret of 256 bits, as text.
///
/// # Errors
/// The operating system gave no random numbers.
pub(crate) fn draw() -> Result<String, getrandom::Error> {
    let mut bits = [0u8; 32];
    getrandom::fill(&mut bits)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// What the holder of a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRule {
    /// The name under which what its holder does is recorded.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Whose runs its holder sees; `None` for everyone's.
    pub tenant: Option<TenantId>,
    /// The hash of the token.
    pub hash: SecretHash,
}

impl TokenRule {
    /// Draws a token, and returns it with its rule. The token is shown nowhere else: give it to its holder.
    ///
    /// # Errors
    /// The operating system gave no random numbers.
    pub fn draw(
        name: impl Into<String>,
        role: Role,
        tenant: Option<TenantId>,
    ) -> Result<(String, Self), getrandom::Error> {
        let token = format!("{PREFIX}{}", draw()?);
        let hash = SecretHash::of(&token);
        Ok((token, Self { name: name.into(), role, tenant, hash }))
    }

    /// Who its holder is.
    #[must_use]
    pub fn access(&self) -> Access {
        Access { name: self.name.clone(), role: self.role, tenant: self.tenant.clone() }
    }
}

/// The rule of a token; every rule is looked at, whichever fits.
#[must_use]
pub fn find<'a>(rules: &'a [TokenRule], token: &str) -> Option<&'a TokenRule> {
    let hash = SecretHash::of(token);
    rules.iter().fold(None, |found, rule| if rule.hash.is(&hash) { Some(rule) } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_alone() {
        let (token, rule) = TokenRule::draw("ci", Role::Operator, None).expect("random numbers");
        assert!(token.starts_with(PREFIX) && token.len() == PREFIX.len() + 43, "{token}");
        assert!(!format!("{rule:?}").contains(&token));
        let kept = TokenRule { hash: SecretHash::from_hex(&rule.hash.to_string()).expect("hex"), ..rule };
        let rules = [kept.clone()];
        assert_eq!(find(&rules, &token), Some(&kept));
        assert_eq!(find(&rules, &kept.hash.to_string()), None);
        assert_eq!(SecretHash::from_hex("ü"), None);
        assert_eq!(SecretHash::from_hex(&"ü".repeat(32)), None);
    }
}
