//! A run whose workers are killed and paused, and whose server is restarted, ends as if nothing had been.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hart_core::random::{generator, uniform};
use rand::Rng;

use crate::bulk::shards;
use crate::{folder, program, succeeds};

/// Seconds that a worker may be silent.
const LEASE: u64 = 2;
/// Pictures of a shard: so many that all of it happens before the run is done.
const PICTURES: usize = 6;
/// The longest time of a run.
const LONGEST: Duration = Duration::from_secs(3600);

/// Shards of a run; `HART_SHARDS` is another number of them.
fn count() -> usize {
    let count = std::env::var("HART_SHARDS").ok();
    count.map_or(60, |count| count.parse().expect("HART_SHARDS is a number"))
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().expect("kill").success(), "{name}");
    }

    fn kill(&mut self) {
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("a child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A NATS server on loopback.
struct Server {
    folder: PathBuf,
    ports: [u16; 2],
    process: Process,
}

impl Server {
    fn start(folder: PathBuf) -> Self {
        let port = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address").port()
        };
        let ports = [port(), port()];
        let process = Self::spawn(&folder, ports);
        let server = Self { folder, ports, process };
        server.wait();
        server
    }

    fn spawn(folder: &Path, [port, monitor]: [u16; 2]) -> Process {
        let mut command = Command::new("nats-server");
        command.args(["--jetstream", "--addr", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--http_port", &monitor.to_string(), "--store_dir"]).arg(folder);
        Process::start(&mut command)
    }

    /// Waits until it answers.
    fn wait(&self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.ports[1])).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, as a crash would, and starts it again after some seconds.
    fn restart(&mut self) {
        self.process.kill();
        std::thread::sleep(Duration::from_secs(3));
        self.process = Self::spawn(&self.folder, self.ports);
        self.wait();
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports[0])
    }

    /// The streams that begin with a name, and how many messages they have.
    fn messages(&self) -> Vec<(String, u64)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[1])).expect("the server");
        stream.write_all(b"GET /jsz?streams=true HTTP/1.0\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let accounts = json["account_details"].as_array().into_iter().flatten();
        let streams =
            accounts.flat_map(|account| account["stream_detail"].as_array().expect("streams"));
        streams
            .map(|stream| {
                let name = stream["name"].as_str().expect("a name").to_string();
                (name, stream["state"]["messages"].as_u64().expect("a number"))
            })
            .collect()
    }
}

fn worker(folder: &Path, server: Option<&Server>, name: &str) -> Process {
    let mut command = Command::new(program("bulk"));
    command.args(["work", "run", "--batch-size", "1", "--lease", &LEASE.to_string()]);
    command.args(["--worker", name]).current_dir(folder);
    if let Some(server) = server {
        command.args(["--nats", &server.url()]);
    }
    Process::start(&mut command)
}

/// Three workers of a run, perhaps with a server, and what was done to them.
struct Chaos<'a> {
    folder: &'a Path,
    server: Option<Server>,
    workers: Vec<Process>,
    seed: u64,
    kills: u64,
    pauses: usize,
    restarts: usize,
}

impl<'a> Chaos<'a> {
    fn begin(folder: &'a Path, is_served: bool, seed: u64) -> Self {
        let server = is_served.then(|| Server::start(folder.join("server")));
        let start = |number| worker(folder, server.as_ref(), &format!("worker-{number}"));
        let workers = (0..3).map(start).collect();
        Self { folder, server, workers, seed, kills: 0, pauses: 0, restarts: 0 }
    }

    /// Shards that are done.
    fn done(&self) -> usize {
        let entries = std::fs::read_dir(self.folder.join("run/shards")).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.path());
        names.filter(|path| path.extension().is_some_and(|end| end == "json")).count()
    }

    /// Kills a worker every few seconds until the run is done, pauses one for longer than its lease, and
    /// kills the server twice.
    fn rage(&mut self) {
        let began = Instant::now();
        while self.done() < count() {
            let done = self.done();
            assert!(began.elapsed() < LONGEST, "{done} of {} shards in an hour", count());
            assert!(!self.folder.join("run/dead").exists(), "a shard was given up");
            for worker in &mut self.workers {
                let ended = worker.0.try_wait().expect("a child");
                assert!(ended.is_none_or(|status| status.success()), "a worker failed: {ended:?}");
            }
            self.disturb();
        }
    }

    fn disturb(&mut self) {
        let draw = |place| uniform(generator(self.seed, 1, [self.kills, place]).next_u64());
        let (pause, victim) = (0.5 + 2.0 * draw(0), (draw(1) * 3.0) as usize);
        std::thread::sleep(Duration::from_secs_f64(pause));
        let done = self.done();
        // Before the pause, during which the others go on: on a fast machine they would come to the end.
        if let Some(server) = &mut self.server
            && self.restarts < 2
            && done >= (self.restarts + 1) * count() / 4
        {
            server.restart();
            self.restarts += 1;
        } else if self.pauses == 0 && done >= count() / 2 {
            self.workers[victim].signal("-STOP");
            std::thread::sleep(Duration::from_secs(2 * LEASE + 1));
            self.workers[victim].signal("-CONT");
            self.pauses += 1;
        } else {
            self.workers[victim].kill();
            self.kills += 1;
            let name = format!("worker-{}", 3 + self.kills);
            self.workers[victim] = worker(self.folder, self.server.as_ref(), &name);
        }
    }

    /// Waits until all workers have ended by themselves.
    fn wait(&mut self) {
        let done = Instant::now();
        while self.workers.iter_mut().any(|w| w.0.try_wait().expect("a child").is_none()) {
            assert!(done.elapsed() < Duration::from_secs(120), "workers that do not end");
            std::thread::sleep(Duration::from_millis(100));
        }
        for worker in &mut self.workers {
            assert!(worker.0.wait().expect("a child").success(), "a worker failed");
        }
    }
}

/// Makes a run in chaos; compares it with a run of one process.
fn survives(is_served: bool, seed: u64) {
    let pictures = PICTURES * count();
    let recipe = format!(
        "REPO/examples/data/recipes/shapes.toml --pictures {pictures} --shard-size {PICTURES} --out run"
    );
    let (alone, folder) = (folder(), folder());
    succeeds(alone.path(), "bulk", &format!("run {recipe}"));
    let expected = shards(&alone.path().join("run"));
    assert_eq!(expected.0.len(), 2 * count());

    let at = folder.path();
    succeeds(at, "bulk", &format!("plan {recipe}"));
    // Left by a worker that was killed while it wrote: whether one of those below is, is chance.
    std::fs::create_dir_all(at.join("run/shards")).expect("a folder");
    std::fs::write(at.join("run/shards/000000.tar#77"), "half").expect("a file");
    let mut chaos = Chaos::begin(at, is_served, seed);
    chaos.rage();
    chaos.wait();
    let Chaos { server, kills, restarts, pauses, .. } = chaos;
    assert!(
        kills >= 2 && pauses == 1 && (!is_served || restarts == 2),
        "{kills} {restarts} {pauses}"
    );
    let found = shards(&at.join("run"));
    assert_eq!(found.1, expected.1);
    assert_eq!(found.0.keys().collect::<Vec<_>>(), expected.0.keys().collect::<Vec<_>>());
    assert!(found == expected, "other bytes");
    succeeds(at, "bulk", "verify run --again 5");
    if let Some(server) = &server {
        let streams = server.messages();
        let of_run = streams.iter().filter(|(name, _)| name.starts_with("HART-"));
        let of_run: Vec<_> = of_run.collect();
        assert_eq!(of_run.len(), 2, "the queue and the dead: {streams:?}");
        assert!(of_run.iter().all(|(_, messages)| *messages == 0), "{streams:?}");
    }
}

#[test]
#[ignore = "takes minutes: scripts/check-bulk runs it"]
fn a_run_in_a_folder_survives_chaos() {
    survives(false, 1);
}

#[test]
#[cfg(feature = "nats")]
#[ignore = "needs nats-server, which scripts/check-bulk installs"]
fn a_run_of_a_server_survives_chaos() {
    survives(true, 2);
}
