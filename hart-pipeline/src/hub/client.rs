//! Questions to the hub.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

use hart_core::Error;
use serde::Deserialize;
use ureq::http::{Method, Request, Response, Uri, header};
use ureq::{Agent, Body};

use super::check::Identity;
use super::failure::{Failure, about, refusal};
use super::name::is_commit;
use super::{Hub, HubName};

/// How long a connection may take, and how long nothing may arrive on it.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);

const MAX_REDIRECTS: usize = 10;
/// Bytes of a list of files at most.
const MAX_LIST: u64 = 32 << 20;

/// Asks one hub.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) hub: &'a Hub,
    agent: Agent,
}

/// A repository at a revision: its commit, and the files in it.
#[derive(Debug, Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub) -> Self {
        let mut config = Agent::config_builder()
            .user_agent(concat!("hart-pipeline/", env!("CARGO_PKG_VERSION")))
            // Sizes are those of files, not of what they would be compressed to.
            .accept_encoding("identity")
            .http_status_as_error(false)
            // They are followed here: the token goes to no other host.
            .max_redirects(0)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        if is_this_machine(&hub.endpoint) {
            config = config.proxy(None);
        }
        Self { hub, agent: config.build().into() }
    }

    /// The commit that a revision is at, and the names of its files.
    pub(super) fn list(&self, name: &HubName) -> Result<(String, BTreeSet<String>), Failure> {
        let (repository, revision) = (name.repository(), escape(name.revision(), ""));
        let url = format!("{}/api/models/{repository}/revision/{revision}", self.hub.endpoint);
        let response = self.judged(name, None, self.send(&Method::GET, &url, 0)?)?;
        let mut json = vec![];
        let mut body = response.into_body().into_reader().take(MAX_LIST);
        body.read_to_end(&mut json).map_err(|error| Failure::Passing(error.to_string()))?;
        let listing: Listing =
            serde_json::from_slice(&json).map_err(|error| self.odd(about(name, None), error))?;
        if !is_commit(&listing.sha) {
            return Err(self.odd(about(name, None), "there is no commit in its answer"));
        }
        let files = listing.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        Ok((listing.sha, files))
    }

    /// What a file of a commit is.
    pub(super) fn identify(&self, name: &HubName, file: &str) -> Result<Identity, Failure> {
        let response = self.send(&Method::HEAD, &self.address(name, file), 0)?;
        let response = self.judged(name, Some(file), response)?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        // Large files lie elsewhere: the hub says what they are, and sends on to them.
        let (tag, size) = match header("x-linked-etag") {
            Some(tag) => (Some(tag), header("x-linked-size")),
            None => (header("etag"), header("content-length")),
        };
        let size = size.and_then(|size| size.parse().ok());
        let identity = tag.zip(size).and_then(|(tag, size)| Identity::new(size, tag));
        identity.ok_or_else(|| {
            self.odd(
                about(name, Some(file)),
                "it says neither size nor hash, so what it sends \
                                               could not be checked",
            )
        })
    }

    /// The bytes of a file of a commit, from byte `start` on.
    pub(super) fn read(
        &self,
        name: &HubName,
        file: &str,
        start: u64,
    ) -> Result<Response<Body>, Failure> {
        let response = self.send(&Method::GET, &self.address(name, file), start)?;
        if response.status().as_u16() == 416 {
            return Ok(response);
        }
        self.judged(name, Some(file), response)
    }

    fn address(&self, name: &HubName, file: &str) -> String {
        let (repository, revision) = (name.repository(), escape(name.revision(), ""));
        format!("{}/{repository}/resolve/{revision}/{}", self.hub.endpoint, escape(file, "/"))
    }

    /// Sends a request, to wherever the answers send it.
    fn send(&self, method: &Method, url: &str, start: u64) -> Result<Response<Body>, Failure> {
        let mut url = url.to_string();
        for _ in 0..MAX_REDIRECTS {
            let response = self.send_once(method, &url, start)?;
            // Who asks what a file is needs not go where it lies.
            let is_known =
                method == Method::HEAD && response.headers().contains_key("x-linked-etag");
            if !response.status().is_redirection() || is_known {
                return Ok(response);
            }
            let next = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            url = next
                .and_then(|next| join(&url, next))
                .ok_or_else(|| self.odd(&url, "it sends on, but not to an address"))?;
        }
        Err(self.odd(&url, format!("it sends on more than {MAX_REDIRECTS} times")))
    }

    fn send_once(&self, method: &Method, url: &str, start: u64) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(method).uri(url);
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        if let Some(token) = &self.hub.token
            && origin(url).is_some_and(|host| Some(host) == origin(&self.hub.endpoint))
        {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.0));
        }
        let request = request.body(()).map_err(|_| {
            // Which of the two it is, a wrong token must not be shown.
            let expected = "the address of a hub, and a token of letters and digits";
            Failure::Final(Error::invalid("HF_ENDPOINT or HF_TOKEN", "not usable", expected))
        })?;
        Ok(self.agent.run(request)?)
    }

    fn judged(
        &self,
        name: &HubName,
        file: Option<&str>,
        response: Response<Body>,
    ) -> Result<Response<Body>, Failure> {
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(response);
        }
        Err(refusal(self.hub, name, file, status, response.headers()))
    }

    /// An answer that no hub should give.
    fn odd(&self, what: impl std::fmt::Display, problem: impl std::fmt::Display) -> Failure {
        let endpoint = &self.hub.endpoint;
        Failure::Final(Error::hub(what, format!("{endpoint} does not answer as a hub: {problem}")))
    }
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
}

/// The address that a redirect from `url` leads to.
fn join(url: &str, next: &str) -> Option<String> {
    if next.starts_with('/') && !next.starts_with("//") {
        return Some(origin(url)? + next);
    }
    origin(next).map(|_| next.to_string())
}

/// A proxy is of no use to what runs here.
fn is_this_machine(endpoint: &str) -> bool {
    let url = endpoint.parse::<Uri>();
    url.is_ok_and(|url| matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]")))
}

/// A part of an address, with `also` left as it is.
fn escape(text: &str, also: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c) || also.contains(c);
    let escape = |c: char| {
        let mut bytes = [0; 4];
        c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect()
    };
    text.chars().map(|c| if plain(c) { c.to_string() } else { escape(c) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_addresses() {
        let from = "https://hub.example:8443/a/b?c";
        let cases = [
            ("/api/x?y=1", Some("https://hub.example:8443/api/x?y=1")),
            ("https://cdn.example/x", Some("https://cdn.example/x")),
            ("//cdn.example/x", None),
            ("x", None),
        ];
        for (next, to) in cases {
            assert_eq!(join(from, next).as_deref(), to, "{next}");
        }
    }

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(escape("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(escape("llm/a b#é.json", "/"), "llm/a%20b%23%C3%A9.json");
    }
}
