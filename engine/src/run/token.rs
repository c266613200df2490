//! What someone outside names a step by that was left to them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stepwell_contract::{IdError, RunId, RunKey, TenantId};

use crate::run::place::{Place, PlaceError};

/// Names one attempt of a step that was left to someone outside, as a text like `default/order-7/approve/1`. It is no
/// secret: whoever passes it on to others and takes it back has to see who they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// The run.
    pub run: RunKey,
    /// The step.
    pub place: Place,
    /// Its attempt: one that was tried again since is not told by an old token.
    pub attempt: u32,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run, self.place, self.attempt)
    }
}

/// Why a text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not have the parts of one.
    #[error("{0:?} is not a token: one looks like `default/order-7/approve/1`")]
    Parts(String),
    /// The tenant or the run is not an id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The step is not a place.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        // The text may be hostile: only its beginning is kept.
        let parts = || TokenError::Parts(text.chars().take(200).collect());
        let mut split = text.split('/');
        let mut next = || split.next().ok_or_else(parts);
        let (tenant, run, place, attempt) = (next()?, next()?, next()?, next()?);
        if split.next().is_some() {
            return Err(parts());
        }
        Ok(Self {
            run: RunKey::new(TenantId::new(tenant)?, RunId::new(run)?),
            place: place.parse()?,
            attempt: attempt.parse().map_err(|_| parts())?,
        })
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_as_it_was_written_and_nothing_else_is_one() {
        for text in ["default/order-7/approve/1", "t/r/pack[2][0]/12"] {
            let token: Token = text.parse().expect("a token");
            assert_eq!(token.to_string(), text);
            let json = serde_json::to_string(&token).expect("it has a JSON form");
            assert_eq!(serde_json::from_str::<Token>(&json).expect("the same"), token);
        }
        for text in ["", "t/r/a", "t/r/a/x", "t/r/a/1/2", "t/../a/1", "t/r/a[/1", "t/r/a/-1"] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }
}
