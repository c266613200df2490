//! Which of the names there are was meant by one that is not there.

use stepwell_contract::{Name, WorkflowRef};

/// How much two names have in common, from 0 to 1, at the least for one to be taken for the other misspelt.
const NEAR: f64 = 0.7;

/// The name that was probably meant, if one is near enough.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a Name>) -> Option<&'a Name> {
    let rated = names.map(|name| (strsim::jaro_winkler(name.as_str(), wanted), name));
    let near = rated.filter(|(likeness, _)| *likeness > NEAR);
    // Of several as like, the first by the alphabet: the answer does not depend on their order.
    near.max_by(|(a, one), (b, other)| a.total_cmp(b).then_with(|| other.cmp(one))).map(|(_, name)| name)
}

/// The workflow that was probably meant: the nearest name, then the nearest version, the newer one of two.
pub(crate) fn nearest_workflow<'a>(
    wanted: &str,
    version: Option<u32>,
    known: impl Iterator<Item = &'a WorkflowRef> + Clone,
) -> Option<&'a WorkflowRef> {
    let name = nearest(wanted, known.clone().map(|known| &known.name))?;
    let versions = known.filter(|known| known.name == *name);
    versions.min_by_key(|known| {
        let away = version.map(|version| known.version.abs_diff(version)).unwrap_or_default();
        (away, u32::MAX - known.version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_then_the_nearest_version_of_it() {
        let known = [("order", 1), ("order", 4), ("orders", 2), ("invoice", 7)];
        let known =
            known.map(|(name, version)| WorkflowRef { name: Name::new(name).expect("a name"), version });
        let meant = |wanted, version| {
            nearest_workflow(wanted, version, known.iter()).map(|known| (known.name.as_str(), known.version))
        };
        assert_eq!(meant("order", Some(2)), Some(("order", 1)));
        assert_eq!(meant("order", Some(9)), Some(("order", 4)));
        assert_eq!(meant("ordre", None), Some(("order", 4)));
        assert_eq!(meant("invocie", Some(7)), Some(("invoice", 7)));
        assert_eq!(meant("backup", Some(1)), None);
    }
}
