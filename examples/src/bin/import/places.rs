//! Where files come from and go to, as full paths.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use stepwell::contract::StoreInfo;
use stepwell_examples::exit::{self, Trouble};

use crate::path::FilePath;
use crate::session::Excluded;

/// The folder to import and the library, as full paths.
pub(crate) fn places(folder: &Path, library: &Path) -> Result<(PathBuf, PathBuf), Trouble> {
    let shown = FilePath::new(folder);
    let usage =
        |why: &dyn Display, fix: &str| Trouble::new(exit::USAGE, format!("cannot import {shown}"), why, fix);
    let folder = fs::canonicalize(folder).map_err(|error| usage(&error, "name a folder that is there"))?;
    if !folder.is_dir() {
        return Err(usage(&"it is not a folder", "name the folder that it is in"));
    }
    // The library may not be there yet, but what is there of its path is looked at.
    let into = std::path::absolute(library).map_err(|error| usage(&error, "name a library with --into"))?;
    let into = canonical(&into);
    if folder.starts_with(&into) {
        return Err(usage(
            &"it lies in the library",
            "choose another folder, or another library with --into",
        ));
    }
    Ok((folder, into))
}

/// The path with the links in it resolved, as far as it is there.
fn canonical(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) => canonical(above).join(name),
        _ => path.to_owned(),
    }
}

/// The library and the store are not imported, should they lie in the folder.
pub(crate) fn excluded(into: &Path, store: &StoreInfo) -> Excluded {
    let of_store = ["folder", "path"].iter().filter_map(|fact| store.facts.get(*fact));
    let of_store = of_store.filter_map(|path| fs::canonicalize(path).ok());
    Excluded(of_store.chain([into.to_owned()]).collect())
}
