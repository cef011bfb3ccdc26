//! Opening a store by its address.

use std::path::Path;
use std::sync::Arc;

use hart_core::{Error, Result};
#[cfg(feature = "buckets")]
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::Store;
use super::wait::Wait;

impl Store {
    /// A folder that is there, or a bucket, whose credentials come from the environment or from the
    /// machine's own identity:
    ///
    /// | address | feature | some variables |
    /// |---|---|---|
    /// | `s3://NAME/PREFIX` | `bulk-s3` | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` |
    /// | `gs://NAME/PREFIX` | `bulk-gs` | `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_SERVICE_ACCOUNT` |
    /// | `az://CONTAINER/PREFIX` | `bulk-az` | `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY` |
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read, [`Error::Store`] for an address of another kind
    /// or one that lacks something.
    pub fn open(address: &str) -> Result<Self> {
        match address.split_once("://") {
            Some((scheme, _)) => bucket(scheme, address),
            None => folder(Path::new(address)),
        }
    }

    /// As [`Self::open`]; a folder that is not there is made.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn create_at(address: &str) -> Result<Self> {
        if !address.contains("://") {
            std::fs::create_dir_all(address).map_err(|error| Error::io(address, error))?;
        }
        Self::open(address)
    }
}

fn folder(path: &Path) -> Result<Store> {
    let found = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !found.is_dir() {
        return Err(Error::malformed(path, "it is a file, expected the folder of a run"));
    }
    let objects = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| Error::store(path.display(), error))?
        .with_fsync(true);
    let name = path.display().to_string();
    let folder = Some(path.to_path_buf());
    Ok(Store { objects: Arc::new(objects), wait: Wait::Here, folder, name })
}

#[cfg(not(feature = "buckets"))]
fn bucket(_: &str, address: &str) -> Result<Store> {
    let problem = "only a folder can be opened: this program was built without the features `bulk-s3`, \
                   `bulk-gs` and `bulk-az`";
    Err(Error::store(address, problem))
}

#[cfg(feature = "buckets")]
use super::bucket::bucket;

/// A store of objects under a name.
#[cfg(feature = "buckets")]
pub(super) fn of_objects(objects: Arc<dyn ObjectStore>, name: String) -> Result<Store> {
    Ok(Store { objects, wait: Wait::for_server()?, folder: None, name })
}
