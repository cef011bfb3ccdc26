//! Buckets: of servers that speak S3, of Google Cloud Storage and of Azure Blob Storage, each behind a
//! feature of its own.

use std::sync::Arc;
use std::time::Duration;

use hart_core::{Error, Result};
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};

use super::Store;
use super::open::of_objects;

/// Tries of a request that fails, before it is taken to be away: whoever waits for it says so.
const TRIES: usize = 3;
/// How long these tries take together, at most.
const TIME: Duration = Duration::from_secs(30);

/// A bucket by its address, `SCHEME://NAME/PREFIX`.
pub(super) fn bucket(scheme: &str, address: &str) -> Result<Store> {
    let open = opener(scheme).map_err(|problem| Error::store(address, problem))?;
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() || name.contains(['@', ':', '?']) {
        // The address is not repeated: it may hold a password.
        let problem =
            format!("expected `{scheme}://NAME/PREFIX`; credentials come from the environment");
        return Err(Error::store("a bucket", problem));
    }
    // Who has chosen another library of cryptography keeps it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let objects = open(name).map_err(|error| Error::store(address, error))?;
    let name = address.trim_end_matches('/').to_string();
    let objects = match prefix.trim_matches('/') {
        "" => objects,
        prefix => Arc::new(PrefixStore::new(objects, prefix)),
    };
    of_objects(objects, name)
}

/// Opens a bucket by its name.
type Opener = fn(&str) -> object_store::Result<Arc<dyn ObjectStore>>;

/// What opens the buckets of a scheme, or why nothing does.
fn opener(scheme: &str) -> Result<Opener, String> {
    match scheme {
        #[cfg(feature = "bulk-s3")]
        "s3" => Ok(s3),
        #[cfg(feature = "bulk-gs")]
        "gs" => Ok(google),
        #[cfg(feature = "bulk-az")]
        "az" => Ok(azure),
        known if ["s3", "gs", "az"].contains(&known) => {
            Err(format!("this program was built without the feature `bulk-{known}`"))
        }
        _ => Err("expected a folder, or a bucket `s3://NAME/PREFIX`, `gs://…` or `az://…`".into()),
    }
}

#[cfg(feature = "bulk-s3")]
fn s3(bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};

    let mut builder = AmazonS3Builder::from_env();
    // A server of one's own is usually reached without encryption, and by a path.
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
    if let Some(url) = endpoint.iter().find_map(|name| std::env::var(name).ok()) {
        let is_plain = url.starts_with("http://");
        builder = builder.with_endpoint(url).with_allow_http(is_plain);
    }
    if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
        builder = builder.with_region("us-east-1");
    }
    let builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch);
    Ok(Arc::new(builder.with_bucket_name(bucket).with_retry(retry()).build()?))
}

#[cfg(feature = "bulk-gs")]
fn google(bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env();
    Ok(Arc::new(builder.with_bucket_name(bucket).with_retry(retry()).build()?))
}

#[cfg(feature = "bulk-az")]
fn azure(container: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let builder = object_store::azure::MicrosoftAzureBuilder::from_env();
    Ok(Arc::new(builder.with_container_name(container).with_retry(retry()).build()?))
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: TRIES, retry_timeout: TIME, ..RetryConfig::default() }
}
