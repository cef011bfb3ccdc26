//! A small hub on this machine, which speaks as the real one does: lists of files, and files that
//! lie elsewhere. Large ones are sent on to a store at another address, small ones to a path of
//! the hub itself.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The connection ends after so many bytes of a body.
    Cut(usize),
    /// The last byte is another one.
    Damaged,
    /// The last byte is missing, and nothing says so.
    Short,
    /// Another status, with a code of the hub.
    Refused(u16, &'static str),
    /// The next answer is that there is too much to do.
    Busy,
    /// Ranges are not known: everything is sent.
    NoRanges,
    /// A body takes at least so many milliseconds.
    Slow(u64),
}

/// A revision's commit, and its files.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) sha: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

#[derive(Default)]
struct State {
    /// By repository and revision; commits are revisions, too.
    commits: BTreeMap<(String, String), Commit>,
    /// By a part of the path; each holds until it is taken away.
    faults: Vec<(String, Fault)>,
    seen: Vec<Seen>,
    store: String,
    closed: bool,
}

/// The hub. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// A hub without repositories.
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let store = listen(&state);
        state.lock().expect("no panic").store = store;
        Self { endpoint: listen(&state), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Adds a commit of a repository that a revision is at from now on; gives its name.
    pub(crate) fn add(
        &self,
        repository: &str,
        revision: &str,
        files: BTreeMap<String, Vec<u8>>,
    ) -> String {
        let mut sha = Sha1::new_with_prefix(repository);
        files.iter().for_each(|(name, bytes)| sha.update([name.as_bytes(), bytes].concat()));
        let commit = Commit { sha: hex(&sha.finalize()), files };
        for revision in [revision, &commit.sha] {
            let key = (repository.to_string(), revision.to_string());
            self.state().commits.insert(key, commit.clone());
        }
        commit.sha
    }

    /// From now on something goes wrong at the paths with this part.
    pub(crate) fn fault(&self, part: &str, fault: Fault) {
        self.state().faults.push((part.to_string(), fault));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn mend(&self) {
        self.state().faults.clear();
    }

    /// The requests since this was called last.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let store = {
            let mut state = self.state();
            state.closed = true;
            state.store.clone()
        };
        // Both wake up to see it.
        for address in [&self.endpoint, &store] {
            let _ = TcpStream::connect(address.trim_start_matches("http://"));
        }
    }
}

/// All files below a folder, by their paths in it.
pub(crate) fn files_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            let inner = files_of(&entry.path()).into_iter();
            files.extend(inner.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            files.insert(name, std::fs::read(entry.path()).expect("a file"));
        }
    }
    files
}

/// By what the hub and the cache call a file's content.
pub(crate) fn hash_of(name: &str, bytes: &[u8]) -> String {
    if is_large(name) {
        return hex(&Sha256::digest(bytes));
    }
    hex(&Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn listen(state: &Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let state = state.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if state.lock().expect("no panic").closed {
                return;
            }
            let state = state.clone();
            // A client that goes away is its own affair.
            thread::spawn(move || drop(answer(stream, &state)));
        }
    });
    address
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut words = first.split(' ').map(str::to_string);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut seen = Seen { method, path, range: None, token: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => seen.range = Some(value.to_string()),
            "authorization" => seen.token = Some(value.to_string()),
            _ => {}
        }
    }
    let (reply, fault) = {
        let mut state = state.lock().expect("no panic");
        state.seen.push(seen.clone());
        let fault = state.faults.iter().find(|(part, _)| seen.path.contains(part.as_str()));
        let fault = match fault.map(|(_, fault)| *fault) {
            Some(Fault::Busy) => {
                state.faults.retain(|(_, fault)| !matches!(fault, Fault::Busy));
                Some(Fault::Refused(503, ""))
            }
            fault => fault,
        };
        (state.reply(&seen, fault), fault)
    };
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    let headers = [("Content-Length".to_string(), reply.body.len().to_string())];
    for (name, value) in reply.headers.iter().chain(&headers) {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if seen.method == "HEAD" {
        return Ok(());
    }
    match fault {
        Some(Fault::Cut(after)) => stream.write_all(&reply.body[..after.min(reply.body.len())]),
        Some(Fault::Slow(time)) => {
            for part in reply.body.chunks(reply.body.len() / 10 + 1) {
                thread::sleep(Duration::from_millis(time / 10));
                stream.write_all(part)?;
            }
            Ok(())
        }
        _ => stream.write_all(&reply.body),
    }
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Self { status, headers: headers.collect(), body }
    }
}

impl State {
    fn reply(&self, seen: &Seen, fault: Option<Fault>) -> Reply {
        if let Some(Fault::Refused(status, code)) = fault {
            let headers: &[_] = if code.is_empty() { &[] } else { &[("X-Error-Code", code)] };
            return Reply::new(status, headers, b"no".to_vec());
        }
        let path = seen.path.split('?').next().unwrap_or_default().replace("%2F", "/");
        if let Some(hash) = path.strip_prefix("/store/") {
            return self.content(hash, seen, fault);
        }
        if let Some(rest) = path.strip_prefix("/api/resolve-cache/models/") {
            let [owner, name, commit, file] = parts(rest);
            let commit = &self.commits[&(format!("{owner}/{name}"), commit.to_string())];
            let tag = hash_of(file, &commit.files[file]);
            let mut reply = self.content(&tag, seen, fault);
            reply.headers.push(("X-Repo-Commit".to_string(), commit.sha.clone()));
            return reply;
        }
        let rest = path.strip_prefix("/api/models/").unwrap_or(&path[1..]);
        let [owner, name, _, revision] = parts(rest);
        let repository = format!("{owner}/{name}");
        if !self.commits.keys().any(|(known, _)| *known == repository) {
            // The real hub says so to those without a token.
            let status = if seen.token.is_some() { 404 } else { 401 };
            return Reply::new(status, &[("X-Error-Code", "RepoNotFound")], vec![]);
        }
        let of = |revision: &str| self.commits.get(&(repository.clone(), revision.to_string()));
        if path.starts_with("/api/") {
            return match of(revision) {
                Some(commit) => listing(&repository, commit),
                None => Reply::new(404, &[("X-Error-Code", "RevisionNotFound")], vec![]),
            };
        }
        let (revision, file) = revision.split_once('/').unwrap_or((revision, ""));
        match of(revision).map(|commit| (commit, commit.files.get(file))) {
            None => Reply::new(404, &[("X-Error-Code", "RevisionNotFound")], vec![]),
            Some((_, None)) => Reply::new(404, &[("X-Error-Code", "EntryNotFound")], vec![]),
            Some((commit, Some(bytes))) => self.send_on(&repository, commit, file, bytes),
        }
    }

    /// To where a file lies.
    fn send_on(&self, repository: &str, commit: &Commit, file: &str, bytes: &[u8]) -> Reply {
        let sha = &commit.sha;
        if !is_large(file) {
            let location = format!("/api/resolve-cache/models/{repository}/{sha}/{file}");
            return Reply::new(307, &[("Location", &location), ("X-Repo-Commit", sha)], vec![]);
        }
        let hash = hash_of(file, bytes);
        let headers = [
            ("Location", format!("{}/store/{hash}", self.store)),
            ("X-Repo-Commit", sha.clone()),
            ("X-Linked-Etag", format!("\"{hash}\"")),
            ("X-Linked-Size", bytes.len().to_string()),
        ];
        Reply::new(302, &headers.each_ref().map(|(name, value)| (*name, value.as_str())), vec![])
    }

    /// A content, or the part of it that was asked for.
    fn content(&self, hash: &str, seen: &Seen, fault: Option<Fault>) -> Reply {
        let all = self.commits.values().flat_map(|commit| &commit.files);
        let found = all.into_iter().find(|(name, bytes)| hash_of(name, bytes) == hash);
        let Some((_, bytes)) = found else { return Reply::new(404, &[], vec![]) };
        let mut bytes = bytes.clone();
        match fault {
            Some(Fault::Damaged) => *bytes.last_mut().expect("not empty") ^= 1,
            Some(Fault::Short) => drop(bytes.pop()),
            _ => {}
        }
        let total = bytes.len();
        let range = seen.range.as_deref().and_then(|range| range.strip_prefix("bytes="));
        let tag = format!("\"{hash}\"");
        let Some(range) = range.filter(|_| !matches!(fault, Some(Fault::NoRanges))) else {
            return Reply::new(200, &[("ETag", &tag)], bytes);
        };
        let start: usize = range.split('-').next().and_then(|n| n.parse().ok()).expect("a range");
        if start >= total {
            return Reply::new(416, &[("Content-Range", &format!("bytes */{total}"))], vec![]);
        }
        let sent = format!("bytes {start}-{}/{total}", total - 1);
        Reply::new(206, &[("ETag", &tag), ("Content-Range", &sent)], bytes[start..].to_vec())
    }
}

fn listing(repository: &str, commit: &Commit) -> Reply {
    let siblings: Vec<_> =
        commit.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
    let listing = serde_json::json!({
        "_id": "0", "id": repository, "modelId": repository, "sha": commit.sha, "private": false,
        "tags": [], "downloads": 0, "likes": 0, "siblings": siblings,
    });
    let headers = [("Content-Type", "application/json"), ("X-Repo-Commit", commit.sha.as_str())];
    Reply::new(200, &headers, listing.to_string().into_bytes())
}

/// Four parts around slashes, the last with the rest.
fn parts(path: &str) -> [&str; 4] {
    let mut parts = path.splitn(4, '/');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
