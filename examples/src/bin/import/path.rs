//! A path in JSON. File names are bytes, JSON is text: a name that is no text is kept as its bytes.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path that comes back from JSON byte for byte: `"a/b.txt"`, or `{"hex": "612fff"}` where it is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FilePath(PathBuf);

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Bytes { hex: String },
}

impl FilePath {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }
}

/// On one line whatever the name holds, as people see it.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string_lossy().chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let form = match self.0.to_str() {
            Some(text) => Form::Text(text.to_owned()),
            None => Form::Bytes { hex: hex(self.bytes()) },
        };
        form.serialize(to)
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Form::deserialize(from)? {
            Form::Text(text) => Ok(Self(text.into())),
            Form::Bytes { hex } => {
                let bytes = unhex(&hex).ok_or_else(|| D::Error::custom("a path in hex has an odd digit"))?;
                Ok(Self(std::ffi::OsString::from_vec(bytes).into()))
            }
        }
    }
}

/// The bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The file name with `mark` before its extension, shortened so that file systems take it.
pub(crate) fn marked(name: &OsStr, mark: &str) -> PathBuf {
    const NAME_BYTES_MAX: usize = 255;
    let path = Path::new(name);
    let stem = path.file_stem().unwrap_or(name).as_bytes();
    let mut tail = mark.as_bytes().to_vec();
    // A tail that is longer than a name is not an extension.
    if let Some(extension) = path.extension().filter(|extension| extension.len() <= 16) {
        tail.push(b'.');
        tail.extend_from_slice(extension.as_bytes());
    }
    let keep = stem.len().min(NAME_BYTES_MAX - tail.len());
    // Cut between characters where the name is text.
    let keep = std::str::from_utf8(stem)
        .map_or(keep, |text| (0..=keep).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
    let mut marked = stem[..keep].to_vec();
    marked.extend(tail);
    std::ffi::OsString::from_vec(marked).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_comes_back_from_json_byte_for_byte() {
        let names: [&[u8]; 5] =
            [b"a/b.txt", b"line\nbreak", b"caf\xc3\xa9", b"caf\xe9\xff", b"{\"hex\": \"00\"}"];
        for name in names {
            let path = FilePath::new(OsStr::from_bytes(name));
            let text = serde_json::to_string(&path).expect("json");
            assert!(!text.contains('\n'));
            assert_eq!(serde_json::from_str::<FilePath>(&text).expect("json"), path, "{text}");
            assert!(!path.to_string().contains('\n'), "one line for people");
        }
    }

    #[test]
    fn a_marked_name_keeps_its_extension_and_fits_the_file_system() {
        let marked = |name: &str| marked(OsStr::new(name), "-1f3a").to_string_lossy().into_owned();
        assert_eq!(marked("photo.jpg"), "photo-1f3a.jpg");
        assert_eq!(marked("README"), "README-1f3a");
        assert_eq!(marked(".env"), ".env-1f3a");
        let long = marked(&format!("{}.jpg", "ü".repeat(125)));
        assert!(long.len() <= 255 && long.ends_with("ü-1f3a.jpg"), "{long}");
    }
}
