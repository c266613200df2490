//! Who may do what: tokens, roles, tenants, and where a request may come from.

pub mod identify;
pub mod origin;
pub mod role;
pub mod session;
pub mod token;

use stepwell::Actor;
use stepwell::contract::{RunKey, TenantId};

pub use role::Role;

use crate::problem::{Code, Problem};

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The name under which what they do is recorded.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whose runs they see; `None` for everyone's.
    pub tenant: Option<TenantId>,
}

impl Access {
    /// Someone on this host, where no tokens are set: may do all.
    #[must_use]
    pub fn local(name: impl Into<String>) -> Self {
        Self { name: name.into(), role: Role::Admin, tenant: None }
    }

    /// As whom they act.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Person(self.name.clone())
    }

    /// The tenant that a request is about: that of the token, or the one asked for where the token has none.
    ///
    /// # Errors
    /// [`Code::NotFound`] for the tenant of someone else, as for one that does not exist.
    pub fn tenant(&self, asked: Option<TenantId>) -> Result<Option<TenantId>, Problem> {
        match (&self.tenant, asked) {
            // What the engine keeps for itself is none of its users'.
            (_, Some(asked)) if asked.as_str().starts_with("stepwell.") => {
                Err(Problem::new(Code::NotFound, format!("there is no tenant {asked}")))
            }
            (Some(own), Some(asked)) if *own != asked => {
                Err(Problem::new(Code::NotFound, format!("there is no tenant {asked}")))
            }
            (Some(own), _) => Ok(Some(own.clone())),
            (None, asked) => Ok(asked),
        }
    }

    /// Whether a run is theirs to see.
    #[must_use]
    pub fn sees(&self, key: &RunKey) -> bool {
        self.tenant.as_ref().is_none_or(|own| *own == key.tenant)
    }
}
