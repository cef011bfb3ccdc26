//! Putting a shard in its place.

use bytes::Bytes;
use hart_core::{Error, Result};

use super::make::MadeShard;
use super::read::read_tar;
use crate::bulk::run::Run;
use crate::bulk::store::Failure;
use crate::hash::Hash;

/// A shard on its way to its store. It can be tried again.
pub(in crate::bulk) struct Put {
    shard: u64,
    tar: Bytes,
    tar_hash: String,
    manifest: Bytes,
}

impl Put {
    /// Checks that the temporary file is what was written into it.
    pub(in crate::bulk) fn new(made: MadeShard) -> Result<Self, Failure> {
        let MadeShard { manifest, tar } = made;
        let what = "the temporary file of a shard";
        let tar = tar.finish().map_err(|error| Failure::of_file(what, error))?;
        let tar = Bytes::from_owner(tar);
        let found = Hash::of(&tar).to_string();
        if found != manifest.tar.sha256 {
            let problem =
                format!("its SHA-256 is {found}, and {} was written", manifest.tar.sha256);
            return Err(Failure::Final(Error::malformed(what, problem)));
        }
        let (shard, json) = (manifest.shard, manifest.to_json()?);
        Ok(Self { shard, tar, tar_hash: found, manifest: json.into() })
    }
}

/// Puts the tar in its place, then the manifest. What is there already has to be the same. Tells whether
/// this call finished the shard.
pub(in crate::bulk) fn put(run: &Run, put: &Put) -> Result<bool, Failure> {
    let (store, name) = (run.store(), run.tar_name(put.shard));
    if !store.create(&name, put.tar.clone())? {
        let found = read_tar(run, put.shard, |_| Ok(()))?.map(|found| found.sha256);
        if found.as_deref() != Some(&put.tar_hash) {
            return Err(different(run, &name, &found.unwrap_or_default(), &put.tar_hash));
        }
    }
    let name = run.manifest_name(put.shard);
    let is_new = store.create(&name, put.manifest.clone())?;
    if !is_new {
        let found = store.read(&name)?.unwrap_or_default();
        if found != put.manifest {
            let [found, expected] = [&found, &put.manifest].map(|one| Hash::of(one).to_string());
            return Err(different(run, &name, &found, &expected));
        }
    }
    Ok(is_new)
}

/// The error of an object that is there and another one.
fn different(run: &Run, name: &str, found: &str, expected: &str) -> Failure {
    Failure::Final(Error::malformed(
        run.store().path(name),
        format!(
            "it is there with the SHA-256 {found}, and this worker made {expected}: the file is \
             damaged, or a worker computes otherwise; `verify` tells, and the one that is wrong can \
             be removed"
        ),
    ))
}
