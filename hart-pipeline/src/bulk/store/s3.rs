//! Buckets that speak S3.

use std::sync::Arc;
use std::time::Duration;

use hart_core::{Error, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};

use super::Store;
use super::open::of_objects;

/// Tries of a request that fails, before it is taken to be away: whoever waits for it says so.
const TRIES: usize = 3;
/// How long these tries take together, at most.
const TIME: Duration = Duration::from_secs(30);

/// A bucket by its address, `s3://NAME/PREFIX`.
pub(super) fn bucket(scheme: &str, address: &str) -> Result<Store> {
    let broken = |problem: String| Error::store(address, problem);
    let rest = address.strip_prefix("s3://").filter(|_| scheme == "s3");
    let rest =
        rest.ok_or_else(|| broken("expected a folder or a bucket `s3://NAME/PREFIX`".into()))?;
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() || name.contains(['@', ':', '?']) {
        let problem = "expected `s3://NAME/PREFIX`; credentials come from the environment";
        return Err(Error::store("a bucket", problem));
    }
    // Who has chosen another library of cryptography keeps it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let objects = builder(name).build().map_err(|error| broken(error.to_string()))?;
    let name = address.trim_end_matches('/').to_string();
    let objects: Arc<dyn ObjectStore> = match prefix.trim_matches('/') {
        "" => Arc::new(objects),
        prefix => Arc::new(PrefixStore::new(objects, prefix)),
    };
    of_objects(objects, name)
}

fn builder(bucket: &str) -> AmazonS3Builder {
    let retry = RetryConfig { max_retries: TRIES, retry_timeout: TIME, ..RetryConfig::default() };
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
    builder
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry)
}
