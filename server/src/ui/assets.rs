//! Styles, scripts and pictures: part of the program, under names that change with what they hold, so that browsers keep them.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::problem::{Code, Problem};
use crate::routes::Routes;

/// Hexadecimal digits of the hash in a name.
const HASH_DIGITS: usize = 12;

/// A file of the dashboard.
#[derive(Debug)]
pub(crate) struct Asset {
    stem: &'static str,
    extension: &'static str,
    media: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($name:ident = $stem:literal, $extension:literal, $media:literal;)*) => {
        $(pub(crate) const $name: Asset = Asset {
            stem: $stem,
            extension: $extension,
            media: $media,
            text: include_str!(concat!("../../assets/", $stem, ".", $extension)),
        };)*

        const ALL: &[Asset] = &[$($name,)*];
    };
}

assets! {
    STYLE = "style", "css", "text/css; charset=utf-8";
    APP = "app", "js", "text/javascript; charset=utf-8";
    RUN_STYLE = "run", "css", "text/css; charset=utf-8";
    RUN_SCRIPT = "run", "js", "text/javascript; charset=utf-8";
    HTMX = "htmx.min", "js", "text/javascript; charset=utf-8";
    ICONS = "icons", "svg", "image/svg+xml";
    FAVICON = "favicon", "svg", "image/svg+xml";
}

/// The files with the names that they are asked for by.
static NAMED: LazyLock<Vec<(String, &'static Asset)>> =
    LazyLock::new(|| ALL.iter().map(|asset| (asset.hashed_name(), asset)).collect());

impl Asset {
    fn hashed_name(&self) -> String {
        let hash: String =
            Sha256::digest(self.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{}.{}", self.stem, &hash[..HASH_DIGITS], self.extension)
    }

    /// The name that it is asked for by.
    pub(crate) fn name(&self) -> &'static str {
        // Every file is in the table that is made of the same list.
        let named =
            NAMED.iter().find(|(_, asset)| (asset.stem, asset.extension) == (self.stem, self.extension));
        named.map_or("", |(name, _)| name)
    }
}

pub(super) fn routes() -> Routes {
    Routes::new().page(None, "GET", "/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    match NAMED.iter().find(|(known, _)| *known == name) {
        Some((_, asset)) => {
            let headers =
                [(CONTENT_TYPE, asset.media), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.text).into_response()
        }
        None => Problem::new(Code::NotFound, "there is no such file; reload the page").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIRD_PARTY: &str = include_str!("../../assets/THIRD_PARTY.md");

    #[test]
    fn files_of_others_are_the_ones_that_their_packages_have() {
        let row = THIRD_PARTY.lines().find(|line| line.starts_with("| htmx.min.js ")).expect("a row");
        let hash: String =
            Sha256::digest(HTMX.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(row.contains(&hash), "{hash}: {row}");
        let version = row.split('|').nth(3).expect("a version").trim();
        assert!(HTMX.text.contains(&format!("\"{version}\"")), "it is not version {version}");
    }

    #[test]
    fn the_own_script_stays_small() {
        let lines = APP.text.lines().count();
        assert!(lines < 300, "{lines} lines");
    }
}
