//! From a URL to an open store.

use std::sync::Arc;

use stepwell_contract::{Backend, BackendError, MemoryBackend};

use crate::url::{Place, StoreUrl, UrlError};

/// Why no store was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The text is not the URL of a store: change it.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The backend is not in this build: build it with the feature.
    #[error("this build lacks `{scheme}:`; rebuild with `--features {feature}`")]
    NotBuilt {
        /// The scheme asked for.
        scheme: String,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// The store did not open; the cause says what to do.
    #[error("cannot open {url}: {source}")]
    Store {
        /// The store, its password masked.
        url: StoreUrl,
        /// Why.
        source: BackendError,
    },
}

/// Opens the store at a URL; a store of this process alone is made when there is none.
///
/// # Errors
/// [`OpenError::Url`] and [`OpenError::NotBuilt`] before anything is touched, [`OpenError::Store`] with what the
/// backend says. No message holds a password.
pub async fn open(url: &str) -> Result<Arc<dyn Backend>, OpenError> {
    open_url(&url.parse()?).await
}

/// As [`open`], for a URL that was read before.
pub async fn open_url(url: &StoreUrl) -> Result<Arc<dyn Backend>, OpenError> {
    match url.place() {
        Place::Memory => Ok(Arc::new(MemoryBackend::new())),
        #[cfg(feature = "file")]
        Place::File { path, sync } => {
            let (path, options) = (path.clone(), stepwell_file::FileOptions::default().sync(*sync));
            blocking(url, move || stepwell_file::FileBackend::open(path, options)).await
        }
        #[cfg(not(feature = "file"))]
        Place::File { .. } => Err(not_built(url, "file")),
        #[cfg(feature = "sled")]
        Place::Sled { path, sync, cache_mib } => {
            let mut options = stepwell_sled::SledOptions::default().sync(*sync);
            if let Some(mib) = cache_mib {
                options = options.cache_mib(*mib);
            }
            let path = path.clone();
            blocking(url, move || stepwell_sled::SledBackend::open(path, options)).await
        }
        #[cfg(not(feature = "sled"))]
        Place::Sled { .. } => Err(not_built(url, "sled")),
        #[cfg(not(feature = "redis-tls"))]
        Place::Redis { tls: true } => Err(not_built(url, "redis-tls")),
        #[cfg(feature = "redis")]
        Place::Redis { .. } => {
            let options = stepwell_redis::RedisOptions::default();
            match stepwell_redis::RedisBackend::open(url.secret_text(), options).await {
                Ok(backend) => Ok(Arc::new(backend)),
                Err(source) => Err(OpenError::Store { url: url.clone(), source }),
            }
        }
        #[cfg(not(feature = "redis"))]
        Place::Redis { tls: false } => Err(not_built(url, "redis")),
    }
}

/// Whether there is a store at a URL already: `false` means that [`open_url`] would make one. Nothing is touched. A store behind a
/// host is taken to be there, and so is one that this build cannot open: opening it says what is wrong.
#[must_use]
pub fn is_there(url: &StoreUrl) -> bool {
    match url.place() {
        Place::Memory => false,
        #[cfg(feature = "file")]
        Place::File { path, .. } => stepwell_file::FileBackend::is_there(path),
        #[cfg(feature = "sled")]
        Place::Sled { path, .. } => stepwell_sled::SledBackend::is_there(path),
        _ => true,
    }
}

#[cfg(not(all(feature = "file", feature = "sled", feature = "redis-tls")))]
fn not_built(url: &StoreUrl, feature: &'static str) -> OpenError {
    OpenError::NotBuilt { scheme: url.scheme().to_owned(), feature }
}

/// Opens a store of this machine where waiting for the disk holds up nobody.
#[cfg(any(feature = "file", feature = "sled"))]
async fn blocking<B: Backend>(
    url: &StoreUrl,
    open: impl FnOnce() -> Result<B, BackendError> + Send + 'static,
) -> Result<Arc<dyn Backend>, OpenError> {
    use stepwell_contract::{Fault, FaultKind};
    let opened = match tokio::task::spawn_blocking(open).await {
        Ok(opened) => opened,
        Err(error) => {
            let fault = Fault::new(FaultKind::Other, "the backend panicked while it opened").caused_by(error);
            Err(BackendError::Definite(fault))
        }
    };
    match opened {
        Ok(backend) => Ok(Arc::new(backend)),
        Err(source) => Err(OpenError::Store { url: url.clone(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_store_of_this_machine_opens_by_its_url() {
        let folder = tempfile::TempDir::new().expect("folder");
        let at = |scheme: &str| format!("{scheme}:{}/{scheme}", folder.path().display());
        let rows = [
            ("memory", "memory:".to_owned(), true),
            ("file", at("file"), cfg!(feature = "file")),
            ("sled", at("sled"), cfg!(feature = "sled")),
        ];
        for (name, url, is_built) in rows {
            match open(&url).await {
                Ok(backend) => {
                    assert!(is_built);
                    assert_eq!(backend.info().await.expect("info").backend, name);
                }
                Err(error) => {
                    assert!(!is_built, "{error}");
                    assert!(
                        error.to_string().contains(&format!("rebuild with `--features {name}`")),
                        "{error}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn a_store_is_there_once_it_was_made_and_looking_makes_none() {
        let folder = tempfile::TempDir::new().expect("folder");
        for (scheme, is_built) in [("file", cfg!(feature = "file")), ("sled", cfg!(feature = "sled"))] {
            let path = folder.path().join(scheme);
            let url: StoreUrl = format!("{scheme}:{}", path.display()).parse().expect("a URL");
            if !is_built {
                continue;
            }
            assert!(!is_there(&url) && !path.exists(), "{scheme}");
            std::fs::create_dir(&path).expect("an empty folder");
            assert!(!is_there(&url), "{scheme}");
            drop(open_url(&url).await.expect("made"));
            assert!(is_there(&url), "{scheme}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_told_without_the_password() {
        // Port 1 of this machine: nobody listens there.
        let error = open("redis://user:hunter2@127.0.0.1:1/0").await.expect_err("nobody is there");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        let error = open("rediss://user:hunter2@127.0.0.1:1/0").await.expect_err("nobody is there");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        if !cfg!(feature = "redis-tls") {
            assert!(error.to_string().contains("--features redis-tls"), "{error}");
        }
    }
}
