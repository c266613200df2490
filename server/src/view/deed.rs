//! What callers have changed, as it is shown.

use serde::{Deserialize, Serialize};
use stepwell::FoundDeed;
use utoipa::ToSchema;

use crate::view::{Time, time};

/// A change that a caller has asked for, or a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deed {
    /// When.
    pub at: Time,
    /// Who; missing where nobody is known, as for a login that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What: the method and the route.
    #[schema(example = "POST /api/v1/queues/{queue}/pause")]
    pub what: String,
    /// About what: the path, without its query.
    #[schema(example = "/api/v1/queues/mail/pause")]
    pub about: String,
    /// The status of the answer.
    #[schema(example = "200")]
    pub outcome: String,
    /// The request, as the server's log names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Deed {
    pub(crate) fn of(found: FoundDeed) -> Self {
        let FoundDeed { at, deed } = found;
        Self {
            at: time(at),
            actor: deed.actor.map(|actor| actor.to_string()),
            what: deed.what,
            about: deed.about,
            outcome: deed.outcome,
            request_id: deed.request,
        }
    }
}
