//! What a file is: its size, hash and kind, told by its content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::alive::Alive;
use crate::fault::{FileFault, FileResult};
use crate::path::hex;

/// How much is read at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// How much of the beginning tells the kind.
const KIND_BYTES: usize = 8 << 10;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// A media type.
    pub(crate) kind: String,
    /// Width and height in pixels, of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pixels: Option<(usize, usize)>,
    /// What is odd about it, without being a reason to leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<String>,
}

/// Opens a regular file for reading. Never follows a symbolic link, never waits for the other end of a pipe.
pub(crate) fn open(path: &Path) -> FileResult<File> {
    let fault = |error: io::Error| FileFault::io("read", path, &error);
    let kind = fs::symlink_metadata(path).map_err(fault)?.file_type();
    if !kind.is_file() {
        return Err(not_a_file(path, kind));
    }
    // Between the two looks it may have become something else.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let open = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = open.map_err(fault)?;
    let kind = file.metadata().map_err(fault)?.file_type();
    if kind.is_file() { Ok(file) } else { Err(not_a_file(path, kind)) }
}

fn not_a_file(path: &Path, kind: fs::FileType) -> FileFault {
    let what = match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    FileFault::new(
        "import",
        path,
        format!("it is {what}, not a file"),
        "remove it, or import again without it",
    )
}

/// Reads a file through and says what it is.
pub(crate) fn examine(path: &Path, alive: &Alive) -> FileResult<Content> {
    let fault = |error: io::Error| FileFault::io("read", path, &error);
    let mut file = open(path)?;
    let mut beginning = Vec::new();
    let (bytes, sha256) = read_through(&mut file, alive, |chunk| {
        let room = KIND_BYTES.saturating_sub(beginning.len()).min(chunk.len());
        beginning.extend_from_slice(&chunk[..room]);
        Ok(())
    })
    .map_err(fault)?;
    let kind = kind_of(path, &beginning);
    let mut content = Content { bytes, sha256, kind, pixels: None, warning: None };
    if content.kind.starts_with("image/") {
        file.rewind().map_err(fault)?;
        match imagesize::reader_size(BufReader::new(file)) {
            Ok(size) => content.pixels = Some((size.width, size.height)),
            Err(error) => content.warning = Some(format!("dimensions unknown: {}", oddity(&error))),
        }
    }
    Ok(content)
}

fn oddity(error: &imagesize::ImageError) -> String {
    match error {
        imagesize::ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the image ends too soon".to_owned()
        }
        error => error.to_string(),
    }
}

/// Hands the rest of the file to `take`, piece by piece. Returns its length and hash.
pub(crate) fn read_through(
    file: &mut File,
    alive: &Alive,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        alive.check()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hex(&hash.finalize()))),
            Ok(read) => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
                take(&buffer[..read])?;
            }
            // A signal, not a word to stop.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The media type: by the content where it has a mark, by the extension where it is text.
fn kind_of(path: &Path, beginning: &[u8]) -> String {
    if let Some(kind) = infer::get(beginning) {
        return kind.mime_type().to_owned();
    }
    // The last character may be cut.
    let is_text = std::str::from_utf8(beginning).map_or_else(|error| error.error_len().is_none(), |_| true);
    if !is_text || beginning.contains(&0) {
        return "application/octet-stream".to_owned();
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    let kind = match extension.as_deref() {
        Some("json") => "application/json",
        Some("csv") => "text/csv",
        Some("md") => "text/markdown",
        Some("html" | "htm") => "text/html",
        Some("svg") => "image/svg+xml",
        _ => "text/plain",
    };
    kind.to_owned()
}

/// When the file was last changed, if the file system knows.
pub(crate) fn modified(file: &File) -> Option<SystemTime> {
    file.metadata().and_then(|metadata| metadata.modified()).ok()
}
