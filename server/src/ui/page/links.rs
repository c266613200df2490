//! Links: every one is made here, below the prefix and with the tenant that is looked at.

use stepwell::contract::{RunKey, TenantId};

use crate::ui::assets::{self, Asset};
use crate::ui::page::{Page, local, part};

impl Page {
    /// The address of a page, with the tenant that is looked at.
    pub(crate) fn href(&self, path: &str) -> String {
        self.link(path, &[])
    }

    /// The same with a query. Values that are empty are left out.
    pub(crate) fn link(&self, path: &str, query: &[(&str, &str)]) -> String {
        self.to(&self.below(path, query))
    }

    /// The same without the prefix: what forms name as the place to go back to.
    pub(crate) fn below(&self, path: &str, query: &[(&str, &str)]) -> String {
        let asked = self.asked("tenant").unwrap_or_default();
        let own_tenant =
            [("tenant", if query.iter().any(|(name, _)| *name == "tenant") { "" } else { asked })];
        let pairs = query.iter().chain(&own_tenant).filter(|(_, value)| !value.is_empty());
        let text: Vec<_> = pairs.map(|(name, value)| format!("{name}={}", part(value))).collect();
        match text.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", text.join("&")),
        }
    }

    /// The address of the page of a run, or of one of its parts (`/steps`).
    pub(crate) fn run_href(&self, tenant: &str, run: &str, part_of_it: &str) -> String {
        self.link(&run_path(run, part_of_it), &[("tenant", tenant_word(tenant))])
    }

    /// The runs of a workflow.
    pub(crate) fn workflow_href(&self, workflow: &str) -> String {
        self.link("/runs", &[("q", &format!("workflow:{workflow}"))])
    }

    /// The page of a failure group.
    pub(crate) fn group_href(&self, group: &str) -> String {
        self.href(&format!("/groups/{}", part(group)))
    }

    /// The page of a code.
    pub(crate) fn code_href(&self, code: &str) -> String {
        self.href(&format!("/codes/{}", part(code)))
    }

    /// The page of a run, as a path below the prefix: what forms name as the place to go back to.
    pub(crate) fn run_below(&self, key: &RunKey) -> String {
        let tenant = tenant_word(key.tenant.as_str());
        self.below(&run_path(key.run.as_str(), ""), &[("tenant", tenant)])
    }

    /// The address of a path below the prefix that a form named; of the first page where it is not one.
    pub(crate) fn to(&self, below: &str) -> String {
        match local(below).strip_prefix('/') {
            // What is mounted at a prefix has no slash at its end.
            Some(rest) if !self.prefix.is_empty() && (rest.is_empty() || rest.starts_with('?')) => {
                format!("{}{rest}", self.prefix)
            }
            _ => format!("{}{}", self.prefix, local(below)),
        }
    }

    /// The address of what asks something of a run: it shows what that would do, and asks for a reason.
    pub(crate) fn ask_href(&self, tenant: &str, run: &str, verb: &str, step: &str) -> String {
        self.link(&run_path(run, &format!("/ask/{verb}")), &[("tenant", tenant_word(tenant)), ("step", step)])
    }

    /// The address of this page with one name of the query changed.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let mut query: Vec<(&str, &str)> = self
            .query
            .iter()
            .filter(|(key, _)| !["tenant", "lang", "theme", name].contains(&key.as_str()))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        query.push((name, value));
        self.link(&self.path, &query)
    }

    /// This page, as a path below the prefix.
    pub(crate) fn here(&self) -> String {
        let kept = |key: &str| !["tenant", "lang", "theme"].contains(&key);
        let query: Vec<(&str, &str)> = self
            .query
            .iter()
            .filter(|(key, _)| kept(key))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        self.below(&self.path, &query)
    }

    /// The address of the REST API that answers with the same data.
    pub(crate) fn api(&self, path: &str, query: &[(&str, &str)]) -> String {
        self.link(&format!("/api/v1{path}"), query)
    }

    pub(crate) fn style(&self) -> String {
        self.asset(&assets::STYLE)
    }

    /// What only the pages of a run need.
    pub(crate) fn run_style(&self) -> String {
        self.asset(&assets::RUN_STYLE)
    }

    pub(crate) fn run_script(&self) -> String {
        self.asset(&assets::RUN_SCRIPT)
    }

    pub(crate) fn script(&self) -> String {
        self.asset(&assets::APP)
    }

    pub(crate) fn htmx(&self) -> String {
        self.asset(&assets::HTMX)
    }

    /// The address of the picture of that name in the set of icons.
    pub(crate) fn icon(&self, name: &str) -> String {
        format!("{}#{name}", self.asset(&assets::ICONS))
    }

    pub(crate) fn favicon(&self) -> String {
        self.asset(&assets::FAVICON)
    }

    fn asset(&self, asset: &Asset) -> String {
        format!("{}/assets/{}", self.prefix, asset.name())
    }
}

fn run_path(run: &str, part_of_it: &str) -> String {
    format!("/runs/{}{part_of_it}", part(run))
}

/// What the query says of a tenant: nothing of the one that is meant anyway.
fn tenant_word(tenant: &str) -> &str {
    if tenant == TenantId::default().as_str() { "" } else { tenant }
}
