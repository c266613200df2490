//! What the import promises: every content arrives once and whole, what fails is told and holds nothing up, and a
//! process that is killed costs nothing but its time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};
use stepwell_redis::test_server;
use tempfile::TempDir;

/// A folder with what is imported, a library and a store in it.
struct Bench {
    folder: TempDir,
    store: &'static str,
}

impl Bench {
    fn new(store: &'static str) -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a folder"), store };
        fs::create_dir(bench.at("in")).expect("made");
        bench
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = self.at("in").join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_import"));
        command.current_dir(self.folder.path()).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
        command.args(arguments).args(["--store", self.store]);
        command
    }

    fn import(&self) -> Ended {
        Ended::of(self.command(&["in"]).output().expect("the program starts"))
    }

    fn start(&self) -> Child {
        let mut command = self.command(&["in"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// The library holds each of these contents once and nothing else, and its catalogue says so.
    fn assert_library_is(&self, contents: &BTreeSet<String>) {
        let mut copies = BTreeMap::new();
        for path in files_below(&self.at("library/files")) {
            let sha256 = sha256(&fs::read(&path).expect("a copy is read"));
            assert_eq!(copies.insert(sha256, path.clone()), None, "{} is there twice", path.display());
        }
        assert_eq!(&copies.keys().cloned().collect::<BTreeSet<_>>(), contents);
        let mut catalogued = BTreeSet::new();
        for path in files_below(&self.at("library/catalogue")) {
            let entry: serde_json::Value =
                serde_json::from_slice(&fs::read(&path).expect("an entry is read"))
                    .expect("an entry is whole");
            let sha256 = entry["sha256"].as_str().expect("a hash").to_owned();
            assert_eq!(path.file_stem().and_then(OsStr::to_str), Some(sha256.as_str()));
            assert_eq!(entry["bytes"], fs::metadata(&copies[&sha256]).expect("a copy").len());
            if let Some(path) = entry["path"].as_str() {
                assert_eq!(self.at("library").join(path), copies[&sha256], "the entry names its copy");
            }
            catalogued.insert(sha256);
        }
        assert_eq!(&catalogued, contents);
        for left in ["tmp", "lists"] {
            let left = files_below(&self.at("library/.import").join(left));
            assert_eq!(left, Vec::<PathBuf>::new(), "nothing unfinished is left");
        }
    }
}

/// How a process ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// `[imported, duplicates, failed, resumed]`, from the last line.
    fn counts(&self) -> [usize; 4] {
        let line = self.stdout.lines().last().unwrap_or_else(|| panic!("no summary: {self:?}"));
        let fields: Vec<(&str, &str)> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["imported", "duplicates", "failed", "resumed", "elapsed"], "{self:?}");
        assert!(fields[4].1.ends_with('s') && fields[4].1.contains('.'), "{line}");
        [0, 1, 2, 3].map(|field| fields[field].1.parse().unwrap_or_else(|_| panic!("{line}")))
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("a folder is listed"));
    entries.filter(|entry| !entry.file_type().is_dir()).map(|entry| entry.path().to_owned()).collect()
}

const PNG: &[u8] = include_bytes!("../data/photos/stepwell.png");

#[test]
fn every_content_arrives_once_whatever_the_files_are_called_and_what_fails_is_told() {
    let bench = Bench::new("file:./runs");
    let names: [&[u8]; 6] = [
        b"plain.txt",
        b"caf\xe9 \xff.txt",
        b"two\nlines.txt",
        b"-rf",
        "z\u{202e}txt.exe".as_bytes(),
        &[b'n'; 255],
    ];
    let mut contents = BTreeSet::new();
    for name in names {
        bench.file(OsStr::from_bytes(name), name);
        contents.insert(sha256(name));
    }
    bench.file("a/twin.txt", "twice");
    bench.file("b/other name.txt", "twice");
    bench.file("b/picture.png", PNG);
    bench.file("b/broken.png", &PNG[..20]);
    bench.file("b/empty", "");
    for content in [&b"twice"[..], PNG, &PNG[..20], b""] {
        contents.insert(sha256(content));
    }
    // What is no file fails, links are passed over, and nothing outside is touched.
    std::process::Command::new("mkfifo").arg(bench.at("in/pipe")).status().expect("mkfifo");
    let _socket = UnixListener::bind(bench.at("in/socket")).expect("a socket");
    fs::write(bench.at("outside.txt"), "not asked for").expect("written");
    std::os::unix::fs::symlink(bench.at("outside.txt"), bench.at("in/link")).expect("linked");
    std::os::unix::fs::symlink("nowhere", bench.at("in/dangling")).expect("linked");

    let first = bench.import();
    assert_eq!((first.code, first.counts()), (Some(1), [10, 1, 2, 0]), "{first:?}");
    assert!(first.stderr.contains("in/pipe: it is a named pipe, not a file; remove it"), "{first:?}");
    assert!(first.stderr.contains("in/socket: it is a socket, not a file; remove it"), "{first:?}");
    assert!(first.stdout.contains("2 symbolic links"), "{first:?}");
    assert!(first.stderr.contains("broken.png: dimensions unknown"), "{first:?}");
    bench.assert_library_is(&contents);
    let entry =
        fs::read(bench.at("library/catalogue").join(format!("{}.json", sha256(PNG)))).expect("an entry");
    let entry: serde_json::Value = serde_json::from_slice(&entry).expect("json");
    assert_eq!((&entry["kind"], &entry["pixels"]), (&"image/png".into(), &serde_json::json!([160, 120])));

    // Mended, and one more of a name that is taken: the same command takes up what is new.
    fs::remove_file(bench.at("in/pipe")).expect("removed");
    fs::remove_file(bench.at("in/socket")).expect("removed");
    bench.file("pipe", "a file now");
    bench.file("plain.txt", "another content under the same name");
    contents.insert(sha256(b"a file now"));
    contents.insert(sha256(b"another content under the same name"));
    let second = bench.import();
    assert_eq!((second.code, second.counts()), (Some(0), [2, 10, 0, 0]), "{second:?}");
    bench.assert_library_is(&contents);
    assert_eq!(
        fs::read(bench.at("library/files/plain.txt")).expect("there"),
        b"plain.txt",
        "not overwritten"
    );
}

#[test]
fn processes_that_share_a_store_share_one_import_and_end_with_the_same_counts() {
    let url = test_server::shared_url("together").expect("a redis-server");
    let bench = Bench::new(url.leak());
    let mut contents = BTreeSet::new();
    for number in 0..300 {
        // Every third is the same as another one.
        let text = format!("content {}", if number % 3 == 2 { number - 1 } else { number });
        bench.file(format!("{number}.txt"), &text);
        contents.insert(sha256(text.as_bytes()));
    }
    let named = || {
        let mut command = bench.command(&["in", "--session", "together"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    let processes = [named(), named(), named()];
    for process in processes {
        let ended = Ended::of(process.wait_with_output().expect("it ends"));
        let [imported, duplicates, failed, _] = ended.counts();
        assert_eq!((ended.code, imported, duplicates, failed), (Some(0), 200, 100, 0), "{ended:?}");
    }
    bench.assert_library_is(&contents);
}

/// How often the import is killed.
const KILLS: usize = 15;

/// Kills the import at random moments until it has been killed often enough and ends by itself.
fn is_killed_again_and_again(store: &'static str, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut longest_ms = 250;
    for _ in 0..6 {
        match kills_of_one_import(store, longest_ms, &mut random) {
            // A slow machine has not begun by then, a quick one is done before the last kill.
            (_, 0) => longest_ms *= 4,
            (kills, _) if kills < KILLS => longest_ms = (longest_ms / 2).max(20),
            _ => return,
        }
    }
    panic!("it could not be killed {KILLS} times in the middle of its work");
}

/// How often an import was killed before it ended, and how many files its last process found begun or done.
fn kills_of_one_import(store: &'static str, longest_ms: u64, random: &mut fastrand::Rng) -> (usize, usize) {
    const FILES: usize = 400;
    let bench = Bench::new(store);
    let mut contents = BTreeSet::new();
    for number in 0..FILES {
        // Every fourth is the same as another one; some take long enough to be hit in the middle.
        let content_of = if number % 4 == 3 { number / 8 } else { number };
        let bytes = if content_of % 50 == 7 { 1 << 20 } else { 3_000 };
        let bytes: Vec<u8> = (0..bytes).map(|at| (at * (content_of + 3) / 7) as u8).collect();
        bench.file(format!("{}/{number}.bin", number % 10), &bytes);
        contents.insert(sha256(&bytes));
    }
    let mut kills = 0;
    let ended = loop {
        let mut child = bench.start();
        if kills < KILLS {
            std::thread::sleep(Duration::from_millis(random.u64(10..longest_ms)));
            if child.try_wait().expect("its state is known").is_none() {
                child.kill().expect("it is killed");
                child.wait().expect("it is dead");
                kills += 1;
                continue;
            }
        }
        break Ended::of(child.wait_with_output().expect("it ends"));
    };
    let [imported, duplicates, failed, resumed] = ended.counts();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((imported, duplicates, failed), (contents.len(), FILES - contents.len(), 0), "{ended:?}");
    bench.assert_library_is(&contents);
    assert_eq!(files_below(&bench.at("library/.import/claims")), Vec::<PathBuf>::new());
    (kills, resumed)
}

#[test]
fn an_import_that_is_killed_again_and_again_loses_and_doubles_nothing_on_files() {
    is_killed_again_and_again("file:./runs", 1);
}

#[test]
fn an_import_that_is_killed_again_and_again_loses_and_doubles_nothing_on_sled() {
    is_killed_again_and_again("sled:./runs", 2);
}

#[test]
fn a_signal_ends_it_in_order_and_the_same_command_goes_on() {
    let bench = Bench::new("file:./runs");
    for number in 0..500 {
        bench.file(format!("{number}.txt"), format!("content {number}"));
    }
    let mut child = bench.start();
    // It is at work once there is a copy.
    while !bench.at("library/files").is_dir() || files_below(&bench.at("library/files")).is_empty() {
        assert_eq!(
            child.try_wait().expect("its state is known"),
            None,
            "it goes on until it is told to stop"
        );
    }
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(asked.success());
    let stopped = Ended::of(child.wait_with_output().expect("it ends"));
    assert_eq!(stopped.code, Some(130), "{stopped:?}");
    assert_eq!(stopped.counts()[2], 0, "{stopped:?}");
    let done = bench.import();
    let [imported, _, failed, resumed] = done.counts();
    assert_eq!((done.code, imported, failed), (Some(0), 500, 0), "{done:?}");
    assert!(resumed >= stopped.counts()[0], "{stopped:?} {done:?}");
}

#[test]
fn the_files_that_come_with_it_are_imported_without_arguments() {
    let bench = Bench::new("file:./runs");
    let ended = Ended::of(bench.command(&[]).output().expect("the program starts"));
    assert_eq!((ended.code, ended.counts()), (Some(0), [8, 1, 0, 0]), "{ended:?}");
}

#[test]
fn a_session_with_a_name_is_one_import_and_can_be_asked_again() {
    let bench = Bench::new("file:./runs");
    bench.file("a.txt", "a");
    let named =
        |arguments: &[&str]| Ended::of(bench.command(arguments).output().expect("the program starts"));
    assert_eq!(named(&["in", "--session", "spring"]).counts(), [1, 0, 0, 0]);
    assert_eq!(named(&["in", "--session", "spring"]).counts(), [1, 0, 0, 1], "the same answer again");
    let other = named(&[".", "--session", "spring", "--into", "elsewhere"]);
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(other.stderr.contains("session spring is something else"), "{other:?}");
}

#[test]
fn a_process_that_dies_after_the_end_and_before_telling_it_leaves_that_to_the_next() {
    let bench = Bench::new("file:./runs");
    bench.file("a.txt", "a");
    let first = bench.import();
    let session =
        first.stdout.split("(session ").nth(1).and_then(|rest| rest.split(',').next()).expect("a name");
    // The list of a session is removed last of all.
    fs::write(bench.at("library/.import/lists").join(session), "").expect("written");
    let told = bench.import();
    assert_eq!((told.code, told.counts()), (Some(0), [1, 0, 0, 1]), "{told:?}");
    assert_eq!(bench.import().counts(), [0, 1, 0, 0], "a new session");
}

#[test]
fn wrong_usage_and_a_store_that_is_taken_have_codes_of_their_own() {
    let bench = Bench::new("file:./runs");
    bench.file("a.txt", "a");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = format!("file:{}", bench.at("taken").display());
    let _held = runtime.block_on(stepwell_backends::open(&url)).expect("it opens");
    let process = format!("process {}", std::process::id());
    let rows: [(&[&str], i32, &str); 7] = [
        (&["--help"], 0, "Kill it at any moment"),
        (&["in", "--concurrency", "0"], 2, "1..=256"),
        (&["in", "--frobnicate"], 2, "--frobnicate"),
        (&["nowhere"], 2, "name a folder that is there"),
        (&["in/a.txt"], 2, "it is not a folder"),
        (&["in", "--into", "."], 2, "it lies in the library"),
        (&["in", "--session", "a/b"], 2, "is no session id"),
    ];
    let run = |arguments: &[&str], store: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_import"));
        command.current_dir(bench.folder.path()).args(arguments).env("STEPWELL_STORE", store);
        let ended = Ended::of(command.output().expect("the program starts"));
        (ended.code, format!("{}{}", ended.stdout, ended.stderr))
    };
    for (arguments, code, expected) in rows {
        let (ended, text) = run(arguments, "file:./runs");
        assert_eq!(ended, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    for (store, code, expected) in
        [(url.as_str(), 5, process.as_str()), ("./runs", 2, "did you mean `file:./runs`?")]
    {
        let (ended, text) = run(&["in"], store);
        assert_eq!(ended, Some(code), "{store}: {text}");
        assert!(text.contains(expected), "{store}: {text}");
    }
}
