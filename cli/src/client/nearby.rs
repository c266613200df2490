//! What was probably meant by a name that nothing has: looked up when something is missing, and told as what to do.

use serde_json::Value;
use stepwell_server::problem::{Code, Problem};

use crate::client::{Call, Client, Items};
use crate::failure::{Failure, LIKENESS_MIN};

/// So many names are proposed at most.
const NAMES_MAX: usize = 3;
/// Names are looked for among so many.
const AMONG: usize = 200;

impl Client {
    /// A refusal with the names that were probably meant, where something is missing that has a name.
    pub(super) async fn hinted(&self, call: &Call, mut problem: Box<Problem>) -> Failure {
        if problem.code == Code::NotFound.as_str()
            && let Some(fix) = self.meant(call, &problem.detail).await
        {
            problem.fix = fix;
        }
        Failure::Problem(problem)
    }

    async fn meant(&self, call: &Call, detail: &str) -> Option<String> {
        let parts: Vec<_> = call.parts.iter().map(String::as_str).collect();
        let (name, known) = match parts.as_slice() {
            ["runs", run, "steps", step, ..] if detail.contains("has no step") => {
                (*step, self.names(Call::get(&["runs", run, "steps"]), "step").await)
            }
            ["runs", run, ..] if detail.starts_with("there is no run") => {
                let runs = self.runs_like(run).await;
                let elsewhere = runs.iter().find(|(name, _)| name == run).map(|(_, tenant)| tenant);
                if let Some(tenant) = elsewhere {
                    return Some(format!("one of tenant {tenant} has that id: --tenant {tenant}"));
                }
                (*run, runs.into_iter().map(|(run, _)| run).collect())
            }
            ["schedules", name, ..] => (*name, self.names(Call::get(&["schedules"]), "schedule").await),
            ["groups", group, ..] => (*group, self.names(Call::get(&["groups"]), "group").await),
            _ => return None,
        };
        proposed(name, known)
    }

    /// Runs whose ids begin as this one does, with their tenants.
    async fn runs_like(&self, run: &str) -> Vec<(String, String)> {
        let is_plain = run.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_plain {
            return Vec::new();
        }
        for length in [run.len(), run.len().saturating_sub(2), run.len() / 2] {
            if length == 0 {
                break;
            }
            let call = Call::get(&["runs"]).with("q", format!("id:{}", &run[..length]));
            let found = self.found(call).await;
            let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
            if !found.is_empty() {
                return found.iter().map(|item| (text(item, "run"), text(item, "tenant"))).collect();
            }
        }
        Vec::new()
    }

    async fn names(&self, call: Call, field: &str) -> Vec<String> {
        let found = self.found(call).await;
        found.iter().filter_map(|item| item[field].as_str().map(str::to_owned)).collect()
    }

    /// Items of a list; none where it is not answered, since a hint is not worth another failure.
    async fn found(&self, call: Call) -> Vec<Value> {
        let Ok(reply) = self.send(call.with("limit", AMONG)).await else { return Vec::new() };
        let Ok(text) = reply.text().await else { return Vec::new() };
        let items = serde_json::from_str::<Items>(&text).unwrap_or_default().items;
        items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
    }
}

/// Of names that there are, those that are most like one that there is not.
fn proposed(name: &str, known: Vec<String>) -> Option<String> {
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let mut near: Vec<_> = known
        .into_iter()
        .filter(|known| known.starts_with(name) || likeness(known) >= LIKENESS_MIN)
        .collect();
    near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)).then_with(|| a.cmp(b)));
    near.dedup();
    near.truncate(NAMES_MAX);
    (!near.is_empty()).then(|| format!("did you mean {}?", near.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_alike_are_proposed_the_nearest_first() {
        let known = || ["order-21", "order-2", "import", "order-3"].map(str::to_owned).to_vec();
        assert_eq!(proposed("ordr-2", known()).as_deref(), Some("did you mean order-2, order-21, order-3?"));
        assert_eq!(proposed("imp", known()).as_deref(), Some("did you mean import?"));
        assert_eq!(proposed("zzz", known()), None);
    }
}
